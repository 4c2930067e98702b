//! Chance: numbers of a seeded source that may depend on the one before, and what they mean as delays and as losses. Pure.

use rand::rngs::ChaCha12Rng;
use rand::{Rng as _, SeedableRng as _};

use crate::model::network::{Chance, Distribution, Loss};

/// A source of numbers from 0 to below 1, each as likely, with 53 bits.
#[derive(Debug)]
pub(super) struct Source(ChaCha12Rng);

impl Source {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    pub(super) fn number(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Numbers that depend on the one before: so likely is each the very same as the last. Unlike with a mean of the two,
/// which the kernel's emulator takes, a share stays the share that was asked for, however strong the correlation.
#[derive(Debug)]
pub(super) struct Correlated {
    correlation: f64,
    last: Option<f64>,
}

impl Correlated {
    pub(super) fn new(correlation: f64) -> Self {
        Self { correlation, last: None }
    }

    pub(super) fn number(&mut self, source: &mut Source) -> f64 {
        let number = match self.last {
            Some(last) if self.correlation > 0.0 && source.number() < self.correlation => last,
            _ => source.number(),
        };
        self.last = Some(number);
        number
    }
}

/// Something that happens to some packets.
#[derive(Debug)]
pub(super) struct Event {
    probability: f64,
    numbers: Correlated,
}

impl Event {
    pub(super) fn new(chance: Chance) -> Self {
        Self { probability: chance.probability, numbers: Correlated::new(chance.correlation) }
    }

    pub(super) fn happens(&mut self, source: &mut Source) -> bool {
        self.probability > 0.0 && self.numbers.number(source) < self.probability
    }
}

/// Where a number from 0 to 1 stands in a distribution of mean 0; its standard deviation is 1 but for the uniform one,
/// which goes from -1 to 1.
pub(super) fn quantile(distribution: Distribution, number: f64) -> f64 {
    // A quarter and three quarters of the two, which go together but not quite, deviate by less than one.
    const MIXED: f64 = 0.956_578_9;
    // The density of pareto is 3/x⁴ from 1 on. Cut at 8, beyond which one in 512 lies, its mean is 191/128, and this is
    // its deviation: so it ends at nine deviations.
    let pareto = || ((1.0 - number).powf(-1.0 / 3.0).min(8.0) - 191.0 / 128.0) / 0.723_447_6;
    match distribution {
        Distribution::Uniform => 2.0 * number - 1.0,
        Distribution::Normal => normal(number),
        Distribution::Pareto => pareto(),
        Distribution::ParetoNormal => (0.25 * normal(number) + 0.75 * pareto()) / MIXED,
    }
}

/// The normal distribution's quantile, by the rational approximations of P. J. Acklam (relative error below 1.2e-9).
#[expect(clippy::many_single_char_names, reason = "as in every text about it")]
fn normal(p: f64) -> f64 {
    const EDGE: f64 = 0.02425;
    let p = p.clamp(1e-16, 1.0 - 1e-16);
    let tail = |q: f64| {
        let c = [
            -7.784_894_002_430_293e-3,
            -3.223_964_580_411_365e-1,
            -2.400_758_277_161_838,
            -2.549_732_539_343_734,
            4.374_664_141_464_968,
            2.938_163_982_698_783,
        ];
        let d = [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416, 1.0];
        polynomial(&c, q) / polynomial(&d, q)
    };
    if p < EDGE {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - EDGE {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let (q, a, b) = (
            p - 0.5,
            [
                -3.969_683_028_665_376e1,
                2.209_460_984_245_205e2,
                -2.759_285_104_469_687e2,
                1.383_577_518_672_69e2,
                -3.066_479_806_614_716e1,
                2.506_628_277_459_239,
            ],
            [
                -5.447_609_879_822_406e1,
                1.615_858_368_580_409e2,
                -1.556_989_798_598_866e2,
                6.680_131_188_771_972e1,
                -1.328_068_155_288_572e1,
                1.0,
            ],
        );
        let r = q * q;
        polynomial(&a, r) * q / polynomial(&b, r)
    }
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// Which packets are lost.
#[derive(Debug)]
pub(super) enum Losses {
    Random(Event),
    /// Whether the state is bad.
    Gilbert {
        loss: Loss,
        bad: bool,
    },
    /// The state, from 1 to 4.
    Markov {
        loss: Loss,
        state: u8,
    },
}

impl Losses {
    pub(super) fn new(loss: Loss) -> Self {
        match loss {
            Loss::Random(chance) => Self::Random(Event::new(chance)),
            Loss::GilbertElliott { .. } => Self::Gilbert { loss, bad: false },
            Loss::Markov { .. } => Self::Markov { loss, state: 1 },
        }
    }

    pub(super) fn lost(&mut self, source: &mut Source) -> bool {
        match self {
            Self::Random(event) => event.happens(source),
            Self::Gilbert { loss: Loss::GilbertElliott { p, r, bad: in_bad, good: in_good }, bad } => {
                // As the kernel's emulator does it, the state that a packet meets decides about it, and then changes.
                let (to_other, to_loss) = if *bad { (*r, *in_bad) } else { (*p, *in_good) };
                let (changes, lost) = (source.number() < to_other, source.number() < to_loss);
                *bad ^= changes;
                lost
            }
            Self::Markov { loss: Loss::Markov { p13, p31, p32, p23, p14 }, state } => {
                let number = source.number();
                *state = match *state {
                    1 if number < *p14 => 4,
                    1 if number < *p14 + *p13 => 3,
                    2 if number < *p23 => 3,
                    2 => 2,
                    3 if number < *p32 => 2,
                    3 if number < *p32 + *p31 => 1,
                    3 => 3,
                    _ => 1,
                };
                *state >= 3
            }
            Self::Gilbert { .. } | Self::Markov { .. } => false,
        }
    }
}
