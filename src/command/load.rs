//! Opens the files that people name on the command line: experiments and others.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::engine::here::{variable, variable_or_later};
use crate::experiment::diagnostic::{Mistakes, Severity};
use crate::experiment::document::Reading;
use crate::experiment::fleet_file::{self, FleetFile};
use crate::experiment::project_file::{self, ProjectFile};
use crate::experiment::stack::Stack;
use crate::experiment::{Experiment, read};
use crate::model::quantity::{Absent, Lookup};
use crate::occasions::gameday::{Agenda, Gameday};
use crate::occasions::schedule::Schedule;
use crate::text::units::count;
use crate::text::visible;

/// No file of Squall's is longer, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Why a file could not be used; `Display` is for people and needs nothing around it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {}", visible::line(file), visible::text(why))]
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

/// Reads an experiment file, and what the project file above it says.
///
/// # Errors
/// Why it cannot be read, or every mistake in it. The message is for people and needs nothing around it.
pub fn experiment(path: &Path) -> Result<Reading<Experiment>, FileError> {
    experiment_with(path, &variable)
}

fn experiment_with(path: &Path, lookup: Lookup<'_>) -> Result<Reading<Experiment>, FileError> {
    let mut reading = load(path, lookup, read::experiment)?;
    // Seen from here from now on.
    if let (Some(stack), Some(dir)) = (&mut reading.value.stack, path.parent()) {
        *stack = dir.join(&*stack).to_string_lossy().into_owned();
    }
    if let Some(file) = project_file_of(path) {
        load(&file, lookup, project_file::read)?.value.apply(&mut reading.value);
    }
    Ok(reading)
}

/// The nearest project file, in the folder of this file or above it.
fn project_file_of(path: &Path) -> Option<PathBuf> {
    let file = path.canonicalize().ok()?;
    file.ancestors().skip(1).map(|dir| dir.join(project_file::NAME)).find(|found| *found != file && found.is_file())
}

/// Reads a file of several machines.
///
/// # Errors
/// As [`experiment`].
pub fn fleet(path: &Path) -> Result<Reading<FleetFile>, FileError> {
    load(path, &variable, fleet_file::read)
}

/// Reads a schedule file.
///
/// # Errors
/// As [`experiment`].
pub fn schedule(path: &Path) -> Result<Reading<Schedule>, FileError> {
    load(path, &variable, crate::occasions::schedule::read::schedule)
}

/// Reads a game-day file, and the experiments that it names, seen from it.
///
/// # Errors
/// As [`experiment`]; a mistake in an experiment is one of the game day's.
pub fn gameday(path: &Path) -> Result<Reading<Agenda>, FileError> {
    load(path, &variable, |name, bytes, lookup| {
        crate::occasions::gameday::read::gameday(name, bytes, lookup, &|file| beside(path, file, lookup))
    })
}

/// An experiment that another file names; else why it cannot be used, in a line.
fn beside(path: &Path, file: &str, lookup: Lookup<'_>) -> Result<Reading<Experiment>, String> {
    let file = path.parent().unwrap_or(Path::new("")).join(file);
    match experiment_with(&file, lookup) {
        Ok(reading) => Ok(reading),
        Err(FileError::Mistaken(mistakes)) => {
            let mistakes = count(mistakes.count(Severity::Error), "mistake");
            Err(format!("it has {mistakes}, which `squall validate {}` shows", file.display()))
        }
        Err(trouble @ FileError::Unreadable { .. }) => Err(trouble.to_string()),
    }
}

/// Reads a file of any kind, to see whether it is right: its warnings. A schedule is known by its `entries`, a game day by its
/// `scenarios`, several machines by their `engines` or their `swarm`, a project file by its name. Without `env`, variables that are filled
/// in only where they are used may be unset here: secrets, mostly.
///
/// # Errors
/// As [`experiment`].
pub fn any(path: &Path, env: bool) -> Result<Mistakes, FileError> {
    let lookup = if env { variable } else { variable_or_later };
    if path.file_name().is_some_and(|name| name == project_file::NAME) {
        return load(path, &lookup, project_file::read).map(|reading: Reading<ProjectFile>| reading.warnings);
    }
    let mut is_experiment = false;
    let read = load(path, &lookup, |name, bytes, lookup| {
        let source = std::str::from_utf8(bytes).unwrap_or_default();
        let warnings = if read::has_key(source, &["entries"]) {
            crate::occasions::schedule::read::schedule(name, bytes, lookup)?.warnings
        } else if read::has_key(source, &["engines"]) || read::has_key(source, &["swarm"]) {
            fleet_file::read(name, bytes, lookup)?.warnings
        } else if read::has_key(source, &["scenarios"]) {
            crate::occasions::gameday::read::gameday(name, bytes, lookup, &|file| beside(path, file, lookup))?.warnings
        } else {
            is_experiment = true;
            read::experiment(name, bytes, lookup)?.warnings
        };
        Ok(Reading { value: (), warnings })
    })?;
    if let Some(file) = project_file_of(path).filter(|_| is_experiment) {
        load(&file, &lookup, project_file::read)?;
    }
    Ok(read.warnings)
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
pub fn due(path: &Path) -> Result<Named, FileError> {
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
pub fn stack(path: &Path) -> Result<Reading<Stack>, FileError> {
    load(path, &variable, read::stack)
}

/// Reads a stack file for those who need to know which stack it is, and not what its variables say: any value does.
///
/// # Errors
/// As [`experiment`].
pub fn stack_without_variables(path: &Path) -> Result<Reading<Stack>, FileError> {
    let any = |name: &str| variable(name).map_err(|_| Absent::Instead("1".to_owned()));
    load(path, &any, read::stack)
}

fn load<T>(
    path: &Path,
    lookup: Lookup<'_>,
    reader: impl FnOnce(&str, &[u8], Lookup<'_>) -> Result<Reading<T>, Mistakes>,
) -> Result<Reading<T>, FileError> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|why| FileError::Unreadable { file: name.clone(), why })?;
    Ok(reader(&name, &bytes, lookup)?)
}

/// Whether messages on standard error may have colours.
#[must_use]
pub fn styled() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The content of a file, unless it is too long to be one of Squall's.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let about = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    })?;
    if about.is_dir() {
        return Err(format!("it is a directory; name the files in it: {}/*.yaml", path.display()));
    }
    let too_long = |length: u64| {
        format!(
            "it has {} MiB, and a file of Squall's is at most 1 MiB: is it the right one?",
            length.div_ceil(LONGEST)
        )
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
