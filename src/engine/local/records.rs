//! What is known of a stack's processes: one JSON file that is changed under a lock and always replaced whole, so that
//! runner, guard, recovery and people can all work with it at any moment.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::engine::EngineError;
use crate::host::net::switch::NetworkSlot;
use crate::host::store::{private_dir, private_file};
use crate::model::instance::Address;

/// The file's name in the stack's directory. Its path is the engine's address.
pub(super) const FILE: &str = "state.json";
/// The file whose lock is held while the state is changed.
const LOCK: &str = "lock";
/// How long to wait for another process that changes the state.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// A stack that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Records {
    /// The stack's name.
    pub(super) stack: String,
    /// The stack file that it came from.
    pub(super) file: PathBuf,
    /// Its processes by name, in the order in which they are started.
    pub(super) processes: IndexMap<String, Record>,
}

/// A process: how it is started, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) spec: ProcessSpec,
    /// Its newest life, over or not.
    #[serde(default)]
    pub(super) life: Option<Life>,
    /// Somebody is starting it: if he died over that, a process may exist that no life is recorded of.
    #[serde(default)]
    pub(super) starting: bool,
}

/// How a process is started. Variables are filled in: who starts it again must start the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessSpec {
    pub(super) service: String,
    pub(super) zone: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) port: Option<u16>,
    /// Its place in the stack's own network, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) slot: Option<NetworkSlot>,
    pub(super) command: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    /// Where it runs.
    pub(super) directory: PathBuf,
    /// The file of its output.
    pub(super) log: PathBuf,
}

impl ProcessSpec {
    /// Its address in the stack's own network, which is called as the stack is.
    pub(super) fn address(&self, stack: &str) -> Option<Address> {
        self.slot.as_ref().map(|slot| Address { network: stack.to_owned(), network_id: None, ip: slot.address.into() })
    }
}

/// One life of a process. A PID alone is given to another process sooner or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) pid: u32,
    /// In clock ticks since the machine's start.
    pub(super) started: u64,
}

/// The state as it is; nothing where the stack is not up.
pub(super) fn read(dir: &Path) -> Result<Option<Records>, EngineError> {
    let path = dir.join(FILE);
    let unreadable = |why: String| EngineError::Unreachable { address: path.display().to_string(), why };
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| unreadable(e.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(e.to_string())),
    }
}

/// The right to change the state; given back when it is dropped, or its process dies.
#[derive(Debug)]
pub(super) struct Locked {
    dir: PathBuf,
    _lock: File,
}

impl Locked {
    /// Waits for the right to change the state; nothing where there is no such stack.
    pub(super) async fn take(dir: &Path) -> Result<Option<Self>, EngineError> {
        let attempt = || format!("lock the stack in {}", dir.display());
        let refused = |e: &io::Error| EngineError::Refused { attempt: attempt(), why: e.to_string() };
        let deadline = Instant::now() + LOCK_TIMEOUT;
        let path = dir.join(LOCK);
        loop {
            // Never made here: that would be in the way of the process that takes the stack away.
            let file = match File::options().append(true).open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(refused(&e)),
            };
            match file.try_lock() {
                // Whoever took the stack away meanwhile has removed the file that this lock is on.
                Ok(()) if is_at(&file, &path) => return Ok(Some(Self { dir: dir.to_owned(), _lock: file })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(EngineError::TimedOut { attempt: attempt(), after: LOCK_TIMEOUT });
                }
                Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(5)).await,
                Err(TryLockError::Error(e)) => return Err(refused(&e)),
            }
        }
    }

    /// The same, making the stack's directory where there is none.
    pub(super) async fn make(dir: &Path) -> Result<Self, EngineError> {
        loop {
            let make = || {
                private_dir(dir)?;
                private_file().append(true).open(dir.join(LOCK))
            };
            match make() {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // it is being taken away this instant
                Err(e) => {
                    let attempt = format!("make the directory {}", dir.display());
                    return Err(EngineError::Refused { attempt, why: e.to_string() });
                }
            }
            if let Some(locked) = Self::take(dir).await? {
                return Ok(locked);
            }
        }
    }

    /// The state as it is; no other process changes it meanwhile.
    pub(super) fn read(&self) -> Result<Option<Records>, EngineError> {
        read(&self.dir)
    }

    /// Replaces the state. Only this user can read it: the environment may hold secrets.
    pub(super) fn write(&self, records: &Records) -> Result<(), EngineError> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(&serde_json::to_vec_pretty(records)?)?;
            file.as_file().sync_data()?;
            file.persist(self.dir.join(FILE))?;
            Ok(())
        };
        write().map_err(|e| EngineError::Refused {
            attempt: format!("write {}", self.dir.join(FILE).display()),
            why: e.to_string(),
        })
    }

    /// Removes the state and all that stands beside it.
    pub(super) fn remove(self) -> Result<(), EngineError> {
        let gone = |result: io::Result<()>| match result {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        let remove = || -> io::Result<()> {
            gone(std::fs::remove_file(self.dir.join(FILE)))?;
            match gone(std::fs::remove_dir_all(&self.dir)) {
                // Somebody is bringing the stack up again: the directory is his now.
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                other => other,
            }
        };
        remove()
            .map_err(|e| EngineError::Refused { attempt: format!("remove {}", self.dir.display()), why: e.to_string() })
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_on_a_stack_that_was_taken_away_is_no_lock() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("s");
        assert!(Locked::take(&dir).await.unwrap().is_none(), "there is no such stack");

        let first = Locked::make(&dir).await.unwrap();
        let records = Records { stack: "s".into(), file: "s.yaml".into(), processes: IndexMap::new() };
        first.write(&records).unwrap();
        let second = async { Locked::take(&dir).await.unwrap().is_none() };
        let remove = async {
            tokio::task::yield_now().await;
            assert_eq!(first.read().unwrap(), Some(records));
            first.remove().unwrap();
        };
        assert!(tokio::join!(second, remove).0, "he waited, and there is no stack any more");
        assert!(!dir.exists());
    }
}
