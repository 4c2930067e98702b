//! The part of the watch that is about alerts: what becomes of them goes into the journal, and what they should have done
//! and did not breaks the hypothesis.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::broken::Broken;
use super::watch::Watch;
use crate::experiment::Span;
use crate::experiment::probe::Answer;
use crate::record::event::{Event, Phase, Standing, millis};
use crate::run::steady::Turn;

impl Watch<'_> {
    pub(super) fn take_alert(&mut self, which: usize, due: Duration, end: Duration, answer: &Answer) {
        self.injected();
        let Some((.., clock)) = self.alerts.get_mut(which) else { return };
        if let Some(turn) = clock.answered(due, end, answer) {
            self.turned(which, turn);
        }
    }

    pub(super) fn tick_alerts(&mut self, now: Duration) {
        self.injected();
        let turns: Vec<_> =
            self.alerts.iter_mut().enumerate().filter_map(|(i, (.., clock))| Some((i, clock.tick(now)?))).collect();
        for (which, turn) in turns {
            self.turned(which, turn);
        }
    }

    /// The end of a phase. `whole`: it was not cut short.
    pub(super) fn judge_alerts(&mut self, phase: Phase, whole: bool) {
        for which in 0..self.alerts.len() {
            let (name, _, clock) = &mut self.alerts[which];
            match phase {
                Phase::Baseline if whole => {
                    if let Some((unmeasured, asked, why)) = clock.unmeasured() {
                        let text =
                            format!("the alert `{name}` could not be looked up {unmeasured} of {asked} times ({why})");
                        self.unmeasured_alerts.push(text);
                    }
                }
                Phase::During if whole => {
                    if let Some(turn) = clock.close() {
                        self.turned(which, turn);
                    }
                }
                _ => {}
            }
        }
    }

    /// Tells the clocks of the first change, once it is made.
    fn injected(&mut self) {
        if self.alerts.is_empty() {
            return;
        }
        let Some(at) = self.rec.read(crate::record::state::RunState::injected) else { return };
        let since = at.duration_since(self.rec.clock().wall(self.origin)).max(SignedDuration::ZERO);
        let at = Duration::try_from(since).unwrap_or_default();
        self.alerts.iter_mut().for_each(|(.., clock)| clock.injected(at));
    }

    fn turned(&mut self, which: usize, turn: Turn) {
        let (name, expected, _) = &self.alerts[which];
        let (name, fires, resolves) = (name.clone(), expected.fires_within, expected.resolves_within);
        let alert = || name.clone();
        let broken = match turn {
            Turn::Fired(after) => return self.rec.note(Event::AlertFired { alert: alert(), after_ms: millis(after) }),
            Turn::Resolved(after) => {
                return self.rec.note(Event::AlertResolved { alert: alert(), after_ms: millis(after) });
            }
            Turn::NotMeasured(why) => {
                let text = format!("the alert `{name}` could not be looked up when its time was over ({why})");
                return self.unmeasured_alerts.push(text);
            }
            Turn::Early => broken(
                Phase::Baseline,
                &name,
                ("fires-within", fires, "fires already"),
                format!("the alert `{name}` fires already"),
            ),
            Turn::Missing(why) => broken(
                Phase::During,
                &name,
                ("fires-within", fires, &why),
                format!("the alert `{name}` did not fire within {fires} of the injection: {why}"),
            ),
            Turn::Lasting => {
                let within = resolves.unwrap_or_default();
                broken(
                    Phase::Recovery,
                    &name,
                    ("resolves-within", within, "still fires"),
                    format!("the alert `{name}` still fired {within} after the fault was gone"),
                )
            }
        };
        self.break_with(broken);
    }
}

fn broken(phase: Phase, name: &str, (expectation, within, said): (&str, Span, &str), sentence: String) -> Broken {
    let standing = Standing {
        expectation: expectation.to_owned(),
        bound: format!("≤ {within}"),
        measured: said.to_owned(),
        number: None,
        value: None,
        budget: None,
        spent: None,
        of: None,
        held: false,
        failures: BTreeMap::new(),
        unjudged: None,
    };
    Broken { phase, check: name.to_owned(), safety: false, standing, alert: Some(sentence) }
}
