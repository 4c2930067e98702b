//! What it takes to have an instance lose its power together with others: for faults that take out a whole zone or node.

use super::Heal;
use crate::model::instance::{Aspect, Instance, Kill, RestartPolicy, Setting, Signal, Via};

/// Killed from its host, at the same moment as others, and not restarted by its engine until it comes back. Where the system is to heal
/// itself, a restart policy is a part of it.
pub(super) fn cut(instance: &Instance, heal: Heal) -> Vec<Setting> {
    let never = Setting::RestartPolicy(RestartPolicy::Never);
    let acts = instance.settings.get(&Aspect::RestartPolicy).is_some_and(|policy| *policy != never);
    let aside = (acts && heal == Heal::Squall).then_some(never);
    let killed = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host });
    aside.into_iter().chain([killed]).collect()
}

/// The same by the engine, one after the other.
pub(super) fn one_by_one(to: &Setting) -> Option<Setting> {
    match to {
        Setting::Killed(Kill { signal, via: Via::Host }) => {
            Some(Setting::Killed(Kill { signal: *signal, via: Via::Engine }))
        }
        _ => None,
    }
}
