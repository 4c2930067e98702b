//! Finds out which container of the engine this process runs in, if any.

use std::collections::BTreeSet;

use super::QUICK;
use super::failure::within;

/// The id of the container this process runs in, where the engine confirms that it has it.
pub(super) async fn find(api: &bollard::Docker) -> Option<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for candidate in candidates(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), &hostname) {
        let Ok(found) = within(
            QUICK,
            api.inspect_container(&candidate, None::<bollard::query_parameters::InspectContainerOptions>),
        )
        .await
        else {
            continue;
        };
        let running = found.state.as_ref().and_then(|s| s.running) == Some(true);
        // A short candidate is a host name, which a machine may have by chance.
        let named = candidate.len() == ID || found.config.as_ref().and_then(|c| c.hostname.as_ref()) == Some(&hostname);
        if running && named {
            return found.id;
        }
    }
    None
}

/// The length of a container's id.
const ID: usize = 64;

/// The ids that this process's container may have, surest first.
fn candidates(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let ids_in = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter(|word| word.len() == ID && is_hex(word)).map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    // Docker mounts these three from the container's own directory. Other lines may name other containers.
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let [_, _, _, root, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf", ..] = fields[..] {
            found.extend(ids_in(root));
        }
    }
    found.extend(cgroup.lines().flat_map(ids_in));
    if hostname.len() == 12 && is_hex(hostname) {
        found.push(hostname.to_owned());
    }
    let mut seen = BTreeSet::new();
    found.retain(|id| seen.insert(id.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::candidates;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn only_mounts_that_are_ones_own_count() {
        let mountinfo = format!(
            "1 2 8:1 /var/lib/docker/containers/{A}/hostname /etc/hostname rw - ext4 /dev/sda rw\n\
             2 2 0:5 / /var/lib/docker/containers/{B}/mounts/shm rw - tmpfs shm rw\n"
        );
        assert_eq!(candidates(&mountinfo, "", "web"), [A]);
    }

    #[test]
    fn the_control_group_and_the_host_name_are_tried_too() {
        let cgroup = format!("5:cpu:/docker/{A}\n1:name=systemd:/system.slice/docker-{B}.scope\n0::/\n");
        assert_eq!(candidates("", &cgroup, "0123456789ab"), [A, B, "0123456789ab"]);
    }

    #[test]
    fn a_plain_machine_has_none() {
        assert!(candidates("1 2 8:1 / / rw - ext4 /dev/sda rw", "0::/init.scope", "build-host").is_empty());
    }
}
