//! What of Squall's lies at the top of a mount: found and removed by its name alone, so that it does not matter who laid it, or
//! whether that was ever finished.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use super::{Directory, PLACE};

/// Something of Squall's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// The change that it belongs to.
    pub tag: String,
    /// What it was laid for.
    pub mark: String,
    /// How many bytes it takes.
    pub bytes: u64,
    /// How many files it is.
    pub files: u64,
}

/// Takes apart what [`super::begin`] put together.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-')
}

/// The directory of our things, where there is one. Never what a symbolic link in its place leads to.
pub(super) fn place(top: &Directory) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(top, PLACE, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        // Something else of that name is not ours.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn names(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

/// Everything of Squall's that lies there.
///
/// # Errors
/// Where it cannot be looked at.
pub fn find(top: &Directory) -> io::Result<Vec<Laid>> {
    let Some(place) = place(top)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in names(&place)? {
        let Some((tag, mark)) = parts(&name) else { continue };
        let about = match statat(&place, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e.into()),
        };
        let bytes = u64::try_from(about.st_blocks).unwrap_or_default().saturating_mul(512);
        let files = match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => files_in(&place, &name)?,
            _ => 1,
        };
        found.push(Laid { tag: tag.to_owned(), mark: mark.to_owned(), bytes, files });
    }
    Ok(found)
}

/// How many files a directory is filled with, which are numbered from 0: found without looking at each.
fn files_in(place: &OwnedFd, name: &str) -> io::Result<u64> {
    let is = |n: u64| match statat(place, format!("{name}/{n}"), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(e) => Err(io::Error::from(e)),
    };
    let mut above = 1;
    while is(above - 1)? {
        above *= 2;
    }
    let mut below = above / 2;
    while below + 1 < above {
        let middle = below.midpoint(above);
        if is(middle - 1)? { below = middle } else { above = middle }
    }
    Ok(below)
}

/// Removes what belongs to such changes; where that was the last of Squall's, the directory too. Says whether there was anything.
/// What is gone already is no error.
///
/// # Errors
/// Where something cannot be removed.
pub fn clear(top: &Directory, belongs: impl Fn(&str) -> bool) -> io::Result<bool> {
    let Some(place) = place(top)? else { return Ok(false) };
    let mut was = false;
    for name in names(&place)?.iter().filter(|name| parts(name).is_some_and(|(tag, _)| belongs(tag))) {
        remove(&place, name)?;
        was = true;
    }
    sweep(top)?;
    Ok(was)
}

/// Removes one thing of Squall's, a file or a directory of files.
pub(super) fn remove(place: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(place, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = openat(place, name, flags, Mode::empty())?;
    // Another process may be at it as well.
    for file in names(&inside)? {
        gone(unlinkat(&inside, &file, AtFlags::empty()))?;
    }
    gone(unlinkat(place, name, AtFlags::REMOVEDIR))
}

/// Removes the directory of our things, where nothing is in it.
pub(super) fn sweep(top: &Directory) -> io::Result<()> {
    match unlinkat(top, PLACE, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
        other => gone(other),
    }
}

fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
