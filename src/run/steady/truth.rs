//! The judge against the definition, by brute force: broken exactly if the whole phase violates the bound, and at the
//! first moment at which nothing that may still come could help.

use std::time::Duration;

use proptest::prelude::*;

use super::Judge;
use crate::experiment::probe::{Answer, Failure};
use crate::experiment::{Expect, Percent, Rate, Span, ValueBound};
use crate::record::event::Phase;

/// Samples are due every 10 ms.
const STEP: u64 = 10;
const TICK: Duration = Duration::from_nanos(1);

#[derive(Debug, Clone)]
struct TrueSample {
    due: Duration,
    end: Duration,
    answer: Answer,
    /// It was due while time stood still: it counts where it is bad.
    early: bool,
}

/// From which sample to which one time stands still.
type Gap = std::ops::Range<usize>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn fates() -> impl Strategy<Value = (Vec<TrueSample>, Gap)> {
    let fate = (
        0_u64..120,
        prop_oneof![
            6 => Just(Answer::Good { value: Some("1".into()), by: None }),
            1 => Just(Answer::Good { value: Some("9".into()), by: None }),
            3 => Just(Answer::Failed(Failure("refused".into()))),
            1 => Just(Answer::NotMeasured("resolver".into())),
        ],
    );
    (prop::collection::vec(fate, 1..60), 0_usize..60, 0_usize..30).prop_map(|(fates, from, many)| {
        // At least the last one is evidence.
        let last = fates.len() - 1;
        let gap = from.min(last)..(from + many).min(last).max(from.min(last));
        let samples = fates.into_iter().enumerate().map(|(i, (latency, answer))| {
            let due = ms(i as u64 * STEP);
            // What could not be measured is known at once.
            let latency = if matches!(answer, Answer::NotMeasured(_)) { 0 } else { latency };
            TrueSample { due, end: due + ms(latency), answer, early: gap.contains(&i) }
        });
        (samples.collect(), gap.clone())
    })
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Success(u64),
    Quantile(u64, Duration),
    Outage(Duration),
    Value(Option<Duration>),
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        (0_u64..=100).prop_map(Wanted::Success),
        (prop::sample::select(vec![500, 750, 900, 950, 990, 999, 1000]), 0_u64..100)
            .prop_map(|(quantile, bound)| Wanted::Quantile(quantile, ms(bound))),
        (0_u64..150).prop_map(|limit| Wanted::Outage(ms(limit))),
        prop::option::of(0_u64..150).prop_map(|limit| Wanted::Value(limit.map(ms))),
    ]
}

fn expect(wanted: Wanted) -> Expect {
    let mut expect = Expect::default();
    match wanted {
        Wanted::Success(percent) => expect.success = Some(format!("{percent}%").parse::<Percent>().unwrap()),
        Wanted::Quantile(quantile, bound) => {
            let bound = Some(Span(bound));
            match quantile {
                500 => expect.p50 = bound,
                750 => expect.p75 = bound,
                900 => expect.p90 = bound,
                950 => expect.p95 = bound,
                990 => expect.p99 = bound,
                999 => expect.p999 = bound,
                _ => expect.max = bound,
            }
        }
        Wanted::Outage(limit) => expect.max_outage = Some(Span(limit)),
        Wanted::Value(limit) => {
            expect.value = Some(ValueBound { at_most: Some(5.0), r#for: limit.map(Span), ..ValueBound::default() });
        }
    }
    expect
}

/// Whether the bound is violated whatever comes after `at`: what is in flight is answered well now, and all that is not
/// asked yet is good at once.
fn is_lost(wanted: Wanted, fates: &[TrueSample], at: Duration) -> bool {
    let certain = fates.iter().filter(|f| !f.early).count() as u64;
    let known = |f: &&TrueSample| f.end <= at;
    let is_failed = |f: &TrueSample| matches!(f.answer, Answer::Failed(_));
    match wanted {
        Wanted::Success(percent) => {
            let failed =
                |early: bool| fates.iter().filter(known).filter(|f| is_failed(f) && (f.early || !early)).count() as u64;
            let (n, failed) = (certain + failed(true), failed(false));
            (n - failed) * 100 < percent * n
        }
        Wanted::Quantile(quantile, bound) => {
            let latency = |f: &TrueSample| match &f.answer {
                Answer::NotMeasured(_) => Duration::ZERO,
                Answer::Failed(_) if f.end <= at => Duration::MAX,
                _ => f.end.min(at).saturating_sub(f.due),
            };
            let counts = |f: &&TrueSample| !f.early || latency(f) > bound;
            let mut latencies: Vec<Duration> = fates.iter().filter(counts).map(latency).collect();
            let n = latencies.len() as u64;
            latencies.sort_unstable();
            // The smallest latency that this share of the samples does not exceed.
            let rank = (n * quantile).div_ceil(1000).max(1);
            latencies[usize::try_from(rank).unwrap() - 1] > bound
        }
        Wanted::Outage(limit) => longest(fates, at, |f| Some(!is_failed(f))) > limit,
        Wanted::Value(limit) => {
            // A failure has no value, and says nothing about one.
            let inside = |f: &TrueSample| match &f.answer {
                Answer::Good { value, .. } => Some(value.as_deref() == Some("1")),
                _ => None,
            };
            match limit {
                Some(limit) => longest(fates, at, inside) > limit,
                None => fates.iter().filter(known).any(|f| inside(f) == Some(false)),
            }
        }
    }
}

/// The longest run of bad samples that is certain at a moment.
fn longest(fates: &[TrueSample], at: Duration, good: impl Fn(&TrueSample) -> Option<bool>) -> Duration {
    let phase_end = ms(fates.len() as u64 * STEP);
    let mut longest = Duration::ZERO;
    let mut since: Option<Duration> = None;
    for f in fates.iter().filter(|f| f.due <= at && !matches!(f.answer, Answer::NotMeasured(_))) {
        // In flight, it may still be good.
        match if f.end > at { Some(true) } else { good(f) } {
            Some(true) => longest = longest.max(since.take().map_or(Duration::ZERO, |s| f.due.abs_diff(s))),
            Some(false) => drop(since.get_or_insert(f.due)),
            None => {}
        }
    }
    longest.max(since.map_or(Duration::ZERO, |since| at.min(phase_end).saturating_sub(since)))
}

/// Shows everything to a judge in the order of time, and tells when it called the bound broken.
fn broken_at(wanted: Wanted, fates: &[TrueSample], gap: &Gap) -> Option<Duration> {
    enum Step {
        Stop,
        GoOn,
        Ask,
        Answer,
    }
    let rate = Rate(1000.0 / STEP as f64);
    let length = ms(fates.len() as u64 * STEP);
    let [stop, go_on] = [gap.start, gap.end].map(|i| ms(i as u64 * STEP));
    let counted = length.saturating_sub(go_on.saturating_sub(stop));
    let mut judge = Judge::new("check", false, Phase::During, &expect(wanted), rate, Duration::ZERO, counted);
    let mut steps = vec![(stop, gap.start, Step::Stop), (go_on, gap.end, Step::GoOn)];
    for (i, f) in fates.iter().enumerate() {
        steps.push((f.due, i, Step::Ask));
        steps.push((f.end, i, Step::Answer));
    }
    steps.sort_by_key(|(at, i, step)| (*at, *i, matches!(step, Step::Answer)));
    for (at, i, step) in steps {
        while let Some(deadline) = judge.next_deadline().filter(|deadline| *deadline < at) {
            if judge.tick(deadline).is_some() {
                return Some(deadline);
            }
            assert!(judge.next_deadline().is_none_or(|next| next > deadline), "a deadline that changes nothing");
        }
        let f = &fates[i];
        match step {
            Step::Stop => judge.stop_time(at),
            Step::GoOn => judge.go_on(at),
            Step::Ask => judge.asked(i as u64, f.due),
            Step::Answer => {
                if judge.answered(i as u64, f.due, f.end, &f.answer).is_some() {
                    return Some(at);
                }
            }
        }
    }
    let end = fates.iter().map(|f| f.end).max().unwrap().max(length);
    while let Some(deadline) = judge.next_deadline().filter(|deadline| *deadline <= end) {
        if judge.tick(deadline).is_some() {
            return Some(deadline);
        }
    }
    let (judged, broken) = judge.finish(end, true);
    assert!(broken.is_none(), "known only at the end: {broken:?}");
    assert!(judged.standings.iter().all(|s| s.held), "{judged:?}");
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn broken_exactly_when_lost_and_at_the_first_moment(wanted in wanted(), (fates, gap) in fates()) {
        let end = fates.iter().map(|f| f.end).max().unwrap().max(ms(fates.len() as u64 * STEP));
        match broken_at(wanted, &fates, &gap) {
            None => prop_assert!(!is_lost(wanted, &fates, end), "the end violates the bound and nobody said so"),
            Some(at) => {
                prop_assert!(is_lost(wanted, &fates, at), "called broken at {at:?}, where it could still hold");
                prop_assert!(!is_lost(wanted, &fates, at.saturating_sub(TICK)) || at.is_zero(), "called late, at {at:?}");
            }
        }
    }
}
