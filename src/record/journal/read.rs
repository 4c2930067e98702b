//! A journal's lines back into the state of a run. What cannot be read is left out, and the state says so: a run that is still to
//! be rolled back must not be kept from that by a damaged byte. Knows no lock.

use std::path::Path;

use super::{JournalError, failed};
use crate::record::event::{Event, FORMAT, Stamped};
use crate::record::state::RunState;
use crate::text::fingerprint;

/// The state of a run, living or dead, from its journal.
///
/// # Errors
/// Where the file cannot be read, was written by a newer program, or is damaged anywhere but in a torn last line.
pub fn replay(path: &Path) -> Result<RunState, JournalError> {
    let state = salvage(path)?;
    match state.damaged.first() {
        Some((line, why)) => Err(JournalError::Damaged { path: path.to_owned(), line: *line, why: why.clone() }),
        None => Ok(state),
    }
}

/// The same as far as it can be read, for who rolls back: what is damaged is left out, and stands in the state.
///
/// # Errors
/// Where the file cannot be read, or was written by a newer program.
pub fn salvage(path: &Path) -> Result<RunState, JournalError> {
    let bytes = std::fs::read(path).map_err(failed("read", path))?;
    fold(&bytes, path).map(|(state, _)| state)
}

/// Folds a journal's bytes; also tells how many of them are whole lines. A torn last line is none; any other that cannot be read,
/// or cannot follow those before it, is damage, unless a copy of it can be read.
///
/// # Errors
/// Where it was written by a newer program.
pub fn fold(bytes: &[u8], path: &Path) -> Result<(RunState, u64), JournalError> {
    let mut fold = Fold::default();
    let mut good = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n').take_while(|line| line.last() == Some(&b'\n')) {
        good += line.len() as u64;
        fold.line(line, path)?;
    }
    Ok((fold.end(), good))
}

/// A journal that is folded line by line.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    state: RunState,
    lines: usize,
    /// What could not be read since the last event that could.
    unread: Vec<(usize, String)>,
}

impl Fold {
    /// Folds one more whole line in.
    ///
    /// # Errors
    /// Where it was written by a newer program.
    pub fn line(&mut self, line: &[u8], path: &Path) -> Result<(), JournalError> {
        self.lines += 1;
        let (state, unread) = (&mut self.state, &mut self.unread);
        let stamped = match event(line) {
            Ok(stamped) => stamped,
            Err(why) => {
                unread.push((self.lines, why));
                return Ok(());
            }
        };
        if let Event::Started(started) = &stamped.event
            && started.format > FORMAT
        {
            return Err(JournalError::TooNew { path: path.to_owned(), found: started.format });
        }
        // A copy of what is known; so was what could not be read right before it.
        if stamped.seq < state.seq {
            unread.clear();
            return Ok(());
        }
        if stamped.seq > state.seq {
            // What lies behind what is missing is still true.
            if unread.is_empty() {
                unread.push((self.lines, format!("expected number {}", state.seq)));
            }
            state.damaged.append(unread);
            state.seq = stamped.seq;
        }
        unread.clear();
        if let Err(e) = state.apply(&stamped) {
            state.damaged.push((self.lines, e.why));
            state.seq = stamped.seq + 1;
        }
        Ok(())
    }

    /// The run as far as it is folded.
    #[must_use]
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The run as it is where nothing follows.
    #[must_use]
    pub fn end(mut self) -> RunState {
        self.state.damaged.append(&mut self.unread);
        self.state
    }
}

/// What a line ends with: the fingerprint of all that stands before it. JSON with a wrong letter is still JSON.
const SUM: (&[u8], &[u8]) = (b",\"sum\":\"", b"\"}\n");

/// An event's line.
pub(super) fn line(stamped: &Stamped) -> Vec<u8> {
    // Plain data with text keys always serialises.
    let mut line = serde_json::to_vec(stamped).unwrap_or_default();
    line.pop();
    let sum = format!("{:016x}", fingerprint::of_bytes(line.iter().copied()));
    [&line, SUM.0, sum.as_bytes(), SUM.1].concat()
}

/// A line's event. Older programs wrote no sum.
fn event(line: &[u8]) -> Result<Stamped, String> {
    let sum = line.strip_suffix(SUM.1).and_then(|rest| rest.split_last_chunk::<16>());
    if let Some((rest, sum)) = sum
        && let Some(rest) = rest.strip_suffix(SUM.0)
        && format!("{:016x}", fingerprint::of_bytes(rest.iter().copied())).as_bytes() != sum
    {
        return Err("it is not as it was written".to_owned());
    }
    serde_json::from_slice(line).map_err(|e| e.to_string())
}
