//! Opens the files that people name on the command line: experiments and others.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

use crate::engine::here::variable;
use crate::experiment::diagnostic::{Mistakes, Severity};
use crate::experiment::document::Reading;
use crate::experiment::structure::Lookup;
use crate::experiment::{Experiment, read};
use crate::gameday::{Agenda, Gameday};
use crate::schedule::Schedule;
use crate::stack::Stack;

/// No file of ours is longer, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Why a file could not be used; `Display` is for people and needs nothing around it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It cannot be opened or read.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// Which file.
        file: String,
        /// Why, and what to do.
        why: String,
    },
    /// It was read, and there are mistakes in it.
    #[error("{}", .0.render(styled()))]
    Mistaken(#[from] Mistakes),
}

/// Reads an experiment file.
///
/// # Errors
/// Why it cannot be read, or every mistake in it. The message is for people and needs nothing around it.
pub fn experiment(path: &Path) -> Result<Reading<Experiment>, Trouble> {
    let mut reading = load(path, read::experiment)?;
    // Seen from here from now on.
    if let (Some(stack), Some(dir)) = (&mut reading.value.stack, path.parent()) {
        *stack = dir.join(&*stack).to_string_lossy().into_owned();
    }
    Ok(reading)
}

/// Reads a schedule file.
///
/// # Errors
/// As [`experiment`].
pub fn schedule(path: &Path) -> Result<Reading<Schedule>, Trouble> {
    load(path, crate::schedule::read::schedule)
}

/// Reads a game-day file, and the experiments that it names, seen from it.
///
/// # Errors
/// As [`experiment`]; a mistake in an experiment is one of the game day's.
pub fn gameday(path: &Path) -> Result<Reading<Agenda>, Trouble> {
    load(path, |name, bytes, lookup| crate::gameday::read::gameday(name, bytes, lookup, &|file| beside(path, file)))
}

/// An experiment that another file names; else why it cannot be used, in a line.
fn beside(path: &Path, file: &str) -> Result<Experiment, String> {
    let file = path.parent().unwrap_or(Path::new("")).join(file);
    match experiment(&file) {
        Ok(reading) => Ok(reading.value),
        Err(Trouble::Mistaken(mistakes)) => {
            let n = mistakes.count(Severity::Error);
            let mistakes = if n == 1 { "1 mistake".to_owned() } else { format!("{n} mistakes") };
            Err(format!("it has {mistakes}, which `squall validate {}` shows", file.display()))
        }
        Err(trouble @ Trouble::Unreadable { .. }) => Err(trouble.to_string()),
    }
}

/// Reads an experiment, a schedule or a game day, to see whether it is right: its warnings. A schedule is known by its
/// `entries`, a game day by its `scenarios`.
///
/// # Errors
/// As [`experiment`].
pub fn any(path: &Path) -> Result<Mistakes, Trouble> {
    load(path, |name, bytes, lookup| {
        let source = std::str::from_utf8(bytes).unwrap_or_default();
        let warnings = if read::has_key(source, &["entries"]) {
            crate::schedule::read::schedule(name, bytes, lookup)?.warnings
        } else if read::has_key(source, &["scenarios"]) {
            crate::gameday::read::gameday(name, bytes, lookup, &|file| beside(path, file))?.warnings
        } else {
            read::experiment(name, bytes, lookup)?.warnings
        };
        Ok(Reading { value: (), warnings })
    })
    .map(|reading| reading.warnings)
}

/// A file that may say how often what it names is due.
#[derive(Debug)]
pub enum Named {
    /// An experiment.
    Experiment(Box<Experiment>),
    /// A game day.
    Gameday(Box<Gameday>),
}

/// Reads an experiment or a game day.
///
/// # Errors
/// As [`experiment`].
pub fn due(path: &Path) -> Result<Named, Trouble> {
    let is_gameday =
        bytes(path).is_ok_and(|bytes| read::has_key(std::str::from_utf8(&bytes).unwrap_or_default(), &["scenarios"]));
    Ok(if is_gameday {
        Named::Gameday(Box::new(gameday(path)?.value.gameday))
    } else {
        Named::Experiment(Box::new(experiment(path)?.value))
    })
}

/// Reads a stack file.
///
/// # Errors
/// As [`experiment`].
pub fn stack(path: &Path) -> Result<Reading<Stack>, Trouble> {
    load(path, read::stack)
}

/// Reads a stack file for those who need to know which stack it is, and not what its variables say: any value does.
///
/// # Errors
/// As [`experiment`].
pub fn stack_without_variables(path: &Path) -> Result<Reading<Stack>, Trouble> {
    load(path, |name, bytes, _| read::stack(name, bytes, &|v| variable(v).or_else(|| Some("1".to_owned()))))
}

fn load<T>(
    path: &Path,
    reader: impl FnOnce(&str, &[u8], Lookup<'_>) -> Result<Reading<T>, Mistakes>,
) -> Result<Reading<T>, Trouble> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|why| Trouble::Unreadable { file: name.clone(), why })?;
    Ok(reader(&name, &bytes, &variable)?)
}

/// Whether messages on standard error may have colours.
#[must_use]
pub fn styled() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The content of a file, unless it is too long to be one of ours.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let about = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    })?;
    if about.is_dir() {
        return Err(format!("it is a directory; name the files in it: {}/*.yaml", path.display()));
    }
    let too_long = |length: u64| {
        format!("it has {} MiB, and a file of ours is at most 1 MiB: is it the right one?", length.div_ceil(LONGEST))
    };
    if about.len() > LONGEST {
        return Err(too_long(about.len()));
    }
    // A pipe or a device has no length beforehand, and a file may grow: never read more than the limit.
    let mut content = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(|e| e.to_string())?;
    if content.len() as u64 > LONGEST {
        return Err("it goes on beyond 1 MiB: is it the right one?".to_owned());
    }
    Ok(content)
}
