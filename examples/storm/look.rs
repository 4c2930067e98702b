//! What can be seen of the containers from outside: before a round and after it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use squall::host::{mounts, process};
use squall::model::instance::{Aspect, Setting};
use tokio::process::Command;

/// All that can be seen, by the container's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    /// Its settings, limits and restart policy among them.
    pub(crate) settings: BTreeMap<String, BTreeMap<Aspect, Setting>>,
    /// What lies on its traffic.
    pub(crate) namespaces: BTreeMap<String, String>,
    /// What it has mounted.
    pub(crate) mounts: BTreeMap<String, Vec<String>>,
}

impl Look {
    /// Leaves one out.
    pub(crate) fn forget(&mut self, name: Option<&str>) {
        let Some(name) = name else { return };
        self.settings.remove(name);
        self.namespaces.remove(name);
        self.mounts.remove(name);
    }

    /// Leaves some aspects of one out.
    pub(crate) fn forget_aspects(&mut self, name: &str, aspects: &[Aspect]) {
        if let Some(settings) = self.settings.get_mut(name) {
            settings.retain(|aspect, _| !aspects.contains(aspect));
        }
    }

    /// Leaves out of one's traffic what is not Squall's.
    pub(crate) fn forget_networks(&mut self, name: &str) {
        if let Some(text) = self.namespaces.get_mut(name) {
            let ours = ["squall", "netem", "tbf", "clsact", "ingress", "ifb", "filter"];
            *text = text.lines().filter(|line| ours.iter().any(|word| line.contains(word))).collect();
        }
    }

    /// What differs now, for people.
    pub(crate) fn differences(&self, now: &Self) -> String {
        let mut text = String::new();
        if self.settings != now.settings {
            let _ = write!(text, "settings: before {:?}\n  now {:?}\n", self.settings, now.settings);
        }
        if self.namespaces != now.namespaces {
            let _ = write!(text, "traffic: before {:?}\n  now {:?}\n", self.namespaces, now.namespaces);
        }
        if self.mounts != now.mounts {
            let _ = write!(text, "mounts: before {:?}\n  now {:?}\n", self.mounts, now.mounts);
        }
        text
    }
}

/// What lies on the traffic of a process, as the tools that people use tell it: queues, filters, rules and links.
pub(crate) async fn namespace(pid: u32) -> anyhow::Result<String> {
    let pid = pid.to_string();
    let mut text = String::new();
    for words in ["tc qdisc", "tc filter show dev eth0 egress", "tc filter show dev eth0 ingress", "nft list ruleset"] {
        let output = Command::new("nsenter").args(["-t", &pid, "-n"]).args(words.split(' ')).output().await?;
        // A container without a network has no `eth0` to tell of.
        ensure!(output.status.success() || words.contains("eth0"), "`{words}` ended with {}", output.status);
        text += &String::from_utf8_lossy(&output.stdout);
    }
    let output = Command::new("nsenter").args(["-t", &pid, "-n", "ip", "-o", "link"]).output().await?;
    // Numbers and addresses of interfaces are others in another life.
    let links = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = |line: &str| line.split([':', '@']).nth(1).unwrap_or_default().trim().to_owned();
    Ok(text + &links.lines().map(name).collect::<Vec<_>>().join(" "))
}

/// What the main process of a container has mounted, and how; the numbers are others in another life, and ids in another container.
pub(crate) fn mounted(pid: u32, id: &str) -> anyhow::Result<Vec<String>> {
    let all = mounts::of(pid).with_context(|| format!("the mounts of process {pid}"))?;
    let words = all.into_iter().map(|m| format!("{} {} on {} ({})", m.kind, m.root, m.path, m.options.join(",")));
    Ok(words.map(|words| words.replace(id, "ID")).collect())
}

/// A process of a container, or of Squall's in it.
#[derive(Debug)]
pub(crate) struct Inhabitant {
    pub(crate) pid: u32,
    #[expect(dead_code, reason = "for people")]
    name: String,
    /// Whether it was stopped by a signal.
    pub(crate) is_stopped: bool,
}

/// Every process in any control group of a container, beside those that have ended.
pub(crate) fn inhabitants(id: &str) -> Vec<Inhabitant> {
    let inhabitant = |pid: u32| {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let stat = process::stat(pid).filter(|stat| stat.state != 'Z' && groups.contains(id))?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(Inhabitant { pid, name: name.trim().to_owned(), is_stopped: stat.state == 'T' })
    };
    process::all().filter_map(inhabitant).collect()
}
