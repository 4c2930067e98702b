//! `fleet.yaml`: several machines with an engine each, how each is reached, and what holds for all that runs on it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::diagnostic::Mistakes;
use super::document::{self, Reading};
use crate::model::quantity::Lookup;
use crate::model::zones;

/// Several machines with an engine each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FleetFile {
    /// Version of the file format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The machines, by the names that they are called by: those of their instances begin with it (`n1/web-1`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<String, EngineOf>,
    /// A Docker Swarm, whose nodes are the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmOf>,
}

/// How an engine is reached, and what holds for its machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EngineOf {
    /// The Docker context whose engine it is. This or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Its address: `unix://…`, `tcp://…` or `ssh://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The zone of all instances on it that do not name another one themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Labels of the machine, of which one can be the zone (`zones: { label: rack }` in an experiment).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A Docker Swarm: which manager is asked for its nodes, and how each of them is reached. The labels of a node are those of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SwarmOf {
    /// The Docker context of a manager. This or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The address of a manager's engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The address of a node's engine, with `{hostname}` or `{address}` for what the manager tells of the node:
    /// `ssh://ops@{hostname}`.
    pub reach: String,
}

impl EngineOf {
    /// The labels of its machine, its zone among them.
    #[must_use]
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let zone = self.zone.clone().map(|zone| (zones::LABEL.to_owned(), zone));
        self.labels.clone().into_iter().chain(zone).collect()
    }
}

impl SwarmOf {
    /// The address of a node's engine; `None` where it goes by the node's address, and that is not known.
    #[must_use]
    pub fn reach(&self, hostname: &str, address: Option<&str>) -> Option<String> {
        let reach = self.reach.replace(check::HOSTNAME, hostname);
        match address {
            Some(address) => Some(reach.replace(check::ADDRESS, address)),
            None => (!reach.contains(check::ADDRESS)).then_some(reach),
        }
    }
}

/// Reads such a file; `name` is how messages call it.
///
/// # Errors
/// Every mistake in it, each with its place.
pub fn read(name: &str, bytes: &[u8], lookup: Lookup<'_>) -> Result<Reading<FleetFile>, Mistakes> {
    let (mut document, value) = document::parse(name, bytes, lookup)?;
    check::fleet_file(&mut document);
    document.finish(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FleetFile, String> {
        let none = |_: &str| Err(crate::model::quantity::Absent::Unset);
        super::read("fleet.yaml", text.as_bytes(), &none).map(|r| r.value).map_err(|m| m.to_string())
    }

    #[test]
    fn a_fleet_file_names_its_engines_and_their_zones() {
        let text = "version: 1\nengines:\n  n1: { context: one, zone: a }\n  n2: { host: 'ssh://ops@n2', labels: { rack: r2 } }";
        let fleet = read(text).unwrap();
        assert_eq!(fleet.engines["n1"].all_labels()[zones::LABEL], "a");
        assert_eq!((fleet.engines["n2"].host.as_deref(), fleet.engines.len()), (Some("ssh://ops@n2"), 2));
        let swarm = read("version: 1\nswarm: { context: one, reach: 'ssh://ops@{hostname}' }").unwrap().swarm.unwrap();
        assert_eq!(swarm.reach("n7", None).as_deref(), Some("ssh://ops@n7"));
        let by_address = SwarmOf { reach: "tcp://{address}:2376".to_owned(), ..SwarmOf::default() };
        assert_eq!(by_address.reach("n7", Some("10.0.0.7")).as_deref(), Some("tcp://10.0.0.7:2376"));
        assert_eq!(by_address.reach("n7", None), None, "it is not known");
    }

    #[test]
    fn each_mistake_says_what_would_be_right() {
        for (text, want) in [
            ("version: 1", "it names no engine"),
            ("version: 1\nengines: {}", "it names no engine"),
            ("version: 2\nengines: { a: { context: x } }", "`version` must be 1"),
            ("version: 1\nengines: { a: {} }", "`context` or `host`"),
            ("version: 1\nengines: { a: { context: x, host: 'unix:///x' } }", "`context` and `host`"),
            ("version: 1\nengines: { a: { contxt: x } }", "did you mean `context`?"),
            ("version: 1\nengines: { 'a/b': { context: x } }", "cannot be the name of a machine"),
            ("version: 1\nengines: { a: { host: 'http://x' } }", "unix://"),
            ("version: 1\nswarm: { context: x, reach: 'ssh://n1' }", "`{hostname}`"),
            ("version: 1\nswarm: { reach: 'ssh://{hostname}' }", "`context` or `host`"),
        ] {
            let mistakes = read(text).unwrap_err();
            assert!(mistakes.contains(want), "{want}: {mistakes}");
        }
    }
}
