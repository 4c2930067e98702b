//! How far apart the moments were in which a fault began, and ended, on its targets: on several machines, that is not known
//! beforehand. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::{ChangeState, RunState};
use crate::model::instance::{InstanceId, Rollback};
use crate::text::units::span;

/// From the first target to the last one, by the runner's clock: when it was told that a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Of the injections.
    pub begin: Duration,
    /// Of the rollbacks; `None` where not all are rolled back, or there is nothing to roll back.
    pub end: Option<Duration>,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on within {}", span(self.begin))?;
        self.end.map_or(Ok(()), |end| write!(f, ", off within {}", span(end)))
    }
}

impl RunState {
    /// The spread of a fault; `None` where it was not injected into several targets. What is set before it, for it to begin in one
    /// moment, does not count, nor does what was made again because a target had restarted.
    #[must_use]
    pub fn spread(&self, fault: usize) -> Option<Spread> {
        let mut first: BTreeMap<&InstanceId, Timestamp> = BTreeMap::new();
        let mut last: BTreeMap<&InstanceId, Option<Timestamp>> = BTreeMap::new();
        for (c, at) in self.made(fault) {
            let id = &c.change.instance;
            first.entry(id).and_modify(|first| *first = at.min(*first)).or_insert(at);
            if c.change.back != Rollback::Nothing {
                let back = c.rolled_back.map(|back| back.at);
                // One that is not rolled back keeps the end of all from being known.
                last.entry(id).and_modify(|last| *last = last.zip(back).map(|(a, b)| a.max(b))).or_insert(back);
            }
        }
        let begin = width(first.values().copied()).filter(|_| first.len() > 1)?;
        let last: Option<Vec<Timestamp>> = last.into_values().collect();
        Some(Spread { begin, end: last.and_then(|all| width(all.into_iter())) })
    }

    /// The most machines that a fault of the run was on, where they were several, and the widest spread of such a fault.
    #[must_use]
    pub fn spread_over_machines(&self) -> Option<(usize, Spread)> {
        let faults = self.changes.iter().map(|c| c.change.fault).max()?;
        let of = |fault| {
            let node = |c: &ChangeState| self.targeted.iter().find(|i| i.id == c.change.instance)?.node.clone();
            let machines: BTreeSet<String> = self.made(fault).filter_map(|(c, _)| node(c)).collect();
            Some((machines.len(), self.spread(fault)?)).filter(|(machines, _)| *machines > 1)
        };
        let widest = |(a, one): (usize, Spread), (b, other): (usize, Spread)| {
            let end = one.end.zip(other.end).map(|(a, b)| a.max(b));
            (a.max(b), Spread { begin: one.begin.max(other.begin), end })
        };
        (0..=faults).filter_map(of).reduce(widest)
    }

    /// The changes of a fault that were made, but for what is set before it, and when.
    fn made(&self, fault: usize) -> impl Iterator<Item = (&ChangeState, Timestamp)> {
        let of_it = move || self.changes.iter().filter(move |c| c.change.fault == fault);
        let stage = of_it().map(|c| c.change.to.stage()).max();
        of_it().filter(move |c| Some(c.change.to.stage()) == stage).filter_map(|c| Some((c, c.injected?.at)))
    }
}

fn width(all: impl Iterator<Item = Timestamp> + Clone) -> Option<Duration> {
    Duration::try_from(all.clone().max()?.duration_since(all.min()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::model::instance::{Change, Instance, Setting};
    use crate::record::event::Actor;
    use crate::record::state::{Injected, RolledBack};

    fn change(n: usize, fault: usize, to: Setting, from_ms: i64, until_ms: Option<i64>) -> ChangeState {
        let at = |ms| Timestamp::from_millisecond(ms).expect("a time");
        let before = Instance::new(format!("n{n}/a"), format!("n{n}/a"), "shop");
        let mut change = Change::restoring(&before, Setting::Paused(false));
        (change.n, change.fault, change.to) = (n, fault, to);
        change.back = Rollback::To(Setting::Paused(false));
        let mut state = ChangeState::planned(change, None);
        state.injected = Some(Injected { at: at(from_ms), outcome: Outcome::Done, took: Duration::ZERO });
        state.rolled_back = until_ms.map(|ms| RolledBack {
            at: at(ms),
            outcome: Outcome::Done,
            by: Actor::Runner,
            took: Duration::ZERO,
        });
        state
    }

    #[test]
    fn the_widest_of_several_machines_is_told() {
        let mut state = RunState::default();
        for n in 0..3 {
            let mut instance = Instance::new(format!("n{n}/a"), "a", "shop");
            instance.node = Some(format!("n{n}"));
            state.targeted.push(instance);
        }
        let paused = || Setting::Paused(true);
        state.changes = vec![
            change(0, 0, paused(), 100, Some(900)),
            change(1, 0, paused(), 104, Some(903)),
            change(2, 1, paused(), 500, Some(800)),
        ];
        let ms = Duration::from_millis;
        assert_eq!(state.spread(0), Some(Spread { begin: ms(4), end: Some(ms(3)) }));
        assert_eq!(state.spread(1), None, "one target");
        let over = state.spread_over_machines();
        assert_eq!(over, Some((2, Spread { begin: ms(4), end: Some(ms(3)) })), "the other one has a fault of its own");
        // Made again later, since its target had restarted: the fault began when it began.
        state.changes.push(change(1, 0, paused(), 600, Some(905)));
        assert_eq!(state.spread(0), Some(Spread { begin: ms(4), end: Some(ms(5)) }));
        state.changes[0].rolled_back = None;
        assert_eq!(state.spread(0), Some(Spread { begin: ms(4), end: None }));
        state.targeted.truncate(1);
        assert_eq!(state.spread_over_machines(), None, "one machine");
    }
}
