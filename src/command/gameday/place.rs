//! Game days in the state directory: their timelines, and which of them is going on.

use std::fs::File;
use std::io::{Seek as _, Write as _};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;

use crate::host::store::{self, StateDir, private_dir, private_file};
use crate::occasions::gameday::state::GamedayState;
use crate::occasions::gameday::timeline;
use crate::record::journal;

/// Held by the process that walks through a game day, with the game day's id in it. The kernel frees it.
const LOCK: &str = "lock";

/// The lock of the game day that goes on, as long as this lives.
pub(super) struct Lock(#[expect(dead_code, reason = "closed when it is dropped")] File);

/// Takes the lock: only one game day goes on in a state directory.
///
/// # Errors
/// Where another one goes on, or nothing can be written there.
pub(super) fn take(state: &StateDir, id: &str) -> anyhow::Result<Lock> {
    let dir = state.gamedays_dir();
    let path = dir.join(LOCK);
    let open = || -> std::io::Result<File> {
        state.prepare()?;
        private_dir(&dir)?;
        private_file().truncate(false).write(true).open(&path)
    };
    let mut file = open().with_context(|| format!("cannot open {}", path.display()))?;
    if store::lock(&file).with_context(|| format!("cannot lock {}", path.display()))? {
        let mut write = || {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(id.as_bytes())
        };
        write().with_context(|| format!("cannot write to {}", path.display()))?;
        return Ok(Lock(file));
    }
    let which = going_on(state).map(|id| format!(", {id},")).unwrap_or_default();
    bail!("a game day{which} is going on in {}; `squall gameday status` shows where it is", state.root().display())
}

/// The id of the game day that a living process walks through.
fn going_on(state: &StateDir) -> Option<String> {
    let path = state.gamedays_dir().join(LOCK);
    if !journal::is_locked(&path) {
        return None;
    }
    std::fs::read_to_string(path).ok().filter(|id| !id.is_empty())
}

/// How far a game day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// A living process walks through it.
    GoingOn,
    /// Its process is dead.
    Unfinished,
    /// It is over.
    Over,
}

/// A game day as it is now.
pub(super) struct Day {
    pub(super) id: String,
    pub(super) standing: Standing,
    pub(super) state: GamedayState,
}

impl Day {
    /// Which scenario it is in, or was in last, for people: from 1, of how many, and its name.
    pub(super) fn scenario(&self, n: usize) -> String {
        let of = self.state.gameday.as_ref().map_or(0, |g| g.scenarios.len());
        format!("scenario {} of {of}, {}", n + 1, self.state.title(n))
    }

    /// When the fault of a scenario was injected, from its run's journal.
    pub(super) fn injected(&self, n: usize, state: &StateDir) -> Option<Timestamp> {
        let run = self.state.scenarios.get(&n)?.run.as_ref()?;
        journal::replay(&state.journal(run)).ok()?.injected()
    }
}

/// All game days, oldest first. One whose timeline cannot be read is an error: nothing is known of it.
pub(super) fn all(state: &StateDir) -> anyhow::Result<Vec<Day>> {
    let now = going_on(state);
    state.gamedays()?.into_iter().map(|id| day(state, id, now.as_deref())).collect()
}

fn day(state: &StateDir, id: String, now: Option<&str>) -> anyhow::Result<Day> {
    let folded = GamedayState::of(&timeline::read(&state.timeline(&id))?);
    let standing = match () {
        () if folded.ended.is_some() => Standing::Over,
        () if now == Some(&id) => Standing::GoingOn,
        () => Standing::Unfinished,
    };
    Ok(Day { id, standing, state: folded })
}

/// The game day that is going on, else the newest.
///
/// # Errors
/// Where there is none.
pub(super) fn current(state: &StateDir) -> anyhow::Result<Day> {
    let now = going_on(state).filter(|id| state.timeline(id).exists());
    let id = now.clone().map_or_else(|| state.resolve_gameday("last"), Ok)?;
    day(state, id, now.as_deref())
}
