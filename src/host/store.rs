//! The state directory: where journals, reports, locks and the halt note are.
//!
//! `/var/lib/squall` for root, else `$XDG_STATE_HOME/squall`; persistent, never `/run`: what was left behind must be
//! found again after a reboot.
//!
//! It is this user's alone: journals tell what a system is made of, and where it is weak. It knows no file's content.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The file in a run's directory that is the run.
pub const JOURNAL: &str = "journal.ndjson";

/// The file in a game day's directory that is the game day.
pub const TIMELINE: &str = "timeline.ndjson";

/// The file in the state directory that halts every run; root's is for everybody to read.
pub const HALT: &str = "halt";

/// The rights of others, which none of our files gives.
const OTHERS: u32 = 0o077;

/// Makes a directory that is this user's alone, with those above it that are missing.
///
/// # Errors
/// Where it cannot be made.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// How a file is opened that is this user's alone where it is made.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.create(true).mode(0o600);
    options
}

/// How long a look at a lock ([`is_locked`]) may hold it.
const LOOK: Duration = Duration::from_millis(200);

/// Takes a file's lock, which the kernel frees when its holder dies; `false` if another process keeps it.
///
/// # Errors
/// If the file cannot be locked.
#[expect(clippy::disallowed_methods, reason = "a moment, and only while another process has the lock")]
pub fn lock(file: &File) -> io::Result<bool> {
    let end = Instant::now() + LOOK;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(LOOK / 20),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Whether a living process has a file locked.
#[must_use]
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
    /// Whether a user has named it. It may be used for other things then, or be shared on purpose.
    named: bool,
}

impl StateDir {
    /// The directory that was asked for, else the default of this user. Nothing is created yet.
    ///
    /// # Errors
    /// Where there is neither a name nor a home to derive one from.
    pub fn find(asked: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(root) = asked {
            let root = std::path::absolute(root)?;
            return Ok(Self { named: root != Self::machine(), root });
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Self { root: Self::machine(), named: false });
        }
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = var("XDG_STATE_HOME").or_else(|| var("HOME").map(|home| home.join(".local/state"))).context(
            "cannot find a state directory: neither HOME nor XDG_STATE_HOME is set; name one with --state DIR",
        )?;
        Ok(Self { root: root.join("squall"), named: false })
    }

    /// The directory of root on this machine, whose halt note everybody heeds.
    #[must_use]
    pub fn machine() -> PathBuf {
        PathBuf::from("/var/lib/squall")
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directory where it is missing. The default one, which is ours as a whole, is closed to others if an older
    /// version or another hand has left it open; root's can still be entered, because every user's run reads the halt note in it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn prepare(&self) -> io::Result<()> {
        private_dir(&self.root)?;
        if self.named || std::fs::metadata(&self.root)?.uid() != rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        let mode = if self.root == Self::machine() { 0o711 } else { 0o700 };
        std::fs::set_permissions(&self.root, Permissions::from_mode(mode))?;
        for path in self.open_to_others() {
            // One that is another user's, or gone meanwhile, holds no run up; `squall doctor` tells.
            let _ = std::fs::metadata(&path)
                .and_then(|m| std::fs::set_permissions(&path, Permissions::from_mode(m.mode() & 0o700)));
        }
        Ok(())
    }

    /// What directly in it gives others any right, the halt note apart: directories close what is in them, too.
    #[must_use]
    pub fn open_to_others(&self) -> Vec<PathBuf> {
        let open =
            |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|m| !m.is_symlink() && m.mode() & OTHERS != 0);
        let names = names(&self.root).unwrap_or_default();
        names.iter().filter(|name| *name != HALT).map(|name| self.root.join(name)).filter(open).collect()
    }

    /// The directory of each stack that is up.
    #[must_use]
    pub fn stacks_dir(&self) -> PathBuf {
        self.root.join("stacks")
    }

    /// Where the runs are.
    #[must_use]
    pub fn runs_dir(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The directory of one run.
    #[must_use]
    pub fn run_dir(&self, id: &str) -> PathBuf {
        self.runs_dir().join(id)
    }

    /// The journal of one run.
    #[must_use]
    pub fn journal(&self, id: &str) -> PathBuf {
        self.run_dir(id).join(JOURNAL)
    }

    /// The ids of all runs, oldest first. Ids begin with their time, so that their order is that of the names.
    ///
    /// # Errors
    /// Where the directory exists and cannot be read.
    pub fn runs(&self) -> anyhow::Result<Vec<String>> {
        let mut ids = self.names()?;
        ids.retain(|id| self.journal(id).exists());
        Ok(ids)
    }

    /// The same without a look into each directory: the youngest may not have a journal yet.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        names(&self.runs_dir())
    }

    /// The directory of the run that a word means: its id or the unambiguous end or begin of it, a directory, `last`.
    ///
    /// # Errors
    /// Where it means none, or several.
    pub fn resolve(&self, word: &str) -> anyhow::Result<PathBuf> {
        if Path::new(word).join(JOURNAL).exists() {
            return Ok(PathBuf::from(word));
        }
        let mut ids = self.names()?;
        if word == "last" {
            let id = ids.iter().rev().find(|id| self.journal(id).exists());
            let id = id.with_context(|| format!("there is no run in {} yet", self.root.display()))?;
            return Ok(self.run_dir(id));
        }
        ids.retain(|id| (id.starts_with(word) || id.ends_with(word)) && self.journal(id).exists());
        match &ids[..] {
            [id] => Ok(self.run_dir(id)),
            [] => bail!("there is no run `{word}` in {}; `squall list` shows them", self.root.display()),
            _ => bail!("`{word}` means {} runs; `squall list` shows their whole ids", ids.len()),
        }
    }

    /// Where the game days are.
    #[must_use]
    pub fn gamedays_dir(&self) -> PathBuf {
        self.root.join("gamedays")
    }

    /// The directory of one game day: its timeline and its reports.
    #[must_use]
    pub fn gameday_dir(&self, id: &str) -> PathBuf {
        self.gamedays_dir().join(id)
    }

    /// The timeline of one game day.
    #[must_use]
    pub fn timeline(&self, id: &str) -> PathBuf {
        self.gameday_dir(id).join(TIMELINE)
    }

    /// The ids of all game days, oldest first.
    ///
    /// # Errors
    /// Where the directory exists and cannot be read.
    pub fn gamedays(&self) -> anyhow::Result<Vec<String>> {
        let mut ids = names(&self.gamedays_dir())?;
        ids.retain(|id| self.timeline(id).exists());
        Ok(ids)
    }

    /// The id of the game day that a word means: the unambiguous end or begin of it, or `last`.
    ///
    /// # Errors
    /// Where it means none, or several.
    pub fn resolve_gameday(&self, word: &str) -> anyhow::Result<String> {
        let mut ids = self.gamedays()?;
        if word == "last" {
            return ids.pop().with_context(|| {
                format!(
                    "there is no game day in {} yet; `squall gameday run FILE` makes the first",
                    self.root.display()
                )
            });
        }
        ids.retain(|id| id.starts_with(word) || id.ends_with(word));
        match &mut ids[..] {
            [id] => Ok(std::mem::take(id)),
            [] => bail!("there is no game day `{word}` in {}; `squall gameday list` shows them", self.root.display()),
            _ => bail!("`{word}` means {} game days; `squall gameday list` shows their whole ids", ids.len()),
        }
    }
}

/// What is in a directory, in the order of the names; nothing where there is no such directory.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.display())),
    };
    let mut names: Vec<String> =
        entries.filter_map(Result::ok).filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    /// A state directory as older versions made it.
    fn wide(named: bool) -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir { root: dir.path().join("squall"), named };
        std::fs::create_dir_all(state.runs_dir()).unwrap();
        for name in ["history.sqlite", HALT] {
            std::fs::write(state.root().join(name), "").unwrap();
            std::fs::set_permissions(state.root().join(name), Permissions::from_mode(0o644)).unwrap();
        }
        for dir in [state.root(), &state.runs_dir()] {
            std::fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        }
        (dir, state)
    }

    #[test]
    fn the_default_directory_is_closed_to_others_and_the_halt_note_is_not() {
        let (_dir, state) = wide(false);
        assert_eq!(state.open_to_others().len(), 2, "{:?}", state.open_to_others());
        state.prepare().unwrap();
        assert_eq!((mode(state.root()), mode(&state.runs_dir())), (0o700, 0o700));
        assert_eq!(mode(&state.root().join("history.sqlite")), 0o600);
        assert_eq!(mode(&state.root().join(HALT)), 0o644);
        assert!(state.open_to_others().is_empty());
    }

    #[test]
    fn a_directory_that_a_user_has_named_keeps_its_rights() {
        let (_dir, state) = wide(true);
        state.prepare().unwrap();
        assert_eq!((mode(state.root()), mode(&state.runs_dir())), (0o755, 0o755));
        assert_eq!(state.open_to_others().len(), 2, "doctor tells of them");
    }
}
