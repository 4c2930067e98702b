//! What passes later, slower, or in pieces.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::io::{finish, read, send};
use crate::host::shaper::model::Model;
use crate::model::network::{Bandwidth, Delay, LEAST_DELAY, Shape, Slice, StreamFault};

/// Nothing is later.
pub(super) const NONE: Delay =
    Delay { delay: Duration::ZERO, jitter: Duration::ZERO, distribution: crate::model::network::Distribution::Uniform };

/// How many bytes of one way wait, and how many pieces of them: from then on no more are read.
const MOST: usize = 1024 * 1024;
const PIECES: usize = 1024;

/// How large a piece may be, and how long one may take at a rate.
const PIECE: usize = 16 * 1024;
const LASTS: f64 = 0.02;

/// When bytes go on.
#[derive(Debug)]
pub(super) struct Pace {
    model: Model,
    begin: Instant,
    piece: usize,
    every: Duration,
    last: Instant,
}

impl Pace {
    pub(super) fn new(delay: Delay, bandwidth: Option<u64>, slice: Option<Slice>, seed: u64) -> Self {
        let Delay { delay, jitter, distribution } = delay;
        let at_a_time = bandwidth.map(|rate| rate as f64 / 8.0 * LASTS);
        let bandwidth = bandwidth.map(|rate| Bandwidth { rate, burst: 0 });
        let shape = Shape { delay, jitter, distribution, bandwidth, ..Shape::default() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let at_a_time = at_a_time.map_or(PIECE, |bytes| bytes as usize);
        let sliced = slice.map_or(PIECE, |slice| usize::try_from(slice.size).unwrap_or(PIECE));
        let begin = Instant::now();
        Self {
            model: Model::new(shape, seed),
            begin,
            piece: at_a_time.min(sliced).clamp(1, PIECE),
            every: slice.map_or(Duration::ZERO, |slice| slice.every),
            last: begin,
        }
    }

    /// How many bytes go on together.
    pub(super) fn piece(&self) -> usize {
        self.piece
    }

    /// When so many bytes go on that are here now. They never overtake those before them.
    pub(super) fn due(&mut self, length: usize) -> Instant {
        let now = self.begin.elapsed();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let due = self.model.fates(nanoseconds, length).own.map_or(now, |own| Duration::from_nanos(own.due));
        self.last = (self.begin + due).max(self.last + self.every);
        self.last
    }
}

/// One way of a connection.
pub(super) struct Way<'a> {
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    /// Whether it leads to the server.
    pub(super) is_up: bool,
    pub(super) fault: &'a StreamFault,
    pub(super) seed: u64,
    /// Told when something of it is not as it would have been.
    pub(super) happens: &'a (dyn Fn() + Sync),
}

impl Way<'_> {
    /// Passes bytes on as the fault has it, up to the end or to its limit; whether the connection is over then.
    pub(super) async fn pass(self) -> io::Result<bool> {
        let Way { from, to, fault, happens, .. } = self;
        if fault.hang {
            return self.hang().await;
        }
        let mut pace = Pace::new(fault.delay, fault.bandwidth, fault.slice, self.seed);
        let mut left = fault.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let (mut bytes, mut open, mut fresh) = (0, true, Vec::new());
        loop {
            let due = waiting.front().map(|(due, _)| *due);
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let Some((_, mut piece)) = waiting.pop_front() else { continue };
                    bytes -= piece.len();
                    let length = left.map_or(piece.len(), |left| left.min(piece.len()));
                    send(to, &mut piece, length).await?;
                    if let Some(left) = &mut left {
                        *left -= length;
                        if *left == 0 {
                            happens();
                            return Ok(true);
                        }
                    }
                }
                n = read(from, &mut fresh), if open && bytes < MOST && waiting.len() < PIECES => {
                    open = n? > 0;
                    if fault.slice.is_some() && fresh.len() > pace.piece() {
                        happens();
                    }
                    for piece in fresh.chunks(pace.piece()) {
                        let due = pace.due(piece.len());
                        if due > Instant::now() + LEAST_DELAY {
                            happens();
                        }
                        waiting.push_back((due, piece.to_vec()));
                    }
                    bytes += fresh.len();
                    fresh = Vec::new();
                }
                else => break,
            }
        }
        if !fault.slow_close.is_zero() {
            happens();
            sleep(fault.slow_close).await;
        }
        finish(to).map(|()| false)
    }

    /// Passes nothing on, not even the end; but where the client goes, the server is not held.
    async fn hang(self) -> io::Result<bool> {
        let mut unheard = Vec::new();
        loop {
            let n = read(self.from, &mut unheard).await?;
            (self.happens)();
            match (n, self.is_up) {
                (0, true) => return Ok(true),
                (0, false) => return std::future::pending().await,
                _ => unheard.clear(),
            }
        }
    }
}
