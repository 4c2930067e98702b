//! One fault of an experiment: what goes wrong, with whom, and when.

use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pick, Span, Target};
use crate::fault::Fault;

/// A fault, with its target and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Injection {
    /// What goes wrong.
    pub fault: Fault,
    /// Whom the fault hits.
    pub target: Target,
    /// How long after the beginning of the fault phase it is injected (default 0s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// How long it is on (default: until the end of the fault phase).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#for: Option<Span>,
}

impl Injection {
    /// How many of the selected instances it hits.
    #[must_use]
    pub fn pick(&self) -> Pick {
        let one = if self.fault.disturb().hits_zones() { Pick::Zones(1) } else { Pick::Count(1) };
        self.target.pick.unwrap_or(one)
    }

    /// From when to when it is on, measured from the beginning of a fault phase of this length.
    #[must_use]
    pub fn span(&self, phase: Span) -> Range<Duration> {
        let begin = self.after.unwrap_or_default().0.min(phase.0);
        begin..self.r#for.map_or(phase.0, |span| begin.saturating_add(span.0).min(phase.0))
    }

    /// The same in words, with its name: `pause` from 10s to 15s.
    #[must_use]
    pub fn words(&self, phase: Span) -> String {
        let span = self.span(phase);
        format!("`{}` from {} to {}", self.fault.name(), Span(span.start), Span(span.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_to_the_end_of_its_phase_unless_it_says_otherwise() {
        let span = |times: &str| {
            let text = format!("{{ fault: {{ pause: {{}} }}, target: {{ service: shop }}{times} }}");
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            let injection: Injection = serde_json::from_value(value).unwrap();
            let span = injection.span(Span(Duration::from_secs(20)));
            (span.start.as_secs(), span.end.as_secs())
        };
        assert_eq!(span(""), (0, 20));
        assert_eq!(span(", after: 5s"), (5, 20));
        assert_eq!(span(", for: 5s"), (0, 5));
        assert_eq!(span(", after: 10s, for: 5s"), (10, 15));
    }
}
