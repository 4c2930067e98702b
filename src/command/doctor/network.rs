//! What `squall doctor` says about faults of the network: who would make them here and why, and what is missing.

use super::{Finding, good, note};
use crate::engine::net::Mechanisms;
use crate::host::Host;
use crate::host::facts::{CAPABILITIES, Facts};
use crate::host::kernel::{Feature, Kernel, NETWORK, Presence};

/// What to do where namespaces cannot be entered.
const ROOT: &str = "for faults of the network: run as root, and in a container with `--pid=host --cap-add SYS_ADMIN --cap-add \
                    NET_ADMIN --cap-add SYS_PTRACE`";

pub(super) fn capabilities(facts: &Facts) -> Finding {
    let names = |has: bool| -> Vec<&str> {
        CAPABILITIES.iter().filter(|c| facts.has(**c).unwrap_or(false) == has).map(|c| c.name).collect()
    };
    if facts.has(CAPABILITIES[0]).is_none() {
        return note("capabilities", "unknown: /proc cannot be read", "mount /proc");
    }
    let lacks = names(false);
    if lacks.is_empty() {
        return good("capabilities", names(true).join(", "));
    }
    let todo = "faults of the network need all but KILL, `via: host` needs KILL. In a container: `--cap-add`";
    note("capabilities", format!("without {}", lacks.join(", ")), todo)
}

pub(super) fn namespaces(facts: &Facts, container: Option<u32>) -> Finding {
    const WHAT: &str = "namespaces";
    let of = container.unwrap_or(1);
    match (facts.opens_network_of(of), container) {
        (Ok(()), _) => good(WHAT, format!("can be opened (tried with that of process {of})")),
        (Err(e), Some(_)) => note(WHAT, format!("cannot be opened: {e}"), ROOT),
        // The first process may be guarded more closely than any container.
        (Err(e), None) => note(
            WHAT,
            format!("unknown: no container runs to try with, and that of process 1 cannot be opened: {e}"),
            ROOT,
        ),
    }
}

/// Who would make packets late, as tried.
pub(super) fn mechanism(host: &Host) -> Finding {
    if host.may_enter() { by(&Mechanisms::of(host)) } else { note(WHAT, "not from here", ROOT) }
}

const WHAT: &str = "network faults";

fn by(mechanisms: &Mechanisms) -> Finding {
    const INSTALL: &str = "install kernel-modules-extra, or your system's like";
    match (&mechanisms.netem, &mechanisms.userspace) {
        (Ok(()), Ok(())) => good(WHAT, "yes, all: packets are late by netem, the kernel's own emulator"),
        (Ok(()), Err(why)) => {
            let found = format!("by netem, the kernel's own emulator; no `dns`: no way to user space (NFQUEUE: {why})");
            note(WHAT, found, INSTALL)
        }
        (Err(why), Ok(())) => good(
            WHAT,
            format!(
                "yes, all: packets are late by userspace, a process of Squall that holds them (NFQUEUE), not by netem: \
                 {why}"
            ),
        ),
        (Err(netem), Err(queue)) => {
            let found = format!("no delays: neither netem ({netem}) nor a way to user space (NFQUEUE: {queue})");
            note(WHAT, found, INSTALL)
        }
    }
}

/// What the kernel has for faults of the network, those with the same answer in one line.
pub(super) fn kernel(kernel: &Kernel) -> Vec<Finding> {
    let release = kernel.release.clone().unwrap_or_else(|| "of unknown release".to_owned());
    let mut has = Vec::new();
    let mut others: Vec<(Presence, String, Vec<&str>)> = Vec::new();
    for feature in &NETWORK {
        let presence = kernel.has(feature);
        if let Presence::Yes(_) = presence {
            has.push(feature.module);
            continue;
        }
        let todo = todo(kernel, feature);
        match others.iter_mut().find(|(p, t, _)| *p == presence && *t == todo) {
            Some((_, _, modules)) => modules.push(feature.module),
            None => others.push((presence, todo, vec![feature.module])),
        }
    }
    let list = if has.is_empty() { String::new() } else { format!("; has {}", has.join(", ")) };
    let mut findings = vec![good("kernel", release + &list)];
    findings.extend(others.into_iter().map(|(presence, todo, modules)| {
        let modules = modules.join(", ");
        match presence {
            Presence::No(why) | Presence::Yes(why) => note("kernel lacks", format!("{modules}: {why}"), todo),
            Presence::Unknown(why) => note("kernel, unknown", format!("{modules}: {why}"), todo),
        }
    }));
    findings
}

fn todo(kernel: &Kernel, missing: &Feature) -> String {
    let other = missing.instead.and_then(|module| NETWORK.iter().find(|f| f.module == module));
    match other {
        Some(other) if matches!(kernel.has(other), Presence::Yes(_)) => {
            format!("nothing: {} takes its place", other.module)
        }
        _ => format!("for {}", missing.serves),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;

    #[test]
    fn a_kernel_without_netem_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let found = kernel(&Kernel::read(dir.path()));
        assert!(found.iter().all(|f| f.mark != Mark::Bad));
        assert!(found.iter().any(|f| f.found.contains("sch_netem") && f.found.contains("can be seen from here")));

        std::fs::create_dir_all(dir.path().join("proc")).unwrap();
        std::fs::write(dir.path().join("proc/modules"), "nfnetlink_queue 1 0 - Live 0x0\n").unwrap();
        let found = kernel(&Kernel::read(dir.path()));
        let netem = found.iter().find(|f| f.found.contains("sch_netem")).unwrap();
        assert_eq!(netem.todo, "nothing: nfnetlink_queue takes its place");
    }

    #[test]
    fn what_is_used_is_said_and_why() {
        let no = || Err("not supported".to_owned());
        let found = |netem, userspace| by(&Mechanisms { netem, userspace });
        assert!(found(Ok(()), Ok(())).found.contains("by netem"));
        assert!(found(no(), Ok(())).found.contains("by userspace") && found(no(), Ok(())).mark == Mark::Good);
        assert!(found(Ok(()), no()).found.contains("no `dns`"));
        assert_eq!(found(no(), no()).mark, Mark::Note);
    }
}
