//! The loop that holds packets: one thread, in the namespace whose packets they are.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::dns::{self, Reaction};
use super::hold::{Held, Hold, MOST};
use super::layout::{LaneWork, Layout, again};
use super::model::{Model, PacketDecision, Time};
use super::statistics::{BOARD, Statistics};
use crate::host::board::Board;
use crate::host::net::nft::rule::OWN;
use crate::host::net::nft::{self, Table, TableState};
use crate::host::net::queue::{Packet, Queues, Word};
use crate::host::net::raw::Raw;

/// How often it looks whether its table is still there, and shows its statistics.
const LOOK: Duration = Duration::from_millis(500);

/// A shaper whose queues are bound.
#[derive(Debug)]
pub struct Shaper {
    layout: Layout,
    models: Vec<Model>,
    queues: Queues,
    raw: Raw,
    hold: Hold,
    begin: Instant,
    statistics: Statistics,
    waited: Histogram<u64>,
    board: Board,
    /// What was just received.
    fresh: Vec<Held>,
}

impl Shaper {
    /// Binds the queues of a layout in the namespace of this thread, which will do nothing else from now on. `seed` is
    /// what every choice comes from.
    ///
    /// # Errors
    /// Where another process has the queues, or the kernel or the user's rights do not suffice.
    pub fn new(layout: Layout, seed: u64) -> io::Result<Self> {
        // Without this the kernel wakes a thread up to 50 µs late, to save power.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let queues: Vec<_> = layout.lanes.iter().map(|lane| (lane.queue, layout.copied(lane))).collect();
        let reads_names = layout.lanes.iter().any(|lane| matches!(lane.work, LaneWork::Names(_)));
        let models = layout.models.iter().zip(0_u64..).map(|(shape, number)| {
            // Far apart, so that the seeds of runs do not meet those of other models.
            Model::new(shape.clone(), seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        });
        Ok(Self {
            models: models.collect(),
            queues: Queues::bind(&queues)?,
            raw: Raw::open(OWN)?,
            hold: Hold::new(MOST),
            begin: Instant::now(),
            statistics: Statistics { names: reads_names.then_some(0), ..Statistics::default() },
            waited: Histogram::new(2).map_err(io::Error::other)?,
            board: Board::new(BOARD)?,
            fresh: Vec::new(),
            layout,
        })
    }

    /// Holds packets until one of the `ends` can be read, the table that stands for `mark` is gone, or its lease has lapsed; then
    /// lets go of all of them.
    ///
    /// # Errors
    /// Where the kernel takes the queues away.
    pub fn serve(&mut self, mark: &str, ends: [BorrowedFd<'_>; 2]) -> io::Result<()> {
        // On a busy machine what is due goes before what has time; such as the start of others like this one.
        let _ = rustix::process::setpriority_process(None, -20);
        let mut look = Instant::now() + LOOK;
        let mut affected = false;
        loop {
            let more = self.round()?;
            let now = Instant::now();
            if self.affects() != affected {
                // Who judges at the first failure finds told what has made it.
                affected = true;
                self.show();
            }
            if now >= look {
                self.show();
                if !nft::tables().is_ok_and(|tables| tables.iter().any(|table| goes_on(table, mark))) {
                    break;
                }
                look = now + LOOK;
            }
            let wait = if more { Duration::ZERO } else { self.idle().min(look - now) };
            let [packets, told, ended] = [self.queues.fd().as_fd(), ends[0], ends[1]];
            let mut fds = [packets, told, ended].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            if fds[1..].iter().any(|fd| !fd.revents().is_empty()) {
                break;
            }
        }
        self.let_go()
    }

    /// Lets go what is due, and takes in what has come; whether more may have.
    fn round(&mut self) -> io::Result<bool> {
        let now = self.now();
        while let Some((due, held)) = self.hold.take(now) {
            self.advance(held, due)?;
        }
        self.queues.flush()?;
        let more = self.receive()?;
        let now = self.now();
        for mut held in std::mem::take(&mut self.fresh) {
            held.came = now;
            self.advance(held, now)?;
        }
        self.queues.flush()?;
        Ok(more)
    }

    fn receive(&mut self) -> io::Result<bool> {
        let (fresh, lanes) = (&mut self.fresh, &self.layout.lanes);
        let more = self.queues.receive(|Packet { queue, id, mark, length, data }| {
            let Some(lane) = lanes.iter().position(|lane| lane.queue == queue) else { return };
            let again = again(mark, data);
            let data = (data.len() == length).then(|| data.to_vec());
            fresh.push(Held { lane, met: 0, id: Some(id), again, length, data, altered: false, came: 0 });
        });
        self.statistics.packets += self.fresh.len() as u64;
        self.statistics.overruns = self.queues.overruns;
        more
    }

    /// A packet meets the models that it has not met yet, as far as it gets by now.
    fn advance(&mut self, mut held: Held, now: Time) -> io::Result<()> {
        loop {
            let model = match self.layout.lanes.get(held.lane).map(|lane| &lane.work) {
                Some(LaneWork::Shape(models)) => models.get(held.met).and_then(|model| self.models.get_mut(*model)),
                Some(LaneWork::Names(names)) => {
                    let reaction = held.data.as_deref().map_or(Reaction::Pass, |data| dns::react(data, names));
                    return self.answer(&held, &reaction);
                }
                None => None,
            };
            let Some(model) = model else { return self.pass(&held, now) };
            let fates = model.fates(now, held.length);
            held.met += 1;
            if let (Some(fate), Some(_)) = (fates.copy, &held.data) {
                let copy = Held { id: None, ..held.clone() };
                self.meet(copy, fate, now)?;
            }
            let Some(fate) = fates.own else {
                self.statistics.dropped += 1;
                return self.decide(&held, Word::Drop);
            };
            if fate.due > now {
                return self.meet(held, fate, now);
            }
            self.count(fate);
            self.corrupt(&mut held, fate);
        }
    }

    /// A DNS query passes, or does not.
    fn answer(&mut self, held: &Held, reaction: &Reaction) -> io::Result<()> {
        if *reaction == Reaction::Pass {
            return self.decide(held, Word::Accept);
        }
        *self.statistics.names.get_or_insert(0) += 1;
        // The asker finds it told when it has its answer.
        self.show();
        if let Reaction::Answer(packet) = reaction
            && self.raw.send(packet).is_err()
        {
            self.statistics.failed += 1;
        }
        self.decide(held, Word::Drop)
    }

    /// A packet meets its fate.
    fn meet(&mut self, mut held: Held, fate: PacketDecision, now: Time) -> io::Result<()> {
        self.count(fate);
        self.corrupt(&mut held, fate);
        if fate.due <= now {
            return self.advance(held, now);
        }
        match self.hold.put(fate.due, held) {
            Ok(()) => Ok(()),
            Err(held) => {
                self.statistics.overflowed += 1;
                self.decide(&held, Word::Drop)
            }
        }
    }

    /// A packet that goes ahead overtakes only if another one waits.
    fn count(&mut self, fate: PacketDecision) {
        self.statistics.paced += u64::from(fate.paced);
        self.statistics.overtaking += u64::from(fate.ahead && self.hold.len() > 0);
    }

    fn corrupt(&mut self, held: &mut Held, fate: PacketDecision) {
        if let (Some(number), Some(data)) = (fate.corrupt, &mut held.data)
            && turn_over(data, number)
        {
            held.altered = true;
            self.statistics.corrupted += 1;
        }
    }

    /// A packet has met everything and goes on.
    fn pass(&mut self, held: &Held, now: Time) -> io::Result<()> {
        // Those that go at once would hide how long the others wait.
        if now > held.came {
            let _ = self.waited.record((now.max(self.now()) - held.came) / 1000);
        }
        match (&held.data, held.id) {
            (Some(data), None) => {
                // Such as one that would have to be cut to pieces.
                match self.raw.send(data) {
                    Ok(()) => self.statistics.duplicated += 1,
                    Err(_) => self.statistics.failed += 1,
                }
                Ok(())
            }
            (Some(data), Some(_)) if held.altered => self.decide(held, Word::Altered(data)),
            _ => self.decide(held, Word::Accept),
        }
    }

    fn decide(&mut self, held: &Held, word: Word<'_>) -> io::Result<()> {
        match (held.id, self.layout.lanes.get(held.lane)) {
            (Some(id), Some(lane)) => self.queues.decide(lane.queue, id, word, held.again),
            _ => Ok(()),
        }
    }

    /// Everything that waits goes on now, and so does what still comes, until the socket closes.
    fn let_go(&mut self) -> io::Result<()> {
        while let Some((_, held)) = self.hold.take(Time::MAX) {
            let now = self.now();
            self.pass(&held, now)?;
        }
        while self.receive()? || !self.fresh.is_empty() {
            for held in std::mem::take(&mut self.fresh) {
                self.decide(&held, Word::Accept)?;
            }
        }
        self.queues.flush()
    }

    /// How long nothing is due.
    fn idle(&self) -> Duration {
        Duration::from_nanos(self.hold.next().map_or(Time::MAX, |due| due.saturating_sub(self.now())))
    }

    fn now(&self) -> Time {
        Time::try_from(self.begin.elapsed().as_nanos()).unwrap_or(Time::MAX)
    }

    /// Whether any packet was treated otherwise than all others so far.
    fn affects(&self) -> bool {
        let of = &self.statistics;
        of.dropped + of.duplicated + of.corrupted + of.overtaking + of.paced + of.overflowed > 0
    }

    fn show(&mut self) {
        self.statistics.held = self.hold.len() as u64;
        self.statistics.held_bytes = self.hold.bytes() as u64;
        self.statistics.median_us = self.waited.value_at_quantile(0.5);
        self.statistics.p99_us = self.waited.value_at_quantile(0.99);
        self.board.show(&self.statistics);
    }
}

/// Whether a table still hands packets over. What is not finished may have a beginning yet to come.
fn goes_on(table: &Table, mark: &str) -> bool {
    table.mark == mark && table.state != TableState::Lapsed
}

/// Turns one bit of a packet over, beyond its IP header, which the kernel has read already; says whether it has any.
fn turn_over(packet: &mut [u8], number: u64) -> bool {
    let header = match packet.first() {
        Some(first) if first >> 4 == 4 => usize::from(first & 15) * 4,
        _ => 40,
    };
    let Some(rest) = packet.get_mut(header..).filter(|rest| !rest.is_empty()) else { return false };
    let bit = usize::try_from(number % (rest.len() as u64 * 8)).unwrap_or(0);
    rest[bit / 8] ^= 1 << (bit % 8);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_turned_over_beyond_the_header() {
        for number in 0..200 {
            let before: Vec<u8> = [0x45].into_iter().chain([0; 29]).collect();
            let mut after = before.clone();
            assert!(turn_over(&mut after, number));
            assert_eq!(after[..20], before[..20]);
            assert_eq!(after.iter().map(|byte| byte.count_ones()).sum::<u32>(), 3 + 1);
        }
        assert!(!turn_over(&mut [0x45; 20], 5));
    }
}
