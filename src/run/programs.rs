//! Commands of a person's, and the commands that undo them: whether they could be started, looked up before anything is touched.
//! An undo that cannot be started would be found out when it is needed.

use crate::engine::Apply;
use crate::model::instance::{Change, Rollback, Setting};
use crate::run::target::Refusal;

/// Whether every command of these changes could be started where it is to run.
///
/// # Errors
/// The first that could not.
pub(crate) async fn are_there(engine: &dyn Apply, changes: &[Change]) -> Result<(), Refusal> {
    for change in changes {
        let undo = if let Rollback::To(to) = &change.back { Some(("its undo", to)) } else { None };
        for (what, setting) in [("the command", &change.to)].into_iter().chain(undo) {
            let Setting::Ran(command) = setting else { continue };
            if let Some(why) = engine.cannot_start(&change.instance, command).await {
                let (name, fault) = (&change.name, "`exec` would not do for");
                return Err(Refusal::limits(format!("{fault} {name}: {what} {command} cannot be started: {why}")));
            }
        }
    }
    Ok(())
}
