use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng as _};

use super::*;
use crate::experiment::{Experiment, Percent, read};
use crate::model::quantity;

const EXPERIMENT: &str = "
version: 1
name: slow-store
hypothesis: It goes on.
steady-state:
  checkout: { http: http://x/, expect: { success: 90%, p95: 300ms } }
target: { service: store }
fault: pause
blast-radius: { max-instances: 1 }
";

fn experiment(text: &str) -> Experiment {
    read::experiment("x.yaml", text.as_bytes(), &quantity::unset).unwrap_or_else(|m| panic!("{m}")).value
}

fn side(seen: ProbeSummary) -> Side {
    Side {
        runs: vec!["r".to_owned()],
        experiment: experiment(EXPERIMENT),
        engine: None,
        fault_on: Duration::from_secs(30),
        recovery: Vec::new(),
        seen: [(("checkout".to_owned(), Phase::During), seen)].into(),
    }
}

/// Answers in µs, and failures among them.
fn seen(distribution: Vec<(u64, u64)>, failed: u64) -> ProbeSummary {
    let good: u64 = distribution.iter().map(|(_, n)| n).sum();
    ProbeSummary { asked: good + failed, failed, distribution }
}

fn figure(c: &Comparison, of: &Of) -> Figure {
    c.figures.iter().find(|f| f.of == *of).unwrap_or_else(|| panic!("{of}: {c:?}")).clone()
}

fn p95() -> Of {
    Of::Percentile("p95".to_owned())
}

/// So many answers of a log-normal distribution with this median (µs), drawn with a seed.
fn drawn(median: f64, n: usize, failed: u64, seed: u64) -> ProbeSummary {
    let mut random = rand_chacha(seed);
    let mut pairs = std::collections::BTreeMap::<u64, u64>::new();
    for _ in 0..n {
        // Twelve uniform numbers are normal enough.
        let normal: f64 = (0..12).map(|_| RngExt::random::<f64>(&mut random)).sum::<f64>() - 6.0;
        // In steps of 1 %, as a journal keeps them.
        let us = ((median.ln() + 0.3 * normal) * 100.0).round() / 100.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
        let us = us.exp().round() as u64;
        *pairs.entry(us).or_default() += 1;
    }
    seen(pairs.into_iter().collect(), failed)
}

fn rand_chacha(seed: u64) -> rand::rngs::ChaCha8Rng {
    rand::rngs::ChaCha8Rng::seed_from_u64(seed)
}

#[test]
fn steady_state_that_was_never_lost_is_no_time_and_not_unknown() {
    let (never, after) = (Comeback::NeverLost, |ms| Comeback::After(Duration::from_millis(ms)));
    let told = |before: &[Comeback], now: &[Comeback]| {
        let of = |came: &[Comeback]| Side { recovery: came.to_vec(), ..side(ProbeSummary::default()) };
        recovery(&of(before), &of(now)).map(|told| told.split(':').next().unwrap_or_default().to_owned())
    };
    for (before, now, want) in [
        (vec![never], vec![never], "steady state was never lost, before and now"),
        (vec![never], vec![after(1200)], "steady state was never lost before, and recovery took 1.20 s now"),
        (vec![after(1200)], vec![never], "recovery took 1.20 s before, and steady state was never lost now"),
        (vec![never, after(400)], vec![after(300)], "recovery took 200 ms before and 300 ms now"),
    ] {
        assert_eq!(told(&before, &now).as_deref(), Some(want));
    }
    assert_eq!(told(&[], &[never]), None);
}

#[test]
fn a_change_is_known_between_bounds() {
    let [base, new] = fixture::counts().map(|pairs| seen(pairs.into_iter().map(|(v, n)| (v * 1000, n)).collect(), 0));
    let c = compare(&side(base), &side(new), NoWorseThan::default());
    let latency = figure(&c, &Of::Latency);
    // The references of `rank`: a factor of 1.1, known between exp(0.0488) and exp(0.1466).
    for (found, want) in [(latency.change, 0.1), (latency.low, 0.05), (latency.high, 0.157_894_736_842)] {
        assert!((found.unwrap() - want).abs() < 1e-9, "{latency:?}");
    }
    assert_eq!(latency.finding, Finding::Undecided);
    assert_eq!((figure(&c, &p95()).base, figure(&c, &p95()).new), (Some(36.0), Some(41.0)));
    assert_eq!(c.verdict(), Verdict::NoVerdict);
    let strict = NoWorseThan { latency: Percent(0.04), ..NoWorseThan::default() };
    let [base, new] = fixture::counts().map(|pairs| seen(pairs.into_iter().map(|(v, n)| (v * 1000, n)).collect(), 0));
    let c = compare(&side(base), &side(new), strict);
    assert_eq!((figure(&c, &Of::Latency).finding, c.verdict()), (Finding::Worse, Verdict::Broken));
    assert!(c.why().contains("checkout latency +10.0 % (+5.0 to +15.8 %), +4.0 % allowed"), "{}", c.why());
}

#[test]
fn too_few_samples_say_so() {
    let few = || side(seen(vec![(20_000, 20)], 0));
    let c = compare(&few(), &few(), NoWorseThan::default());
    assert_eq!(c.verdict(), Verdict::NoVerdict);
    assert!(c.why().contains("too few samples") && c.why().contains("20 and 20 answers; 30 are needed"), "{}", c.why());
}

#[test]
fn what_is_not_alike_is_not_compared() {
    let base = side(drawn(20_000.0, 500, 0, 1));
    let mut new = base.clone();
    new.experiment = experiment(&EXPERIMENT.replace("target: { service: store }", "target: { service: shop }"));
    new.fault_on = Duration::from_secs(3);
    let c = compare(&base, &new, NoWorseThan::default());
    assert_eq!(c.verdict(), Verdict::NoVerdict);
    assert!(c.why().contains("or with whom, is not the same") && c.why().contains("3.00 s now"), "{}", c.why());
}

#[test]
fn what_an_engine_says_is_no_figure_of_the_service() {
    let counted = "steady-state: { n: { engine: { service: store, count: running }, expect: { value: 1 } } }";
    let text = EXPERIMENT
        .replace("steady-state:\n  checkout: { http: http://x/, expect: { success: 90%, p95: 300ms } }", counted);
    let mut side = side(drawn(20_000.0, 500, 0, 1));
    let seen = side.seen.pop_first().unwrap().1;
    side.seen.insert(("n".to_owned(), Phase::During), seen);
    side.experiment = experiment(&text);
    let c = compare(&side, &side, NoWorseThan::default());
    assert!(c.figures.is_empty() && c.verdict() == Verdict::NoVerdict, "{c:?}");
    assert!(c.why().contains("no check has figures on both sides"), "{}", c.why());
}

#[test]
fn failures_are_held_against_failures() {
    let of = |failed| side(drawn(20_000.0, 1000, failed, 1));
    let verdict = |base, new| compare(&of(base), &of(new), NoWorseThan::default()).verdict();
    assert_eq!(verdict(0, 0), Verdict::Held);
    assert_eq!(verdict(0, 60), Verdict::Broken);
    let c = compare(&of(2), &of(20), NoWorseThan::default());
    assert_eq!(figure(&c, &Of::Failures).finding, Finding::Undecided, "{c:?}");
}

#[test]
fn fast_refusals_improve_no_latency() {
    let base = side(drawn(20_000.0, 1000, 0, 1));
    let new = side(drawn(20_000.0, 800, 200, 2));
    let c = compare(&base, &new, NoWorseThan::default());
    let p95 = figure(&c, &p95());
    assert_eq!((p95.finding, p95.new), (Finding::Worse, None), "a fifth never came: {p95:?}");
    assert!(figure(&c, &Of::Latency).slower.unwrap() > 0.55);
}

#[test]
fn several_runs_are_one_side() {
    let [a, b] = [1, 2].map(|seed| side(drawn(20_000.0, 300, 3, seed)));
    let both = Side::together(vec![a, b]).unwrap();
    let seen = &both.seen[&("checkout".to_owned(), Phase::During)];
    assert_eq!((seen.asked, seen.failed, both.runs.len()), (606, 6, 2));
    assert_eq!(seen.distribution.iter().map(|(_, n)| n).sum::<u64>(), 600);
    assert_eq!(Side::together(Vec::new()), None);
}

/// Of many comparisons of two runs that are as slow as is just allowed, about one in forty is called worse, and one in
/// forty not worse: that is what a confidence of 95 % on two sides means.
#[test]
fn it_is_as_sure_as_it_says() {
    let mut worse = 0;
    let mut fine = 0;
    for seed in 0..400 {
        let base = side(drawn(20_000.0, 300, 0, 2 * seed));
        let new = side(drawn(22_000.0, 300, 0, 2 * seed + 1));
        match figure(&compare(&base, &new, NoWorseThan::default()), &Of::Latency).finding {
            Finding::Worse => worse += 1,
            Finding::NotWorse => fine += 1,
            Finding::Undecided => {}
        }
    }
    // Ten each are expected, with a standard deviation of three.
    assert!((1..=22).contains(&worse) && (1..=22).contains(&fine), "{worse} worse, {fine} not worse");
}

#[test]
fn a_real_difference_is_found_and_none_is_not() {
    for seed in 0..20 {
        let base = side(drawn(20_000.0, 2000, 0, 2 * seed));
        let slower = side(drawn(26_000.0, 2000, 0, 2 * seed + 1));
        let like = side(drawn(20_000.0, 2000, 0, 2 * seed + 1));
        assert_eq!(compare(&base, &slower, NoWorseThan::default()).verdict(), Verdict::Broken);
        assert_eq!(compare(&base, &like, NoWorseThan::default()).verdict(), Verdict::Held, "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_two_histograms_can_be_held_against_each_other(
        a in prop::collection::vec((1_u64..10_000_000, 1_u64..1000), 0..60), fa in 0_u64..500,
        b in prop::collection::vec((1_u64..10_000_000, 1_u64..1000), 0..60), fb in 0_u64..500,
    ) {
        let c = compare(&side(seen(a, fa)), &side(seen(b, fb)), NoWorseThan::default());
        for f in &c.figures {
            prop_assert!(f.low.zip(f.high).is_none_or(|(low, high)| low <= high), "{:?}", f);
            prop_assert!(f.p.is_none_or(|p| (0.0..=1.0).contains(&p)), "{:?}", f);
            let whole = [f.base, f.new, f.change, f.low, f.high].into_iter().flatten().all(f64::is_finite);
            prop_assert!(whole, "JSON knows no infinity: {:?}", f);
        }
        prop_assert!(!c.why().is_empty());
    }
}
