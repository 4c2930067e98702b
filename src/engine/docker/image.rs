//! An image from a binary of this machine: no registry, no build tool, only an archive as `docker save` writes it. What containers of it
//! start with is in there, too: the instructions that go with an import are read differently by Docker and Podman.
//!
//! A binary that is linked dynamically gets its loader and libraries beside it, under the paths that they have here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::{ImportImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::TryStreamExt as _;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::EngineError;
use crate::text::fingerprint;

/// Where the binary is in its image.
pub const PROGRAM: &str = "/usr/local/bin/squall";

/// How long the engine may take to load an image.
const LOAD: Duration = Duration::from_mins(2);

impl Docker {
    /// An image of this very program, whose entry point it is: `repository:VERSION-HASH`. One that is there already is
    /// used again. Returns its name.
    ///
    /// # Errors
    /// Where the program or its libraries cannot be read, or the engine refuses the image.
    pub async fn own_image(&self, repository: &str) -> Result<String, EngineError> {
        // Not by its path: the file may have been replaced since this process was started from it.
        let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        self.image_of(&program, repository).await
    }

    /// The same of any binary of this machine, as [`PROGRAM`].
    ///
    /// # Errors
    /// As for [`Docker::own_image`].
    pub async fn image_of(&self, program: &Path, repository: &str) -> Result<String, EngineError> {
        let attempt = || format!("make an image of {}", program.display());
        let files =
            files_for(program).await.map_err(|e| EngineError::Refused { attempt: attempt(), why: e.to_string() })?;
        let contents = files.values().fold(0, |all, bytes| {
            let one = fingerprint::of_bytes(bytes.iter().copied());
            fingerprint::of_bytes([one, all].map(u64::to_le_bytes).concat())
        });
        let tag = format!("{}-{contents:016x}", env!("CARGO_PKG_VERSION"));
        let name = format!("{repository}:{tag}");
        let error = |f: Failure| f.error(&self.endpoint.address, attempt);
        match within(QUICK, self.api.inspect_image(&name)).await {
            Ok(_) => return Ok(name),
            Err(Failure::Missing(_)) => {}
            Err(failure) => return Err(error(failure)),
        }
        let archive = archive(&name, &files);
        let archive = archive.map_err(|e| EngineError::Refused { attempt: attempt(), why: e.to_string() })?;
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let load = self.api.import_image(options, bollard::body_full(archive.into()), None).try_collect::<Vec<_>>();
        within(LOAD, load).await.map_err(error)?;
        Ok(name)
    }

    /// Removes an image by name or id. One that does not exist is no error; one that containers use is.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::new().build();
        match within(QUICK, self.api.remove_image(image, Some(options), None)).await {
            Ok(_) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure) => Err(failure.error(&self.endpoint.address, || format!("remove image {image}"))),
        }
    }
}

/// The files of an image, by their path in it: the program, and what it needs to be loaded.
async fn files_for(program: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let binary = std::fs::read(program)?;
    let mut needed = BTreeSet::new();
    if let Some(loader) = interpreter(&binary)? {
        // The loader knows best what it would load; with --list it tells, and runs nothing.
        let listed =
            tokio::process::Command::new(&loader).arg("--list").arg(program).kill_on_drop(true).output().await?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        needed = libraries(&listed).map_err(|missing| {
            io::Error::new(io::ErrorKind::NotFound, format!("its library {missing} is not found"))
        })?;
        needed.insert(loader);
    }
    let mut files = BTreeMap::from([(PathBuf::from(PROGRAM), binary)]);
    for path in needed {
        let content = std::fs::read(&path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        files.insert(path, content);
    }
    Ok(files)
}

/// The loader that a 64-bit ELF binary asks for; `None` for one that is linked statically.
fn interpreter(binary: &[u8]) -> io::Result<Option<PathBuf>> {
    const PT_INTERP: u64 = 3;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is no 64-bit little-endian ELF binary");
    let number = |at: usize, size: usize| -> io::Result<usize> {
        let bytes = binary.get(at..at + size).ok_or_else(broken)?;
        let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).map_err(|_| broken())
    };
    if !binary.starts_with(b"\x7fELF\x02\x01") {
        return Err(broken());
    }
    let (table, entry, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    for header in (0..count).map(|n| table + n * entry) {
        if number(header, 4)? as u64 == PT_INTERP {
            let (at, size) = (number(header + 0x08, 8)?, number(header + 0x20, 8)?);
            let name = binary.get(at..at + size).ok_or_else(broken)?;
            let name = String::from_utf8_lossy(name);
            return Ok(Some(PathBuf::from(name.trim_end_matches('\0'))));
        }
    }
    Ok(None)
}

/// The files in what a loader lists: `libc.so.6 => /lib/libc.so.6 (0x…)`, or a path alone. The error is the library
/// that it has not found.
fn libraries(listed: &str) -> Result<BTreeSet<PathBuf>, String> {
    let mut paths = BTreeSet::new();
    for line in listed.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place.starts_with("not found") {
            return Err(name.to_owned());
        }
        let path = place.split(" (0x").next().unwrap_or(place);
        if path.starts_with('/') {
            paths.insert(PathBuf::from(path));
        }
    }
    Ok(paths)
}

/// An image of this name as an archive: its file system, its configuration, and a list of both.
fn archive(name: &str, files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<Vec<u8>> {
    let layer = pack(files)?;
    let configuration = configuration(files, &layer).to_string();
    let list = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]).to_string();
    let mut tar = tar::Builder::new(Vec::new());
    let parts = [("config.json", configuration.as_bytes()), ("layer.tar", &layer), ("manifest.json", list.as_bytes())];
    for (name, content) in parts {
        tar.append_data(&mut header(tar::EntryType::Regular, 0o644, content.len() as u64), name, content)?;
    }
    tar.into_inner()
}

/// What the image is made of, and what containers of it start with.
fn configuration(files: &BTreeMap<PathBuf, Vec<u8>>, layer: &[u8]) -> Value {
    let directory = |path: &Path| path.parent().unwrap_or(Path::new("/")).display().to_string();
    let mut environment = vec![format!("PATH={}", directory(Path::new(PROGRAM)))];
    // The loader looks in its own directories only, and there is no cache that would tell it of others.
    let libraries = files.keys().filter(|path| *path != Path::new(PROGRAM));
    let directories: BTreeSet<String> = libraries.map(|path| directory(path)).collect();
    if !directories.is_empty() {
        let directories: Vec<String> = directories.into_iter().collect();
        environment.push(format!("LD_LIBRARY_PATH={}", directories.join(":")));
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let sum =
        digest(&SHA256, layer).as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": [PROGRAM],
            "Env": environment,
            "Labels": { "squall.image": env!("CARGO_PKG_VERSION") },
        },
        "rootfs": { "type": "layers", "diff_ids": [sum] },
    })
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

/// A tar of an image's whole file system; the same for the same files.
fn pack(files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut directories = BTreeSet::from([PathBuf::from("etc"), PathBuf::from("tmp")]);
    for path in files.keys() {
        let inside = path.strip_prefix("/").unwrap_or(path);
        directories.extend(inside.ancestors().skip(1).filter(|d| !d.as_os_str().is_empty()).map(Path::to_owned));
    }
    for directory in directories {
        let mode = if directory == Path::new("tmp") { 0o1777 } else { 0o755 };
        tar.append_data(&mut header(tar::EntryType::Directory, mode, 0), &directory, io::empty())?;
    }
    for (path, content) in files {
        let inside = path.strip_prefix("/").unwrap_or(path);
        tar.append_data(&mut header(tar::EntryType::Regular, 0o755, content.len() as u64), inside, content.as_slice())?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loader_lists_is_read() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let want = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(listed), Ok(BTreeSet::from(want)));
        assert_eq!(libraries("libx.so.1 => not found"), Err("libx.so.1".to_owned()));
    }

    #[tokio::test]
    async fn a_program_comes_with_what_it_needs_and_packs_the_same_twice() {
        let files = files_for(Path::new("/proc/self/exe").read_link().unwrap().as_path()).await.unwrap();
        assert!(files.contains_key(Path::new(PROGRAM)));
        let tar = pack(&files).unwrap();
        assert_eq!(pack(&files).unwrap(), tar);
        let mut archive = tar::Archive::new(tar.as_slice());
        let names: Vec<PathBuf> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert!(names.contains(&PathBuf::from("usr/local/bin/squall")), "{names:?}");
        assert!(names.iter().all(|name| name.is_relative()), "{names:?}");
    }

    #[test]
    fn what_is_no_binary_is_said_to_be_none() {
        assert!(interpreter(b"#!/bin/sh\n").is_err());
        assert!(interpreter(b"\x7fELF\x02\x01").is_err(), "cut off");
    }
}
