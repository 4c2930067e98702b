//! A game day beside the one before it: what is better, what is worse. Pure.

use super::Record;
use super::scenario::{self, Scenario, ScenarioOutcome};
use crate::model::exit::Verdict;
use crate::occasions::gameday::event::Mark;
use crate::record::state::Comeback;

/// Times that differ by less than this share are called the same: each was measured once.
const SAME: f64 = 0.1;

/// Which way something has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trend {
    Better,
    Worse,
    Same,
    /// There is nothing to compare.
    Unknown,
}

/// The earlier game day, and how the scenarios of both stand to each other.
pub(super) struct Compared<'a> {
    pub(super) previous: &'a Record,
    pub(super) scenarios: Vec<Pair>,
}

/// A scenario then and now.
pub(super) struct Pair {
    /// Which of the later game day, from 0.
    pub(super) n: usize,
    pub(super) came: (Option<ScenarioOutcome>, ScenarioOutcome),
    pub(super) verdict: Trend,
    /// The system's recovery.
    pub(super) recovery: Then,
    /// People, by [`Mark::ALL`].
    pub(super) people: [Then; 3],
}

/// A time then and now.
pub(super) struct Then {
    pub(super) before: Option<Comeback>,
    pub(super) now: Option<Comeback>,
}

impl Then {
    pub(super) fn trend(&self) -> Trend {
        let took = |came: Option<Comeback>| came.and_then(Comeback::took);
        let (Some(before), Some(now)) = (took(self.before), took(self.now)) else { return Trend::Unknown };
        let (before, now) = (before.as_secs_f64(), now.as_secs_f64());
        if (now - before).abs() <= SAME * before.max(now) {
            Trend::Same
        } else if now < before {
            Trend::Better
        } else {
            Trend::Worse
        }
    }
}

impl Trend {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Unknown => "–",
        }
    }
}

impl<'a> Compared<'a> {
    /// Scenarios belong together that have the same title, else the same experiment.
    pub(super) fn of(scenarios: &[Scenario<'_>], previous: &'a Record) -> Self {
        let earlier = scenario::scenarios(previous);
        let mut free: Vec<&Scenario<'_>> = earlier.iter().collect();
        let mut found: Vec<Option<&Scenario<'_>>> = vec![None; scenarios.len()];
        for by_title in [true, false] {
            for s in scenarios.iter().filter(|s| !s.experiment.is_empty()) {
                let same = |e: &&Scenario<'_>| {
                    if by_title { e.title == s.title } else { e.experiment == s.experiment }
                };
                if found[s.n].is_none()
                    && let Some(at) = free.iter().position(same)
                {
                    found[s.n] = Some(free.remove(at));
                }
            }
        }
        Self { previous, scenarios: scenarios.iter().zip(found).map(|(now, before)| pair(now, before)).collect() }
    }
}

fn pair(now: &Scenario<'_>, before: Option<&Scenario<'_>>) -> Pair {
    let people = |s: &Scenario<'_>, mark: Mark| Some(Comeback::After(s.clock(mark)?.people?.0));
    Pair {
        n: now.n,
        came: (before.map(|before| before.came), now.came),
        verdict: verdicts(before.and_then(|before| before.came.verdict()), now.came.verdict()),
        recovery: Then { before: before.and_then(Scenario::recovery), now: now.recovery() },
        people: Mark::ALL.map(|mark| Then { before: before.and_then(|s| people(s, mark)), now: people(now, mark) }),
    }
}

/// Nothing is better or worse than no verdict: it says nothing.
fn verdicts(before: Option<Verdict>, now: Option<Verdict>) -> Trend {
    match (before, now) {
        (None | Some(Verdict::NoVerdict), _) | (_, None | Some(Verdict::NoVerdict)) => Trend::Unknown,
        (Some(before), Some(now)) if before == now => Trend::Same,
        (Some(before), Some(now)) if before.worse(now) == now => Trend::Worse,
        _ => Trend::Better,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_small_difference_is_none() {
        let trend = |before, now| {
            let of = |s: u64| (s > 0).then(|| Comeback::After(Duration::from_secs(s)));
            Then { before: of(before), now: of(now) }.trend()
        };
        assert_eq!([trend(100, 95), trend(100, 80), trend(100, 120)], [Trend::Same, Trend::Better, Trend::Worse]);
        assert_eq!([trend(0, 5), trend(5, 0)], [Trend::Unknown; 2]);
        let lost = Some(Comeback::After(Duration::from_millis(20)));
        let never = Some(Comeback::NeverLost);
        let trend = |before, now| Then { before, now }.trend();
        assert_eq!(
            [trend(never, never), trend(lost, never), trend(never, lost)],
            [Trend::Same, Trend::Better, Trend::Worse]
        );
    }

    #[test]
    fn what_says_nothing_is_not_compared() {
        use Verdict::{Broken, Held, LeftBehind, NoVerdict};
        assert_eq!(verdicts(Some(Broken), Some(Held)), Trend::Better);
        assert_eq!(verdicts(Some(Held), Some(Broken)), Trend::Worse);
        assert_eq!(verdicts(Some(Broken), Some(LeftBehind)), Trend::Worse);
        assert_eq!(verdicts(Some(Held), Some(Held)), Trend::Same);
        assert_eq!(verdicts(Some(NoVerdict), Some(Held)), Trend::Unknown);
        assert_eq!(verdicts(Some(Held), None), Trend::Unknown);
    }
}
