//! Asks open-loop: every sample goes out when it is due, however late the answers to earlier ones are.
//!
//! Knows nothing of expectations. Works in paused time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::experiment::Rate;
use crate::experiment::probe::{Answer, Prober, Reply};

/// A sample that goes out later than this says more about us than about the system: 100 ms is a machine that is
/// overloaded or was suspended.
pub const LATEST: Duration = Duration::from_millis(100);

/// How late the timers of an idle machine are at most: they are 1 ms apart, and the wait for them is rounded up to a whole
/// millisecond as well. So much is no latency of the system. All lateness beyond it counts: a machine that is too busy to
/// ask in time is, as a rule, too busy to answer in time, and that must not be left out.
pub const TIMER_GRANULARITY: Duration = Duration::from_millis(2);

/// No check has more samples in flight than this: each may hold a descriptor and a port.
const MOST_IN_FLIGHT: usize = 20_000;

/// What is said of a sample whose probe has panicked.
const PANICKED: &str = "a bug in Squall: its probe panicked";

/// What is asked, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The check's name, as the prober knows it.
    pub check: String,
    /// How often.
    pub rate: Rate,
    /// How long one answer may take: bounds how many samples are in flight.
    pub timeout: Duration,
}

/// What happened to a sample. Times are since [`Sampler::origin`].
/// Every `Answered` has its `Asked` before it, and the `Asked` of a check are in the order of `seq`.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// It went out, or should have.
    Asked {
        /// The check's place in the list that the sampler was started with.
        check: usize,
        /// Its number in the check, from 0.
        seq: u64,
        /// When it should go out, and what its latency is counted from: up to [`TIMER_GRANULARITY`] after its place in the
        /// timetable, where the timer was late.
        due: Duration,
    },
    /// It came to something.
    Answered {
        /// The check's place in the list that the sampler was started with.
        check: usize,
        /// Its number in the check, from 0.
        seq: u64,
        /// When it should have gone out, as in its `Asked`.
        due: Duration,
        /// When the answer was there.
        end: Duration,
        /// The answer, and what else is judged of it.
        reply: Reply,
    },
}

/// Asks until it is stopped or dropped.
#[derive(Debug)]
pub struct Sampler {
    origin: Instant,
    driver: JoinSet<()>,
}

impl Sampler {
    /// Begins to ask. The channel ends after the sampler was stopped or dropped.
    #[must_use]
    pub fn start(series: Vec<Series>, prober: Arc<dyn Prober>) -> (Self, UnboundedReceiver<Sample>) {
        let (out, samples) = unbounded_channel();
        let origin = Instant::now();
        let mut driver = JoinSet::new();
        driver.spawn(drive(origin, series, prober, out));
        (Self { origin, driver }, samples)
    }

    /// The moment that all times of its samples are counted from.
    #[must_use]
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Stops at once: samples in flight are dropped, and their answers with them.
    pub async fn stop(mut self) {
        self.driver.shutdown().await;
    }
}

/// When a check's samples are due.
struct Timetable {
    check: Arc<str>,
    rate: f64,
    offset: Duration,
    next: u64,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: usize,
}

impl Timetable {
    /// The checks begin one after the other within the first interval, so that they do not all ask at once.
    fn new(series: &Series, place: usize, of: usize) -> Self {
        let rate = series.rate.0;
        Self {
            check: series.check.as_str().into(),
            rate,
            offset: Duration::from_secs_f64(place as f64 / of as f64 / rate.max(10.0)),
            next: 0,
            in_flight: Arc::default(),
            most_in_flight: most_in_flight(rate, series.timeout),
        }
    }

    /// Counted from the origin each time: no drift.
    fn due(&self) -> Duration {
        self.offset + Duration::from_secs_f64(self.next as f64 / self.rate)
    }
}

/// Twice what is in flight where every sample times out.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number; what is too large is cut"
)]
fn most_in_flight(rate: f64, timeout: Duration) -> usize {
    let needed = (rate * timeout.as_secs_f64() * 2.0).ceil() as usize;
    needed.saturating_add(16).min(MOST_IN_FLIGHT)
}

/// Sends what is due, sleeps until the next is. Owns every sample in flight: they end with it.
async fn drive(origin: Instant, series: Vec<Series>, prober: Arc<dyn Prober>, out: UnboundedSender<Sample>) {
    let mut tables: Vec<Timetable> =
        series.iter().enumerate().map(|(i, s)| Timetable::new(s, i, series.len())).collect();
    let mut requests = JoinSet::new();
    loop {
        let now = origin.elapsed();
        for (check, table) in tables.iter_mut().enumerate() {
            // At high rates several samples are due at one tick of the timer.
            while table.due() <= now {
                let late = now.saturating_sub(table.due());
                let due = table.due() + late.min(TIMER_GRANULARITY);
                let pending = Pending { check, seq: table.next, due, origin };
                table.next += 1;
                let asked = Sample::Asked { check, seq: pending.seq, due: pending.due };
                if out.send(asked).is_err() {
                    return; // Nobody listens any more.
                }
                let in_flight = Arc::clone(&table.in_flight);
                if late > LATEST {
                    pending.settle(Answer::NotMeasured("sent late".to_owned()).into(), &out);
                } else if in_flight.load(Ordering::Relaxed) >= table.most_in_flight {
                    pending.settle(Answer::NotMeasured("too many in flight".to_owned()).into(), &out);
                } else {
                    in_flight.fetch_add(1, Ordering::Relaxed);
                    let (prober, name, out) = (Arc::clone(&prober), Arc::clone(&table.check), out.clone());
                    requests.spawn(async move {
                        // A bug in Squall says nothing of the system.
                        let reply = AssertUnwindSafe(prober.reply(&name)).catch_unwind().await;
                        let reply = reply.unwrap_or_else(|_| Answer::NotMeasured(PANICKED.to_owned()).into());
                        in_flight.fetch_sub(1, Ordering::Relaxed);
                        pending.settle(reply, &out);
                    });
                }
            }
        }
        while requests.try_join_next().is_some() {}
        let Some(next) = tables.iter().map(Timetable::due).min() else { return };
        sleep_until(origin + next).await;
    }
}

/// One sample on its way.
struct Pending {
    check: usize,
    seq: u64,
    due: Duration,
    origin: Instant,
}

impl Pending {
    fn settle(self, reply: Reply, out: &UnboundedSender<Sample>) {
        let Self { check, seq, due, origin } = self;
        // Where no task listens any more, the driver ends, too.
        out.send(Sample::Answered { check, seq, due, end: origin.elapsed(), reply }).ok();
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// Answers after a delay, or never.
    struct Slow(Option<Duration>);

    #[async_trait]
    impl Prober for Slow {
        async fn ask(&self, _: &str) -> Answer {
            match self.0 {
                Some(Duration::ZERO) => {}
                Some(delay) => tokio::time::sleep(delay).await,
                None => std::future::pending().await,
            }
            Answer::Good { value: None, by: None }
        }
    }

    fn series(check: &str, rate: f64, timeout: u64) -> Series {
        Series { check: check.to_owned(), rate: Rate(rate), timeout: Duration::from_millis(timeout) }
    }

    async fn samples(series: Vec<Series>, delay: Option<Duration>, length: Duration) -> Vec<Sample> {
        let (sampler, mut receive) = Sampler::start(series, Arc::new(Slow(delay)));
        tokio::time::sleep_until(sampler.origin() + length).await;
        sampler.stop().await;
        let mut all = Vec::new();
        while let Some(sample) = receive.recv().await {
            all.push(sample);
        }
        all
    }

    fn dues(samples: &[Sample], of: usize) -> Vec<Duration> {
        let due = |s: &Sample| match s {
            Sample::Asked { check, due, .. } if *check == of => Some(*due),
            _ => None,
        };
        samples.iter().filter_map(due).collect()
    }

    /// Whether a sample counts from its place in the timetable, or from the timer's next tick.
    fn in_time(due: Duration, planned: Duration) -> bool {
        due.checked_sub(planned).is_some_and(|late| late <= TIMER_GRANULARITY)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_at_once_has_no_latency_however_coarse_the_timers_are() {
        // Two of three samples fall between two ticks of the timer.
        let all = samples(vec![series("a", 3000.0, 10)], Some(Duration::ZERO), Duration::from_millis(99)).await;
        let latency = |s: &Sample| match s {
            Sample::Answered { due, end, .. } => Some(end.saturating_sub(*due)),
            Sample::Asked { .. } => None,
        };
        let latencies: Vec<Duration> = all.iter().filter_map(latency).collect();
        assert!(latencies.len() > 250, "{}", latencies.len());
        assert_eq!(latencies.iter().max(), Some(&Duration::ZERO), "{latencies:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_busy_machine_sends_late_counts_as_latency() {
        let (sampler, mut receive) = Sampler::start(vec![series("a", 10.0, 100)], Arc::new(Slow(Some(Duration::ZERO))));
        tokio::task::yield_now().await;
        // The sample of 100 ms goes out 50 ms late.
        tokio::time::advance(Duration::from_millis(150)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        sampler.stop().await;
        let mut second = None;
        while let Some(sample) = receive.recv().await {
            if let Sample::Answered { seq: 1, due, end, .. } = sample {
                second = Some(end.saturating_sub(due));
            }
        }
        let counted = second.expect("it was asked");
        assert!(counted + TIMER_GRANULARITY >= Duration::from_millis(50), "{counted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_does_not_delay_the_next_sample() {
        let all =
            samples(vec![series("a", 10.0, 1000)], Some(Duration::from_millis(730)), Duration::from_millis(1990)).await;
        let dues = dues(&all, 0);
        assert_eq!(dues.len(), 20);
        for (i, due) in (0..).zip(dues) {
            assert!(in_time(due, Duration::from_millis(i * 100)), "{i}: {due:?}");
        }
        for sample in &all {
            if let Sample::Answered { due, end, reply: Reply { answer, .. }, .. } = sample {
                assert_eq!(answer, &Answer::Good { value: None, by: None });
                // Paused time still has timers of 1 ms.
                assert!(
                    end.abs_diff(*due).abs_diff(Duration::from_millis(730)) <= Duration::from_millis(1),
                    "{due:?} {end:?}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn high_rates_do_not_drift() {
        let all = samples(vec![series("a", 3000.0, 10)], Some(Duration::ZERO), Duration::from_millis(9_999)).await;
        let dues = dues(&all, 0);
        assert!((29_990..=29_998).contains(&dues.len()), "{}", dues.len());
        assert!(in_time(dues[1], Duration::from_nanos(333_333)), "{:?}", dues[1]);
        assert!(in_time(dues[15_000], Duration::from_secs(5)), "{:?}", dues[15_000]);
        assert!(
            all.iter()
                .all(|s| !matches!(s, Sample::Answered { reply: Reply { answer: Answer::NotMeasured(_), .. }, .. }))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn checks_begin_one_after_the_other() {
        let all = samples(
            vec![series("a", 10.0, 100), series("b", 10.0, 100)],
            Some(Duration::ZERO),
            Duration::from_millis(500),
        )
        .await;
        assert!(in_time(dues(&all, 1)[0], Duration::from_millis(50)), "{:?}", dues(&all, 1)[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_is_bounded() {
        let all = samples(vec![series("a", 100.0, 100)], None, Duration::from_secs(1)).await;
        let refused = all.iter().filter(
            |s| matches!(s, Sample::Answered { reply: Reply { answer: Answer::NotMeasured(why), .. }, .. } if why == "too many in flight"),
        );
        // 100/s for 100 ms is 10 in flight at most in good order; twice that and 16 are allowed.
        assert_eq!(refused.count(), dues(&all, 0).len() - 36);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_does_not_blame_the_system() {
        let (sampler, mut receive) =
            Sampler::start(vec![series("a", 100.0, 100)], Arc::new(Slow(Some(Duration::ZERO))));
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        sampler.stop().await;
        let mut late = 0;
        let mut good = 0;
        while let Some(sample) = receive.recv().await {
            match sample {
                Sample::Answered { reply: Reply { answer: Answer::NotMeasured(why), .. }, .. }
                    if why == "sent late" =>
                {
                    late += 1;
                }
                Sample::Answered { reply: Reply { answer: Answer::Good { .. }, .. }, .. } => good += 1,
                _ => {}
            }
        }
        // One is due each 10 ms; those of the last moments before the machine woke are still in time.
        let in_time = u64::try_from(LATEST.as_millis() / 10).unwrap();
        assert!((97 - in_time..=100 - in_time).contains(&late), "{late}");
        assert!(good > in_time, "{good}");
    }
}
