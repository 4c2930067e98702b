//! The disks below the file systems that a process sees.

use std::collections::BTreeMap;
use std::io::Result;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

use super::mounts::MachineRoot;

/// The disks below the mounts of a process of a machine, by the kernel's numbers (`254:0`), each with where the process sees file systems of
/// it. A partition counts as its disk: only that has limits. Left out is what is on no disk of its own: memory, networks, and
/// file systems in user space, whose reading and writing is done by another process.
///
/// # Errors
/// Where there is no such process.
pub fn below(machine: MachineRoot, pid: u32) -> Result<BTreeMap<String, Vec<String>>> {
    let device_of = |path: &str| device_of(&machine.path.join(path.trim_start_matches('/')));
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let mut disks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (device, path) in text.lines().filter_map(|line| mounted(line, &device_of)) {
        if let Some(disk) = disk_of(&device) {
            disks.entry(disk).or_default().push(path);
        }
    }
    Ok(disks)
}

/// The files that an engine puts into every container.
const ENGINES_OWN: [&str; 3] = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"];

/// The device and the path of a line of mountinfo, where it is on a device.
fn mounted(line: &str, device_of: &dyn Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let (device, path) = (before.next()?, before.nth(1)?.replace("\\040", " "));
    if ENGINES_OWN.contains(&path.as_str()) {
        return None;
    }
    let mut after = after.split(' ');
    let (kind, _, options) = (after.next()?, after.next()?, after.next().unwrap_or_default());
    let device = match kind {
        // What is written goes to the upper directory, on the host.
        "overlay" => device_of(options.split(',').find_map(|o| o.strip_prefix("upperdir="))?)?,
        _ => device.to_owned(),
    };
    // Major number 0 is no device.
    (!device.starts_with("0:")).then_some((device, path))
}

/// The device that a directory is on.
fn device_of(path: &Path) -> Option<String> {
    let device = std::fs::metadata(path).ok()?.st_dev();
    Some(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

/// The whole disk of a device.
fn disk_of(device: &str) -> Option<String> {
    let here = Path::new("/sys/dev/block").join(device).canonicalize().ok()?;
    let disk = if here.join("partition").exists() { here.parent()? } else { &here };
    Some(std::fs::read_to_string(disk.join("dev")).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_device_is_told_from_what_is_not() {
        let of = |line: &str| mounted(line, &|path| (path == "/up").then(|| "8:1".to_owned()));
        let at = |device: &str, path: &str| Some((device.to_owned(), path.to_owned()));
        assert_eq!(of("9 1 254:0 /v/_data /data rw - ext4 /dev/vda rw"), at("254:0", "/data"));
        assert_eq!(of("9 1 0:40 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/up,workdir=/w"), at("8:1", "/"));
        for line in [
            "9 1 254:0 /x/hosts /etc/hosts rw - ext4 /dev/vda rw",
            "9 1 0:41 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw",
            "9 1 0:42 / /dev/shm rw - tmpfs shm rw",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
