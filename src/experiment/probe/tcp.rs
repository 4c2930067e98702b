//! A TCP connection: it opens, or it does not.
//!
//! The kernel of a frozen process still opens connections: only an answer shows that it is alive.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::ask::{Ask, ProbeSetup};
use super::{Answer, Pace, ProbeKind, Simulated, failure, keys, resolve, socket};
use crate::experiment::document::found::Found;
use crate::model::quantity::Text;

/// Connect over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-short" = "address", "x-exactly-one" = ["address", "socket"]))]
pub struct Tcp {
    /// `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Text>,
    /// Instead of a port: the path of a unix socket of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<Text>,
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.as_ref().or(self.socket.as_ref()).map_or(Ok(()), |to| to.fmt(f))
    }
}

impl ProbeKind for Tcp {
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>> {
        let to = match (&self.address, &self.socket) {
            (Some(text), None) => {
                let address = setup.text(text)?;
                let wrong = || format!("`{text}` is no address; write `host:port`");
                let (host, port) = address.trim().rsplit_once(':').with_context(wrong)?;
                To::Port(host.to_owned(), port.parse().with_context(wrong)?)
            }
            (None, Some(path)) => To::Socket(socket::path(path, setup)?),
            _ => bail!("needs exactly one of `address` and `socket`"),
        };
        Ok(Box::new(PreparedTcp { to, timeout: setup.timeout }))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        if let Some(text) = &self.address {
            keys::address(found, &[own, &["address"]].concat(), text);
        }
    }

    fn pace(&self) -> Pace {
        Pace::TEN_A_SECOND
    }

    fn silence_is_failure(&self) -> bool {
        true
    }

    fn address(&self) -> Option<&str> {
        self.address.as_ref().map(|address| address.0.as_str())
    }

    fn words(&self) -> String {
        format!("connect to {self}")
    }

    fn simulated(&self) -> Simulated<'_> {
        Simulated::Service { reads: false, tells: false }
    }
}

/// What is connected to.
enum To {
    Port(String, u16),
    Socket(PathBuf),
}

struct PreparedTcp {
    to: To,
    timeout: Duration,
}

#[async_trait]
impl Ask for PreparedTcp {
    async fn ask(&self) -> Answer {
        let connect = async {
            match &self.to {
                To::Port(host, port) => self.connect(host, *port).await,
                To::Socket(path) => match UnixStream::connect(path).await {
                    Ok(_) => Answer::Good { value: None, by: None },
                    Err(error) => failure::of_io(&error),
                },
            }
        };
        timeout(self.timeout, connect).await.unwrap_or_else(|_| failure::timeout())
    }
}

impl PreparedTcp {
    async fn connect(&self, host: &str, port: u16) -> Answer {
        let addresses = match resolve::addresses(host, port, self.timeout).await {
            Ok(addresses) if !addresses.is_empty() => addresses,
            _ => return Answer::NotMeasured("cannot resolve the name".to_owned()),
        };
        let mut answer = Answer::NotMeasured("no address".to_owned());
        for address in addresses {
            answer = match TcpStream::connect(address).await {
                Ok(_) => return Answer::Good { value: None, by: None },
                // What the system said counts more than a reason of our own at another of its addresses.
                Err(error) if matches!(answer, Answer::NotMeasured(_)) => failure::of_io(&error),
                Err(_) => answer,
            };
        }
        answer
    }
}
