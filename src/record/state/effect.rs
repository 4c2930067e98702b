//! What the faults of a run did to what goes on at their targets.

use std::collections::BTreeSet;

use super::{ChangeState, RunState};
use crate::model::effect::{Effect, Idle};
use crate::model::instance::{Aspect, InstanceId};

/// What a fault did to one aspect of one target, by all changes of it: a target that restarted is disturbed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetEffect<'a> {
    /// The fault's place in the list, from 0.
    pub fault: usize,
    /// The target's name.
    pub name: &'a str,
    /// What it did, as far as it is known.
    pub effect: Option<&'a Effect>,
    instance: &'a InstanceId,
    aspect: Aspect,
}

/// Whether a change had no effect. Of packets it is counted what met it: what is not recorded is none.
fn is_idle(aspect: Aspect, effect: Option<&Effect>) -> bool {
    effect.map_or(aspect == Aspect::Network, Effect::is_unaffected)
}

impl TargetEffect<'_> {
    /// Whether it had no effect.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        is_idle(self.aspect, self.effect)
    }

    /// Whether it cannot be known if it had an effect.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        !self.is_idle() && !self.effect.is_some_and(Effect::is_affected)
    }
}

impl RunState {
    /// What each fault did to its targets, in the order of the plan: of changes that can be idle and were made.
    #[must_use]
    pub fn target_effects(&self) -> Vec<TargetEffect<'_>> {
        let mut all: Vec<TargetEffect<'_>> = Vec::new();
        for c in self.changes.iter().filter(|c| c.injected.is_some() && c.change.to.can_be_idle()) {
            let (fault, instance, aspect) = (c.change.fault, &c.change.instance, c.change.to.aspect());
            let known = all.iter_mut().find(|e| (e.fault, e.instance, e.aspect) == (fault, instance, aspect));
            match known {
                Some(known) if known.is_idle() || known.is_unknown() => {
                    known.effect = c.effect.as_ref().or(known.effect);
                }
                Some(_) => {}
                None => {
                    all.push(TargetEffect { fault, name: &c.change.name, effect: c.effect.as_ref(), instance, aspect });
                }
            }
        }
        all
    }

    /// The faults that had no effect on any of their targets.
    #[must_use]
    pub fn idle_faults(&self) -> BTreeSet<usize> {
        let effects = self.target_effects();
        let affected: BTreeSet<usize> = effects.iter().filter(|e| !e.is_idle()).map(|e| e.fault).collect();
        effects.iter().map(|e| e.fault).filter(|fault| !affected.contains(fault)).collect()
    }

    /// Whether anything that this run did had an effect, or may have had one: a change that cannot be idle and is proven, or
    /// one that is not idle.
    #[must_use]
    pub fn had_effect(&self) -> bool {
        let idle = |c: &ChangeState| is_idle(c.change.to.aspect(), c.effect.as_ref());
        let affects = |c: &ChangeState| !c.change.to.can_be_idle() || !idle(c);
        self.changes.iter().filter(|c| c.is_verified()).any(affects)
    }

    /// Which targets of a fault may be idle, by its file.
    #[must_use]
    pub fn idle(&self, fault: usize) -> Idle {
        let faults = self.started.as_ref().map(|s| s.experiment.faults()).unwrap_or_default();
        faults.get(fault).map(|i| i.fault.disturb().idle()).unwrap_or_default()
    }

    /// A fault's name with its number, where there are several: `latency`, fault 2 (`latency`).
    #[must_use]
    pub fn fault_words(&self, fault: usize) -> String {
        let faults = self.started.as_ref().map(|s| s.experiment.faults()).unwrap_or_default();
        let name = faults.get(fault).map_or("?", |i| i.fault.name());
        if faults.len() > 1 { format!("fault {} (`{name}`)", fault + 1) } else { format!("`{name}`") }
    }
}
