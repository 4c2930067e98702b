//! The mounts of an instance: whether anything may be written through them. It is set in the instance's own mount namespace,
//! for its mount alone, and ends with its life.

use std::collections::BTreeSet;
use std::io;

use crate::engine::{Ability, Outcome};
use crate::host::mounts;
use crate::model::instance::{Aspect, Instance, Setting};

/// Fills in through which of its mounts an instance can write nothing. Of one that does not run: those that its engine was told
/// of, as it will be in the next life.
///
/// # Errors
/// Where it cannot be looked at.
pub(super) fn observe(pid: Option<u32>, instance: &mut Instance) -> io::Result<()> {
    let read_only = match pid {
        Some(pid) => now(pid, instance)?,
        None => instance.mounts.iter().filter(|m| m.read_only).map(|m| m.path.clone()).collect(),
    };
    instance.settings.insert(Aspect::Mounts, Setting::ReadOnly(read_only));
    Ok(())
}

fn now(pid: u32, instance: &Instance) -> io::Result<BTreeSet<String>> {
    let all = mounts::of(pid)?;
    // Of several at one path, the last one hides the others.
    let is = |path: &str| all.iter().rfind(|m| m.path == path).is_some_and(mounts::Mount::is_read_only);
    Ok(instance.mounts.iter().map(|m| &m.path).filter(|path| is(path)).cloned().collect())
}

/// Whether these mounts can be made read-only.
#[must_use]
pub(super) fn can(instance: &Instance, read_only: &BTreeSet<String>) -> Ability {
    let own = |path: &String| instance.mounts.iter().any(|m| m.path == *path);
    match read_only.iter().find(|path| !own(path)) {
        None => Ability::Yes,
        Some(path) => {
            let known: Vec<&str> = instance.mounts.iter().map(|m| m.path.as_str()).collect();
            Ability::No(format!(
                "{path} is no mount of its own; those that can be made read-only are {}",
                known.join(", ")
            ))
        }
    }
}

/// Lets nothing be written through these mounts, and again through all others.
///
/// # Errors
/// Where a process has a file open for writing on one, or the kernel refuses. Then all are as they were.
pub(super) fn set(pid: u32, instance: &Instance, read_only: &BTreeSet<String>) -> io::Result<Outcome> {
    let before = now(pid, instance)?;
    let differing: Vec<&String> = before.symmetric_difference(read_only).collect();
    for (n, path) in differing.iter().enumerate() {
        if let Err(why) = mounts::set_read_only(pid, path, read_only.contains(*path)) {
            for path in &differing[..n] {
                // The reason to tell is the first one.
                let _ = mounts::set_read_only(pid, path, before.contains(*path));
            }
            return Err(why);
        }
    }
    Ok(if differing.is_empty() { Outcome::Already } else { Outcome::Done })
}
