//! The faults, and by which words of the program they are known.

use crate::within::Said;

/// A fault, and what the program in the container is to meet.
pub(crate) struct Case {
    /// As in an experiment, under `fault:`.
    pub(crate) fault: &'static str,
    /// Which of the things that it says tells.
    key: &'static str,
    /// What else is shown.
    beside: Option<&'static str>,
    /// How it is without the fault.
    well: Want,
    /// How it is with it.
    ill: Want,
}

/// What a word of the program is to be.
enum Want {
    Is(&'static str),
    /// A number before its unit, between two bounds.
    Within(f64, f64),
    /// So much less than before the fault, between two bounds.
    LessBy(f64, f64),
    /// Such a share of what it was before the fault, between two bounds.
    ShareOf(f64, f64),
}
use Want::{Is, LessBy, ShareOf, Within};

impl Want {
    fn is_met(&self, key: &str, now: &Said, before: &Said) -> bool {
        match self {
            Is(value) => now.get(key).is_some_and(|v| v == value),
            Within(least, most) => number(now, key).is_some_and(|n| (*least..=*most).contains(&n)),
            LessBy(least, most) => {
                let less = number(before, key).zip(number(now, key)).map(|(before, now)| before - now);
                less.is_some_and(|less| (*least..=*most).contains(&less))
            }
            ShareOf(least, most) => {
                let share = number(before, key).zip(number(now, key)).map(|(before, now)| now / before);
                share.is_some_and(|share| (*least..=*most).contains(&share))
            }
        }
    }
}

/// A number before its unit.
fn number(said: &Said, key: &str) -> Option<f64> {
    let text = said.get(key)?;
    text[..text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len())].parse().ok()
}

impl Case {
    const fn new(fault: &'static str, key: &'static str, well: Want, ill: Want) -> Self {
        Self { fault, key, beside: None, well, ill }
    }

    const fn beside(self, key: &'static str) -> Self {
        Self { beside: Some(key), ..self }
    }

    pub(crate) fn is_well(&self, now: &Said) -> bool {
        self.well.is_met(self.key, now, now)
    }

    pub(crate) fn is_ill(&self, now: &Said, before: &Said) -> bool {
        self.ill.is_met(self.key, now, before)
    }

    /// What it said, as far as it is about this.
    pub(crate) fn shown(&self, said: &Said) -> String {
        let word = |key: &str| format!("{key} {}", said.get(key).map_or("?", String::as_str));
        let words: Vec<String> = std::iter::once(self.key).chain(self.beside).map(word).collect();
        words.join(", ")
    }
}

/// Any number.
const ANY: Want = Within(0.0, 1e12);
/// What the disk of any machine can do, and a tenth of what the slow one may.
const FAST: Want = Within(600.0, 1e9);
const SLOW: Want = Within(150.0, 400.0);
/// Half a core is what the container may use; a machine that is busy with others may give it less.
const BUSY: Want = Within(15.0, 60.0);
/// 512 MiB of a file system that others write to as well.
const ABOUT_512: Want = LessBy(400.0, 700.0);

/// All of them.
pub(crate) const ALL: &[Case] = &[
    Case::new("pids: { leave: 0 }", "threads", Is("ok"), Is("EAGAIN")),
    Case::new("throttle: { cores: 0.1 }", "cpu", BUSY, Within(4.0, 13.0)),
    Case::new("throttle: { cpu: 20% }", "cpu", BUSY, Within(4.0, 13.0)),
    // It has more than that; the pages of files are what the kernel can take.
    Case::new("throttle: { memory: 50% }", "limit", Is("256MiB"), Is("128MiB")).beside("memory"),
    Case::new("disk-slow: { path: /data, write: 256KiB/s }", "write", FAST, SLOW).beside("read"),
    Case::new("disk-slow: { path: /data, read: 256KiB/s }", "read", FAST, SLOW).beside("write"),
    Case::new("file-descriptors: { leave: 4 }", "open", Is("ok"), Is("EMFILE")).beside("connect"),
    Case::new("sockets: { ports: 4 }", "connect", Is("ok"), Is("EADDRNOTAVAIL")).beside("open"),
    // Two that use what they get share the quota.
    Case::new("cpu: { load: 100% }", "cpu", BUSY, ShareOf(0.2, 0.75)),
    Case::new("memory: { size: 100MiB }", "used", Within(38.0, 70.0), Within(135.0, 165.0)).beside("memory"),
    Case::new("memory: { to: 80% }", "used", Within(38.0, 70.0), Within(180.0, 208.0)).beside("memory"),
    Case::new("process: { name: worker, act: stop }", "worker", Is("answers"), Is("hangs")),
    Case::new("disk-fill: { path: /, size: 512MiB }", "root", ANY, ABOUT_512),
    Case::new("disk-fill: { path: /data, size: 512MiB }", "data", ANY, ABOUT_512),
    Case::new("disk-fill: { path: /memory, leave: 2MiB }", "room", Within(30.0, 32.0), Within(1.0, 2.0)).beside("note"),
    Case::new("disk-fill: { path: /memory, to: 75% }", "room", Within(30.0, 32.0), Within(7.0, 8.0)).beside("note"),
    Case::new("disk-fill: { path: /memory, to: 100% }", "note", Is("ok"), Is("ENOSPC")).beside("room"),
    Case::new("disk-fill: { path: /memory, inodes: 100% }", "note", Is("ok"), Is("ENOSPC")).beside("room"),
    Case::new("disk-readonly: { path: /memory }", "note", Is("ok"), Is("EROFS")).beside("write"),
    Case::new("disk-readonly: { path: /data }", "write", FAST, Is("EROFS")).beside("note"),
];
