//! A process of ours uses up memory in the instance's control group, so that its limit holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Disturb, Heal, lasting};
use crate::burden::{Goal, MemoryLoad, Oom, Work, in_mib, margin};
use crate::experiment::quantity::{Percent, Size, Span};
use crate::instance::{Instance, Setting};

/// Use up memory of the instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Memory {
    /// How much of its limit is used in the end, by the instance and the load together. Page cache, which the kernel can have
    /// back, does not count. Either this or `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Percent>,
    /// How much is used beside what the instance uses itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Within which time it is reached (default 0: at once).
    pub ramp: Span,
    /// Where memory runs out. `avoid` (default): the load gives memory back when the target needs it, and would be the first
    /// that the kernel ends. `allow`: it gives nothing back, and the kernel chooses among the target's own processes.
    pub oom: Oom,
    /// `self`: the system must recover with no helping hand.
    pub heal: Heal,
}

impl Memory {
    fn goal(&self, instance: &Instance) -> Goal {
        // Where there is no limit, it is refused.
        let limit = instance.allowance.and_then(|a| a.memory).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of bytes")]
        let share = |share: f64| (limit as f64 * share) as u64;
        match (self.to, self.size) {
            (Some(to), _) => Goal::Used(share(to.0)),
            (None, size) => Goal::Added(size.map_or(0, |size| size.0)),
        }
    }
}

impl Disturb for Memory {
    fn settings(&self, instance: &Instance, _: &[Instance]) -> Vec<Setting> {
        let load = MemoryLoad { goal: self.goal(instance), ramp: self.ramp.0, oom: self.oom };
        vec![lasting(Work::Memory(load))]
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        let allowance = instance.allowance?;
        let Some(limit) = allowance.memory else {
            return self
                .to
                .map(|to| format!("it has no limit of memory, of which {to} would be a share: give a `size`"));
        };
        let asked = match self.goal(instance) {
            Goal::Used(bytes) | Goal::Added(bytes) => bytes,
        };
        let most = if self.oom == Oom::Avoid { limit - margin(limit) } else { limit };
        (asked > most).then(|| {
            let kept = if self.oom == Oom::Avoid { ", of which 5 % are kept free (`oom: avoid`)" } else { "" };
            format!("its limit of memory is {}{kept}, and {} are asked for", in_mib(limit), in_mib(asked))
        })
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel accepts connections for a process that has no memory left: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
