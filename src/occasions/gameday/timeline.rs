//! The timeline: a game day's events in a file, one a line. Several processes write to it, each line whole: the one that
//! walks through the game day, and whoever notes something from another terminal.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::event::{Event, FORMAT, Stamped};
use crate::host::store::private_file;

/// Adds an event. It is on disk when this returns.
///
/// # Errors
/// Where the file cannot be opened or written; then the event is not in it.
pub fn add(path: &Path, event: Event) -> anyhow::Result<Stamped> {
    let stamped = Stamped { at: Timestamp::now(), event };
    let mut line = serde_json::to_vec(&stamped)?;
    line.push(b'\n');
    append(path, &line).with_context(|| format!("cannot write to {}", path.display()))?;
    Ok(stamped)
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = private_file().read(true).write(true).truncate(false).open(path)?;
    // One writer at a time; the kernel frees the lock of one that dies.
    file.lock()?;
    let end = mend(&mut file)?;
    if let Err(e) = file.write_all(line).and_then(|()| file.sync_data()) {
        // A line is there as a whole or not at all.
        let _ = file.set_len(end);
        return Err(e);
    }
    Ok(())
}

/// Cuts off what a writer that died left of its line. Where the next line begins.
fn mend(file: &mut File) -> io::Result<u64> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) as u64;
    if whole < bytes.len() as u64 {
        file.set_len(whole)?;
    }
    file.seek(SeekFrom::Start(whole))
}

/// Reads all events. A torn last line is left out.
///
/// # Errors
/// Where the file cannot be read, is damaged elsewhere, or was written by a newer program.
pub fn read(path: &Path) -> anyhow::Result<Vec<Stamped>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut events = Vec::new();
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        if line.last() != Some(&b'\n') {
            break;
        }
        let stamped: Stamped =
            serde_json::from_slice(line).with_context(|| format!("line {} of {} is damaged", i + 1, path.display()))?;
        if let Event::Started { format, .. } = &stamped.event
            && *format > FORMAT
        {
            bail!("{} has format {format}; this program reads up to {FORMAT}: use a newer squall", path.display());
        }
        events.push(stamped);
    }
    Ok(events)
}
