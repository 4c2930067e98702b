//! Opens the files that people name on the command line: experiments and stacks.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

use crate::engine::here::variable;
use crate::experiment::diagnostic::Mistakes;
use crate::experiment::document::Reading;
use crate::experiment::structure::Lookup;
use crate::experiment::{Experiment, read};
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
    load(path, read::experiment)
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

type Reader<T> = fn(&str, &[u8], Lookup<'_>) -> Result<Reading<T>, Mistakes>;

fn load<T>(path: &Path, reader: Reader<T>) -> Result<Reading<T>, Trouble> {
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
