//! What several experiments come to together: a standing for each, and one verdict for the pipeline. Computation alone:
//! it knows runs as what they came to, and neither how they are made nor how they are shown.

use crate::experiment::Experiment;
use crate::model::exit::Verdict;
use crate::occasions::compare::Comparison;
use crate::record::state::RunState;

/// How often an experiment is run, and how often it has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// So many runs.
    pub times: usize,
    /// At least so many of them hold.
    pub require: usize,
}

impl Repeat {
    /// One run, which has to hold.
    pub const ONCE: Self = Self { times: 1, require: 1 };

    /// What the runs so far come to together. One that left something behind is never outvoted. Where fewer held than
    /// have to, the hypothesis is broken only if so many runs broke that no luck with the others could have made up for it.
    #[must_use]
    pub fn vote(self, verdicts: &[Verdict]) -> Verdict {
        let vote = self.vote_if_real(verdicts);
        if verdicts.iter().any(|v| v.is_rehearsal()) { vote.rehearsed() } else { vote }
    }

    fn vote_if_real(self, verdicts: &[Verdict]) -> Verdict {
        let count = |verdict| verdicts.iter().filter(|v| v.would_be() == verdict).count();
        if count(Verdict::LeftBehind) > 0 {
            Verdict::LeftBehind
        } else if count(Verdict::Held) >= self.require {
            Verdict::Held
        } else if count(Verdict::Broken) > self.times - self.require {
            Verdict::Broken
        } else {
            Verdict::NoVerdict
        }
    }

    /// Whether enough runs can still hold, after these.
    #[must_use]
    pub fn is_open(self, verdicts: &[Verdict]) -> bool {
        let held = verdicts.iter().filter(|v| v.would_be() == Verdict::Held).count();
        held + self.times.saturating_sub(verdicts.len()) >= self.require
    }
}

/// One run of an experiment.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What it came to.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub why: String,
    /// The run itself; nothing where it did not even begin, and so touched nothing.
    pub run: Option<Box<RunState>>,
}

/// One experiment of the call.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its file, as messages call it.
    pub file: String,
    /// Why it is known to break.
    pub known_weakness: Option<String>,
    /// How often it is run.
    pub repeat: Repeat,
    /// Its runs.
    pub attempts: Vec<Attempt>,
    /// How it stands to an earlier run, where that was asked for and can be said.
    pub comparison: Option<Comparison>,
    /// Why it was not run, or not as often as it should be.
    pub cut_short: Option<String>,
}

/// How an experiment stands in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It held, each time.
    Held,
    /// It was rehearsed in a simulated world, and would hold: no pass.
    Rehearsed,
    /// It held often enough, and not each time.
    Flaky,
    /// It broke, as is known of it.
    KnownWeakness,
    /// It held, and is known to break.
    UnexpectedlyHeld,
    /// It was not run at all.
    NotRun,
    /// It says nothing about the hypothesis.
    NoVerdict,
    /// It was rehearsed in a simulated world, and would break: no weakness.
    RehearsedBroken,
    /// It held, and whether it is worse than before cannot be told.
    Undecided,
    /// It held, and is worse than before.
    Regressed,
    /// It broke.
    Broken,
    /// Something could not be rolled back.
    LeftBehind,
}

impl Standing {
    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Rehearsed => "rehearsed: would hold",
            Self::RehearsedBroken => "rehearsed: would break",
            Self::Flaky => "held (flaky)",
            Self::KnownWeakness => "known weakness",
            Self::UnexpectedlyHeld => "held unexpectedly",
            Self::NotRun => "not run",
            Self::NoVerdict => "no verdict",
            Self::Undecided => "held (undecided)",
            Self::Regressed => "regression",
            Self::Broken => "broken",
            Self::LeftBehind => "rollback incomplete",
        }
    }
}

impl Entry {
    /// An experiment of which no run was made yet. `file`: as messages call it.
    #[must_use]
    pub fn of(x: &Experiment, file: String, repeat: Repeat) -> Self {
        let (name, known_weakness) = (x.name.clone(), x.known_weakness.clone());
        Self { name, file, known_weakness, repeat, attempts: Vec::new(), comparison: None, cut_short: None }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.attempts.iter().map(|a| a.verdict).collect()
    }

    /// How many of its runs held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.attempts.iter().filter(|a| a.verdict == Verdict::Held).count()
    }

    /// Whether its world was simulated.
    #[must_use]
    pub fn is_rehearsal(&self) -> bool {
        self.attempts.iter().any(|a| a.verdict.is_rehearsal())
    }

    /// Whether enough of its runs can still hold.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.repeat.is_open(&self.verdicts())
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.attempts.is_empty() {
            return Standing::NotRun;
        }
        let compared = self.comparison.as_ref().map_or(Verdict::Held, Comparison::verdict);
        match (self.repeat.vote(&self.verdicts()), &self.known_weakness) {
            (Verdict::Rehearsed, _) => Standing::Rehearsed,
            (Verdict::RehearsedBroken, _) => Standing::RehearsedBroken,
            (Verdict::Held, _) if compared == Verdict::Broken => Standing::Regressed,
            (Verdict::Held, _) if compared != Verdict::Held => Standing::Undecided,
            (Verdict::Held, Some(_)) => Standing::UnexpectedlyHeld,
            (Verdict::Held, None) if self.held() < self.attempts.len() => Standing::Flaky,
            (Verdict::Held, None) => Standing::Held,
            (Verdict::Broken, Some(_)) => Standing::KnownWeakness,
            (Verdict::Broken, None) => Standing::Broken,
            (Verdict::NoVerdict, _) => Standing::NoVerdict,
            (Verdict::LeftBehind, _) => Standing::LeftBehind,
        }
    }

    /// What that means for the pipeline.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.standing() {
            Standing::Held | Standing::Flaky | Standing::KnownWeakness | Standing::UnexpectedlyHeld => Verdict::Held,
            Standing::NotRun | Standing::NoVerdict | Standing::Undecided => Verdict::NoVerdict,
            Standing::Broken | Standing::Regressed => Verdict::Broken,
            Standing::LeftBehind => Verdict::LeftBehind,
            Standing::Rehearsed => Verdict::Rehearsed,
            Standing::RehearsedBroken => Verdict::RehearsedBroken,
        }
    }

    /// The run that shows best why it stands as it does: the latest of those that came to what all of them came to.
    #[must_use]
    pub fn telling(&self) -> Option<&Attempt> {
        let vote = self.repeat.vote(&self.verdicts());
        self.attempts.iter().rev().find(|a| a.verdict == vote).or_else(|| {
            let worst = self.attempts.iter().map(|a| a.verdict).reduce(Verdict::worse)?;
            self.attempts.iter().rev().find(|a| a.verdict == worst)
        })
    }

    /// Why it stands as it does, in a sentence or two.
    #[must_use]
    pub fn why(&self) -> String {
        let mut parts = Vec::new();
        if self.repeat.times > 1 && !self.attempts.is_empty() {
            let Repeat { times, require } = self.repeat;
            let held = self.attempts.iter().filter(|a| a.verdict.would_be() == Verdict::Held).count();
            let word = if self.is_rehearsal() { "would hold" } else { "held" };
            parts.push(format!("{word} {held} of {times} times, {require} required"));
        }
        match (self.standing(), &self.known_weakness) {
            (Standing::KnownWeakness, Some(weakness)) => parts.push(format!("known: {weakness}")),
            (Standing::UnexpectedlyHeld, Some(weakness)) => {
                parts.push(format!(
                    "known to break ({weakness}): if that is over, take `known-weakness` out of the file"
                ));
            }
            _ => {}
        }
        parts.extend(self.comparison.as_ref().filter(|_| self.held() > 0).map(Comparison::why));
        parts.extend(self.telling().filter(|_| self.standing() != Standing::UnexpectedlyHeld).map(|a| a.why.clone()));
        parts.extend(self.cut_short.clone());
        parts.join("; ")
    }
}

/// What all of them come to: the worst of them, in the order of [`Verdict::worse`].
#[must_use]
pub fn verdict(entries: &[Entry]) -> Verdict {
    entries.iter().map(Entry::verdict).fold(Verdict::Held, Verdict::worse)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Verdict::{Broken, Held, LeftBehind, NoVerdict};

    fn entry(repeat: Repeat, verdicts: &[Verdict], known: bool) -> Entry {
        let attempt = |v: &Verdict| Attempt { verdict: *v, why: v.words().to_owned(), run: None };
        Entry {
            name: "x".to_owned(),
            file: "x.yaml".to_owned(),
            known_weakness: known.then(|| "the store has no replica".to_owned()),
            repeat,
            attempts: verdicts.iter().map(attempt).collect(),
            comparison: None,
            cut_short: None,
        }
    }

    #[test]
    fn a_vote_is_what_the_runs_can_carry() {
        let of = |times, require, verdicts: &[Verdict]| Repeat { times, require }.vote(verdicts);
        assert_eq!(of(3, 2, &[Held, Broken, Held]), Held);
        assert_eq!(of(3, 2, &[Held, Broken, Broken]), Broken);
        assert_eq!(of(3, 2, &[Held, Broken, NoVerdict]), NoVerdict, "the third might have held");
        assert_eq!(of(3, 2, &[NoVerdict, Broken, Broken]), Broken, "two held is out of reach");
        assert_eq!(of(3, 2, &[Held]), NoVerdict, "too few were made");
        assert_eq!(of(3, 1, &[Held, Held, LeftBehind]), LeftBehind, "never outvoted");
        assert_eq!(of(1, 1, &[Broken]), Broken);
    }

    #[test]
    fn a_known_weakness_excuses_a_break_and_nothing_else() {
        let of = |verdict| entry(Repeat::ONCE, &[verdict], true);
        assert_eq!((of(Broken).standing(), of(Broken).verdict()), (Standing::KnownWeakness, Held));
        assert_eq!((of(Held).standing(), of(Held).verdict()), (Standing::UnexpectedlyHeld, Held));
        assert_eq!(of(NoVerdict).verdict(), NoVerdict);
        assert_eq!(of(LeftBehind).verdict(), LeftBehind);
        assert!(of(Broken).why().contains("the store has no replica"));
        assert!(of(Held).why().contains("take `known-weakness` out"));
    }

    #[test]
    fn a_rehearsal_neither_passes_nor_finds_a_weakness() {
        use Verdict::{Rehearsed, RehearsedBroken};
        for known in [false, true] {
            let of = |verdict| entry(Repeat::ONCE, &[verdict], known);
            assert_eq!((of(Rehearsed).standing(), of(Rehearsed).verdict()), (Standing::Rehearsed, Rehearsed));
            assert_eq!(of(RehearsedBroken).standing(), Standing::RehearsedBroken);
            assert_eq!(
                of(RehearsedBroken).verdict(),
                RehearsedBroken,
                "no known weakness is excused, since none was found"
            );
            assert_eq!(of(Rehearsed).held(), 0);
        }
        let twice = Repeat { times: 2, require: 2 };
        assert_eq!(twice.vote(&[Rehearsed, Rehearsed]), Rehearsed);
        assert_eq!(twice.vote(&[Rehearsed, RehearsedBroken]), RehearsedBroken);
        assert!(twice.is_open(&[Rehearsed]) && !twice.is_open(&[RehearsedBroken]));
        let all = [entry(Repeat::ONCE, &[Rehearsed], false), entry(Repeat::ONCE, &[NoVerdict], false)];
        assert_eq!(verdict(&all[..1]), Rehearsed);
        assert_eq!(verdict(&all), NoVerdict);
    }

    #[test]
    fn what_was_not_run_is_no_pass() {
        let held = entry(Repeat::ONCE, &[Held], false);
        let not_run = entry(Repeat::ONCE, &[], false);
        assert_eq!(not_run.standing(), Standing::NotRun);
        assert_eq!(verdict(&[held.clone(), not_run.clone()]), NoVerdict);
        assert_eq!(verdict(&[not_run, entry(Repeat::ONCE, &[Broken], false), held]), Broken);
    }

    prop_compose! {
        fn runs()(times in 1_usize..6)(
            times in Just(times), require in 1..=times,
            verdicts in prop::collection::vec(prop::sample::select(vec![Held, Broken, NoVerdict, LeftBehind]), 0..=times),
        ) -> (Repeat, Vec<Verdict>) {
            (Repeat { times, require }, verdicts)
        }
    }

    proptest! {
        #[test]
        fn one_more_run_that_holds_makes_nothing_worse((repeat, verdicts) in runs()) {
            let rank = |v: Verdict| [Held, NoVerdict, Broken, LeftBehind].iter().position(|o| *o == v).unwrap();
            let more = [&verdicts[..], &[Held]].concat();
            if verdicts.len() < repeat.times {
                prop_assert!(rank(repeat.vote(&more)) <= rank(repeat.vote(&verdicts)));
            }
        }

        #[test]
        fn what_is_no_longer_open_never_comes_to_held((repeat, verdicts) in runs(), last in prop::sample::select(vec![Held, Broken])) {
            if !repeat.is_open(&verdicts) {
                let rest = vec![last; repeat.times - verdicts.len()];
                prop_assert_ne!(repeat.vote(&[&verdicts[..], &rest[..]].concat()), Held);
            }
        }

        #[test]
        fn the_telling_run_is_as_bad_as_the_vote((repeat, verdicts) in runs()) {
            let entry = entry(repeat, &verdicts, false);
            if let Some(telling) = entry.telling() && verdicts.contains(&entry.verdict()) {
                prop_assert_eq!(telling.verdict, entry.verdict());
            }
        }
    }
}
