use proptest::prelude::*;

use super::*;
use crate::model::network::{Chance, Distribution, Loss};

const PACKETS: usize = 60_000;

/// What becomes of packets of 1000 bytes, one every `apart` nanoseconds.
fn run(shape: &Shape, apart: Time) -> Vec<PacketDecisions> {
    let mut model = Model::new(shape.clone(), 42);
    (0..PACKETS as Time).map(|n| model.fates(n * apart, 1000)).collect()
}

fn share(fates: &[PacketDecisions], what: impl Fn(&PacketDecisions) -> bool) -> f64 {
    fates.iter().filter(|f| what(f)).count() as f64 / fates.len() as f64
}

/// A share of independent packets is within the interval that holds 99.99 % of all such samples; `inflation` is by how
/// much dependence widens its variance.
fn assert_share(what: &str, have: f64, expected: f64, inflation: f64) {
    let deviation = (expected * (1.0 - expected) / PACKETS as f64 * inflation).sqrt();
    assert!((have - expected).abs() <= 3.891 * deviation, "{what}: {have} is not {expected}");
}

fn chance(probability: f64, correlation: f64) -> Chance {
    Chance { probability, correlation }
}

fn losing(loss: Loss) -> Shape {
    Shape { loss: Some(loss), ..Shape::default() }
}

#[test]
fn shares_are_exact_however_small() {
    for probability in [0.0, 0.004, 0.5, 0.999, 1.0] {
        let fates = run(&losing(Loss::Random(chance(probability, 0.0))), 1);
        assert_share("lost", share(&fates, |f| f.own.is_none()), probability, 1.0);
        let fates = run(&Shape { corrupt: Some(chance(probability, 0.0)), ..Shape::default() }, 1);
        assert_share("corrupt", share(&fates, |f| f.own.unwrap().corrupt.is_some()), probability, 1.0);
        let fates = run(&Shape { duplicate: Some(chance(probability, 0.0)), ..Shape::default() }, 1);
        assert_share("twice", share(&fates, |f| f.copy.is_some()), probability, 1.0);
    }
}

#[test]
fn a_correlation_makes_bursts_and_leaves_the_share() {
    let (probability, correlation) = (0.1, 0.7);
    let fates = run(&losing(Loss::Random(chance(probability, correlation))), 1);
    // The sum of the geometric series of correlations, on both sides.
    assert_share("lost", share(&fates, |f| f.own.is_none()), probability, (1.0 + correlation) / (1.0 - correlation));
    let after: Vec<PacketDecisions> = fates.windows(2).filter(|two| two[0].own.is_none()).map(|two| two[1]).collect();
    let again = share(&after, |f| f.own.is_none());
    assert!((again - (correlation + (1.0 - correlation) * probability)).abs() < 0.02, "{again}");
}

#[test]
fn of_a_packet_that_is_lost_and_doubled_one_is_left() {
    let shape = Shape { duplicate: Some(chance(1.0, 0.0)), ..losing(Loss::Random(chance(0.5, 0.0))) };
    let fates = run(&shape, 1);
    assert!(fates.iter().all(|f| f.own.is_some()));
    assert_share("twice", share(&fates, |f| f.copy.is_some()), 0.25, 1.0);
}

#[test]
fn bursts_of_two_states_lose_what_they_should() {
    let (p, r, bad, good) = (0.02, 0.2, 0.8, 0.01);
    let fates = run(&losing(Loss::GilbertElliott { p, r, bad, good }), 1);
    let in_bad = p / (p + r);
    let expected = in_bad * bad + (1.0 - in_bad) * good;
    assert_share("lost", share(&fates, |f| f.own.is_none()), expected, (2.0 - p - r) / (p + r));
}

#[test]
fn bursts_of_four_states_lose_what_they_should() {
    let (p13, p31, p32, p23, p14) = (0.03, 0.3, 0.2, 0.4, 0.01);
    let fates = run(&losing(Loss::Markov { p13, p31, p32, p23, p14 }), 1);
    // Balance: state 2 is fed by 3 alone, 4 by 1 alone, and 3 gives to 1 what it got from there.
    let three = p13 / p31;
    let (two, four) = (three * p32 / p23, p14);
    let expected = (three + four) / (1.0 + two + three + four);
    assert_share("lost", share(&fates, |f| f.own.is_none()), expected, 10.0);
}

#[test]
fn delays_have_the_mean_and_the_width_that_were_asked_for() {
    let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(10));
    for (distribution, width) in [
        (Distribution::Uniform, 10.0 / 3_f64.sqrt()),
        (Distribution::Normal, 10.0),
        (Distribution::Pareto, 10.0),
        (Distribution::ParetoNormal, 10.0),
    ] {
        for correlation in [0.0, 0.5] {
            let fates = run(&Shape { delay, jitter, correlation, distribution, ..Shape::default() }, 1_000_000_000);
            let waits: Vec<f64> =
                (0..).zip(&fates).map(|(n, f)| (f.own.unwrap().due - n * 1_000_000_000) as f64 / 1e6).collect();
            let mean = waits.iter().sum::<f64>() / waits.len() as f64;
            let deviation = (waits.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / waits.len() as f64).sqrt();
            assert!((mean - 100.0).abs() < 0.3, "{distribution:?}: mean {mean}");
            assert!((deviation / width - 1.0).abs() < 0.05, "{distribution:?}: width {deviation}");
            let together: f64 = waits.windows(2).map(|two| (two[0] - mean) * (two[1] - mean)).sum();
            let measured = together / waits.len() as f64 / deviation.powi(2);
            assert!((measured - correlation).abs() < 0.03, "{distribution:?}: correlation {measured}");
        }
    }
}

#[test]
fn the_normal_distribution_is_that_of_the_tables() {
    for (number, expected) in [(0.5, 0.0), (0.841_344_746, 1.0), (0.977_249_868, 2.0), (0.001_349_898, -3.0)] {
        let have = quantile(Distribution::Normal, number);
        assert!((have - expected).abs() < 1e-6, "{number}: {have}");
    }
}

#[test]
fn some_are_sent_ahead_and_only_every_so_many() {
    for (gap, probability) in [(1, 0.25), (5, 1.0), (5, 0.5)] {
        let reorder = Some(Reorder { chance: chance(probability, 0.0), gap });
        let fates = run(&Shape { delay: Duration::from_millis(10), reorder, ..Shape::default() }, 1000);
        let ahead: Vec<u64> =
            (0..).zip(&fates).filter(|(n, f)| f.own.unwrap().due == n * 1000).map(|(n, _)| n).collect();
        assert!(ahead.windows(2).all(|two| two[1] - two[0] >= u64::from(gap)));
        // From one to the next: those that have no chance, and then one in 1/probability.
        let expected = 1.0 / (f64::from(gap) - 1.0 + 1.0 / probability);
        assert_share("ahead", ahead.len() as f64 / PACKETS as f64, expected, 1.0);
    }
}

#[test]
fn a_rate_is_kept_after_a_burst() {
    // 8 Mbit/s: 1000 bytes last a millisecond.
    let shape = |burst| Shape { bandwidth: Some(Bandwidth { rate: 8_000_000, burst }), ..Shape::default() };
    for (burst, at_once) in [(0, 0), (1000, 1), (10_000, 10)] {
        let mut model = Model::new(shape(burst), 1);
        let mut due = |now| model.fates(now, 1000).own.unwrap().due;
        let first: Vec<Time> = (0..20).map(|_| due(0)).collect();
        let expected: Vec<Time> = (1..=20_u64).map(|n| n.saturating_sub(at_once) * 1_000_000).collect();
        assert_eq!(first, expected);
        // After a long pause it begins anew.
        assert_eq!(due(5_000_000_000), 5_000_000_000 + expected[0]);
    }
}

#[test]
fn the_same_seed_does_the_same_again() {
    let shape = Shape {
        jitter: Duration::from_millis(5),
        duplicate: Some(chance(0.1, 0.0)),
        corrupt: Some(chance(0.1, 0.0)),
        ..losing(Loss::Random(chance(0.1, 0.3)))
    };
    assert_eq!(run(&shape, 10), run(&shape, 10));
    let mut other = Model::new(shape.clone(), 43);
    assert!(run(&shape, 10).iter().zip(0..).any(|(f, n)| *f != other.fates(n * 10, 1000)));
}

proptest! {
    #[test]
    fn nothing_goes_before_it_comes_and_a_rate_reorders_nothing(
        delay in 0..50_u64, jitter in 0..80_u64, rate in 1000..10_000_000_000_u64, burst in 0..100_000_u64,
        packets in prop::collection::vec((0..2_000_000_u64, 40..65_000_usize), 1..200),
    ) {
        let shape = Shape {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            distribution: Distribution::Pareto,
            bandwidth: Some(Bandwidth { rate, burst }),
            ..Shape::default()
        };
        let mut model = Model::new(shape, 3);
        let (mut now, mut last) = (0, 0);
        for (later, length) in packets {
            now += later;
            let due = model.fates(now, length).own.unwrap().due;
            prop_assert!(due >= now && due >= last);
            last = due;
        }
    }
}
