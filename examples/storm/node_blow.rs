//! What happens to a run on several machines: one of its processes dies, or a machine, an engine or a link goes.

use std::fs::read_to_string;
use std::path::Path;

use rustix::process::Signal;
use squall::host::process::{self, Process};

use crate::nodes::{Ask, Nodes};

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blow {
    Runner,
    Guard,
    Both,
    Operator,
    Helper,
    Ssh,
    Cut,
    Engine,
    Off,
}

impl Blow {
    pub(crate) const ALL: [Self; 9] = [
        Self::Runner,
        Self::Guard,
        Self::Both,
        Self::Operator,
        Self::Helper,
        Self::Ssh,
        Self::Cut,
        Self::Engine,
        Self::Off,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Runner => "SIGKILL of the runner",
            Self::Guard => "SIGKILL of the guard",
            Self::Both => "SIGKILL of both",
            Self::Operator => "the operator's machine off",
            Self::Helper => "SIGKILL of a helper",
            Self::Ssh => "SIGKILL of `ssh`",
            Self::Cut => "the link of a node cut",
            Self::Engine => "SIGKILL of an engine",
            Self::Off => "a node off",
        }
    }

    /// What the cluster does to a machine for that, and to end it.
    pub(crate) fn verbs(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Cut => Some(("cut", "mend")),
            Self::Engine => Some(("kill", "start")),
            Self::Off | Self::Operator => Some(("off", "on")),
            Self::Runner | Self::Guard | Self::Both | Self::Helper | Self::Ssh => None,
        }
    }

    /// Whether the containers of the node end with it.
    pub(crate) fn ends_containers(self) -> bool {
        matches!(self, Self::Engine | Self::Off)
    }
}

/// Does it.
pub(crate) async fn strike(nodes: &mut Nodes, blow: Blow, machine: &str, dir: &Path) -> anyhow::Result<()> {
    // The guard first: a runner that is killed first would give it a head start.
    let words: &[&str] = match blow {
        Blow::Runner => &["run"],
        Blow::Guard => &["guard"],
        Blow::Both => &["guard", "run"],
        Blow::Ssh => &["ssh"],
        Blow::Helper => return nodes.has(machine, &Ask::KillHelpers(dir.to_owned())).await,
        Blow::Operator | Blow::Cut | Blow::Engine | Blow::Off => &[],
    };
    for word in words {
        for process in of_run(dir, word) {
            process.signal(Signal::KILL)?;
        }
    }
    match blow.verbs() {
        Some((verb, _)) => nodes.does(verb, machine).await,
        None => Ok(()),
    }
}

/// The processes of a run on the operator's machine that are called by a word: `run`, `guard`, `ssh`.
fn of_run(dir: &Path, word: &str) -> Vec<Process> {
    let program = std::env::current_exe().unwrap_or_default();
    let is_called = |process: &Process| {
        let line = read_to_string(format!("/proc/{}/cmdline", process.pid())).unwrap_or_default();
        let mut words = line.split('\0');
        let first = Path::new(words.next().unwrap_or_default());
        let is_squall = first == program && words.next() == Some(word);
        is_squall || word == "ssh" && first.ends_with("ssh")
    };
    process::with_variable("SQUALL_STATE", &dir.to_string_lossy()).into_iter().filter(is_called).collect()
}
