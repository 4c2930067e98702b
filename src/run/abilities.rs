//! What an engine can make so, asked for a whole plan at once: planning is pure and asks one thing after the other, and an engine may be
//! far away.

use std::cell::RefCell;

use crate::engine::{Ability, Apply, EngineError};
use crate::model::instance::{Instance, Setting};

/// Plans with the engine's answers. A question that is not answered yet counts as answered with yes, is asked together with all others,
/// and then it is planned anew.
///
/// # Errors
/// Where the engine does not answer.
pub(crate) async fn with_abilities<T>(
    engine: &(impl Apply + ?Sized),
    plan: impl Fn(&dyn Fn(&Instance, &Setting) -> Ability) -> T,
) -> Result<T, EngineError> {
    let mut known: Vec<((Instance, Setting), Ability)> = Vec::new();
    loop {
        let (made, open) = {
            let open: RefCell<Vec<(Instance, Setting)>> = RefCell::default();
            let made = plan(&|instance, to| {
                let is_it = |(i, s): &(Instance, Setting)| i.id == instance.id && s == to;
                if let Some((_, ability)) = known.iter().find(|(question, _)| is_it(question)) {
                    return ability.clone();
                }
                if !open.borrow().iter().any(is_it) {
                    open.borrow_mut().push((instance.clone(), to.clone()));
                }
                Ability::Yes
            });
            (made, open.into_inner())
        };
        if open.is_empty() {
            return Ok(made);
        }
        drop(made);
        let answers = engine.can(&open).await?;
        known.extend(open.into_iter().zip(answers));
    }
}
