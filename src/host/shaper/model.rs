//! What becomes of each packet: pure, from a shape, a seeded source, and the packets' lengths and times.
//!
//! The words and their meaning are those of tc-netem(8). Two things are better here: shares are exact (0.4 % is 0.4 %),
//! with a correlation as well, and a rate may be given a burst.

use std::time::Duration;

use super::random::{Correlated, Event, Losses, Source, quantile};
use crate::model::network::{Bandwidth, LEAST_DELAY, Reorder, Shape};

/// Nanoseconds since a beginning that all times here have in common.
pub type Time = u64;

/// What becomes of a packet and of its copy; neither: it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketDecisions {
    /// The packet's own.
    pub own: Option<PacketDecision>,
    /// Its copy's, where it is duplicated.
    pub copy: Option<PacketDecision>,
}

/// What becomes of a packet that is not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketDecision {
    /// When it goes on: at once where that is not later than now.
    pub due: Time,
    /// A number that says which bit of it is turned over.
    pub corrupt: Option<u64>,
    /// Whether it goes ahead of those that wait.
    pub ahead: bool,
    /// Whether its rate makes it wait.
    pub paced: bool,
}

/// A shape at work.
#[derive(Debug)]
pub struct Model {
    source: Source,
    delay: f64,
    jitter: f64,
    shape: Shape,
    delays: Correlated,
    losses: Option<Losses>,
    corrupt: Option<Event>,
    duplicate: Option<Event>,
    reorder: Option<(Reorder, Event)>,
    /// Packets since one was sent ahead.
    since: u32,
    pace: Option<Pace>,
}

/// How packets follow each other at a rate.
#[derive(Debug, Clone, Copy)]
struct Pace {
    bandwidth: Bandwidth,
    /// When everything so far has passed, had there never been a burst.
    passed: f64,
    /// When the last packet went.
    last: f64,
}

impl Model {
    /// A shape at work, with a seed of its own.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
        Self {
            source: Source::new(seed),
            delay: nanoseconds(shape.delay),
            jitter: nanoseconds(shape.jitter),
            delays: Correlated::new(shape.correlation),
            losses: shape.loss.map(Losses::new),
            corrupt: shape.corrupt.map(Event::new),
            duplicate: shape.duplicate.map(Event::new),
            reorder: shape.reorder.map(|reorder| (reorder, Event::new(reorder.chance))),
            since: 0,
            pace: shape.bandwidth.map(|bandwidth| Pace { bandwidth, passed: 0.0, last: 0.0 }),
            shape,
        }
    }

    /// What becomes of a packet of so many bytes that comes now. Times must not go back.
    pub fn fates(&mut self, now: Time, length: usize) -> PacketDecisions {
        let twice = self.duplicate.as_mut().is_some_and(|event| event.happens(&mut self.source));
        let lost = self.losses.as_mut().is_some_and(|losses| losses.lost(&mut self.source));
        match (twice, lost) {
            (false, true) => PacketDecisions::default(),
            // Of two one is lost; of one nothing is.
            (true, true) | (false, false) => PacketDecisions { own: Some(self.fate(now, length)), copy: None },
            (true, false) => {
                // The copy is a packet like any other, but is not duplicated again.
                let lost = self.losses.as_mut().is_some_and(|losses| losses.lost(&mut self.source));
                let copy = (!lost).then(|| self.fate(now, length));
                PacketDecisions { own: Some(self.fate(now, length)), copy }
            }
        }
    }

    fn fate(&mut self, now: Time, length: usize) -> PacketDecision {
        let corrupt = self.corrupt.as_mut().is_some_and(|event| event.happens(&mut self.source));
        let corrupt = corrupt.then(|| self.source.bits());
        if let Some((reorder, event)) = &mut self.reorder
            && self.since + 1 >= reorder.gap
            && event.happens(&mut self.source)
        {
            self.since = 0;
            return PacketDecision { due: now, corrupt, ahead: true, paced: false };
        }
        self.since = self.since.saturating_add(1);
        let mut wait = self.delay;
        if self.jitter > 0.0 {
            wait += self.jitter * quantile(self.shape.distribution, self.delays.number(&mut self.source));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never below zero, and it saturates"
        )]
        let ready = now.saturating_add(wait.max(0.0).round() as u64);
        let due = self.pace.as_mut().map_or(ready, |pace| pace.departure(ready, length));
        let paced = u128::from(due - ready) >= LEAST_DELAY.as_nanos();
        PacketDecision { due, corrupt, ahead: false, paced }
    }
}

impl Pace {
    /// When a packet has passed that is ready at some time. It never overtakes the one before.
    fn departure(&mut self, ready: Time, length: usize) -> Time {
        let rate = self.bandwidth.rate.max(1) as f64;
        let lasts = |bytes: f64| bytes * 8e9 / rate;
        self.passed = self.passed.max(ready as f64) + lasts(length as f64);
        self.last = (self.passed - lasts(self.bandwidth.burst as f64)).max(ready as f64).max(self.last);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never below zero, and it saturates"
        )]
        let departure = self.last.ceil() as u64;
        departure
    }
}

#[cfg(test)]
mod tests;
