//! One fault of an experiment: what goes wrong, with whom, and when.

use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pick, Span, Target};
use crate::experiment::fault::{Fault, Heal, Whole};

/// A fault, with its target and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Injection {
    /// What goes wrong.
    pub fault: Fault,
    /// Whom the fault targets.
    pub target: Target,
    /// How long after the beginning of the fault phase it is injected (default 0s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// How long it is on (default: until the end of the fault phase).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#for: Option<Span>,
    /// It is injected again and again, so far apart, as often as it fits into the fault phase; each time on the same targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// The most times that one fault is injected in a run.
pub const MOST_TIMES: u32 = 100;

/// When a fault begins that comes again and again: each time that it fits into its phase whole. Once more than it may, so that it
/// can be told where it would.
pub(super) fn beginnings(after: Span, on: Option<Span>, every: Span, phase: Span) -> impl Iterator<Item = Span> {
    let fits = move |begin: &Duration| match on {
        Some(on) => begin.saturating_add(on.0) <= phase.0,
        None => *begin < phase.0,
    };
    (0..=MOST_TIMES).map(move |n| after.0.saturating_add(every.0.saturating_mul(n))).take_while(fits).map(Span)
}

impl Injection {
    /// How many of the selected instances it targets.
    #[must_use]
    pub fn pick(&self) -> Pick {
        let one = match self.fault.disturb().whole() {
            Some(Whole::Zone) => Pick::Zones(1),
            Some(Whole::Node) => Pick::Nodes(1),
            None => Pick::Count(1),
        };
        self.target.pick.unwrap_or(one)
    }

    /// From when to when it is on, measured from the beginning of a fault phase of this length.
    #[must_use]
    pub fn span(&self, phase: Span) -> Range<Duration> {
        let begin = self.after.unwrap_or_default().0.min(phase.0);
        begin..self.r#for.map_or(phase.0, |span| begin.saturating_add(span.0).min(phase.0))
    }

    /// The same fault once for each time that it is injected in a fault phase of this length: those that fit into it whole.
    pub(super) fn each_time(&self, phase: Span) -> Vec<Self> {
        let Some(every) = self.every else { return vec![self.clone()] };
        beginnings(self.after.unwrap_or_default(), self.r#for, every, phase)
            .map(|begin| Self { after: Some(begin), every: None, ..self.clone() })
            .collect()
    }

    /// When it changes something, as `span`; what is over at once does so only at its beginning, and what the system itself makes
    /// good is its business from then on.
    pub(crate) fn acts(&self, phase: Span) -> Range<Duration> {
        let span = self.span(phase);
        let at_once = self.fault.disturb().is_momentary() || self.fault.heal() == Heal::Itself;
        if at_once { span.start..span.start } else { span }
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

    #[test]
    fn a_fault_comes_again_as_often_as_it_fits_into_its_phase() {
        let times = |times: &str| {
            let text = format!("{{ fault: {{ pause: {{}} }}, target: {{ service: shop }}, every: 10s{times} }}");
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            let injection: Injection = serde_json::from_value(value).unwrap();
            let phase = Span(Duration::from_secs(30));
            let each = injection.each_time(phase);
            each.iter().map(|i| i.span(phase)).map(|s| (s.start.as_secs(), s.end.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(times(", for: 5s"), [(0, 5), (10, 15), (20, 25)]);
        assert_eq!(times(", after: 6s, for: 4s"), [(6, 10), (16, 20), (26, 30)]);
        assert_eq!(times(", after: 6s, for: 5s"), [(6, 11), (16, 21)], "no time is cut short");
        assert_eq!(times("").len(), 3);
    }
}
