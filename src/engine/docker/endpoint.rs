//! Which engine is meant, by the rules of the `docker` command: the command line, `DOCKER_HOST`, `DOCKER_CONTEXT`, the current
//! context of Docker's configuration, the usual socket. Reads Docker's files; asks no engine.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DEFAULT_HOST;
use crate::engine::shell::quote;
use crate::engine::{Description, EngineError, Tls};
use crate::host::user;

/// What the command line says of where the engine is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    /// Its address: `unix://…`, `tcp://…` or `ssh://…`.
    pub host: Option<&'a str>,
    /// The name of a Docker context.
    pub context: Option<&'a str>,
}

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address: `unix://…`, `tcp://…` or `ssh://…`.
    pub address: String,
    /// How both sides know each other, where they speak over TLS.
    pub tls: Option<Tls>,
    /// The rule that chose it.
    pub by: Rule,
}

/// Why an engine is the one that is meant. The first that says something decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// The address on the command line.
    Host,
    /// The name of a context on the command line.
    Context(String),
    /// The variable `DOCKER_HOST`.
    HostVariable,
    /// A context that the variable `DOCKER_CONTEXT` names.
    ContextVariable(String),
    /// The context that `docker context use` has made the current one.
    CurrentContext(String),
    /// Nothing says anything.
    Usual,
    /// A journal: it was chosen before.
    Recorded,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("--docker-host"),
            Self::Context(name) => write!(f, "--context {name}"),
            Self::HostVariable => f.write_str("DOCKER_HOST"),
            Self::ContextVariable(name) => write!(f, "the context `{name}` of DOCKER_CONTEXT"),
            Self::CurrentContext(name) => write!(f, "the current Docker context `{name}`"),
            Self::Usual => f.write_str("default"),
            Self::Recorded => f.write_str("the journal"),
        }
    }
}

/// What the environment says, and where Docker's own files are.
#[derive(Debug, Clone, Default)]
struct Settings {
    /// The values of `DOCKER_HOST` and `DOCKER_CONTEXT`.
    host: Option<String>,
    context: Option<String>,
    /// Whether `DOCKER_TLS_VERIFY` is set.
    verify: bool,
    /// The value of `DOCKER_CERT_PATH`.
    certificates: Option<PathBuf>,
    /// The directory of `config.json` and of the contexts.
    directory: Option<PathBuf>,
}

impl Settings {
    fn here() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let absolute = |path: String| std::path::absolute(&path).unwrap_or_else(|_| path.into());
        // A service has no HOME, most often.
        let home = || text("HOME").map(absolute).or_else(user::home).map(|home| home.join(".docker"));
        Self {
            host: text("DOCKER_HOST"),
            context: text("DOCKER_CONTEXT"),
            verify: text("DOCKER_TLS_VERIFY").is_some(),
            certificates: text("DOCKER_CERT_PATH").map(absolute),
            directory: text("DOCKER_CONFIG").map(absolute).or_else(home),
        }
    }

    /// The engine that is meant.
    fn choose(&self, named: Named<'_>) -> Result<Endpoint, String> {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(host) = given(named.host) {
            return Ok(self.at(host, Rule::Host));
        }
        if let Some(name) = given(named.context) {
            return self.of_context(&name, Rule::Context(name.clone()));
        }
        if let Some(host) = &self.host {
            return Ok(self.at(host.clone(), Rule::HostVariable));
        }
        if let Some(name) = &self.context {
            return self.of_context(name, Rule::ContextVariable(name.clone()));
        }
        match self.current_context()? {
            Some(name) => self.of_context(&name, Rule::CurrentContext(name.clone())),
            None => Ok(self.at(DEFAULT_HOST.to_owned(), Rule::Usual)),
        }
    }

    /// The engine at an address, to which the variables for TLS apply.
    fn at(&self, address: String, by: Rule) -> Endpoint {
        let directory =
            || self.certificates.clone().or_else(|| self.directory.clone()).unwrap_or_else(|| "/nonexistent".into());
        let tls = (self.verify && is_tcp(&address)).then(|| Tls { directory: directory(), verify: true });
        Endpoint { address: whole(address, tls.is_some()), tls, by }
    }

    fn current_context(&self) -> Result<Option<String>, String> {
        let Some(file) = self.directory.as_ref().map(|dir| dir.join("config.json")) else { return Ok(None) };
        let config = match std::fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("cannot read {}, which names the current context: {e}", file.display())),
        };
        let config: Value = serde_json::from_slice(&config)
            .map_err(|e| format!("cannot read {}, which names the current context: {e}", file.display()))?;
        Ok(config["currentContext"].as_str().filter(|name| !name.is_empty()).map(str::to_owned))
    }

    /// The engine of a context. The one called `default` is what there is without any.
    fn of_context(&self, name: &str, by: Rule) -> Result<Endpoint, String> {
        if name == "default" {
            let address = self.host.clone().unwrap_or_else(|| DEFAULT_HOST.to_owned());
            return Ok(self.at(address, by));
        }
        let contexts = self.directory.as_ref().map(|dir| dir.join("contexts"));
        let all = || std::fs::read_dir(contexts.as_ref()?.join("meta")).ok();
        let metas = || {
            all()
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
                .filter_map(|entry| Some((entry.file_name(), read(&entry.path().join("meta.json"))?)))
        };
        let Some((id, meta)) = metas().find(|(_, meta)| meta["Name"] == name) else {
            let mut names: Vec<String> =
                metas().filter_map(|(_, meta)| Some(meta["Name"].as_str()?.to_owned())).collect();
            names.sort();
            let others = if names.is_empty() {
                "there is only `default`".to_owned()
            } else {
                format!("there are: default, {}", names.join(", "))
            };
            return Err(format!("there is no Docker context `{name}`, which {by} names; {others}"));
        };
        let docker = &meta["Endpoints"]["docker"];
        let Some(address) = docker["Host"].as_str().filter(|host| !host.is_empty()) else {
            return Err(format!("the Docker context `{name}`, which {by} names, has no address of an engine"));
        };
        let verify = !docker["SkipTLSVerify"].as_bool().unwrap_or_default();
        let directory = contexts.unwrap_or_default().join("tls").join(id).join("docker");
        let is_there = directory.try_exists().map_err(|e| format!("cannot look at {}: {e}", directory.display()))?;
        let tls = (is_tcp(address) && (is_there || !verify)).then_some(Tls { directory, verify });
        Ok(Endpoint { address: whole(address.to_owned(), tls.is_some()), tls, by })
    }
}

fn read(file: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn is_tcp(address: &str) -> bool {
    address.starts_with("tcp://") || address.starts_with("https://")
}

/// The address as it means the same wherever it is read: with the path of a socket from the root, and with the port that Docker takes
/// where none is named.
fn whole(address: String, tls: bool) -> String {
    if let Some(path) = address.strip_prefix("unix://") {
        return std::path::absolute(path).map_or_else(|_| address.clone(), |path| format!("unix://{}", path.display()));
    }
    let Some(place) = address.strip_prefix("tcp://").or_else(|| address.strip_prefix("https://")) else {
        return address;
    };
    let place = place.trim_end_matches('/');
    // What follows the last bracket of an IPv6 address.
    let named = place.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    if named { address } else { format!("tcp://{place}:{}", if tls { 2376 } else { 2375 }) }
}

impl Endpoint {
    /// What an earlier run used.
    #[must_use]
    pub fn recorded(description: &Description) -> Self {
        Self { address: description.address.clone(), tls: description.tls.clone(), by: Rule::Recorded }
    }

    /// The engine that the `docker` command would use.
    ///
    /// # Errors
    /// Where a context is named that does not exist, or cannot be read.
    pub fn meant(named: Named<'_>) -> Result<Self, EngineError> {
        Settings::here().choose(named).map_err(|why| EngineError::NotMeant { why })
    }

    /// One at an address, without TLS.
    #[must_use]
    pub fn at(address: &str) -> Self {
        Self { address: address.to_owned(), tls: None, by: Rule::Host }
    }

    /// Why it cannot be reached, with what has chosen it.
    pub(super) fn chosen(&self, why: &str) -> String {
        match &self.by {
            Rule::Usual | Rule::Recorded => why.to_owned(),
            by => format!("{why} (the engine is chosen by {by}; --docker-host or --context names another)"),
        }
    }

    /// What a person types to mean this engine: `docker` or `podman`, with what names it where that alone could mean another one.
    pub(super) fn in_words(&self, is_podman: bool) -> String {
        self.words(&Settings::here(), is_podman)
    }

    fn words(&self, here: &Settings, is_podman: bool) -> String {
        // Where there is Podman, there often is no `docker`; its own command knows nothing of TLS.
        if is_podman && self.tls.is_none() {
            return format!("podman --url {}", quote(&self.address));
        }
        let meant = |chosen: Endpoint| chosen.address == self.address && self.address == DEFAULT_HOST;
        if here.choose(Named::default()).is_ok_and(meant) {
            return "docker".to_owned();
        }
        let mut words = format!("docker --host {}", quote(&self.address));
        if let Some(tls) = &self.tls {
            words.push_str(if tls.verify { " --tlsverify" } else { " --tls" });
            let files = [("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")];
            for (option, path) in files.map(|(option, file)| (option, tls.directory.join(file))) {
                if path.exists() {
                    let _ = write!(words, " {option} {}", quote(&path.display().to_string()));
                }
            }
        }
        words
    }
}
