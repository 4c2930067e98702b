//! Impairments in the form that sch_netem takes. Computation alone.
//!
//! Everything is given at full precision: probabilities as shares of 2^32, times in nanoseconds.

use std::time::Duration;

use super::netlink::Message;
use crate::model::network::{Bandwidth, Chance, Distribution, Loss, Reorder, Shape};

// linux/pkt_sched.h
const CORR: u16 = 1;
const DELAY_DIST: u16 = 2;
const REORDER: u16 = 3;
const CORRUPT: u16 = 4;
const LOSS: u16 = 5;
const RATE: u16 = 6;
const RATE64: u16 = 8;
const LATENCY64: u16 = 10;
const JITTER64: u16 = 11;
/// From Linux 6.6 on; kernels before pass over it.
const PRNG_SEED: u16 = 14;
const LOSS_STATES: u16 = 1;
const LOSS_GILBERT_ELLIOTT: u16 = 2;

/// A jitter beyond this is cut off inside sch_netem, which has 31 bits of nanoseconds for it.
const LONGEST_JITTER: Duration = Duration::from_nanos(i32::MAX as u64);
/// How much one jitter is in the kernel's tables.
const SCALE: f64 = 8192.0;
/// How many values a table has; the kernel takes up to 16384.
const TABLE: u32 = 4096;

/// The options of a netem qdisc (`TCA_OPTIONS`), in bytes.
///
/// # Errors
/// What netem cannot do, in words.
pub(super) fn options(shape: &Shape, seed: u64) -> Result<Vec<u8>, String> {
    if shape.jitter > LONGEST_JITTER {
        return Err(format!(
            "sch_netem varies a delay by {} at most: ask for less, or for `mechanism: userspace`",
            humantime::format_duration(Duration::from_millis(2147))
        ));
    }
    let loss = match shape.loss {
        Some(Loss::Random(chance)) => chance,
        _ => NEVER,
    };
    let duplicate = shape.duplicate.unwrap_or(NEVER);
    let gap = shape.reorder.map_or(0, |r| r.gap.max(1));
    // `struct tc_netem_qopt`. Times in ticks of 64 ns, for kernels that pass over the exact ones.
    let fixed = words([
        u32::try_from(shape.delay.as_nanos() / 64).unwrap_or(u32::MAX),
        limit(shape),
        share(loss.probability),
        gap,
        share(duplicate.probability),
        u32::try_from(shape.jitter.as_nanos() / 64).unwrap_or(u32::MAX),
    ]);
    let mut message = Message::new(0, 0, &fixed)
        .with(LATENCY64, &nanoseconds(shape.delay))
        .with(JITTER64, &nanoseconds(shape.jitter))
        .with(PRNG_SEED, &seed.to_ne_bytes())
        .with(CORR, &words([shape.correlation, loss.correlation, duplicate.correlation].map(share)));
    if let Some(Reorder { chance, .. }) = shape.reorder {
        message = message.with(REORDER, &pair(chance));
    }
    if let Some(chance) = shape.corrupt {
        message = message.with(CORRUPT, &pair(chance));
    }
    message = match shape.loss {
        None | Some(Loss::Random(_)) => message,
        Some(Loss::Markov { p13, p31, p32, p23, p14 }) => {
            message.with_nest(LOSS, |m| m.with(LOSS_STATES, &words([p13, p31, p32, p14, p23].map(share))))
        }
        // The kernel wants the share that is *kept* in the bad state, and the one that is lost in the good one.
        Some(Loss::GilbertElliott { p, r, bad, good }) => {
            message.with_nest(LOSS, |m| m.with(LOSS_GILBERT_ELLIOTT, &words([p, r, 1.0 - bad, good].map(share))))
        }
    };
    if let Some(Bandwidth { rate, .. }) = shape.bandwidth {
        let bytes = (rate / 8).max(1);
        // `struct tc_netem_rate`: bytes per second, and nothing that a packet costs beyond its length.
        message = message.with(RATE, &words([u32::try_from(bytes).unwrap_or(u32::MAX), 0, 0, 0]));
        if u32::try_from(bytes).is_err() {
            message = message.with(RATE64, &bytes.to_ne_bytes());
        }
    }
    if !shape.jitter.is_zero() && shape.distribution != Distribution::Uniform {
        let table: Vec<u8> = table(shape.distribution).iter().flat_map(|v| v.to_ne_bytes()).collect();
        message = message.with(DELAY_DIST, &table);
    }
    Ok(message.into_body())
}

const NEVER: Chance = Chance { probability: 0.0, correlation: 0.0 };

/// How many packets may wait. What is beyond vanishes, so that it has to hold all that can come while one packet is held:
/// a million packets a second (12 Gbit/s of full ones), or as many of 125 bytes as the rate allows; and a second's queue
/// behind a rate. A million is the end: more would be gigabytes of the kernel's memory.
fn limit(shape: &Shape) -> u32 {
    const LEAST: f64 = 1000.0;
    const MOST: f64 = 1_000_000.0;
    let (per_second, queue) = match shape.bandwidth {
        Some(Bandwidth { rate, .. }) => (rate as f64 / 1000.0, 1.0),
        None => (1e6, 0.0),
    };
    let packets = LEAST + per_second * (shape.longest().as_secs_f64() + queue);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between the bounds")]
    let packets = packets.clamp(LEAST, MOST) as u32;
    packets
}

/// A probability as the kernel has it.
fn share(probability: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped, and rounding is meant")]
    let share = (probability.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32;
    share
}

fn pair(chance: Chance) -> Vec<u8> {
    words([chance.probability, chance.correlation].map(share))
}

pub(super) fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn nanoseconds(time: Duration) -> [u8; 8] {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).to_ne_bytes()
}

/// How a delay varies, as a table of its inverse distribution function: the kernel picks a value at random. The values have
/// mean 0 and standard deviation 1, in units of the jitter, and end at four of them because the kernel has 16 bits.
///
/// Pareto has the shape 3, the least whole number with a finite variance and the one of tc-netem(8). What the end at four
/// cuts off its tail is made up for, so that the mean delay and the jitter are the ones asked for.
fn table(distribution: Distribution) -> Vec<i16> {
    let quantiles = (0..TABLE).map(|i| (f64::from(i) + 0.5) / f64::from(TABLE));
    let value = |u: f64| match distribution {
        Distribution::Uniform => (2.0 * u - 1.0) * 3_f64.sqrt(),
        Distribution::Normal => normal(u),
        Distribution::Pareto => pareto(u),
        Distribution::ParetoNormal => 0.25 * normal(u) + 0.75 * pareto(u),
    };
    let mut values: Vec<f64> = quantiles.map(value).collect();
    // A few rounds are enough for the cut and the correction to agree.
    for _ in 0..32 {
        let mean = values.iter().sum::<f64>() / f64::from(TABLE);
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(TABLE)).sqrt();
        for value in &mut values {
            *value = ((*value - mean) / deviation).clamp(-3.999, 3.999);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "below four times 8192")]
    values.iter().map(|v| (v * SCALE).round() as i16).collect()
}

/// The inverse of Pareto's distribution function with shape 3, less its mean, by its standard deviation.
fn pareto(u: f64) -> f64 {
    ((1.0 - u).powf(-1.0 / 3.0) - 1.5) / 0.75_f64.sqrt()
}

/// The inverse of the standard normal distribution function, found by bisection of its integral.
fn normal(u: f64) -> f64 {
    let (mut low, mut high) = (-6.0_f64, 6.0_f64);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if cumulative(middle) < u { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The standard normal distribution function, by the series of Marsaglia, "Evaluating the Normal Distribution" (Journal
/// of Statistical Software 11(4), 2004).
fn cumulative(x: f64) -> f64 {
    let (mut sum, mut term) = (x, x);
    // Between -6 and 6, a hundred terms are far more than a float tells apart.
    for n in 1..100 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::netlink::{attribute, attributes, number};
    use super::*;

    fn shape() -> Shape {
        Shape { delay: Duration::from_millis(100), ..Shape::default() }
    }

    #[test]
    fn a_delay_is_given_to_the_nanosecond() {
        let shape = Shape { delay: Duration::from_nanos(1_000_001), jitter: Duration::from_nanos(7), ..shape() };
        let bytes = options(&shape, 9).unwrap();
        assert_eq!(attribute(&bytes[24..], LATENCY64).unwrap(), 1_000_001_i64.to_ne_bytes());
        assert_eq!(attribute(&bytes[24..], JITTER64).unwrap(), 7_i64.to_ne_bytes());
        assert_eq!(attribute(&bytes[24..], PRNG_SEED).unwrap(), 9_u64.to_ne_bytes());
        assert_eq!(number(&bytes), 15_625, "64 ns each");
        let late = Shape { jitter: Duration::from_secs(3), ..shape };
        assert!(options(&late, 0).unwrap_err().contains("userspace"));
    }

    #[test]
    fn nothing_is_altered_that_was_not_asked_for() {
        let bytes = options(&shape(), 0).unwrap();
        let kinds: Vec<u16> = attributes(&bytes[24..]).map(|a| a.0).collect();
        assert_eq!(kinds, [LATENCY64, JITTER64, PRNG_SEED, CORR]);
        assert_eq!(attribute(&bytes[24..], CORR).unwrap(), [0; 12]);
        assert_eq!((number(&bytes[8..]), number(&bytes[12..]), number(&bytes[16..])), (0, 0, 0));
    }

    #[test]
    fn the_models_of_loss_are_in_the_kernels_order() {
        let loss = |loss| {
            let bytes = options(&Shape { loss: Some(loss), ..shape() }, 0).unwrap();
            let (kind, value) = attributes(attribute(&bytes[24..], LOSS).unwrap()).next().unwrap();
            let percent = |w: &[u8]| (f64::from(number(w)) / f64::from(u32::MAX) * 100.0).round();
            (kind, value.chunks(4).map(percent).collect::<Vec<_>>())
        };
        let ge = Loss::GilbertElliott { p: 0.1, r: 0.2, bad: 0.7, good: 0.05 };
        assert_eq!(loss(ge), (LOSS_GILBERT_ELLIOTT, vec![10.0, 20.0, 30.0, 5.0]));
        let markov = Loss::Markov { p13: 0.1, p31: 0.2, p32: 0.3, p23: 0.4, p14: 0.5 };
        assert_eq!(loss(markov), (LOSS_STATES, vec![10.0, 20.0, 30.0, 50.0, 40.0]));
    }

    #[test]
    fn a_rate_of_any_size_is_kept() {
        let rate = |rate| {
            let bytes = options(&Shape { bandwidth: Some(Bandwidth { rate, burst: 0 }), ..shape() }, 0).unwrap();
            let large = attribute(&bytes[24..], RATE64).map(|b| u64::from_ne_bytes(b.try_into().unwrap()));
            (number(attribute(&bytes[24..], RATE).unwrap()), large)
        };
        assert_eq!(rate(1_000_000), (125_000, None));
        assert_eq!(rate(100_000_000_000), (u32::MAX, Some(12_500_000_000)));
    }

    #[test]
    fn the_queue_holds_what_comes_while_a_packet_waits() {
        assert_eq!(limit(&Shape::default()), 1000);
        assert_eq!(limit(&shape()), 101_000);
        let slow = Shape { bandwidth: Some(Bandwidth { rate: 1_000_000, burst: 0 }), ..shape() };
        assert_eq!(limit(&slow), 2100);
        assert_eq!(limit(&Shape { delay: Duration::from_mins(1), ..shape() }), 1_000_000);
    }

    #[test]
    fn tables_have_the_mean_and_the_deviation_asked_for() {
        for distribution in [Distribution::Normal, Distribution::Pareto, Distribution::ParetoNormal] {
            let table = table(distribution);
            let of = |f: &dyn Fn(f64) -> f64| table.iter().map(|v| f(f64::from(*v) / SCALE)).sum::<f64>() / 4096.0;
            let (mean, deviation) = (of(&|v| v), of(&|v| v * v).sqrt());
            assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3, "{distribution:?}: {mean} ± {deviation}");
            assert!(table.is_sorted(), "{distribution:?}");
        }
    }

    #[test]
    fn the_bell_is_the_known_one() {
        for (u, x) in [(0.5, 0.0), (0.975, 1.959_964), (0.001, -3.090_232)] {
            assert!((normal(u) - x).abs() < 1e-6, "{u}");
        }
    }
}
