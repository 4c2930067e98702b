//! A process of Squall's uses up memory in the instance's control group, so that its limit holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, Takes, keys, stressor};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::quantity::{Percent, Size, Span};
use crate::model::stressor::{Goal, MemoryLoad, Oom, StressSpec, in_mib, margin};

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
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    pub idle: Idle,
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

/// How many percent of a whole a part is.
fn share_of(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

impl Disturb for Memory {
    fn settings(&self, instance: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let load = MemoryLoad { goal: self.goal(instance), ramp: self.ramp.0, oom: self.oom };
        vec![stressor(context, StressSpec::Memory(load))]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        let help = "`to` is a share of the limit, `size` an amount beside what the instance uses";
        keys::one_of(found, own, ["to", "size"], help);
        if self.size.is_some_and(|size| size.0 == 0) {
            keys::no_load(found, own, "size");
        }
        if self.to.is_some_and(|to| to.0 <= 0.0) {
            keys::no_load(found, own, "to");
        }
        if self.oom == Oom::Avoid && self.to.is_some_and(|to| to.0 > 0.95) {
            let at = found.document.value_at(&[own, &["to"]].concat());
            found.add(
                Mistake::error(&at, "a load that avoids running out of memory keeps 5 % of the limit free")
                    .label("at most 95%, or say `oom: allow`"),
            );
        }
    }

    fn takes(&self) -> Vec<Takes> {
        vec![Takes { key: "ramp", takes: self.ramp, so: "the load is never reached" }]
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        let allowance = instance.allowance?;
        let Some(limit) = allowance.memory else {
            return self
                .to
                .map(|to| format!("it has no limit of memory, of which {to} would be a share: give a `size`"));
        };
        let used = allowance.memory_held.unwrap_or_default();
        let (most, kept) = match self.oom {
            Oom::Avoid => (limit - margin(limit), ", of which 5 % are kept free (`oom: avoid`)"),
            Oom::Allow => (limit, ""),
        };
        let of_limit = |bytes: u64| format!("{} ({:.0} % of its limit)", in_mib(bytes), share_of(bytes, limit));
        match self.goal(instance) {
            Goal::Used(bytes) | Goal::Added(bytes) if bytes > most => {
                Some(format!("its limit of memory is {}{kept}, and {} are asked for", in_mib(limit), in_mib(bytes)))
            }
            Goal::Used(bytes) if bytes <= used => Some(format!(
                "{} are in use already, and {} are asked for: nothing would be loaded",
                of_limit(used),
                of_limit(bytes)
            )),
            // Beyond the limit, it shall run out of it.
            Goal::Added(bytes) if self.oom == Oom::Avoid && bytes > most.saturating_sub(used) => Some(format!(
                "{} of its limit of {} are in use, so that at most {} can be loaded{kept}, and {} are asked for",
                in_mib(used),
                in_mib(limit),
                in_mib(most.saturating_sub(used)),
                in_mib(bytes)
            )),
            _ => None,
        }
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel accepts connections for a process that has no memory left: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::machine::Allowance;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_cannot_be_had_is_refused_with_the_numbers() {
        let allowance = Allowance { memory: Some(64 * MIB), memory_held: Some(29 * MIB), ..Allowance::default() };
        let i = Instance { allowance: Some(allowance), ..Instance::new("a", "a", "a") };
        for (fault, want) in [
            ("size: 63MiB", Some("its limit of memory is 64 MiB, of which 5 % are kept free")),
            ("size: 40MiB", Some("29 MiB of its limit of 64 MiB are in use, so that at most 31.8 MiB can be loaded")),
            ("size: 25MiB", None),
            ("size: 60MiB, oom: allow", None),
            (
                "to: 20%",
                Some("29 MiB (45 % of its limit) are in use already, and 12.8 MiB (20 % of its limit) are asked for"),
            ),
            ("to: 80%", None),
        ] {
            let memory: Memory = serde_yaml::from_str(&format!("{{ {fault} }}")).unwrap();
            match (memory.refuses(&i), want) {
                (Some(why), Some(want)) => assert!(why.contains(want), "{fault}: {why}"),
                (why, want) => assert_eq!(why.as_deref(), want, "{fault}"),
            }
        }
    }
}
