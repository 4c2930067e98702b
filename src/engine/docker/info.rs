//! What an engine tells of itself and of its machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::failure::within;
use super::{Docker, QUICK};
use crate::engine::EngineError;

/// What an engine tells of itself, as far as it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// What it calls itself: its host's name.
    pub name: Option<String>,
    /// The operating system that it runs on.
    pub system: Option<String>,
    /// How images and containers are kept: `overlay2`, `btrfs` …
    pub storage: Option<String>,
    /// Who makes control groups: `systemd` or `cgroupfs`.
    pub cgroup_driver: Option<String>,
    /// Which version of control groups its containers are in: `1` or `2`.
    pub cgroup_version: Option<String>,
    /// Whether it runs without root.
    pub rootless: bool,
}

/// The machine of an engine, as its instances tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// What it is called; empty where the engine does not tell.
    pub name: String,
    /// What its instances have for a zone where they do not say otherwise: labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Docker {
    /// The same, where its machine goes by another name than the engine tells.
    #[must_use]
    pub fn with_machine(self, machine: Machine) -> Self {
        Self { machine, ..self }
    }

    /// Its machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Asks the engine about itself.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn details(&self) -> Result<Details, EngineError> {
        let info = within(QUICK, self.api.info())
            .await
            .map_err(|f| f.error(&self.endpoint.address, || "ask the engine about itself".to_owned()))?;
        let says_so = |option: &String| option.contains("rootless");
        let rootless = self.podman.as_ref().is_some_and(|podman| podman.rootless)
            || info.security_options.iter().flatten().any(says_so);
        Ok(Details {
            name: info.name.filter(|name| !name.is_empty()),
            system: info.operating_system,
            storage: info.driver,
            cgroup_driver: info.cgroup_driver.map(|d| d.to_string()),
            cgroup_version: info.cgroup_version.map(|v| v.to_string()),
            rootless,
        })
    }
}
