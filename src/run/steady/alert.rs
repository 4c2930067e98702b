//! Whether an alert fires when it should and is resolved when it should.
//!
//! The answers are those to whether it fires: good is yes, failed is no.

use std::time::Duration;

use super::too_many_unmeasured;
use crate::experiment::ExpectedAlert;
use crate::experiment::probe::{Answer, Failure};

/// What has become of an alert, at the moment at which that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It fires, and nothing was touched.
    Early,
    /// It is first seen firing, so long after the first change.
    Fired(Duration),
    /// Its time to fire is over, and what was said of it last.
    Missing(String),
    /// It is first seen not to fire any more, so long after the fault was gone.
    Resolved(Duration),
    /// Its time to be resolved is over.
    Lasting,
    /// A time is over, and the last sample about it could not be measured.
    NotMeasured(String),
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Nothing is judged.
    Idle,
    /// It must not fire.
    Baseline { since: Duration },
    /// It is to fire.
    On { since: Duration },
    /// The fault phase is over: what it does now is noted, and no time runs.
    Over { since: Duration },
    /// It is to be resolved.
    Gone { since: Duration },
}

/// Follows one alert. Times are since the sampler's origin.
#[derive(Debug)]
pub struct AlertClock {
    fires_within: Duration,
    resolves_within: Option<Duration>,
    stage: Stage,
    injected: Option<Duration>,
    /// How long after the first change it was first seen firing.
    fired: Option<Duration>,
    /// Nothing more is to be said of this stage.
    settled: bool,
    asked: u64,
    unmeasured: u64,
    last: Option<Answer>,
}

impl AlertClock {
    /// For an alert of an experiment.
    #[must_use]
    pub fn new(expected: &ExpectedAlert) -> Self {
        Self {
            fires_within: expected.fires_within.0,
            resolves_within: expected.resolves_within.map(|span| span.0),
            stage: Stage::Idle,
            injected: None,
            fired: None,
            settled: false,
            asked: 0,
            unmeasured: 0,
            last: None,
        }
    }

    /// From now on it must not fire.
    pub fn baseline(&mut self, now: Duration) {
        self.enter(Stage::Baseline { since: now });
    }

    /// The first change was made; what says so again is not heard.
    pub fn injected(&mut self, at: Duration) {
        if self.injected.is_none() {
            self.injected = Some(at);
            self.enter(Stage::On { since: at });
        }
    }

    /// The fault phase is over: planned so, or cut short.
    pub fn over(&mut self) {
        if let Stage::On { since } = self.stage {
            self.stage = Stage::Over { since };
        }
    }

    /// The fault is gone. The later time counts, where this is said again.
    pub fn gone(&mut self, now: Duration) {
        if self.injected.is_some() {
            self.enter(Stage::Gone { since: now });
        }
    }

    fn enter(&mut self, stage: Stage) {
        (self.stage, self.settled, self.asked, self.unmeasured, self.last) = (stage, false, 0, 0, None);
    }

    /// A sample was answered.
    pub fn answered(&mut self, due: Duration, end: Duration, answer: &Answer) -> Option<Turn> {
        let since = match self.stage {
            Stage::Idle => return None,
            Stage::Baseline { since } | Stage::On { since } | Stage::Over { since } | Stage::Gone { since } => since,
        };
        if due < since {
            return None;
        }
        self.asked += 1;
        self.unmeasured += u64::from(matches!(answer, Answer::NotMeasured(_)));
        self.last = Some(answer.clone());
        let fires = match answer {
            Answer::Good { .. } => true,
            Answer::Failed(_) => false,
            Answer::NotMeasured(_) => return None,
        };
        match self.stage {
            Stage::Baseline { .. } if fires && !self.settled => {
                self.settled = true;
                Some(Turn::Early)
            }
            Stage::On { .. } | Stage::Over { .. } | Stage::Gone { .. } if fires && self.fired.is_none() => {
                let after = end.saturating_sub(self.injected?);
                self.fired = Some(after);
                Some(Turn::Fired(after))
            }
            Stage::Gone { since } if !fires && self.fired.is_some() && !self.settled => {
                self.settled = true;
                Some(Turn::Resolved(end.saturating_sub(since)))
            }
            _ => None,
        }
    }

    /// Until when something is awaited.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::On { since } if self.fired.is_none() && !self.settled => Some(since + self.fires_within),
            Stage::Gone { since } if self.fired.is_some() && !self.settled => Some(since + self.resolves_within?),
            _ => None,
        }
    }

    /// Time passes.
    pub fn tick(&mut self, now: Duration) -> Option<Turn> {
        if self.deadline()? > now {
            return None;
        }
        self.settled = true;
        Some(self.verdict())
    }

    fn verdict(&self) -> Turn {
        match &self.last {
            None => Turn::NotMeasured("no answer".to_owned()),
            Some(Answer::NotMeasured(why)) => Turn::NotMeasured(why.clone()),
            Some(Answer::Good { .. }) if matches!(self.stage, Stage::Gone { .. }) => Turn::Lasting,
            Some(Answer::Good { .. }) => Turn::Missing("it fired later".to_owned()),
            Some(Answer::Failed(Failure(words))) => Turn::Missing(words.clone()),
        }
    }

    /// The fault phase has come to its planned end: whether it fired in time.
    pub fn close(&mut self) -> Option<Turn> {
        let in_time = self.fired.is_some_and(|after| after <= self.fires_within);
        if in_time || self.settled || !matches!(self.stage, Stage::Over { .. }) {
            return None;
        }
        self.settled = true;
        Some(self.verdict())
    }

    /// How many samples of the baseline could not be measured, where those are too many: of how many, and why the last.
    #[must_use]
    pub fn unmeasured(&self) -> Option<(u64, u64, String)> {
        let why = match &self.last {
            Some(Answer::NotMeasured(why)) => why.clone(),
            Some(_) => "of late it was answered".to_owned(),
            None => "no sample at all".to_owned(),
        };
        let too_many = self.asked == 0 || too_many_unmeasured(self.unmeasured, self.asked);
        too_many.then_some((self.unmeasured, self.asked, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn fires() -> Answer {
        Answer::Good { value: None, by: None }
    }

    fn quiet() -> Answer {
        Answer::Failed(Failure("no such alert".to_owned()))
    }

    fn unmeasured() -> Answer {
        Answer::NotMeasured("connection refused".to_owned())
    }

    fn clock() -> AlertClock {
        let text = r#"{ "alert": { "prometheus": "http://p", "labels": {} }, "fires-within": "10s", "resolves-within": "5s" }"#;
        AlertClock::new(&serde_json::from_str(text).unwrap())
    }

    /// A sample that was due then and answered 100 ms later.
    fn ask(clock: &mut AlertClock, due: u64, answer: &Answer) -> Option<Turn> {
        clock.answered(S(due), S(due) + Duration::from_millis(100), answer)
    }

    #[test]
    fn it_fires_and_is_resolved() {
        let mut clock = clock();
        assert_eq!(ask(&mut clock, 0, &fires()), None, "nothing is judged before the baseline");
        clock.baseline(S(1));
        assert_eq!(ask(&mut clock, 2, &quiet()), None);
        assert_eq!(clock.deadline(), None);
        clock.injected(S(5));
        clock.injected(S(9));
        assert_eq!(clock.deadline(), Some(S(15)), "from the first change");
        assert_eq!(ask(&mut clock, 4, &fires()), None, "that sample is older than the fault");
        assert_eq!(ask(&mut clock, 8, &fires()), Some(Turn::Fired(Duration::from_millis(3100))));
        clock.over();
        assert_eq!((ask(&mut clock, 9, &quiet()), clock.close()), (None, None), "once is enough");
        clock.gone(S(20));
        assert_eq!(clock.deadline(), Some(S(25)));
        assert_eq!(ask(&mut clock, 21, &fires()), None);
        assert_eq!(ask(&mut clock, 22, &quiet()), Some(Turn::Resolved(Duration::from_millis(2100))));
        assert_eq!((clock.deadline(), clock.tick(S(100))), (None, None));
    }

    #[test]
    fn it_must_not_fire_before() {
        let mut clock = clock();
        clock.baseline(S(1));
        assert_eq!(ask(&mut clock, 2, &fires()), Some(Turn::Early));
        assert_eq!(ask(&mut clock, 3, &fires()), None, "said once");
    }

    #[test]
    fn a_time_that_is_over_is_told_at_that_moment_and_once() {
        let mut clock = clock();
        clock.injected(S(0));
        ask(&mut clock, 9, &quiet());
        assert_eq!(clock.tick(S(9)), None);
        assert_eq!(clock.tick(S(10)), Some(Turn::Missing("no such alert".into())));
        assert_eq!((clock.tick(S(11)), clock.close()), (None, None));
        let mut clock = self::clock();
        clock.injected(S(0));
        ask(&mut clock, 3, &fires());
        clock.gone(S(4));
        ask(&mut clock, 8, &fires());
        assert_eq!(clock.tick(S(9)), Some(Turn::Lasting));
    }

    #[test]
    fn a_phase_that_ends_leaves_no_more_time() {
        let mut clock = clock();
        clock.injected(S(0));
        ask(&mut clock, 7, &quiet());
        clock.over();
        assert_eq!((clock.deadline(), clock.tick(S(60))), (None, None), "a phase that was cut short has no deadline");
        assert_eq!(clock.close(), Some(Turn::Missing("no such alert".into())));
        let mut late = self::clock();
        late.injected(S(0));
        late.over();
        assert_eq!(ask(&mut late, 11, &fires()), Some(Turn::Fired(Duration::from_millis(11_100))));
        assert_eq!(late.close(), Some(Turn::Missing("it fired later".into())));
    }

    #[test]
    fn what_could_not_be_asked_is_not_missing() {
        let mut clock = clock();
        clock.baseline(S(0));
        ask(&mut clock, 1, &quiet());
        assert_eq!(clock.unmeasured(), None);
        ask(&mut clock, 2, &unmeasured());
        assert_eq!(clock.unmeasured(), Some((1, 2, "connection refused".into())));
        clock.injected(S(3));
        assert_eq!(clock.tick(S(13)), Some(Turn::NotMeasured("no answer".into())));
        let mut clock = self::clock();
        clock.injected(S(0));
        ask(&mut clock, 1, &quiet());
        ask(&mut clock, 9, &unmeasured());
        assert_eq!(clock.tick(S(10)), Some(Turn::NotMeasured("connection refused".into())));
    }

    #[test]
    fn what_never_fired_is_not_awaited() {
        let mut clock = clock();
        clock.injected(S(0));
        clock.gone(S(3));
        assert_eq!(clock.deadline(), None);
    }
}
