//! A command's exit status, and what it prints as a value.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ask::{Ask, ProbeSetup};
use super::value::ValueAt;
use super::{Answer, Pace, ProbeKind, Simulated, failure, keys};
use crate::engine::{EngineError, Execute, Observe};
use crate::experiment::document::found::{Found, command};
use crate::host;
use crate::model::quantity::Text;

/// Run a command. The short form is the argument list alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "ExecProbe", extend("x-short" = "run"))]
pub struct Exec {
    /// Program and arguments; no shell.
    pub run: Vec<Text>,
    /// The exit status that is expected (default 0).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub status: i32,
    /// Where the probe's value is in what the command prints (default: all of it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueAt>,
    /// The name of the instance it runs in (default: here, on this machine).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#in: Option<Text>,
    /// Environment of the command, on top of this one's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Text>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

impl ProbeKind for Exec {
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>> {
        ensure!(!self.run.is_empty(), "`run` is empty; write the program and its arguments");
        let instance = self.r#in.as_ref().map(|name| setup.text(name)).transpose()?;
        let mut run = self.run.iter().map(|part| setup.text(part)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut env = Vec::new();
        for (name, value) in &self.env {
            env.push((name.clone(), setup.text(value)?));
        }
        if instance.is_some() && !env.is_empty() {
            // An engine runs a command as it stands, so env(1) in the instance sets its variables.
            let assignments = env.drain(..).map(|(name, value)| format!("{name}={value}"));
            run = std::iter::once("env".to_owned()).chain(assignments).chain(run).collect();
        }
        Ok(Box::new(PreparedExec {
            run,
            env,
            status: self.status,
            value: self.value.clone(),
            instance,
            inside: setup.engine.clone(),
            instances: setup.engine.clone(),
            timeout: setup.timeout,
        }))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        command(found, &[own, &["run"]].concat(), &self.run);
        if let Some(at) = &self.value {
            keys::pointer(found, &[own, &["value", "json"]].concat(), &at.json);
        }
    }

    fn pace(&self) -> Pace {
        Pace::ONE_A_SECOND
    }

    fn silence_is_failure(&self) -> bool {
        true
    }

    fn address(&self) -> Option<&str> {
        None
    }

    fn words(&self) -> String {
        self.run.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn simulated(&self) -> Simulated<'_> {
        Simulated::Value(Some("0"))
    }
}

struct PreparedExec {
    run: Vec<String>,
    env: Vec<(String, String)>,
    status: i32,
    value: Option<ValueAt>,
    instance: Option<String>,
    /// What runs it in an instance.
    inside: Arc<dyn Execute>,
    /// What tells whether an instance is up.
    instances: Arc<dyn Observe>,
    timeout: Duration,
}

#[async_trait]
impl Ask for PreparedExec {
    async fn ask(&self) -> Answer {
        match &self.instance {
            Some(instance) => self.in_instance(instance).await,
            None => self.here().await,
        }
    }
}

impl PreparedExec {
    async fn here(&self) -> Answer {
        let env: Vec<(&str, String)> = self.env.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        match host::command::run(&self.run, &env, self.timeout).await {
            Ok(Some(output)) => self.judge(output.status, &output.stdout),
            Ok(None) => failure::timeout(),
            Err(error) => Answer::NotMeasured(match error.kind() {
                ErrorKind::NotFound => "no such program".to_owned(),
                kind => format!("the program cannot be started: {kind}"),
            }),
        }
    }

    async fn in_instance(&self, instance: &str) -> Answer {
        const MARGIN: Duration = Duration::from_millis(500);
        let running = self.inside.exec(instance, &self.run, self.timeout);
        let Ok(ran) = timeout(self.timeout + MARGIN, running).await else {
            return failure::timeout();
        };
        match ran {
            // What shells and engines answer for a program that is not there or cannot be run.
            Ok(ran) if matches!(ran.status, 126 | 127) && ran.status != self.status => {
                Answer::NotMeasured("no such program in the instance".to_owned())
            }
            Ok(ran) => self.judge(ran.status, &ran.stdout),
            Err(EngineError::TimedOut { .. }) => failure::timeout(),
            Err(EngineError::Refused { why, .. }) => self.refused(instance, &why).await,
            Err(error) => Answer::NotMeasured(failure::short(&error.to_string())),
        }
    }

    /// An instance that is down cannot run a command: that is the system's failure, not ours.
    async fn refused(&self, instance: &str, why: &str) -> Answer {
        match timeout(self.timeout, self.instances.observe()).await {
            Ok(Ok(all)) if all.iter().any(|i| i.name == instance && !i.is_up()) => failure::failed("instance is down"),
            _ => Answer::NotMeasured(failure::short(why)),
        }
    }

    fn judge(&self, status: i32, stdout: &str) -> Answer {
        if status != self.status {
            return failure::failed(format!("exit status {status}"));
        }
        let said = stdout.trim();
        match self.value.as_ref().map_or_else(|| Ok(said.to_owned()), |at| at.read("output", said)) {
            Ok(value) => Answer::Good { value: Some(value), by: None },
            Err(why) => failure::failed(failure::short(&why)),
        }
    }
}
