//! A small stack file: the services that the local engine starts, and that the sim imitates. A value; no I/O.

use std::net::{IpAddr, Ipv4Addr};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::network::Cidr;
use crate::model::quantity::{Span, Text};

/// A stack of services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stack {
    /// Version of the file format; 1.
    pub version: u32,
    /// A short name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// A range of IPv4 addresses for private use, such as `10.213.7.0/24`: the instances get a network of their own on this
    /// machine, and an address in it each. That takes root. Without it they share the machine's network. (The sim needs no
    /// network.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub network: Option<Subnet>,
    /// The services, in the order in which they are started.
    pub services: IndexMap<String, Service>,
}

/// A service of a stack: one command, some replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// Program and arguments; no shell. `{port}`, `{name}`, `{zone}` and `{address}` stand for the replica's own, and an
    /// instance's name, such as `{shop-1}`, for that one's address.
    pub command: Vec<Text>,
    /// How many instances (default 1); they are named `SERVICE-1`, `SERVICE-2` and so on.
    #[serde(default = "one")]
    pub replicas: usize,
    /// The zones they are in, in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The machines that they run on, in turn. (Only the sim needs to know.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The port of the first instance; each further one has the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Environment, on top of this one's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environment: IndexMap<String, Text>,
    /// Labels to select by.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// The project that it belongs to, if it is of one. (Only the sim needs to know.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What replaces an instance that has ended by another one, such as `Docker Swarm`. (Only the sim does.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<String>,
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
    /// Its place in the stack's own network, where it has one.
    pub address: Option<Ipv4Addr>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, on top of that of the process that starts it.
    pub environment: IndexMap<String, String>,
    /// Labels to select by.
    pub labels: IndexMap<String, String>,
}

/// A stack's own network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Cidr", into = "Cidr")]
pub struct Subnet {
    /// All of its addresses.
    range: Cidr,
    /// The first of them that can be used: the machine's own. The instances have the next ones.
    pub gateway: Ipv4Addr,
}

impl Subnet {
    /// How many leading bits all of its addresses have in common.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.range.prefix()
    }

    /// The address of an instance, counted from 0; nothing where there are too few.
    fn address(&self, n: usize) -> Option<Ipv4Addr> {
        // The first and the last address of a range are nobody's, and the second is the machine's.
        let room = (1_usize << (32 - self.prefix())) - 3;
        (n < room).then(|| u32::try_from(n).ok()).flatten().map(|n| (u32::from(self.gateway) + 1 + n).into())
    }
}

impl TryFrom<Cidr> for Subnet {
    type Error = String;

    fn try_from(range: Cidr) -> Result<Self, String> {
        let IpAddr::V4(first) = range.address() else {
            return Err(format!("`{range}` has addresses of IPv6, and a stack's own network is of IPv4"));
        };
        if !(8..=30).contains(&range.prefix()) {
            return Err(format!("`{range}` is no network; write for example `10.213.7.0/24`"));
        }
        if !first.is_private() {
            return Err(format!(
                "`{range}` may be in use elsewhere; 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 are for private use"
            ));
        }
        Ok(Self { range, gateway: (u32::from(first) + 1).into() })
    }
}

impl From<Subnet> for Cidr {
    fn from(subnet: Subnet) -> Self {
        subnet.range
    }
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
        let addresses = self.addresses()?;
        let mut replicas = Vec::new();
        let mut taken: IndexMap<u16, String> = IndexMap::new();
        for (name, service) in &self.services {
            for n in 0..service.replicas {
                let replica = service.replica(name, n, &addresses)?;
                if let Some(port) = replica.port.filter(|_| replica.address.is_none())
                    && let Some(other) = taken.insert(port, replica.name.clone())
                {
                    return Err(format!("`{other}` and `{}` both have port {port}", replica.name));
                }
                replicas.push(replica);
            }
        }
        Ok(replicas)
    }

    /// The name of every instance, and its address in the stack's own network.
    fn addresses(&self) -> Result<IndexMap<String, Option<Ipv4Addr>>, String> {
        let names = self.services.iter().flat_map(|(name, s)| (0..s.replicas).map(move |n| nth(name, n)));
        let all = names.enumerate().map(|(n, name)| match self.network {
            None => Ok((name, None)),
            Some(subnet) => match subnet.address(n) {
                Some(address) => Ok((name, Some(address))),
                None => Err(format!("the network {} has no address for `{name}`; make it larger", subnet.range)),
            },
        });
        all.collect()
    }
}

/// The name of a service's instance, counted from 0.
fn nth(service: &str, n: usize) -> String {
    format!("{service}-{}", n + 1)
}

impl Service {
    fn replica(
        &self,
        service: &str,
        n: usize,
        addresses: &IndexMap<String, Option<Ipv4Addr>>,
    ) -> Result<Replica, String> {
        let name = nth(service, n);
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
        let zone = self.zones.get(n % self.zones.len().max(1));
        let reached = |address: &Option<Ipv4Addr>| address.unwrap_or(Ipv4Addr::LOCALHOST).to_string();
        let value = |word: &str| match word {
            "name" => Some(Ok(name.clone())),
            "port" => Some(port.map(|p| p.to_string()).ok_or("its service has none".to_owned())),
            "zone" => Some(zone.cloned().ok_or("its service has none".to_owned())),
            "address" => Some(Ok(addresses.get(&name).map_or_else(String::new, reached))),
            other => match addresses.get(other) {
                Some(address) => Some(Ok(reached(address))),
                None => is_of(other, addresses).then(|| Err("there is no such instance".to_owned())),
            },
        };
        let fill =
            |text: &Text| fill(&text.0, value).map_err(|(word, why)| format!("`{name}` uses {{{word}}}, and {why}"));
        Ok(Replica {
            command: self.command.iter().map(fill).collect::<Result<_, _>>()?,
            environment: self
                .environment
                .iter()
                .map(|(k, v)| Ok((k.clone(), fill(v)?)))
                .collect::<Result<_, String>>()?,
            labels: self.labels.clone(),
            service: service.to_owned(),
            zone: zone.cloned(),
            port,
            address: addresses.get(&name).copied().flatten(),
            name: name.clone(),
        })
    }
}

/// Whether a word would be the name of an instance if only its service had more of them.
fn is_of(word: &str, addresses: &IndexMap<String, Option<Ipv4Addr>>) -> bool {
    let service =
        |name: &str| name.rsplit_once('-').filter(|(_, n)| n.parse::<usize>().is_ok()).map(|(s, _)| s.to_owned());
    service(word).is_some_and(|s| addresses.keys().any(|name| service(name).as_ref() == Some(&s)))
}

/// Puts values in place of `{WORD}`; what has none is left as it stands, and so is `${WORD}`, a variable.
fn fill(text: &str, value: impl Fn(&str) -> Option<Result<String, String>>) -> Result<String, (String, String)> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let word = from[1..].split_once('}').map(|(word, _)| word).filter(|_| !filled.ends_with('$'));
        match word.and_then(|word| Some((word, value(word)?))) {
            Some((word, Ok(value))) => {
                filled.push_str(&value);
                rest = &from[word.len() + 2..];
            }
            Some((word, Err(why))) => return Err((word.to_owned(), why)),
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    Ok(filled + rest)
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
        serde_yaml::from_str::<Stack>(&text).map_err(|e| e.to_string())?.replicas()
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
    fn one_file_works_with_a_network_of_its_own_and_without() {
        let services = "store: { command: [x, '{address}:{port}'], port: 80 }\n  \
                        shop: { command: [x, '{store-1}:80 {shop-2} {} ${port} {\"{name}\": 1}'], replicas: 2, port: 80 }";
        let with = replicas(&format!("{services}\nnetwork: 10.1.2.0/29")).unwrap();
        assert_eq!(with[0].command[1], "10.1.2.2:80");
        assert_eq!(with[2].command[1], "10.1.2.2:80 10.1.2.4 {} ${port} {\"shop-2\": 1}");
        assert_eq!(with.iter().map(|r| r.address.unwrap().octets()[3]).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(replicas(services).unwrap_err().contains("both have port 80"), "they would share one address");
        let without = replicas(&services.replace("replicas: 2, port: 80", "replicas: 2, port: 81")).unwrap();
        assert_eq!(without[2].command[1], "127.0.0.1:80 127.0.0.1 {} ${port} {\"shop-2\": 1}");
        assert_eq!(without[2].address, None);
    }

    #[test]
    fn what_cannot_be_says_why() {
        for (services, why) in [
            ("a: { command: [] }", "service `a` has an empty command"),
            ("a: { command: ['{port}'] }", "`a-1` uses {port}"),
            ("a: { command: [x], replicas: 2, port: 65535 }", "beyond 65535"),
            ("{ a: { command: [x], port: 80 }, b: { command: [x], port: 80 } }", "`a-1` and `b-1` both have port 80"),
            ("a: { command: ['{a-2}'] }", "`a-1` uses {a-2}, and there is no such instance"),
            ("a: { command: [x] }\nnetwork: 10.0.0.0/31", "`10.0.0.0/31` is no network"),
            ("a: { command: [x] }\nnetwork: 8.8.8.0/24", "may be in use elsewhere"),
            ("a: { command: [x] }\nnetwork: fd00::/64", "of IPv6"),
            ("a: { command: [x], replicas: 2 }\nnetwork: 10.0.0.0/30", "10.0.0.0/30 has no address for `a-2`"),
            ("../a: { command: [x] }", "`../a` is no name"),
        ] {
            let error = replicas(services).unwrap_err();
            assert!(error.contains(why), "{services}: {error}");
        }
    }
}
