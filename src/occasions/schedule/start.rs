//! When an entry starts. The same file, seed and past give the same instants on any machine, however often it is asked.

use jiff::{SignedDuration, Timestamp};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Open, Random, Schedule};
use crate::model::quantity::Cron;
use crate::text::fingerprint;

/// What becomes of starts that were missed: the daemon was down, another run went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// They are made up for by one start, at the next moment at which it may start.
    CatchUp,
}

/// What is known of an entry's past.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Up to when all is settled: the last start, or the moment at which the entry was first seen.
    pub settled: Timestamp,
    /// The starts of the last two days, for `per-day`.
    pub starts: Vec<Timestamp>,
}

/// When an entry starts.
#[derive(Debug, Clone)]
pub struct Timetable {
    when: When,
    open: Open,
    missed: Missed,
    seed: u64,
}

#[derive(Debug, Clone)]
enum When {
    Cron { cron: Cron, jitter: SignedDuration },
    Random(Random),
}

/// So many times of an expression that are not open in a row (ten years of days): it never is.
const TRIES: usize = 10 * 366;

/// A day to count from where any does: 2026-01-01.
const SOME_DAY: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// A late start is one that is so late.
const LATE: SignedDuration = SignedDuration::from_secs(60);

impl Timetable {
    /// The timetable of an entry; nothing where it says neither `cron` nor `random`, which reading a file refuses.
    #[must_use]
    pub fn of(schedule: &Schedule, name: &str, entry: &Entry, seed: u64) -> Option<Self> {
        let zone = schedule.time_zone.clone().unwrap_or_default().0;
        let jitter = SignedDuration::try_from(entry.jitter.0).unwrap_or(SignedDuration::ZERO);
        let when = match (&entry.cron, entry.random) {
            (Some(cron), _) => When::Cron { cron: cron.clone(), jitter },
            (None, Some(random)) => When::Random(random),
            (None, None) => return None,
        };
        let open = Open::new(zone, entry.hours, schedule.blackout.clone());
        Some(Self { when, open, missed: entry.missed, seed: mixed(seed, [&schedule.name, name]) })
    }

    /// The time at which it may start.
    #[must_use]
    pub fn open(&self) -> &Open {
        &self.open
    }

    /// The first start after what is settled; nothing where there is none any more.
    #[must_use]
    pub fn next(&self, past: &Past) -> Option<Timestamp> {
        match &self.when {
            When::Cron { cron, jitter } => self.next_cron(cron, *jitter, past.settled),
            When::Random(random) => self.next_random(random, past),
        }
    }

    /// Whether there is a start at all, as if the file were first seen when its last blackout is over.
    #[must_use]
    pub fn starts_ever(&self, schedule: &Schedule) -> bool {
        let last = schedule.blackout.iter().map(|days| days.last).max();
        let end = last.and_then(|day| day.to_zoned(self.open.zone().clone()).ok()).map(|day| day.timestamp());
        let settled = end.unwrap_or(SOME_DAY).max(SOME_DAY);
        match &self.when {
            When::Cron { .. } => self.next(&Past { settled, starts: Vec::new() }).is_some(),
            // Chance may put off a single start beyond every horizon.
            When::Random(random) => {
                SignedDuration::try_from(random.at_least.0).is_ok_and(|least| self.open.after(settled, least).is_some())
            }
        }
    }

    /// Whether a start that is made now is missed, not merely behind.
    #[must_use]
    pub fn is_late(start: Timestamp, now: Timestamp) -> bool {
        now.duration_since(start) > LATE
    }

    /// The next start, seen from now: one that is missed is left out or made up for, as the file says.
    #[must_use]
    pub fn from_now(&self, past: &Past, now: Timestamp) -> Option<Timestamp> {
        let next = self.next(past)?;
        if !Self::is_late(next, now) {
            return Some(next);
        }
        match self.missed {
            Missed::CatchUp => self.open.after(now, SignedDuration::ZERO),
            Missed::Skip => self.next(&Past { settled: now, starts: past.starts.clone() }),
        }
    }

    /// Random numbers for what is chosen at a start: the experiment, the targets.
    #[must_use]
    pub fn dice(&self, start: Timestamp) -> ChaCha12Rng {
        self.random(start, 1)
    }

    fn random(&self, at: Timestamp, what: u64) -> ChaCha12Rng {
        let ms = u64::from_ne_bytes(at.as_millisecond().to_ne_bytes());
        ChaCha12Rng::seed_from_u64(mixed(self.seed ^ ms.rotate_left(8) ^ what, []))
    }

    /// The earliest start after `settled`: with jitter, that of an earlier time of the expression may come later.
    fn next_cron(&self, cron: &Cron, jitter: SignedDuration, settled: Timestamp) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        let mut at = settled.checked_sub(jitter).ok()?.to_zoned(self.open.zone().clone());
        for _ in 0..TRIES {
            let Some(next) = cron.after(&at) else { break };
            at = next;
            let time = at.timestamp();
            if best.is_some_and(|best| time >= best) {
                break;
            }
            let start = time.checked_add(self.put_off(time, jitter)).ok()?;
            if self.open.at(start) {
                if start > settled {
                    best = Some(best.map_or(start, |best| best.min(start)));
                }
            } else {
                // On to what may be put off into the next open time.
                let Some(open) = self.open.after(start, SignedDuration::ZERO) else { break };
                let before = open.checked_sub(jitter + SignedDuration::from_secs(1)).ok()?;
                at = at.timestamp().max(before).to_zoned(self.open.zone().clone());
            }
        }
        best
    }

    /// By how much the start of a time of the expression is put off.
    fn put_off(&self, time: Timestamp, jitter: SignedDuration) -> SignedDuration {
        if jitter.is_zero() {
            return jitter;
        }
        jitter.mul_f64(self.random(time, 0).random::<f64>())
    }

    /// Waits of a least time plus an exponentially distributed one, in open time.
    fn next_random(&self, random: &Random, past: &Past) -> Option<Timestamp> {
        let mut from = past.settled;
        let mut rng = self.random(from, 0);
        let full = |day| {
            let starts = past.starts.iter().filter(|at| self.open.day(**at) == day).count();
            random.per_day.is_some_and(|most| starts >= most as usize)
        };
        // Each round moves on to another day.
        for _ in 0..366 {
            let above = random.mean.0.saturating_sub(random.at_least.0).as_secs_f64();
            let share = -(1.0 - rng.random::<f64>()).ln();
            let wait = random.at_least.0.as_secs_f64() + above * share;
            let start = self.open.after(from, SignedDuration::try_from_secs_f64(wait).ok()?)?;
            if !full(self.open.day(start)) {
                return Some(start);
            }
            from = self.open.tomorrow(start)?;
        }
        None
    }
}

/// A seed out of a seed and texts; the same on every machine and in every version.
fn mixed<const N: usize>(seed: u64, texts: [&str; N]) -> u64 {
    let texts = texts.iter().flat_map(|text| text.bytes().chain([0xff]));
    let bytes = seed.to_le_bytes().into_iter().chain(texts);
    // Then a round of mixing, so that neighbouring seeds have nothing in common.
    let hash = fingerprint::of_bytes(bytes);
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
