//! The instance gets less processor time or memory than it has: the limits of its control group are lowered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::machine::{Limit, Quota};
use crate::model::quantity::{Percent, Portion};

/// What every page size divides.
const WHOLE_PAGES: u64 = 64 << 10;

/// The least share of a core that the kernel can give: 1 ms in 100.
const LEAST_CORES: f64 = 0.01;

/// Lower the limits of processor time and memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Throttle {
    /// How much of the processor time that it may use now. Not together with `cores`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// How many cores' worth of time, such as `0.5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// How much memory: an amount, or a share of the limit that it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Portion>,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    pub idle: Idle,
}

impl Disturb for Throttle {
    fn settings(&self, instance: &Instance, _: &Context<'_>) -> Vec<Setting> {
        let allowed = instance.allowance.unwrap_or_default();
        let share = self.cpu.map(|share| share.0 * allowed.cores.unwrap_or_default());
        let cpu = self.cores.or(share).map(|cores| Limit::Cpu(Quota::of_cores(cores)));
        let memory = self.memory.map(|portion| {
            let bytes = match portion {
                Portion::Size(size) => size.0,
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a number of bytes"
                )]
                Portion::Share(share) => (allowed.memory.unwrap_or_default() as f64 * share.0) as u64,
            };
            // The kernel counts in pages, and what is observed is to be what was set.
            Limit::Memory(Some(bytes - bytes % WHOLE_PAGES))
        });
        cpu.into_iter().chain(memory).map(Setting::Limit).collect()
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::alone(found, own, ["cpu", "cores"], "`cores` is how many, `cpu` a share of those that it may use");
        if (self.cpu, self.cores, self.memory) == (None, None, None) {
            keys::nothing(found, own, "give `cpu`, `cores` or `memory`");
        }
        if self.cores.is_some_and(|cores| cores.is_nan() || cores < LEAST_CORES) {
            let at = found.document.value_at(&[own, &["cores"]].concat());
            found.add(
                Mistake::error(&at, "no process can live on so little of a core")
                    .label("at least 0.01; to stop it there is `pause`"),
            );
        }
        if self.cpu.is_some_and(|share| share.0 <= 0.0) {
            let at = found.document.value_at(&[own, &["cpu"]].concat());
            found.add(Mistake::error(&at, "`fault.throttle.cpu` leaves nothing").label("to stop it there is `pause`"));
        }
        if self.cpu.is_some_and(|share| share.0 >= 1.0) {
            let at = found.document.value_at(&[own, &["cpu"]].concat());
            found.add(Mistake::error(&at, "`fault.throttle.cpu` takes nothing away").label("below 100%"));
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        let allowed = instance.allowance?;
        match (self.memory, allowed.memory) {
            (Some(Portion::Share(share)), None) => {
                return Some(format!("it has no limit of memory, of which {share} would be a share: give an amount"));
            }
            (Some(Portion::Size(size)), _) if size.0 < WHOLE_PAGES => {
                return Some(format!("{size} is less than a page of memory"));
            }
            _ => {}
        }
        let (cores, has) = (self.cores?, allowed.cores?);
        (cores >= has).then(|| format!("it may use {has} cores now: {cores} would limit nothing"))
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel accepts connections of a process that gets no time: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::machine::Allowance;

    fn instance(memory: Option<u64>) -> Instance {
        let allowance = Some(Allowance { cores: Some(1.5), memory, ..Allowance::default() });
        Instance { allowance, ..Instance::new("a", "a", "a") }
    }

    fn throttle(yaml: &str) -> Throttle {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn shares_are_of_what_it_has() {
        let settings = throttle("{ cpu: 20%, memory: 50% }").settings(&instance(Some(100 << 20)), &Context::default());
        let cpu = Limit::Cpu(Quota { us: Some(30_000), period_us: 100_000 });
        assert_eq!(settings, [cpu, Limit::Memory(Some(50 << 20))].map(Setting::Limit));
        let odd = throttle("{ memory: 100001B }").settings(&instance(None), &Context::default());
        assert_eq!(odd, [Setting::Limit(Limit::Memory(Some(65_536)))], "whole pages");
    }

    #[test]
    fn a_share_of_nothing_and_more_than_there_is_are_refused() {
        let why = |yaml, memory| throttle(yaml).refuses(&instance(memory));
        assert!(why("{ memory: 50% }", None).is_some_and(|w| w.contains("give an amount")));
        assert!(why("{ cores: 2 }", None).is_some_and(|w| w.contains("1.5 cores")));
        assert_eq!(why("{ cores: 1, memory: 1MiB }", None), None);
        assert_eq!(why("{ memory: 50% }", Some(1 << 30)), None);
    }
}
