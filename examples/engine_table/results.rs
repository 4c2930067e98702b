//! What was found so far, cell by cell, and the file that it is kept in: filling all tables takes an hour, and can be gone on with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

use crate::column::{Cell, Outcome};
use crate::engines::{Kind, Way};

/// All cells that are known.
pub(crate) struct Results {
    file: Option<PathBuf>,
    known: Mutex<BTreeMap<String, Cell>>,
}

impl Results {
    /// What the file knows, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn open(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut known = BTreeMap::new();
        if let Some(file) = file.as_ref().filter(|file| file.exists()) {
            let text = std::fs::read(file)?;
            known = serde_json::from_slice(&text).with_context(|| format!("{} has no results", file.display()))?;
        }
        Ok(Self { file, known: Mutex::new(known) })
    }

    pub(crate) fn get(&self, kind: Kind, way: Way, row: &str) -> Option<Cell> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key(kind, way, row)).cloned()
    }

    /// Whether a cell has still to be found: it is not known, or was wrong.
    pub(crate) fn lacks(&self, kind: Kind, way: Way, row: &str) -> bool {
        self.get(kind, way, row).is_none_or(|cell| matches!(cell.outcome, Outcome::Wrong(_)))
    }

    /// Keeps a cell.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn put(&self, kind: Kind, way: Way, row: &str, cell: Cell) -> anyhow::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key(kind, way, row), cell);
        if let Some(file) = &self.file {
            std::fs::write(file, serde_json::to_vec_pretty(&*known)?)
                .with_context(|| format!("cannot keep results in {}", file.display()))?;
        }
        Ok(())
    }
}

fn key(kind: Kind, way: Way, row: &str) -> String {
    format!("{kind} {way} {row}")
}
