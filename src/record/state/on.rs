//! For how long faults were really on: in effect, which is less than the time between injection and rollback where a target went
//! down or another process interfered. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{ChangeState, Injected, RunState};
use crate::model::instance::Rollback;
use crate::record::event::Phase;

/// A stretch of time.
type Stretch = (Timestamp, Timestamp);

/// What shows that a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
pub enum Evidence {
    /// A command says so of itself, by its exit status.
    #[strum(to_string = "claimed")]
    Claimed,
    /// It was observed.
    #[strum(to_string = "verified")]
    Observed,
}

impl ChangeState {
    /// Whether something shows that it was made.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verification.as_ref().is_some_and(|v| v.verified)
    }

    /// What shows that it was made; `None` where nothing does.
    #[must_use]
    pub fn evidence(&self) -> Option<Evidence> {
        let evidence = if self.change.to.is_claimed() { Evidence::Claimed } else { Evidence::Observed };
        self.is_verified().then_some(evidence)
    }

    /// Whether it was rolled back by a command, of which nothing but its exit status is known.
    #[must_use]
    pub fn is_claimed_back(&self) -> bool {
        self.rolled_back.is_some() && matches!(&self.change.back, Rollback::To(to) if to.is_claimed())
    }

    /// Whether it was seen to be off, and not in effect again since.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off.last().is_some_and(|off| off.until.is_none())
    }

    /// When it was in effect; `end` where it was never rolled back.
    fn stretches(&self, end: Timestamp) -> Vec<Stretch> {
        let Some(Injected { at: from, .. }) = self.injected.filter(|_| self.is_verified()) else { return Vec::new() };
        let end = self.rolling_back.unwrap_or(end).max(from);
        let mut on = Vec::new();
        let mut since = from;
        for off in &self.off {
            on.push((since, off.from.clamp(since, end)));
            since = off.until.unwrap_or(end).min(end);
        }
        on.push((since, end));
        on
    }
}

impl RunState {
    /// How many changes were rolled back by a command, of which nothing but its exit status is known, in words; `None` if none.
    #[must_use]
    pub fn claimed_back(&self) -> Option<String> {
        match self.changes.iter().filter(|c| c.is_claimed_back()).count() {
            0 => None,
            1 => Some("1 change only claimed, by the exit status of its undo command".to_owned()),
            n => Some(format!("{n} changes only claimed, by the exit status of their undo commands")),
        }
    }

    /// For how long a change was in effect.
    #[must_use]
    pub fn on_time(&self, change: &ChangeState) -> Duration {
        change.stretches(self.end_of_faults()).into_iter().map(length).sum()
    }

    /// For how long a fault of the list was on as a whole: everything that it changes was in effect on each of its targets.
    /// `None` where it was never injected.
    #[must_use]
    pub fn fault_on(&self, fault: usize) -> Option<Duration> {
        let mut of_each: BTreeMap<_, Vec<Stretch>> = BTreeMap::new();
        for c in self.changes.iter().filter(|c| c.change.fault == fault) {
            let key = (&c.change.instance, c.change.to.aspect());
            of_each.entry(key).or_default().extend(c.stretches(self.end_of_faults()));
        }
        let mut all = of_each.into_values();
        let first = all.next().filter(|stretches| !stretches.is_empty())?;
        Some(all.fold(first, |both, other| intersection(&both, &other)).into_iter().map(length).sum())
    }

    /// The time for which the run's faults were on: of the one that was on for the shortest time, where there are several.
    #[must_use]
    pub fn on_shortest(&self) -> Option<Duration> {
        let faults = self.changes.iter().map(|c| c.change.fault).max()?;
        (0..=faults).filter_map(|fault| self.fault_on(fault)).min()
    }

    /// When what is never rolled back (a process killed, which others start again) counts as over.
    fn end_of_faults(&self) -> Timestamp {
        let during = self.span_of(Phase::During).map(|(_, end)| end);
        during.or(self.last).unwrap_or_default()
    }
}

fn length((from, to): Stretch) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// What two lists of stretches have in common.
fn intersection(one: &[Stretch], other: &[Stretch]) -> Vec<Stretch> {
    let common = |a: &Stretch, b: &Stretch| {
        let (from, to) = (a.0.max(b.0), a.1.min(b.1));
        (from < to).then_some((from, to))
    };
    one.iter().flat_map(|a| other.iter().filter_map(move |b| common(a, b))).collect()
}
