//! Load, and processes held still: a process of Squall's that stands in the instance's control groups (`squall load`) and is known by
//! what it carries in its environment; and signals to processes of the instance.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal as Native;
use tokio::process::Command;

use super::limits::micros;
use super::{MachineAccess, blocking};
use crate::engine::here::{MARK, native};
use crate::engine::{Ability, Outcome, Tag};
use crate::host::Host;
use crate::host::facts::{Facts, SYS_RESOURCE};
use crate::host::load::inside::{self, Inside};
use crate::host::load::{self, ARGUMENT, Order, VARIABLE};
use crate::host::memory;
use crate::host::process::{self, Process, Stat};
use crate::host::worker::Worker;
use crate::model::instance::{Aspect, Instance, Setting, Signal, Signalled};
use crate::model::machine::counters::{Counters, CpuLoad};
use crate::model::stressor::{Goal, Oom, StressSpec, Stressor, in_mib, reserve};

/// How long such a process may take to be gone.
const ENDS: Duration = Duration::from_secs(5);

/// How long its first effect is waited for, and how often it is looked.
const EFFECT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What each kind of process is about.
const KINDS: [(&str, Aspect); 4] = [
    ("cpu", Aspect::CpuLoad),
    ("memory", Aspect::MemoryLoad),
    ("connections", Aspect::HeldConnections),
    ("stop", Aspect::Processes),
];

/// The mark of what has not begun (yet), or is not all there.
const UNFINISHED: &str = "unfinished";

/// One that is there.
struct Found {
    process: Process,
    kind: String,
    mark: String,
    stat: Stat,
}

impl Found {
    /// Whether it has had any effect by now.
    fn has_begun(&self) -> bool {
        match self.kind.as_str() {
            "cpu" => !self.stat.used.is_zero(),
            "memory" => memory::held_by(self.process.pid()).is_some_and(|bytes| bytes > 0),
            "connections" => load::held_by(self.process.pid()).is_some_and(|(_, most)| most > 0),
            // It says that it is ready when it has stopped them.
            _ => true,
        }
    }
}

/// What is observed where no process of Squall's can be: nothing.
pub(super) fn unstressed(instance: &mut Instance) {
    for (_, aspect) in KINDS {
        instance.settings.insert(aspect, Setting::Mark(aspect, None));
    }
}

/// Looks for processes of Squall's, and at those of the instance.
pub(super) fn observe(site: &MachineAccess, instance: &mut Instance) -> io::Result<()> {
    let ours = found(site)?;
    let theirs = inside::all(&site.process, &site.cgroup)?;
    let stopped: Vec<Inside> = theirs.iter().filter(|p| p.stat.state == 'T').cloned().collect();
    for (kind, aspect) in KINDS {
        let these: Vec<&Found> = ours.iter().filter(|o| o.kind == kind).collect();
        let mark = match these.as_slice() {
            [] if aspect == Aspect::Processes && !stopped.is_empty() => Some(UNFINISHED.to_owned()),
            [] => None,
            [one] if one.has_begun() => Some(one.mark.clone()),
            _ => Some(UNFINISHED.to_owned()),
        };
        instance.settings.insert(aspect, Setting::Mark(aspect, mark));
    }
    if let Some(cpu) = site.cgroup.controller("cpuacct").or_else(|| site.cgroup.controller("cpu")) {
        let used = match cpu.number("cpuacct.usage")? {
            Some(ns) => Some(Duration::from_nanos(ns)),
            None => cpu.keyed("cpu.stat", "usage_usec")?.map(Duration::from_micros),
        };
        if let Some(used) = used {
            if let Some(counters) = &mut instance.counters {
                counters.cpu_us = Some(micros(used));
            }
            instance.sees.insert(Aspect::CpuLoad, cpu_in_words(used, &ours));
        }
    }
    if let Some(used) = crate::host::load::used_memory(&site.cgroup)? {
        instance.sees.insert(Aspect::MemoryLoad, memory_in_words(used, &ours));
    }
    if let Some(counters) = &mut instance.counters {
        count(counters, &ours, site.process.pid(), &theirs);
    }
    if let Some(held) = ours.iter().find(|o| o.kind == "connections").and_then(|o| load::held_by(o.process.pid())) {
        let (now, most) = held;
        instance.sees.insert(Aspect::HeldConnections, format!("{now} connections held now, at most {most} so far"));
    }
    instance.sees.insert(Aspect::Processes, processes_in_words(&theirs, &stopped));
    instance.processes = Some(inside::counted(&theirs));
    Ok(())
}

/// What loads have had, and how long the instance's own processes waited meanwhile.
fn count(counters: &mut Counters, ours: &[Found], main: u32, theirs: &[Inside]) {
    let of = |kind: &'static str| ours.iter().find(move |o| o.kind == kind);
    counters.cpu_load = of("cpu")
        .map(|load| CpuLoad { used_us: micros(load.stat.used), age_us: micros(process::age(load.stat.start_ticks)) });
    counters.connections_held = of("connections").and_then(|o| load::held_by(o.process.pid())).map(|(_, most)| most);
    counters.memory_load = of("memory").and_then(|load| memory::held_by(load.process.pid()));
    if counters.cpu_load.is_some() {
        // A session that waits is no effect on the service.
        let theirs = theirs.iter().filter(|p| !p.called.session);
        let all = std::iter::once(main).chain(theirs.map(|p| p.pid));
        counters.waited_us = Some(all.filter_map(process::waited).map(micros).sum());
    }
}

fn cpu_in_words(used: Duration, ours: &[Found]) -> String {
    let mut words = format!("{:.2} s of processor time used so far", used.as_secs_f64());
    for load in ours.iter().filter(|o| o.kind == "cpu") {
        let (by, age) = (load.stat.used.as_secs_f64(), process::age(load.stat.start_ticks).as_secs_f64());
        let _ = write!(words, ", {by:.2} s of it by the load in {age:.2} s ({:.2} cores)", by / age.max(0.01));
    }
    words
}

fn memory_in_words(used: u64, ours: &[Found]) -> String {
    let mut words = format!("{} of memory used", in_mib(used));
    for load in ours.iter().filter(|o| o.kind == "memory") {
        let _ =
            write!(words, ", {} of it by the load", in_mib(memory::held_by(load.process.pid()).unwrap_or_default()));
    }
    words
}

/// How many names of processes people are told.
const SHOWN: usize = 8;

fn processes_in_words(all: &[Inside], stopped: &[Inside]) -> String {
    let words = |these: &[Inside]| {
        let names: Vec<String> = inside::counted(these).iter().map(ToString::to_string).collect();
        let more = if names.len() > SHOWN { " and others" } else { "" };
        format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
    };
    match (all.len(), stopped.len()) {
        (0, _) => "no process beside its main one".to_owned(),
        (_, 0) => format!("beside its main process {}", words(all)),
        _ => format!("beside its main process {}; stopped: {}", words(all), words(stopped)),
    }
}

/// Whether such a thing can be done from here.
pub(super) fn can(host: &Host, instance: &Instance, to: &Setting) -> Ability {
    if !rustix::process::geteuid().is_root() {
        return Ability::No(
            "it takes a process of Squall's in the container's control group, on its host: run as root".to_owned(),
        );
    }
    let Setting::Stressor(stressor) = to else { return Ability::Yes };
    if !host.cgroups().are_writable() {
        return Ability::No(
            "a process of Squall's is put into the container's control group, and control groups can only be read from here: run \
             Squall on the engine's own host, or in a container with `--pid=host --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup`"
                .to_owned(),
        );
    }
    if matches!(stressor.work, StressSpec::Connections(_)) && !host.may_enter() {
        return Ability::No(
            "connections are made in the container's network namespace, from its host: in a container run Squall with \
             `--pid=host --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE` as well"
                .to_owned(),
        );
    }
    let StressSpec::Memory(load) = &stressor.work else { return Ability::Yes };
    if load.oom == Oom::Allow && Facts::here().has(SYS_RESOURCE) != Some(true) {
        return Ability::No(
            "with `oom: allow` the kernel shall choose among the target's own processes and not end the load, which takes the \
             capability SYS_RESOURCE; without it, `oom: avoid` is what can be done"
                .to_owned(),
        );
    }
    let used = instance.allowance.and_then(|a| a.memory_held).unwrap_or_default();
    let needed = match load.goal {
        Goal::Used(bytes) => bytes.saturating_sub(used),
        Goal::Added(bytes) => bytes,
    };
    match memory::machine() {
        Ok(machine) if machine.available.saturating_sub(needed) >= reserve(machine.total) => Ability::Yes,
        Ok(machine) => Ability::No(format!(
            "it would take up to {}, and of the {} that the host has available {} are its reserve (5 %, at least 512 MiB), which \
             no experiment may use",
            in_mib(needed),
            in_mib(machine.available),
            in_mib(reserve(machine.total))
        )),
        Err(why) => Ability::No(format!("it is not known how much memory the host has: {why}")),
    }
}

/// Has a process of Squall's do it. `Already` where one does exactly this.
pub(super) async fn begin(site: MachineAccess, tag: &Tag, stressor: &Stressor) -> io::Result<Outcome> {
    let (kind, mark) = (stressor.work.kind(), stressor.mark());
    let known = found(&site)?;
    let mut these = known.iter().filter(|f| f.kind == kind);
    if let (Some(one), None) = (these.next(), these.next())
        && one.mark == mark
    {
        return Ok(Outcome::Already);
    }
    drop(known);
    clear(&site, tag, kind).await?;
    let started = start(&site, tag, stressor).await;
    if started.is_ok() {
        // What is observed next shall be what was set. Where it takes longer, the verification waits for it.
        let end = Instant::now() + EFFECT;
        while Instant::now() < end && !found(&site)?.iter().any(|f| f.mark == mark && f.has_begun()) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    } else {
        // The reason to tell is the first one.
        let _ = clear(&site, tag, kind).await;
    }
    started.map(|()| Outcome::Done)
}

/// Ends whatever a process of Squall's does to an aspect, no matter which process started it.
pub(super) async fn end(site: MachineAccess, tag: &Tag, aspect: Aspect) -> io::Result<Outcome> {
    let kind = KINDS.into_iter().find_map(|(kind, of)| (of == aspect).then_some(kind));
    let kind = kind.ok_or_else(|| io::Error::other(format!("no load is about the {aspect}")))?;
    clear(&site, tag, kind).await
}

async fn clear(site: &MachineAccess, tag: &Tag, kind: &str) -> io::Result<Outcome> {
    for load in found(site)?.into_iter().filter(|f| f.kind == kind) {
        // The end takes processor time, too, as memory is given back page by page: not what the instance has too little of.
        if let Err(why) = site.host.cgroups().release(load.process.pid(), &site.cgroup) {
            tracing::debug!(%why, "a load ends as slowly as its instance runs");
        }
    }
    let mut ended = forget(&site.host, tag).await?;
    for load in found(site)?.into_iter().filter(|f| f.kind == kind) {
        load.process.signal(Native::KILL)?;
        if !load.process.ended_within(ENDS).await? {
            return Err(io::Error::other(format!("process {} does not end though it was killed", load.process.pid())));
        }
        ended += 1;
    }
    if kind == "stop" {
        ended += go_on(site)?;
    }
    Ok(if ended == 0 { Outcome::Already } else { Outcome::Done })
}

/// Lets every process of the instance go on that is stopped: before, none was.
fn go_on(site: &MachineAccess) -> io::Result<usize> {
    let mut count = 0;
    for p in inside::all(&site.process, &site.cgroup)?.into_iter().filter(|p| p.stat.state == 'T') {
        if let Some(process) = inside::hold(&p)? {
            process.signal(Native::CONT)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Ends what carries a change's tag, wherever it is. Says how many there were.
pub(super) async fn forget(host: &Host, tag: &Tag) -> io::Result<usize> {
    let tag = tag.to_string();
    let ended = process::kill_with_variable(MARK, &tag, ENDS).await?;
    host.let_go(&tag);
    Ok(ended)
}

/// Starts one. When this returns, it has begun.
async fn start(site: &MachineAccess, tag: &Tag, stressor: &Stressor) -> io::Result<()> {
    let gone = || io::Error::other("its main process has ended");
    let main = site.process.pid();
    let order = Order {
        main,
        since: process::start_ticks(main).ok_or_else(gone)?,
        cgroup: site.cgroup.clone(),
        stressor: stressor.clone(),
    };
    let kind = stressor.work.kind();
    let mut program = Command::new(site.host.program());
    program
        .arg0("squall")
        .args([ARGUMENT, kind])
        .args(["--change", &tag.to_string(), "--main", &main.to_string()])
        .env_clear()
        .env(VARIABLE, format!("{kind}:{}", stressor.mark()))
        .env(MARK, tag.to_string());
    let input = Worker::start_with(&mut program, &order).await?.into_input()?;
    site.host.hold(tag.to_string(), input);
    Ok(())
}

/// The processes of Squall's that stand in an instance's control groups. A process inside cannot pass for one: it does not see the
/// host's processes.
fn found(site: &MachineAccess) -> io::Result<Vec<Found>> {
    let mut pids = Vec::new();
    for controller in ["cpu", "memory"].iter().filter_map(|name| site.cgroup.controller(name)) {
        pids.extend(controller.processes()?);
    }
    pids.sort_unstable();
    pids.dedup();
    let here = process::pid_namespace(std::process::id());
    let mut found = Vec::new();
    for pid in pids.into_iter().filter(|pid| process::pid_namespace(*pid) == here) {
        let Some(process) = Process::open(pid)? else { continue };
        let (Some(value), Some(stat)) = (process::variable(pid, VARIABLE), process::stat(pid)) else { continue };
        if let Some((kind, mark)) = value.split_once(':')
            && process.is_alive()
        {
            found.push(Found { process, kind: kind.to_owned(), mark: mark.to_owned(), stat });
        }
    }
    Ok(found)
}

/// Sends a signal to every process that is meant, and after SIGKILL waits for their end.
pub(super) async fn signal(site: MachineAccess, signalled: &Signalled) -> io::Result<Outcome> {
    let (which, signal) = (signalled.which.clone(), signalled.signal);
    let held = blocking(move || inside::meant(&which, &site.process, &site.cgroup)).await?;
    for process in &held {
        process.signal(native(signal))?;
    }
    if signal == Signal::SigKill {
        for process in &held {
            if !process.ended_within(ENDS).await? {
                return Err(io::Error::other(format!("process {} does not end though it was killed", process.pid())));
            }
        }
    }
    Ok(Outcome::Done)
}
