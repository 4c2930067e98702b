//! A small stack file: the services that the local engine starts, and that the sim imitates. A value; no I/O.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::quantity::{Span, Text};

/// A stack of services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stack {
    /// Version of the file format; 1.
    pub version: u32,
    /// A short name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The services, in the order in which they are started.
    pub services: IndexMap<String, Service>,
}

/// A service of a stack: one command, some replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// Program and arguments; no shell. `{port}`, `{name}` and `{zone}` stand for the replica's own.
    pub command: Vec<Text>,
    /// How many instances (default 1); they are named `SERVICE-1`, `SERVICE-2` and so on.
    #[serde(default = "one")]
    pub replicas: usize,
    /// The zones they are in, in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The port of the first instance; each further one has the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Environment, on top of this one's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environment: IndexMap<String, Text>,
    /// Labels to select by.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// The services it cannot answer without. (Only the sim needs to know.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How long its callers take to notice that one instance is down (default 0s). (Only the sim needs to know.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Span>,
    /// Whether a crashed instance is started again. (Only the sim does.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
}

fn one() -> usize {
    1
}

/// One instance of a service, as the stack file describes it. `${NAME}` still stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// `SERVICE-1`, `SERVICE-2` and so on.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Its zone, where the service has zones.
    pub zone: Option<String>,
    /// Its port, where the service has one.
    pub port: Option<u16>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, on top of that of whoever starts it.
    pub environment: IndexMap<String, String>,
    /// Labels to select by.
    pub labels: IndexMap<String, String>,
}

impl Stack {
    /// Every instance of the stack, in the order in which they are started.
    ///
    /// # Errors
    /// Where the stack cannot be: in a sentence that names the service.
    pub fn replicas(&self) -> Result<Vec<Replica>, String> {
        if self.version != 1 {
            return Err(format!("version {} of stack files is not known; write `version: 1`", self.version));
        }
        for name in std::iter::once(&self.name).chain(self.services.keys()) {
            check_name(name)?;
        }
        let mut replicas = Vec::new();
        let mut taken: IndexMap<u16, String> = IndexMap::new();
        for (name, service) in &self.services {
            for n in 0..service.replicas {
                let replica = service.replica(name, n)?;
                if let Some(port) = replica.port
                    && let Some(other) = taken.insert(port, replica.name.clone())
                {
                    return Err(format!("`{other}` and `{}` both have port {port}", replica.name));
                }
                replicas.push(replica);
            }
        }
        Ok(replicas)
    }
}

impl Service {
    fn replica(&self, service: &str, n: usize) -> Result<Replica, String> {
        let name = format!("{service}-{}", n + 1);
        if self.command.is_empty() {
            return Err(format!("service `{service}` has an empty command"));
        }
        let port = match self.port {
            None => None,
            Some(first) => {
                let port = u16::try_from(n).ok().and_then(|n| first.checked_add(n)).filter(|port| *port > 0);
                Some(port.ok_or_else(|| format!("`{name}` would have a port beyond 65535; begin lower than {first}"))?)
            }
        };
        let zone = self.zones.get(n % self.zones.len().max(1)).cloned();
        let fill = |text: &Text| fill(&text.0, &name, port, zone.as_deref());
        Ok(Replica {
            command: self.command.iter().map(fill).collect::<Result<_, _>>()?,
            environment: self
                .environment
                .iter()
                .map(|(k, v)| Ok((k.clone(), fill(v)?)))
                .collect::<Result<_, String>>()?,
            labels: self.labels.clone(),
            service: service.to_owned(),
            zone: zone.clone(),
            port,
            name: name.clone(),
        })
    }
}

/// Puts a replica's own name, port and zone into a text.
fn fill(text: &str, name: &str, port: Option<u16>, zone: Option<&str>) -> Result<String, String> {
    let port = port.map(|p| p.to_string());
    let mut filled = text.to_owned();
    for (word, value) in [("{name}", Some(name)), ("{port}", port.as_deref()), ("{zone}", zone)] {
        if filled.contains(word) {
            let value = value.ok_or_else(|| format!("`{name}` uses {word}, and its service has none"))?;
            filled = filled.replace(word, value);
        }
    }
    Ok(filled)
}

/// Names become names of files.
fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good) && name.len() <= 80 {
        return Ok(());
    }
    Err(format!("`{name}` is no name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 80"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(services: &str) -> Result<Vec<Replica>, String> {
        let text = format!("version: 1\nname: s\nservices:\n  {services}\n");
        serde_yaml::from_str::<Stack>(&text).unwrap().replicas()
    }

    #[test]
    fn replicas_have_their_own_name_port_and_zone() {
        let shop = "shop: { command: [x, '{name}:{port}'], replicas: 3, port: 81, zones: [a, b], environment: { Z: '{zone}${X}' } }";
        let all = replicas(shop).unwrap();
        let told: Vec<_> =
            all.iter().map(|r| (r.name.as_str(), r.command[1].as_str(), r.environment["Z"].as_str())).collect();
        assert_eq!(
            told,
            [("shop-1", "shop-1:81", "a${X}"), ("shop-2", "shop-2:82", "b${X}"), ("shop-3", "shop-3:83", "a${X}")]
        );
    }

    #[test]
    fn what_cannot_be_says_why() {
        for (services, why) in [
            ("a: { command: [] }", "service `a` has an empty command"),
            ("a: { command: ['{port}'] }", "`a-1` uses {port}"),
            ("a: { command: [x], replicas: 2, port: 65535 }", "beyond 65535"),
            ("{ a: { command: [x], port: 80 }, b: { command: [x], port: 80 } }", "`a-1` and `b-1` both have port 80"),
            ("../a: { command: [x] }", "`../a` is no name"),
        ] {
            let error = replicas(services).unwrap_err();
            assert!(error.contains(why), "{services}: {error}");
        }
    }
}
