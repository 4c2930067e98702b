//! Whose container a process is in, as the kernel has it: by its control groups, and where those are no container's, by what its engine
//! has mounted for it. Knows no engine. Pure, but for reading the two files.

/// Files that an engine mounts into a container from that container's own directory, also where it shares its network with others.
const OWN_FILES: [&str; 2] = ["/run/.containerenv", "/etc/hostname"];

/// Whether a process with this number is in the container of this id.
pub(super) fn has(id: &str, pid: u32) -> bool {
    let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    by_groups(&read("cgroup"), id).unwrap_or_else(|| by_mounts(&read("mountinfo"), id))
}

/// Whether one line of control groups carries this id. The monitor of a container stands in a group that is named after it, too.
pub(crate) fn is_named(line: &str, id: &str) -> bool {
    line.contains(id) && !line.contains(&format!("conmon-{id}"))
}

/// What the control groups say; nothing where they are those of no container.
fn by_groups(groups: &str, id: &str) -> Option<bool> {
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let any = groups.split(|c: char| !c.is_ascii_alphanumeric()).any(is_id);
    let own = groups.lines().any(|line| is_named(line, id));
    (own || any).then_some(own)
}

/// What the mounts say: `144 138 0:39 /containers/ID/userdata/hostname /etc/hostname rw - …` a line.
fn by_mounts(mountinfo: &str, id: &str) -> bool {
    mountinfo.lines().any(|line| {
        let mut fields = line.split(' ').skip(3);
        let (from, at) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        OWN_FILES.contains(&at) && from.split('/').any(|part| part == id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn control_groups_decide_where_they_are_a_containers() {
        for groups in [
            format!("3:pids:/docker/{A}\n0::/\n"),
            format!("0::/user.slice/user-1000.slice/libpod-{A}.scope/container\n"),
            format!("8:pids:/libpod_parent/{B}/libpod-{A}\n"),
        ] {
            assert_eq!(by_groups(&groups, A), Some(true), "{groups}");
        }
        assert_eq!(by_groups(&format!("3:pids:/docker/{B}\n"), A), Some(false));
        assert_eq!(by_groups(&format!("0::/machine.slice/libpod-conmon-{A}.scope\n"), A), Some(false), "its monitor");
        assert_eq!(by_groups("3:pids:/\n0::/user.slice/session-1.scope\n", A), None);
    }

    #[test]
    fn mounts_count_where_they_are_of_the_containers_own_directory() {
        let line = |from: &str, at: &str| format!("144 138 0:39 {from} {at} rw,relatime - tmpfs tmpfs rw\n");
        let of = |id: &str, file: &str| format!("/containers/{id}/userdata/{file}");
        assert!(by_mounts(&line(&of(A, "hostname"), "/etc/hostname"), A));
        assert!(by_mounts(&line(&of(A, ".containerenv"), "/run/.containerenv"), A));
        assert!(!by_mounts(&line(&of(B, "hostname"), "/etc/hostname"), A), "another one");
        assert!(!by_mounts(&line(&of(A, "hosts"), "/etc/hosts"), A), "who shares a network shares these");
        assert!(!by_mounts(&line(&format!("/containers/{A}"), "/backup"), A), "who looks at another one's directory");
        assert!(!by_mounts(&line("/home", &format!("/etc/hostname {A}")), A));
    }
}
