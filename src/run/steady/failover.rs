//! The failover clock of one check: when it is served by the others after zones were targeted, and when these zones serve again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::experiment::Rate;
use crate::experiment::probe::Answer;

/// A check is served again when it stays good for so long, and for three samples.
const STRETCH: Duration = Duration::from_secs(1);

/// Watches one check from the moment at which zones are targeted.
#[derive(Debug)]
pub struct Failover {
    stretch: Duration,
    begin: Duration,
    /// What those who are targeted are called in answers.
    targeted: BTreeSet<String>,
    in_flight: BTreeMap<u64, Duration>,
    /// Settled samples that something in flight precedes.
    waiting: BTreeMap<u64, SettledSample>,
    /// The first good sample of those since the last failure: when it was due, and answered.
    good_since: Option<(Duration, Duration)>,
    failed: u64,
    told: bool,
    served: Option<Duration>,
    rollback: Option<Duration>,
    returned: Option<Duration>,
}

/// One settled sample.
#[derive(Debug, Clone, Copy)]
struct SettledSample {
    due: Duration,
    end: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A good answer, by an instance that is not known to be targeted.
    Good,
    /// A good answer by an instance that is targeted.
    Targeted,
    Failed,
    /// It says nothing about the system.
    NotMeasured,
}

impl Failover {
    /// From `begin` on, for who is called so in answers.
    #[must_use]
    pub fn new(rate: Rate, begin: Duration, targeted: BTreeSet<String>) -> Self {
        Self {
            stretch: STRETCH.max(Duration::from_secs_f64(3.0 / rate.0)),
            begin,
            targeted,
            in_flight: BTreeMap::new(),
            waiting: BTreeMap::new(),
            good_since: None,
            failed: 0,
            told: false,
            served: None,
            rollback: None,
            returned: None,
        }
    }

    /// The rollback begins.
    pub fn comes_back(&mut self, at: Duration) {
        self.rollback.get_or_insert(at);
    }

    /// A sample is out.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        if due >= self.begin {
            self.in_flight.insert(seq, due);
        }
    }

    /// An answer is there.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) {
        if self.in_flight.remove(&seq).is_none() {
            return;
        }
        let outcome = match answer {
            Answer::Good { by, .. } => {
                self.told |= by.is_some();
                if by.as_ref().is_some_and(|by| self.targeted.contains(by)) { Outcome::Targeted } else { Outcome::Good }
            }
            Answer::Failed(_) => Outcome::Failed,
            Answer::NotMeasured(_) => Outcome::NotMeasured,
        };
        self.waiting.insert(seq, SettledSample { due, end, outcome });
        let settled = self.in_flight.keys().next().copied().unwrap_or(u64::MAX);
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() < settled) {
            let seen = entry.remove();
            self.settle(seen);
        }
    }

    /// Samples come here in the order in which they were due.
    fn settle(&mut self, seen: SettledSample) {
        let SettledSample { due, end, outcome } = seen;
        if let Some(back) = self.rollback.filter(|back| due >= *back) {
            // Whoever is asked from then on and answers has come back.
            if outcome == Outcome::Targeted {
                self.returned.get_or_insert(end.saturating_sub(back));
            }
            return;
        }
        if self.served.is_some() {
            return;
        }
        match outcome {
            Outcome::Good => {
                self.good_since.get_or_insert((due, end));
            }
            Outcome::Failed => {
                self.failed += 1;
                self.good_since = None;
            }
            // What was on its way when the zone was targeted neither shows that others serve nor that none does.
            Outcome::Targeted | Outcome::NotMeasured => {}
        }
        if let Some((first, answered)) = self.good_since
            && due.saturating_sub(first) >= self.stretch
        {
            self.served = Some(answered.saturating_sub(self.begin));
        }
    }

    /// How long it must stay good to count as served.
    #[must_use]
    pub fn stretch(&self) -> Duration {
        self.stretch
    }

    /// From the injection to the first good answer of those who are not targeted after which the check stayed good; nothing where
    /// there was none before the rollback.
    #[must_use]
    pub fn served(&self) -> Option<Duration> {
        self.served
    }

    /// How many samples failed until then.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// From the begin of the rollback to the first good answer of one who was targeted; nothing where there was none so far.
    #[must_use]
    pub fn returned(&self) -> Option<Duration> {
        self.returned
    }

    /// Whether answers tell who gave them.
    #[must_use]
    pub fn told(&self) -> bool {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::probe::Failure;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A sample each 100 ms from 0, answered 10 ms later: by a letter's instance, `x` failed, `?` could not be measured. The zone
    /// of `a` is targeted at 1 s and comes back at 5 s.
    fn watched(samples: &str) -> Failover {
        let mut clock = Failover::new(Rate(10.0), ms(1000), ["a".to_owned()].into());
        for (seq, c) in (0_u64..).zip(samples.chars()) {
            let due = ms(seq * 100);
            if due == ms(5000) {
                clock.comes_back(due);
            }
            let answer = match c {
                'x' => Answer::Failed(Failure("timeout".into())),
                '?' => Answer::NotMeasured("route".into()),
                '.' => Answer::Good { value: None, by: None },
                by => Answer::Good { value: None, by: Some(by.to_string()) },
            };
            clock.asked(seq, due);
            clock.answered(seq, due, due + ms(10), &answer);
        }
        clock
    }

    #[test]
    fn it_is_served_by_the_others_from_the_first_answer_after_which_it_stays_good() {
        // Before 1 s; an answer on its way; failures with a good one among them; then the others alone.
        let clock = watched(&format!("{}abxbxx{}", "ab".repeat(5), "b".repeat(34)));
        assert_eq!((clock.served(), clock.failed()), (Some(ms(610)), 3));
        assert_eq!(clock.returned(), None, "it was not taken back yet");
        let unnoticed = watched(&format!("{}{}", "ab".repeat(5), "b".repeat(40)));
        assert_eq!((unnoticed.served(), unnoticed.failed()), (Some(ms(10)), 0));
    }

    #[test]
    fn what_never_stays_good_and_what_the_zone_itself_answers_is_not_served_by_others() {
        assert_eq!(watched(&format!("{}{}", "ab".repeat(5), "bx".repeat(20))).served(), None);
        assert_eq!(watched(&format!("{}{}", "ab".repeat(5), "a".repeat(40))).served(), None);
        let unmeasured = watched(&format!("{}xb{}{}", "ab".repeat(5), "?".repeat(5), "b".repeat(33)));
        assert_eq!(unmeasured.served(), Some(ms(110)), "what could not be measured says nothing");
    }

    #[test]
    fn the_zone_serves_again_with_its_first_answer_to_a_question_of_then() {
        let back = watched(&format!("{}x{}bba", "ab".repeat(5), "b".repeat(39)));
        assert_eq!((back.returned(), back.told()), (Some(ms(210)), true));
        let silent = watched(&format!("{}x{}...", "..".repeat(5), ".".repeat(39)));
        assert_eq!((silent.served(), silent.returned(), silent.told()), (Some(ms(110)), None, false));
    }

    #[test]
    fn answers_count_in_the_order_of_their_samples() {
        let mut clock = Failover::new(Rate(10.0), ms(0), BTreeSet::new());
        let good = Answer::Good { value: None, by: None };
        for seq in 0..12 {
            clock.asked(seq, ms(seq * 100));
        }
        for seq in 1..12 {
            clock.answered(seq, ms(seq * 100), ms(seq * 100 + 5), &good);
        }
        assert_eq!(clock.served(), None, "the first one is still open");
        clock.answered(0, ms(0), ms(1150), &Answer::Failed(Failure("timeout".into())));
        assert_eq!(clock.served(), Some(ms(105)));
    }
}
