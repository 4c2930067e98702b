//! Locks that say which run has a service of this stack: a file each, made whole or not at all.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::engine::{Claim, EngineError};

/// Takes a lock. It is ours where it was ours before.
pub(super) fn take(dir: &Path, claim: &Claim) -> Result<(), EngineError> {
    let path = path(dir, &claim.service);
    let make = || -> io::Result<()> {
        let mut claims = DirBuilder::new();
        match claims.mode(0o700).create(dir.join("claims")) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(claim)?)?;
        file.as_file().sync_data()?;
        file.persist_noclobber(&path)?;
        Ok(())
    };
    let attempt = format!("lock service `{}` for this run", claim.service);
    match make() {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match read(&path)? {
            Some(other) if other.run == claim.run => Ok(()),
            Some(other) => Err(EngineError::Claimed(Box::new(other))),
            None => take(dir, claim), // let go this instant
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(refused(&attempt, &"the stack is not up")),
        Err(e) => Err(refused(&attempt, &e)),
    }
}

/// Removes a lock of a run. Somebody else's stays.
pub(super) fn release(dir: &Path, service: &str, run: &str) -> Result<(), EngineError> {
    let path = path(dir, service);
    if read(&path)?.is_none_or(|claim| claim.run != run) {
        return Ok(());
    }
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(refused(&format!("remove {}", path.display()), &e)),
        _ => Ok(()),
    }
}

/// All locks of a stack.
pub(super) fn list(dir: &Path) -> Result<Vec<Claim>, EngineError> {
    let claims = dir.join("claims");
    let entries = match std::fs::read_dir(&claims) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(refused(&format!("read {}", claims.display()), &e)),
    };
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        found.extend(read(&entry.path())?);
    }
    found.sort_by(|a: &Claim, b| a.service.cmp(&b.service));
    Ok(found)
}

fn path(dir: &Path, service: &str) -> PathBuf {
    dir.join("claims").join(format!("{service}.json"))
}

fn read(path: &Path) -> Result<Option<Claim>, EngineError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| refused(&format!("read the lock {}", path.display()), &e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(refused(&format!("read the lock {}", path.display()), &e)),
    }
}

fn refused(attempt: &str, why: &dyn std::fmt::Display) -> EngineError {
    EngineError::Refused { attempt: attempt.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(run: &str) -> Claim {
        Claim {
            service: "shop".into(),
            run: run.into(),
            owner: "me@here".into(),
            at: "2026-01-01T00:00:00Z".into(),
            holder: None,
        }
    }

    #[test]
    fn a_service_belongs_to_one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        take(dir.path(), &claim("one")).unwrap();
        take(dir.path(), &claim("one")).expect("it is ours already");
        let Err(EngineError::Claimed(owner)) = take(dir.path(), &claim("two")) else { panic!("taken twice") };
        assert_eq!(*owner, claim("one"));

        release(dir.path(), "shop", "two").unwrap();
        assert_eq!(list(dir.path()).unwrap(), [claim("one")], "somebody else's stays");
        release(dir.path(), "shop", "one").unwrap();
        assert_eq!(list(dir.path()).unwrap(), []);
        take(dir.path(), &claim("two")).unwrap();
    }
}
