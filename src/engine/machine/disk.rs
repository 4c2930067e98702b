//! The disk of an instance: a file system that is filled up. What fills it lies in the directory of the host that the file system
//! comes from (of a root file system: beside its upper directory), so that it can be taken away while the instance runs, when
//! it is stopped, and when it is gone. Memory alone (tmpfs) is reached through the instance's own processes, and goes with them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{DiskAccess, blocking};
use crate::engine::{Ability, Outcome, Tag};
use crate::host::disk::{self, Directory, Filling, Progress};
use crate::host::mounts::{self, MachineRoot};
use crate::model::disk::sharing::Location;
use crate::model::disk::{DiskLocation, Fill, Filled, Mount, MountKind, SpaceOwner, holding, is_below};
use crate::model::instance::{Aspect, Instance, Setting};
use crate::text::units::few;

/// How long a filling is awaited whose rate is not given. What takes longer goes on while the fault is on.
const FILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Paths of the host whose file systems it needs in any case.
const NEEDED: [&str; 4] = ["/", "/var", "/tmp", "/home"];

/// Directories of the host that nothing is laid into, and nothing below them.
const SYSTEM: [&str; 5] = ["/etc", "/proc", "/sys", "/dev", "/boot"];

/// The fillings that go on in this process. They end with it.
#[derive(Debug, Default)]
pub struct Fillings {
    going_on: Mutex<HashMap<String, Filling>>,
}

impl Fillings {
    fn keep(&self, tag: &Tag, filling: Filling) {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner).insert(tag.to_string(), filling);
    }

    /// Stops the filling of a change. When this returns, nothing more is written for it.
    async fn end(&self, tag: &Tag) -> io::Result<()> {
        let found = self.going_on.lock().unwrap_or_else(PoisonError::into_inner).remove(&tag.to_string());
        match found {
            Some(filling) => {
                let ended = blocking(move || {
                    filling.end();
                    Ok(())
                });
                ended.await
            }
            None => Ok(()),
        }
    }
}

/// Where a disk is looked at: the main process, where the instance runs.
pub type Pid = Option<u32>;

/// Fills in where the files of mounts lie. No file system is asked, so that none that hangs is waited for.
///
/// # Errors
/// Where the host's mounts cannot be looked at.
pub fn locate(host: MachineRoot, pid: Pid, mounts: &mut [Mount]) -> io::Result<()> {
    let hosts = host.mounts()?;
    // Of an instance that ends at this moment, the host's mounts have to do: they do not tell of a symbolic link.
    let own = pid.and_then(|pid| mounts::of(pid).ok()).unwrap_or_default();
    for mount in mounts.iter_mut().filter(|m| m.kind != MountKind::Tmpfs) {
        // Of several at one path, the last one hides the others.
        let inside = own.iter().rfind(|on| mount.kind != MountKind::Root && on.path == mount.path);
        mount.location = match (inside, &mount.source) {
            (Some(on), _) => Some(Location { device: on.device.clone(), directory: Some(on.root.clone()) }),
            (None, Some(source)) => {
                holds(source, &hosts).map(|on| Location { device: on.device.clone(), directory: None })
            }
            (None, None) => None,
        };
    }
    Ok(())
}

/// Fills in what of Squall's fills the file systems of an instance, and how full they are to itself.
///
/// # Errors
/// Where one of them cannot be looked at.
pub(super) fn observe(host: MachineRoot, pid: Pid, instance: &mut Instance) -> io::Result<()> {
    let (mut marks, mut sees) = (Vec::new(), Vec::new());
    let hosts = host.mounts()?;
    for mount in instance.mounts.iter().filter(|m| !m.read_only && is_near(m, &hosts)) {
        let Some(top) = top(host, mount, pid)? else { continue };
        let laid = disk::find(&top)?;
        let filled = Filled {
            path: mount.path.clone(),
            space: top.space()?,
            ours: laid.iter().map(|l| l.bytes).sum(),
            files: laid.iter().map(|l| l.files).sum(),
        };
        sees.push(filled.to_string());
        marks.extend(laid.into_iter().map(|l| l.mark));
    }
    let mark = (!marks.is_empty()).then(|| marks.join(" "));
    instance.settings.insert(Aspect::Disk, Setting::Mark(Aspect::Disk, mark));
    instance.sees.insert(Aspect::Disk, sees.join("; "));
    Ok(())
}

/// Whether a mount can be looked at without waiting for another machine, or for a program that does not answer.
fn is_near(mount: &Mount, hosts: &[mounts::Mount]) -> bool {
    let Some(source) = &mount.source else { return mount.kind == MountKind::Tmpfs };
    holds(source, hosts).is_some_and(mounts::Mount::is_local)
}

/// The host's mount that holds a path: of several at one path, the last one.
fn holds<'a>(path: &str, hosts: &'a [mounts::Mount]) -> Option<&'a mounts::Mount> {
    hosts.iter().filter(|m| is_below(path, &m.path)).max_by_key(|m| m.path.trim_end_matches('/').len())
}

/// The directory at whose top things of Squall's lie; `None` where there is none (any more).
fn top(host: MachineRoot, mount: &Mount, pid: Pid) -> io::Result<Option<Directory>> {
    let opened = match (mount.kind, &mount.source, pid) {
        (MountKind::Tmpfs, _, Some(pid)) => in_memory(mount, pid),
        (MountKind::Tmpfs, ..) | (_, None, _) => return Ok(None),
        (MountKind::Root, Some(source), _) => {
            let beside = Path::new(source).parent().and_then(Path::to_str).unwrap_or("/");
            Directory::open(host.path, beside)
        }
        (_, Some(source), _) => Directory::open(host.path, source),
    };
    match opened {
        Ok(directory) => Ok(Some(directory)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn in_memory(mount: &Mount, pid: u32) -> io::Result<Directory> {
    let directory = Directory::open(&root(pid), &mount.path)?;
    match lies_on(&directory, pid)? {
        Some(on) if on.path == mount.path && on.is_memory() => Ok(directory),
        // Somebody has unmounted it.
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn root(pid: u32) -> std::path::PathBuf {
    format!("/proc/{pid}/root").into()
}

/// The mount of a process on which an open directory lies.
fn lies_on(directory: &Directory, pid: u32) -> io::Result<Option<mounts::Mount>> {
    let id = mounts::id_of(directory)?;
    Ok(mounts::of(pid)?.into_iter().find(|m| m.id == id))
}

/// A place that may be filled.
struct Examined {
    host: MachineRoot,
    top: Directory,
    memory: bool,
    needed: Vec<String>,
}

/// Looks whether the path is what the plan takes it for, and whether it may be filled at all.
fn examine(
    host: MachineRoot,
    pid: Pid,
    instance: &Instance,
    fill: &Fill,
    needs: &[String],
) -> Result<Examined, String> {
    let DiskLocation { path, mount, .. } = &fill.place;
    let told = |e: io::Error| format!("{path} cannot be looked at: {e}");
    let Some(pid) = pid else { return Err("it does not run, or its processes cannot be seen from here".to_owned()) };
    let directory = Directory::open(&root(pid), path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!("there is no directory {path} in it"),
        io::ErrorKind::NotADirectory => format!("{path} is not a directory"),
        _ => told(e),
    })?;
    let on = lies_on(&directory, pid).map_err(told)?.ok_or_else(|| format!("{path} lies on no mount of its own"))?;
    if on.path != mount.path {
        return Err(match holding(&instance.mounts, &on.path).filter(|m| m.path == on.path) {
            Some(_) => {
                format!("a symbolic link leads from {path} out of {} to {}: name that path", mount.path, on.path)
            }
            None => format!("{path} lies on {} ({}), which its engine does not tell of", on.path, on.kind),
        });
    }
    if on.is_read_only() || mount.read_only {
        return Err(format!("{} is mounted read-only: nothing can be written there", mount.path));
    }
    if !on.is_local() {
        return Err(format!("{} is {}: other machines may need that space", mount.path, on.kind));
    }
    if on.is_memory() && mount.kind != MountKind::Tmpfs {
        return Err(format!(
            "{} is {} in memory, which cannot be found again when it is stopped",
            mount.path, mount.kind
        ));
    }
    let mut needed: Vec<String> = NEEDED.iter().map(|p| (*p).to_owned()).chain(needs.iter().cloned()).collect();
    // The upper directory of its root lies where the engine keeps everything.
    needed.extend(instance.mounts.iter().filter(|m| m.kind == MountKind::Root).filter_map(|m| m.source.clone()));
    if let (MountKind::Bind, Some(source)) = (mount.kind, &mount.source)
        && (needed.iter().any(|n| is_below(n, source))
            || needs.iter().any(|n| is_below(source, n))
            || SYSTEM.iter().any(|s| is_below(source, s)))
    {
        return Err(format!("{} is {source} of the host, which the host itself needs", mount.path));
    }
    let top = top(host, mount, Some(pid)).map_err(told)?.ok_or_else(|| match mount.kind {
        MountKind::Root => {
            "the engine's way of storing does not tell where its root file system is written to".to_owned()
        }
        _ => format!("the directory that {} comes from is not to be found on this host", mount.path),
    })?;
    if mount.kind != MountKind::Root {
        let inside = Directory::open(&root(pid), &mount.path).and_then(|d| d.identity()).map_err(told)?;
        if top.identity().map_err(told)? != inside {
            return Err(format!("{} is another directory than the engine tells", mount.path));
        }
    }
    Ok(Examined { host, top, memory: on.is_memory(), needed })
}

/// Whose space is filled; `shared`: instances write there that are no targets.
fn ground(host: MachineRoot, top: &Directory, memory: bool, needed: &[String], shared: bool) -> io::Result<SpaceOwner> {
    Ok(match disk::ground(host, top, memory, needed)? {
        SpaceOwner::Apart if shared => SpaceOwner::Shared,
        ground => ground,
    })
}

impl Examined {
    /// Why the goal cannot be reached, or must not be.
    fn refusal(&self, fill: &Fill) -> Option<String> {
        let shared = !fill.shared_with.is_empty();
        match (self.top.space(), ground(self.host, &self.top, self.memory, &self.needed, shared)) {
            (Ok(space), Ok(SpaceOwner::Shared)) => {
                let why = fill.goal.refusal(&space, SpaceOwner::Shared)?;
                Some(format!(
                    "it shares the file system of {} with {}; {why}",
                    fill.place.path,
                    few(&fill.shared_with, 4)
                ))
            }
            (Ok(space), Ok(ground)) => fill.goal.refusal(&space, ground),
            (Err(e), _) | (_, Err(e)) => Some(format!("{} cannot be looked at: {e}", fill.place.path)),
        }
    }
}

/// Whether a file system may be filled; then with what it will be known by.
#[must_use]
pub(super) fn can(at: &DiskAccess<'_>, instance: &Instance, fill: &Fill) -> Ability {
    let able = examine(at.host.root(), at.pid, instance, fill, at.needs).and_then(|found| match found.refusal(fill) {
        Some(why) => Err(why),
        None => found.top.filesystem().map_err(|e| e.to_string()),
    });
    match able {
        Ok(filesystem) => {
            let place = DiskLocation { filesystem: Some(filesystem), ..fill.place.clone() };
            Ability::As(Box::new(Setting::Filled(Box::new(Fill { place, ..fill.clone() }))))
        }
        Err(why) => Ability::No(why),
    }
}

/// Fills. Where no rate is given, this returns when the goal is reached, or after ten seconds; else when something is
/// written. What is missing then is filled by this process while it lives.
///
/// # Errors
/// Where it may not be filled, or cannot. Then nothing of it lies there.
pub(super) async fn fill(at: &DiskAccess<'_>, tag: &Tag, instance: &Instance, fill: &Fill) -> io::Result<Outcome> {
    let (host, pid, needs) = (at.host.root(), at.pid, at.needs.to_vec());
    let (instance, wanted, name) = (instance.clone(), fill.clone(), tag.to_string());
    let begun = blocking(move || {
        let found = examine(host, pid, &instance, &wanted, &needs).map_err(io::Error::other)?;
        let mark = wanted.mark();
        if disk::find(&found.top)?.iter().any(|l| l.tag == name && l.mark == mark) {
            return Ok(None);
        }
        if let Some(why) = found.refusal(&wanted) {
            return Err(io::Error::other(why));
        }
        let (memory, needed, shared) = (found.memory, found.needed, !wanted.shared_with.is_empty());
        let ground = Box::new(move |top: &Directory| ground(host, top, memory, &needed, shared));
        disk::begin(found.top, &name, &mark, wanted.goal, wanted.rate, ground)
    })
    .await?;
    let Some(filling) = begun else { return Ok(Outcome::Already) };
    let mut progress = filling.progress.clone();
    // Kept first: a caller that stops waiting for it can still stop it.
    at.fillings.keep(tag, filling);
    let enough = |p: &Progress| match p {
        Progress::Begun => false,
        Progress::Filling => fill.rate.is_some(),
        Progress::Full | Progress::Failed(_) => true,
    };
    let far = tokio::time::timeout(FILL_TIMEOUT, progress.wait_for(enough)).await.map(|p| p.map(|p| p.clone()));
    match far {
        Ok(Ok(Progress::Failed(why))) => {
            at.fillings.end(tag).await?;
            Err(io::Error::other(why))
        }
        // After so long, something is written.
        Ok(Ok(_)) | Err(_) => Ok(Outcome::Done),
        Ok(Err(_)) => Err(io::Error::other("the filling ended without a word")),
    }
}

/// Stops a filling and takes away what it wrote, wherever that is now.
///
/// # Errors
/// Where it cannot be removed, or its file system is not mounted where it was.
pub async fn free(at: &DiskAccess<'_>, tag: &Tag, place: &DiskLocation) -> io::Result<Outcome> {
    at.fillings.end(tag).await?;
    let (host, pid) = (at.host.root(), at.pid);
    let (place, tag) = (place.clone(), tag.to_string());
    blocking(move || {
        let Some(top) = top(host, &place.mount, pid)? else { return Ok(Outcome::Already) };
        if disk::clear(&top, |of| of == tag)? {
            return Ok(Outcome::Done);
        }
        let another = place.filesystem.is_some_and(|id| top.filesystem().is_ok_and(|now| now != id));
        match &place.mount.source {
            Some(source) if another && place.mount.kind != MountKind::Tmpfs => Err(io::Error::other(format!(
                "another file system is at {source} of the host than when it was filled; mount that one there again (start a \
                 container that uses it), and it can be taken away"
            ))),
            _ => Ok(Outcome::Already),
        }
    })
    .await
}

/// Takes away whatever a run has laid on the file systems of an instance.
///
/// # Errors
/// Where something cannot be removed.
pub async fn free_all(at: &DiskAccess<'_>, tag: &Tag, instance: &Instance) -> io::Result<Outcome> {
    at.fillings.end(tag).await?;
    let (host, pid) = (at.host.root(), at.pid);
    let (mounts, run) = (instance.mounts.clone(), format!("{}.", tag.run));
    blocking(move || {
        let mut was = false;
        for mount in mounts.iter().filter(|m| !m.read_only) {
            if let Some(top) = top(host, mount, pid)? {
                was |= disk::clear(&top, |of| of.starts_with(&run))?;
            }
        }
        Ok(if was { Outcome::Done } else { Outcome::Already })
    })
    .await
}
