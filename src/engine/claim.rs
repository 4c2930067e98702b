//! A lock on a service: which run has it, which process holds it, and whether that one still lives. Knows no process and no
//! file; what is known of them is handed in.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A lock on the engine: this service belongs to this run for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The service.
    pub service: String,
    /// The run's id.
    pub run: String,
    /// Who runs it: user and host.
    pub owner: String,
    /// When it was taken (RFC 3339).
    pub at: String,
    /// Who holds it. Locks of older programs do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Who holds a lock, so that others can find out whether it is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run's journal, which the operating system locks for as long as its runner lives.
    pub journal: PathBuf,
    /// The runner.
    pub process: ProcessId,
    /// When the run is over, whatever happens: its guard ends it before that.
    pub until: Timestamp,
}

/// What tells one process from every other, on this machine and elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessId {
    /// The boot of the kernel that it runs on.
    pub boot: String,
    /// The namespace that its number belongs to.
    pub namespace: String,
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since the boot.
    pub start_ticks: u64,
}

/// What a run's journal tells from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalSays {
    /// A process has it locked: the runner, its guard, or a recovery.
    Held,
    /// No process has it, and something is not rolled back.
    Outstanding,
    /// No process has it, and nothing is outstanding.
    Over,
    /// It is not here, cannot be read, or is another run's.
    Nothing,
}

/// Whether the holder of a lock still needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its process lives.
    Alive,
    /// It is dead, and its fault may still be on.
    NotRolledBack,
    /// It is dead, and nothing of its run is left.
    Dead,
    /// It cannot be told here.
    Unknown,
}

impl Claim {
    /// Whether its holder still needs it. `lives`: whether the runner's process is there, where that can be seen from here.
    ///
    /// The journal's lock is the best witness. A process that is gone proves nothing by itself: its guard may be rolling back.
    #[must_use]
    pub fn life(&self, journal: JournalSays, lives: Option<bool>, now: Timestamp) -> Life {
        let over_by_now = self.holder.as_ref().is_some_and(|h| h.until < now);
        match (journal, lives) {
            (JournalSays::Held, _) | (JournalSays::Nothing, Some(true)) => Life::Alive,
            (JournalSays::Outstanding, _) => Life::NotRolledBack,
            (JournalSays::Over, _) => Life::Dead,
            (JournalSays::Nothing, _) if over_by_now => Life::Dead,
            (JournalSays::Nothing, _) => Life::Unknown,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of {} since {}", self.run, self.owner, self.at)?;
        self.holder.as_ref().map_or(Ok(()), |h| write!(f, ", until {:.0} at the latest", h.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_only_where_its_holder_is_proven_dead() {
        let until: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let (before, after) = ("2026-01-01T00:09:00Z".parse().unwrap(), "2026-01-01T00:11:00Z".parse().unwrap());
        let holder = Holder { journal: "/j".into(), process: ProcessId::default(), until };
        let claim = |holder| Claim {
            service: "shop".into(),
            run: "r".into(),
            owner: "ada@lab".into(),
            at: "2026-01-01T00:00:00Z".into(),
            holder,
        };
        let known = claim(Some(holder));
        for (journal, lives, in_time, late) in [
            (JournalSays::Held, None, Life::Alive, Life::Alive),
            (JournalSays::Held, Some(false), Life::Alive, Life::Alive),
            (JournalSays::Outstanding, Some(false), Life::NotRolledBack, Life::NotRolledBack),
            // A process may go on to its next run.
            (JournalSays::Over, Some(true), Life::Dead, Life::Dead),
            (JournalSays::Over, None, Life::Dead, Life::Dead),
            (JournalSays::Nothing, Some(true), Life::Alive, Life::Alive),
            // Its guard may be rolling back.
            (JournalSays::Nothing, Some(false), Life::Unknown, Life::Dead),
            (JournalSays::Nothing, None, Life::Unknown, Life::Dead),
        ] {
            assert_eq!(known.life(journal, lives, before), in_time, "{journal:?} {lives:?}");
            assert_eq!(known.life(journal, lives, after), late, "{journal:?} {lives:?}, late");
        }
        let old = claim(None);
        assert_eq!(old.life(JournalSays::Nothing, None, after), Life::Unknown, "it never told until when");
        assert_eq!(
            known.to_string(),
            "run r of ada@lab since 2026-01-01T00:00:00Z, until 2026-01-01T00:10:00Z at the latest"
        );
    }
}
