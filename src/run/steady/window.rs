//! The points of a chart: the samples of one check, gathered into short spans of time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::latency::Latencies;
use super::tally::Tally;
use crate::experiment::probe::Answer;
use crate::record::event::{Phase, Window, millis};

/// Gathers the samples of one check into windows by the time they were due. `asked` comes before `answered`.
#[derive(Debug)]
pub struct WindowBuilder {
    check: String,
    origin: Timestamp,
    length: Duration,
    /// The phases, each with its begin.
    phases: Vec<(Phase, Duration)>,
    open: VecDeque<Open>,
    /// A histogram to use again.
    spare: Option<Latencies>,
}

/// A window that is not over, or has samples in flight.
#[derive(Debug)]
struct Open {
    phase: Phase,
    from: Duration,
    to: Duration,
    /// When its latest sample was due.
    last: Duration,
    in_flight: u64,
    tally: Tally,
    latencies: Latencies,
    value: Option<String>,
    by: BTreeMap<String, u64>,
}

/// How many are told apart who answer in one window: a system that tells something else each time must not fill the journal.
const MOST_NAMES: usize = 100;

impl WindowBuilder {
    /// `origin` is the wall-clock time of the samples' origin; `length` that of a window.
    #[must_use]
    pub fn new(check: &str, origin: Timestamp, length: Duration) -> Self {
        Self {
            check: check.to_owned(),
            origin,
            length: length.max(Duration::from_millis(1)),
            phases: Vec::new(),
            open: VecDeque::new(),
            spare: None,
        }
    }

    /// A phase begins: samples due from `from` on belong to it, and a window that is open is cut there. Samples before
    /// the first phase are not gathered.
    pub fn begin(&mut self, phase: Phase, from: Duration) {
        if let Some(last) = self.open.back_mut() {
            // What it has asked already is answered in it.
            last.to = last.to.min(from.max(last.last + Duration::from_nanos(1)));
        }
        self.phases.push((phase, from));
    }

    /// A sample is out.
    pub fn asked(&mut self, due: Duration) {
        if !self.open.back().is_some_and(|open| open.covers(due)) && !self.open_at(due) {
            return;
        }
        if let Some(open) = self.open.back_mut() {
            open.in_flight += 1;
            open.last = due;
        }
    }

    /// An answer is there.
    pub fn answered(&mut self, due: Duration, end: Duration, answer: &Answer) {
        let Some(open) = self.open.iter_mut().find(|open| open.covers(due)) else { return };
        open.in_flight = open.in_flight.saturating_sub(1);
        open.tally.add(answer, true);
        if let Answer::Good { value, by } = answer {
            open.latencies.record(end.saturating_sub(due));
            open.value = value.clone().or(open.value.take());
            if let Some(by) = by
                && (open.by.len() < MOST_NAMES || open.by.contains_key(by))
            {
                *open.by.entry(by.clone()).or_default() += 1;
            }
        }
    }

    /// The oldest window, once it is over and every sample in it is answered. `standings` are the caller's to add.
    pub fn closed(&mut self, now: Duration) -> Option<Window> {
        let oldest = self.open.front()?;
        if now < oldest.to || oldest.in_flight > 0 {
            return None;
        }
        self.close()
    }

    /// All windows that are left, oldest first; what is still in flight counts for nothing.
    pub fn flush(&mut self) -> Vec<Window> {
        std::iter::from_fn(|| (!self.open.is_empty()).then(|| self.close()).flatten()).collect()
    }

    /// Opens the window in which a sample is due, if a phase has begun by then.
    fn open_at(&mut self, due: Duration) -> bool {
        let Some(place) = self.phases.iter().rposition(|(_, from)| *from <= due) else { return false };
        let (phase, begin) = self.phases[place];
        let whole = (due.saturating_sub(begin)).as_nanos() / self.length.as_nanos();
        let from = begin + self.length * u32::try_from(whole).unwrap_or(u32::MAX);
        let next = self.phases.get(place + 1).map_or(Duration::MAX, |(_, begin)| *begin);
        let latencies = self.spare.take().unwrap_or_else(Latencies::new);
        self.open.push_back(Open {
            phase,
            from,
            to: (from + self.length).min(next),
            last: due,
            in_flight: 0,
            tally: Tally::default(),
            latencies,
            value: None,
            by: BTreeMap::new(),
        });
        true
    }

    fn close(&mut self) -> Option<Window> {
        let mut open = self.open.pop_front()?;
        let window = Window {
            check: self.check.clone(),
            phase: open.phase,
            from: self.origin + open.from,
            length_ms: millis(open.to.saturating_sub(open.from)),
            samples: open.tally.samples,
            failed: open.tally.failed,
            unmeasured: open.tally.unmeasured,
            latency: open.latencies.summary(),
            value: open.value,
            by: open.by,
            failures: open.tally.failures,
            standings: Vec::new(),
        };
        open.latencies.clear();
        self.spare = Some(open.latencies);
        Some(window)
    }
}

impl Open {
    fn covers(&self, due: Duration) -> bool {
        self.from <= due && due < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::probe::Failure;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn good(value: &str) -> Answer {
        Answer::Good { value: Some(value.to_owned()), by: None }
    }

    #[test]
    fn windows_wait_for_what_is_in_flight_and_are_cut_by_phases() {
        let origin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut builder = WindowBuilder::new("checkout", origin, ms(1000));
        builder.asked(ms(50)); // before the first phase
        builder.begin(Phase::Baseline, ms(100));
        for due in [100, 600, 1100] {
            builder.asked(ms(due));
        }
        builder.answered(ms(100), ms(110), &good("1"));
        assert_eq!(builder.closed(ms(1200)), None, "600 is in flight");
        builder.answered(ms(1100), ms(1150), &Answer::Good { value: Some("3".into()), by: Some("shop-1".into()) });
        builder.answered(ms(600), ms(1250), &Answer::Failed(Failure("timeout".into())));
        let first = builder.closed(ms(1250)).unwrap();
        assert_eq!((first.phase, first.samples, first.failed, first.unmeasured), (Phase::Baseline, 2, 1, 0));
        assert_eq!((first.from, first.length_ms), (origin + ms(100), 1000));
        assert_eq!(first.value.as_deref(), Some("1"));
        assert!((first.latency.unwrap().max - 10.0).abs() < 0.1, "{:?}", first.latency);
        assert_eq!(first.failures, [("timeout".to_owned(), 1)].into());
        assert_eq!(builder.closed(ms(1300)), None, "it is not over");

        builder.begin(Phase::During, ms(1400));
        let cut = builder.closed(ms(1400)).unwrap();
        assert_eq!((cut.phase, cut.samples, cut.length_ms), (Phase::Baseline, 1, 300));
        assert_eq!(cut.by, [("shop-1".to_owned(), 1)].into());

        builder.asked(ms(1450));
        builder.answered(ms(1450), ms(1450), &Answer::NotMeasured("route".into()));
        let last = builder.flush();
        assert_eq!(last.len(), 1);
        assert_eq!((last[0].phase, last[0].samples, last[0].unmeasured), (Phase::During, 1, 1));
        assert_eq!(last[0].latency, None);
        assert_eq!(last[0].from, origin + ms(1400));
    }

    #[test]
    fn a_phase_may_be_announced_after_its_first_sample() {
        let mut builder = WindowBuilder::new("checkout", Timestamp::UNIX_EPOCH, ms(1000));
        builder.begin(Phase::Baseline, ms(0));
        builder.asked(ms(950));
        builder.begin(Phase::During, ms(945));
        builder.asked(ms(960));
        builder.answered(ms(960), ms(961), &good("1"));
        builder.answered(ms(950), ms(951), &good("1"));
        let windows: Vec<(Phase, u64)> = builder.flush().iter().map(|w| (w.phase, w.samples)).collect();
        assert_eq!(windows, [(Phase::Baseline, 1), (Phase::During, 1)]);
    }
}
