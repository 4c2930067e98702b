//! A process of Squall's uses up processor time in the instance's control group, so that its limits hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys, stressor};
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::quantity::Percent;
use crate::model::stressor::{StressSpec, of_cores};

/// Use up processor time of the instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cpu {
    /// How much of what the instance may use. Either this or `cores`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Percent>,
    /// How many cores' worth of time, such as `1.5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01))]
    pub cores: Option<f64>,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    pub idle: Idle,
}

impl Cpu {
    fn cores(&self, instance: &Instance) -> f64 {
        // Where it is not known what it may use, it is refused.
        let has = instance.allowance.and_then(|a| a.cores).unwrap_or_default();
        // Rounded to a millicore: what people read is what is done.
        self.cores.unwrap_or_else(|| (self.load.map_or(1.0, |share| share.0) * has * 1000.0).round() / 1000.0)
    }
}

impl Disturb for Cpu {
    fn settings(&self, instance: &Instance, context: &Context<'_>) -> Vec<Setting> {
        vec![stressor(context, StressSpec::Cpu { cores: self.cores(instance) })]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::one_of(
            found,
            own,
            ["load", "cores"],
            "`load` is a share of what the instance may use, `cores` an amount",
        );
        if self.load.is_some_and(|share| share.0 <= 0.0) {
            keys::no_load(found, own, "load");
        }
        if self.cores.is_some_and(|cores| !cores.is_finite() || cores < 0.001) {
            keys::no_load(found, own, "cores");
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        let Some(may) = instance.allowance.and_then(|a| a.cores) else {
            let share = self.load.map(|share| format!("of which {share} would be a share"));
            return share
                .map(|share| format!("it is not known how much processor time it may use, {share}: say `cores`"));
        };
        let cores = self.cores(instance);
        if cores > may {
            return Some(format!(
                "it may use {} of processor time, and {} are asked for",
                of_cores(may),
                of_cores(cores)
            ));
        }
        (cores < 0.001).then(|| "that is no processor time at all".to_owned())
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel accepts connections for a process that waits for its turn: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
