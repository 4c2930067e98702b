//! Packets that wait for their time, in the order of their times, up to a stated amount of memory. Pure.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::model::Time;

/// How many bytes of packets may wait: what the kernel's emulator bounds by a number of packets.
pub(super) const MOST: usize = 256 << 20;

/// What the kernel spends on a packet besides its bytes, about.
const EACH: usize = 768;

/// A packet on its way through a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its lane, by index.
    pub(super) lane: usize,
    /// How many of the lane's models it has met.
    pub(super) met: usize,
    /// Its number in the lane's queue; none: it is a copy, and the kernel waits for no word about it.
    pub(super) id: Option<u32>,
    /// The mark with which it meets its rules once more when it goes on, if it does.
    pub(super) again: Option<u32>,
    /// Its bytes from the IP header on.
    pub(super) length: usize,
    /// All of them, where they are wanted.
    pub(super) data: Option<Vec<u8>>,
    /// Whether they are not what they were.
    pub(super) altered: bool,
    /// When it came.
    pub(super) came: Time,
}

impl Held {
    fn cost(&self) -> usize {
        self.length + self.data.as_ref().map_or(0, Vec::len) + EACH
    }
}

/// Packets by the time they are due; those of the same time in the order they were put in.
#[derive(Debug)]
pub(super) struct Hold {
    waiting: BinaryHeap<Reverse<Waiting>>,
    put: u64,
    bytes: usize,
    most: usize,
}

#[derive(Debug)]
struct Waiting {
    due: Time,
    turn: u64,
    held: Held,
}

impl Hold {
    pub(super) fn new(most: usize) -> Self {
        Self { waiting: BinaryHeap::new(), put: 0, bytes: 0, most }
    }

    /// Takes a packet in until it is due; gives it back where there is no more room.
    pub(super) fn put(&mut self, due: Time, held: Held) -> Result<(), Held> {
        if self.bytes + held.cost() > self.most {
            return Err(held);
        }
        self.bytes += held.cost();
        self.put += 1;
        self.waiting.push(Reverse(Waiting { due, turn: self.put, held }));
        Ok(())
    }

    /// Gives out the next packet that is due by now, and when it was.
    pub(super) fn take(&mut self, now: Time) -> Option<(Time, Held)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(Waiting { due, held, .. }) = self.waiting.pop()?;
        self.bytes -= held.cost();
        Some((due, held))
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.due)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.turn).cmp(&(other.due, other.turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(id: u32, length: usize) -> Held {
        Held { lane: 0, met: 0, id: Some(id), again: None, length, data: None, altered: false, came: 0 }
    }

    #[test]
    fn packets_go_when_due_and_equals_in_turn() {
        let mut hold = Hold::new(1 << 20);
        for (id, due) in [(1, 30), (2, 10), (3, 10), (4, 20)] {
            hold.put(due, packet(id, 100)).unwrap();
        }
        assert_eq!(hold.take(9), None);
        let order: Vec<_> = std::iter::from_fn(|| hold.take(20)).map(|(due, held)| (due, held.id.unwrap())).collect();
        assert_eq!(order, [(10, 2), (10, 3), (20, 4)]);
        assert_eq!((hold.next(), hold.len(), hold.bytes()), (Some(30), 1, 100 + EACH));
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut hold = Hold::new(2 * (1500 + EACH));
        hold.put(1, packet(1, 1500)).unwrap();
        hold.put(1, packet(2, 1500)).unwrap();
        assert_eq!(hold.put(0, packet(3, 0)).unwrap_err().id, Some(3));
        hold.take(1).unwrap();
        hold.put(1, packet(4, 1500)).unwrap();
    }
}
