//! One change of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Epoch, Instance, InstanceId, Setting};

/// One change of a run: one setting of one instance, with its rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its place in the plan, from 0. Together with the run's id it names everything that the change creates.
    pub n: usize,
    /// Which fault of the experiment it belongs to: its place in the list, from 0.
    #[serde(default)]
    pub fault: usize,
    /// Whom it changes.
    pub instance: InstanceId,
    /// The instance's name, for people.
    pub name: String,
    /// The life of the instance that it was planned for.
    pub epoch: Epoch,
    /// The value observed before, where the aspect can be observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Setting>,
    /// The value it shall have.
    pub to: Setting,
    /// The rollback.
    pub back: Rollback,
}

/// The rollback from a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// Set this value.
    To(Setting),
    /// There is nothing to restore.
    Nothing,
}

impl Change {
    /// One that gives an instance this value, and stays: for what is restored, and for the command that does it by hand.
    #[must_use]
    pub fn restoring(instance: &Instance, to: Setting) -> Self {
        Self {
            n: 0,
            fault: 0,
            instance: instance.id.clone(),
            name: instance.name.clone(),
            epoch: instance.epoch.clone(),
            before: instance.settings.get(&to.aspect()).cloned(),
            to,
            back: Rollback::Nothing,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.to)
    }
}
