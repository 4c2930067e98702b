//! Faults of the machine: whether their keys go together, and whether what they ask for can be.

use super::{Found, Mistake};
use crate::experiment::fault::{Act, Cpu, DiskSlow, Memory, Process, Sockets, Throttle};
use crate::model::stressor::Oom;

/// The least share of a core that the kernel can give: 1 ms in 100.
const LEAST_CORES: f64 = 0.01;

/// `pids` and `file-descriptors`. Here and below, `fault` is the path of the fault, its name last.
pub(super) fn counted(found: &mut Found<'_>, fault: &[&str]) {
    alone(found, fault, ["leave", "limit"], "`limit` is how many in all, `leave` how many more than there are");
}

pub(super) fn throttle(found: &mut Found<'_>, fault: &[&str], throttle: &Throttle) {
    alone(found, fault, ["cpu", "cores"], "`cores` is how many, `cpu` a share of those that it may use");
    if (throttle.cpu, throttle.cores, throttle.memory) == (None, None, None) {
        nothing(found, fault, "give `cpu`, `cores` or `memory`");
    }
    if throttle.cores.is_some_and(|cores| cores.is_nan() || cores < LEAST_CORES) {
        let at = found.document.value_at(&[fault, &["cores"]].concat());
        found.add(
            Mistake::error(&at, "no process can live on so little of a core")
                .label("at least 0.01; to stop it there is `pause`"),
        );
    }
    if throttle.cpu.is_some_and(|share| share.0 <= 0.0) {
        let at = found.document.value_at(&[fault, &["cpu"]].concat());
        found.add(Mistake::error(&at, "`fault.throttle.cpu` leaves nothing").label("to stop it there is `pause`"));
    }
    if throttle.cpu.is_some_and(|share| share.0 >= 1.0) {
        let at = found.document.value_at(&[fault, &["cpu"]].concat());
        found.add(Mistake::error(&at, "`fault.throttle.cpu` takes nothing away").label("below 100%"));
    }
}

pub(super) fn disk_slow(found: &mut Found<'_>, fault: &[&str], slow: &DiskSlow) {
    if (slow.read, slow.write, slow.read_iops, slow.write_iops) == (None, None, None, None) {
        nothing(found, fault, "give at least one of `read`, `write`, `read-iops` and `write-iops`");
    }
    for (key, value) in [("read-iops", slow.read_iops), ("write-iops", slow.write_iops)] {
        if value == Some(0) {
            let at = found.document.value_at(&[fault, &[key]].concat());
            found.add(
                Mistake::error(&at, format!("`{}.{key}` is zero", fault.join(".")))
                    .label("at least 1: to the kernel, 0 is no limit"),
            );
        }
    }
    if slow.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        let at = found.document.value_at(&[fault, &["path"]].concat());
        found.add(
            Mistake::error(&at, "`fault.disk-slow.path` does not begin with `/`").help("it is a path in the target"),
        );
    }
}

pub(super) fn sockets(found: &mut Found<'_>, fault: &[&str], sockets: &Sockets) {
    if sockets.ports == 0 {
        let at = found.document.value_at(&[fault, &["ports"]].concat());
        found.add(Mistake::error(&at, "the kernel always keeps a port for connections").label("at least 1"));
    }
}

fn nothing(found: &mut Found<'_>, fault: &[&str], help: &'static str) {
    let at = found.document.key_at(fault);
    found.add(Mistake::error(&at, format!("`{}` does nothing", fault.join("."))).help(help));
}

/// Two keys that say the same in two ways.
fn alone(found: &mut Found<'_>, fault: &[&str], keys: [&str; 2], help: &'static str) {
    let entry = |key: &str| found.document.entry(&[fault, &[key]].concat()).cloned();
    let (Some(one), Some(other)) = (entry(keys[0]), entry(keys[1])) else { return };
    let (first, second) = if one.key_at.start < other.key_at.start { (one, other) } else { (other, one) };
    found.add(
        Mistake::error(&second.key_at, format!("`{}` and `{}` do not go together", first.key, second.key))
            .also(&first.key_at, "the other one")
            .help(help),
    );
}

/// Exactly one of two keys.
fn one_of(found: &mut Found<'_>, fault: &[&str], keys: [&str; 2], help: &'static str) {
    alone(found, fault, keys, help);
    if keys.iter().all(|key| found.document.entry(&[fault, &[key]].concat()).is_none()) {
        let at = found.document.key_at(fault);
        let name = fault.last().copied().unwrap_or_default();
        found.add(Mistake::error(&at, format!("`{name}` needs `{}` or `{}`", keys[0], keys[1])).help(help));
    }
}

/// A key whose value comes to nothing.
fn no_load(found: &mut Found<'_>, fault: &[&str], key: &str) {
    let at = found.document.value_at(&[fault, &[key]].concat());
    found.add(Mistake::error(&at, format!("`{key}` is no load")).label("more than 0"));
}

pub(super) fn cpu(found: &mut Found<'_>, path: &[&str], fault: &Cpu) {
    one_of(found, path, ["load", "cores"], "`load` is a share of what the instance may use, `cores` an amount");
    if fault.load.is_some_and(|share| share.0 <= 0.0) {
        no_load(found, path, "load");
    }
    if fault.cores.is_some_and(|cores| !cores.is_finite() || cores < 0.001) {
        no_load(found, path, "cores");
    }
}

pub(super) fn memory(found: &mut Found<'_>, path: &[&str], fault: &Memory) {
    let help = "`to` is a share of the limit, `size` an amount beside what the instance uses";
    one_of(found, path, ["to", "size"], help);
    if fault.size.is_some_and(|size| size.0 == 0) {
        no_load(found, path, "size");
    }
    if fault.to.is_some_and(|to| to.0 <= 0.0) {
        no_load(found, path, "to");
    }
    if fault.oom == Oom::Avoid && fault.to.is_some_and(|to| to.0 > 0.95) {
        let at = found.document.value_at(&[path, &["to"]].concat());
        found.add(
            Mistake::error(&at, "a load that avoids running out of memory keeps 5 % of the limit free")
                .label("at most 95%, or say `oom: allow`"),
        );
    }
}

pub(super) fn process(found: &mut Found<'_>, path: &[&str], fault: &Process) {
    for (key, value) in [("name", &fault.name), ("title", &fault.title)] {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            let at = found.document.value_at(&[path, &[key]].concat());
            found.add(Mistake::error(&at, format!("`{key}` names no process")).label("such as `worker*`"));
        }
    }
    if (&fault.name, &fault.title) == (&None, &None) {
        nothing(found, path, "give `name` or `title`");
    }
    if fault.act == Act::Stop && fault.signal.is_some() {
        let at = found.document.key_at(&[path, &["signal"]].concat());
        found
            .add(Mistake::error(&at, "`act: stop` has signals of its own").help(
                "processes are stopped by SIGSTOP and go on by SIGCONT: leave `signal` away, or say `act: kill`",
            ));
    }
}
