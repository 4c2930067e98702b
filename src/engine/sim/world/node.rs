//! What happens to the node of an instance: it is cut off, or its orchestrator gives it no tasks.

use tokio::time::Instant;

use super::{Outcome, World};
use crate::model::instance::{InstanceId, Setting};
use crate::model::node::Availability;

impl World {
    /// Sets what is about the node of an instance; a task of one that is drained ends.
    pub(super) fn set_of_node(&mut self, id: &InstanceId, to: &Setting) -> Outcome {
        let Some(i) = self.instances.get_mut(id) else { return Outcome::Gone };
        let now = to.observed_as().filter(|now| i.settings.get(&to.aspect()) != Some(now));
        let Some(now) = now else { return Outcome::Already };
        i.settings.insert(to.aspect(), now);
        match to {
            Setting::Isolated(_) => self.cut.insert(id.clone(), Instant::now()),
            Setting::Mark(..) => self.cut.remove(id),
            _ => None,
        };
        let drained = matches!(to, Setting::Availability(to) if to.is == Availability::Drain && to.of_run);
        if drained && i.is_running() && i.replaced_by().is_some() {
            self.end(id, Instant::now());
        }
        Outcome::Done
    }
}
