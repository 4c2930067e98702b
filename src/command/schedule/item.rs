//! An entry of a schedule file as the daemon has it: when it starts next, and what of its past is settled.

use std::path::PathBuf;

use jiff::Timestamp;

use super::memory::Memory;
use super::say;
use super::view::View;
use crate::occasions::notify::Recipient;
use crate::occasions::schedule::{Entry, Missed, Tell, Timetable};

/// An entry of a file.
pub(super) struct Item {
    pub(super) schedule: String,
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) entry: Entry,
    pub(super) opt_out: Vec<String>,
    pub(super) notify: Vec<Recipient>,
    pub(super) tell: Tell,
    pub(super) times: Timetable,
    pub(super) next: Option<Timestamp>,
}

impl Item {
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.schedule, self.name)
    }
}

/// Sets when an entry starts next. Where starts were missed and are left out, all up to now is settled; the first of them.
pub(super) fn advance(item: &mut Item, memory: &mut Memory, now: Timestamp) -> Option<Timestamp> {
    let key = item.key();
    let next = item.times.next(memory.past(&key, now));
    let missed = next.filter(|next| Timetable::is_late(*next, now) && item.entry.missed == Missed::Skip);
    if missed.is_some() {
        memory.settle(&key, now, None);
    }
    item.next = item.times.from_now(memory.past(&key, now), now);
    missed
}

pub(super) fn tell_missed(item: &Item, at: Timestamp, view: &View) {
    say(&format!("{}: missed its start at {}", item.key(), at.strftime("%Y-%m-%dT%H:%M:%SZ")));
    view.skipped(&item.schedule, &item.name, "missed");
}
