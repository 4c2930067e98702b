//! The schedule files: read at the start, and again when they change. A file that became invalid leaves what it said before.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::command::load;
use crate::occasions::schedule::Schedule;

/// A file and what it last said.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) schedule: Schedule,
    /// Whether it can be read as it is now.
    pub(super) valid: bool,
    print: Option<Print>,
}

/// What tells whether a file has changed.
type Print = (u64, u64, i64, i64);

fn print(path: &Path) -> Option<Print> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

impl Source {
    /// The directory that the names of experiments are seen from.
    pub(super) fn dir(&self) -> PathBuf {
        self.path.parent().map_or_else(PathBuf::new, Path::to_owned)
    }
}

/// Reads all of them.
///
/// # Errors
/// In words for people, where one of them cannot be read, or two have one name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    let mut troubles = Vec::new();
    for path in paths {
        let print = print(path);
        match load::schedule(path) {
            Ok(reading) => {
                sources.push(Source { path: path.clone(), schedule: reading.value, valid: true, print });
            }
            Err(trouble) => troubles.push(trouble.to_string()),
        }
    }
    let mut names = HashSet::new();
    for source in &sources {
        if !names.insert(&source.schedule.name) {
            let name = &source.schedule.name;
            troubles.push(format!("two schedules are called `{name}`; {} is one of them", source.path.display()));
        }
    }
    if troubles.is_empty() { Ok(sources) } else { Err(troubles.join("\n\n")) }
}

/// Reads again what has changed: whether anything says something else now, and what is wrong, in words for people.
pub(super) fn reread(sources: &mut [Source]) -> (bool, Vec<String>) {
    let (mut changed, mut troubles) = (false, Vec::new());
    for i in 0..sources.len() {
        let now = print(&sources[i].path);
        if now == sources[i].print {
            continue;
        }
        let taken = |name: &str| sources.iter().enumerate().any(|(k, other)| k != i && other.schedule.name == name);
        let read = load::schedule(&sources[i].path).map_err(|trouble| trouble.to_string()).and_then(|reading| {
            let name = &reading.value.name;
            if taken(name) { Err(format!("another schedule is called `{name}`, too")) } else { Ok(reading.value) }
        });
        let source = &mut sources[i];
        source.print = now;
        match read {
            Ok(schedule) => {
                changed |= schedule != source.schedule || !source.valid;
                source.schedule = schedule;
                source.valid = true;
            }
            Err(why) => {
                source.valid = false;
                troubles.push(format!("{why}\n{}: what it said before goes on", source.path.display()));
            }
        }
    }
    (changed, troubles)
}
