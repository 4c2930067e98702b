//! How fast disks are read and written: `blkio.throttle.*_device` (version 1), `io.max` (version 2).
//!
//! Version 1 limits what a process itself has read or written: reads into the page cache, `O_DIRECT`, and what `fsync` and `O_SYNC`
//! write out, since that is done in the name of the process that waits for it. What it leaves in the page cache is written later by the
//! kernel, in the name of no process.

use std::io::{Error, Result};

use super::{Read, controller, or};
use crate::engine::Outcome;
use crate::engine::machine::MachineAccess;
use crate::host::cgroup::{Controller, Version};
use crate::host::disks;
use crate::model::machine::counters::Counters;
use crate::model::machine::{Disk, Limit};

/// One file each for [`Disk::rates`], in version 1; nothing is written as 0.
const FILES: [&str; 4] = [
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
];
/// What is counted of them, in version 1: of the group and those below it.
const COUNTED: [(&str, &str); 4] = [
    ("blkio.throttle.io_service_bytes_recursive", " Read "),
    ("blkio.throttle.io_service_bytes_recursive", " Write "),
    ("blkio.throttle.io_serviced_recursive", " Read "),
    ("blkio.throttle.io_serviced_recursive", " Write "),
];
/// The keys for them, in version 2.
const KEYS: [&str; 4] = ["rbps", "wbps", "riops", "wiops"];

fn find(site: &MachineAccess) -> Option<Controller> {
    site.cgroup.controller("blkio").or_else(|| site.cgroup.controller("io"))
}

pub(super) fn read(site: &MachineAccess, counters: &mut Counters) -> Result<Option<Read>> {
    let Some(io) = find(site) else { return Ok(None) };
    let below = disks::below(site.host.root(), site.process.pid())?;
    if below.is_empty() {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (device, paths) in below {
        if let Some(moved) = moved(&io, &device)? {
            counters.disks.insert(device.clone(), moved);
        }
        let [read, write, read_ops, write_ops] = rates(&io, &device)?;
        all.push(Disk { device, paths, buffered: io.version == Version::V2, read, write, read_ops, write_ops });
    }
    let limit = Limit::Io(all);
    Ok(Some(Read { sees: limit.to_string(), limit }))
}

pub(super) fn set(site: &MachineAccess, to: &[Disk]) -> Result<Outcome> {
    let io = find(site).map_or_else(|| controller(site, "io"), Ok)?;
    let mut outcome = Outcome::Already;
    for disk in to {
        let now = rates(&io, &disk.device)?;
        if now == disk.rates() {
            continue;
        }
        outcome = Outcome::Done;
        let device = &disk.device;
        let refused = |e: Error| Error::new(e.kind(), format!("{e} (of disk {device})"));
        match io.version {
            Version::V1 => {
                for ((file, now), to) in FILES.iter().zip(now).zip(disk.rates()).filter(|((_, now), to)| now != to) {
                    let _ = now;
                    io.write(file, &format!("{device} {}", or(to, "0"))).map_err(refused)?;
                }
            }
            Version::V2 => {
                let pairs: Vec<String> =
                    KEYS.iter().zip(disk.rates()).map(|(key, to)| format!("{key}={}", or(to, "max"))).collect();
                io.write("io.max", &format!("{device} {}", pairs.join(" "))).map_err(refused)?;
            }
        }
    }
    Ok(outcome)
}

/// What went to and from a device past the page cache: bytes read and written, reads and writes; `None` where this is not
/// counted.
fn moved(io: &Controller, device: &str) -> Result<Option<[u64; 4]>> {
    match io.version {
        Version::V1 => {
            let mut all = [0; 4];
            for (n, (file, kind)) in COUNTED.iter().enumerate() {
                let Some(text) = io.read(file)? else { return Ok(None) };
                let value = |line: &str| line.strip_prefix(device)?.strip_prefix(kind)?.trim().parse::<u64>().ok();
                // What never went anywhere has no line.
                all[n] = text.lines().find_map(value).unwrap_or_default();
            }
            Ok(Some(all))
        }
        Version::V2 => {
            let Some(text) = io.read("io.stat")? else { return Ok(None) };
            let line = text.lines().find_map(|line| line.strip_prefix(device)?.strip_prefix(' '));
            let value = |key: &str| line?.split(' ').find_map(|pair| pair.strip_prefix(key)?.parse::<u64>().ok());
            Ok(Some(["rbytes=", "wbytes=", "rios=", "wios="].map(|key| value(key).unwrap_or_default())))
        }
    }
}

/// What holds for a device: a line `8:0 1048576` in each file, or `8:0 rbps=max wbps=1048576 …`.
fn rates(io: &Controller, device: &str) -> Result<[Option<u64>; 4]> {
    let mut rates = [None; 4];
    match io.version {
        Version::V1 => {
            for (rate, file) in rates.iter_mut().zip(FILES) {
                *rate = io.keyed(file, device)?;
            }
        }
        Version::V2 => {
            let text = io.read("io.max")?.unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(device)?.strip_prefix(' '));
            for pair in line.unwrap_or_default().split(' ') {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                if let Some(at) = KEYS.iter().position(|k| *k == key) {
                    rates[at] = value.parse().ok();
                }
            }
        }
    }
    Ok(rates)
}
