//! The part of the judge that holds answers against a contract of degradation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::budget::{Bound, Budget};
use super::super::tally::count;
use super::Judge;
use crate::experiment::probe::{Answer, Class, Reply};
use crate::experiment::{Contract, samples};
use crate::record::event::Standing;

/// The contract, and what was answered under it.
#[derive(Debug)]
pub(super) struct Degraded {
    contract: Contract,
    /// Whether the time that the system may take to turn has begun.
    turned: bool,
    answers: BTreeMap<String, u64>,
}

impl Degraded {
    pub(super) fn must_fail(&self) -> bool {
        self.contract.must_fail.is_some()
    }

    /// How long the system may take to turn: once, when the first fault is on.
    pub(super) fn take_lead(&mut self) -> Duration {
        if std::mem::replace(&mut self.turned, true) { Duration::ZERO } else { self.contract.lead() }
    }

    pub(super) fn answers(&self) -> BTreeMap<String, u64> {
        self.answers.clone()
    }
}

impl Judge {
    /// Held against a contract as well: from [`Judge::replied`] on.
    #[must_use]
    pub fn under(mut self, contract: Contract) -> Self {
        if contract.is_empty() {
            return self;
        }
        let n = samples(self.pace, self.time.end().saturating_sub(self.now));
        self.budgets.extend(contract.must_fail.map(|share| Budget::new("must-fail", Bound::Success(share), n)));
        self.budgets.extend(contract.shares.iter().map(|(class, share)| Budget::of_class(*class, *share, n)));
        self.degraded = Some(Degraded { contract, turned: false, answers: BTreeMap::new() });
        self
    }

    /// Whether what is good in health may break it.
    pub(super) fn replaces_health(&self) -> bool {
        self.degraded.as_ref().is_some_and(|degraded| degraded.contract.replaces_health())
    }

    /// An answer is there, with what a contract is judged by. As [`Judge::answered`].
    pub fn replied(&mut self, seq: u64, due: Duration, end: Duration, reply: &Reply) -> Option<Standing> {
        let Some(degraded) = &mut self.degraded else { return self.answered(seq, due, end, &reply.answer) };
        let answer = degraded.contract.judged(reply, end.saturating_sub(due));
        let before = self.tally.samples;
        let broken = self.settle(seq, due, end, &answer, Class::of(reply));
        if self.tally.samples > before
            && let Some(degraded) = &mut self.degraded
            && let Some(kind) = kind(reply)
        {
            count(&mut degraded.answers, &kind);
        }
        broken
    }
}

/// What was answered, in a few words; `None` where it could not be measured.
fn kind(reply: &Reply) -> Option<String> {
    match (reply.status, &reply.answer) {
        (_, Answer::NotMeasured(_)) => None,
        (Some(status), _) => Some(format!("status {status}")),
        (None, Answer::Good { .. }) => Some("answered".to_owned()),
        (None, Answer::Failed(failure)) => Some(failure.0.clone()),
    }
}

#[cfg(test)]
mod tests;
