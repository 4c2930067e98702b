//! A TCP connection: it opens, or it does not.
//!
//! The kernel of a frozen process still opens connections: only an answer shows that it is alive.

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ask::{Ask, Ground};
use super::{Answer, failure, resolve};
use crate::experiment::quantity::Text;

/// Connect over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-short" = "address"))]
pub struct Tcp {
    /// `host:port`.
    pub address: Text,
}

impl Tcp {
    pub(super) fn prepare(&self, ground: &Ground) -> anyhow::Result<Box<dyn Ask>> {
        let address = ground.text(&self.address)?;
        let wrong = || format!("`{}` is no address; write `host:port`", self.address);
        let (host, port) = address.trim().rsplit_once(':').with_context(wrong)?;
        let port = port.parse().with_context(wrong)?;
        Ok(Box::new(Ready { host: host.to_owned(), port, timeout: ground.timeout }))
    }
}

struct Ready {
    host: String,
    port: u16,
    timeout: Duration,
}

#[async_trait]
impl Ask for Ready {
    async fn ask(&self) -> Answer {
        timeout(self.timeout, self.connect()).await.unwrap_or_else(|_| failure::timeout())
    }
}

impl Ready {
    async fn connect(&self) -> Answer {
        let addresses = match resolve::addresses(&self.host, self.port, self.timeout).await {
            Ok(addresses) if !addresses.is_empty() => addresses,
            _ => return Answer::CouldNotAsk("cannot resolve the name".to_owned()),
        };
        let mut answer = Answer::CouldNotAsk("no address".to_owned());
        for address in addresses {
            answer = match TcpStream::connect(address).await {
                Ok(_) => return Answer::Good { value: None, by: None },
                // What the system said counts more than a reason of our own at another of its addresses.
                Err(error) if matches!(answer, Answer::CouldNotAsk(_)) => failure::of_io(&error),
                Err(_) => answer,
            };
        }
        answer
    }
}
