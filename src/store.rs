//! The state directory: where journals, reports, locks and the halt note are.
//!
//! `/var/lib/squall` for root, else `$XDG_STATE_HOME/squall`; persistent, never `/run`: what was left behind must be
//! found again after a reboot.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The file in a run's directory that is the run.
pub const JOURNAL: &str = "journal.ndjson";

/// The file in a game day's directory that is the game day.
pub const TIMELINE: &str = "timeline.ndjson";

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The directory that was asked for, else the default of this user. Nothing is created yet.
    ///
    /// # Errors
    /// Where there is neither a name nor a home to derive one from.
    pub fn find(asked: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(root) = asked {
            return Ok(Self { root: std::path::absolute(root)? });
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Self { root: Self::machine() });
        }
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = var("XDG_STATE_HOME").or_else(|| var("HOME").map(|home| home.join(".local/state"))).context(
            "cannot find a state directory: neither HOME nor XDG_STATE_HOME is set; name one with --state DIR",
        )?;
        Ok(Self { root: root.join("squall") })
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
