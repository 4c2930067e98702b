//! What can be seen of the containers from outside: before a round and after it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use squall::host::mounts;
use squall::instance::{Aspect, Setting};
use tokio::process::Command;

/// All that can be seen, by the container's name.
#[derive(Debug, Clone, PartialEq)]
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
        text += &String::from_utf8_lossy(&output.stdout);
    }
    let output = Command::new("nsenter").args(["-t", &pid, "-n", "ip", "-o", "link"]).output().await?;
    // Numbers and addresses of interfaces are others in another life.
    let links = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = |line: &str| line.split([':', '@']).nth(1).unwrap_or_default().trim().to_owned();
    Ok(text + &links.lines().map(name).collect::<Vec<_>>().join(" "))
}

/// What a process has mounted, and how; the numbers are others in another life.
pub(crate) fn mounted(pid: u32) -> anyhow::Result<Vec<String>> {
    let all = mounts::of(pid).with_context(|| format!("the mounts of process {pid}"))?;
    Ok(all.into_iter().map(|m| format!("{} {} on {} ({})", m.kind, m.root, m.path, m.options.join(","))).collect())
}

/// Every process in any control group of a container, beside those that have ended: number and name.
pub(crate) fn inhabitants(id: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(groups) = std::fs::read_to_string(format!("/proc/{pid}/cgroup")) else { continue };
        let ended = squall::host::process::stat(pid).is_none_or(|stat| stat.state == 'Z');
        if groups.contains(id) && !ended {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push(format!("{pid} ({})", name.trim()));
        }
    }
    Ok(found)
}
