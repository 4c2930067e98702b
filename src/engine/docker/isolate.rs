//! The machine of an engine's containers, cut off as a whole. Only a helper there does it, for a runner elsewhere: should the runner be cut
//! off with it, the end of the helper's lease is the end of the isolation. What is laid, and how, is the business of `engine::net`.

use std::io;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::container::attempting;
use super::{Docker, QUICK};
use crate::engine::net::node;
use crate::engine::{Ability, EngineError, Outcome};
use crate::host::net::namespace::Namespace;
use crate::model::instance::{Instance, InstanceId, Setting};
use crate::model::node::Isolation;

/// Why a process that is no helper does not do it.
pub(super) const NO_HELPER: &str = "its whole node would be cut off, and with it a runner there: only a helper on the node does it, whose lease ends it \
                         (`--helper always`, from another machine)";

const SAME_NODE: &str = "Squall itself runs on that node, and its own requests would be cut off, too; run it on another machine, which \
                         reaches this engine over ssh:// or tcp://";

/// Where a helper's runner is, as seen from the helper's node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Runner {
    /// Its network namespace, and what its machine calls itself since it was started.
    network: Option<((u64, u64), String)>,
    /// The container that it runs in, where that is one of the node's own engine.
    #[serde(default)]
    container: Option<String>,
    /// The port by which it reaches the node, where it comes over a network.
    port: Option<u16>,
}

impl Runner {
    /// This process, by way of this engine.
    pub(super) fn of(docker: &Docker) -> Self {
        Self { network: network().ok(), container: docker.own.clone(), port: port(&docker.endpoint.address) }
    }

    /// Whether it runs in this container.
    pub(super) fn is_in(&self, container: &str) -> bool {
        self.container.as_deref() == Some(container)
    }

    fn is_here(&self) -> bool {
        self.container.is_some() || self.network.is_some() && self.network == network().ok()
    }
}

/// The network namespace of this process, and which machine, since when, it is of: namespaces of two machines have the same numbers.
fn network() -> io::Result<((u64, u64), String)> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok((Namespace::own()?.identity()?, boot.trim().to_owned()))
}

/// The port of its machine at which an engine is reached, if it is over a network.
fn port(address: &str) -> Option<u16> {
    let (scheme, rest) = address.split_once("://")?;
    let usual = match scheme {
        "ssh" => 22,
        "tcp" | "http" => 2375,
        "https" => 2376,
        _ => return None,
    };
    let host = rest.split('/').next().unwrap_or_default();
    // Of an IPv6 address in brackets, what stands behind these.
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    Some(behind.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(usual))
}

impl Docker {
    /// Whether the node of this instance can be cut off.
    pub(super) fn can_isolate(&self, instance: &Instance) -> Ability {
        let Some(runner) = &self.runner else { return Ability::No(NO_HELPER.to_owned()) };
        if runner.is_here() {
            return Ability::No(SAME_NODE.to_owned());
        }
        if !self.host.may_enter() || !self.sight.found.load(Ordering::Relaxed) {
            return Ability::No("the helper on its node does not see the processes of its containers".to_owned());
        }
        let site = self.last(&instance.id).and_then(|container| super::net::site(&container, &self.host));
        match node::can(site.as_ref().map(|site| &site.namespace)) {
            Ok(()) => Ability::As(Box::new(Setting::Isolated(Isolation { let_through: runner.port }))),
            Err(why) => Ability::No(why),
        }
    }

    /// The same, as a helper on its own host has it: what cuts off that host is the helper's to end, whatever it was told of its runner.
    #[must_use]
    pub fn of_helper(self) -> Self {
        Self { runner: Some(Runner::default()), ..self }
    }

    /// Cuts off the node on behalf of a container, or no longer. For the latter it takes neither the container nor the engine.
    pub(super) async fn set_isolated(
        &self,
        id: &InstanceId,
        to: &Setting,
        isolation: Option<Isolation>,
    ) -> Result<Outcome, EngineError> {
        let attempt = || attempting(&super::container::short(id), to);
        let set = async {
            match isolation {
                Some(isolation) if self.runner.is_some() => node::cut(&self.host, id, isolation).await,
                Some(_) => Err(io::Error::other(NO_HELPER)),
                None if self.runner.is_some() => node::mend(id).await,
                // This process may be on another machine, and then it would find nothing.
                None => Err(io::Error::other("only a helper on its node can tell whether it is cut off")),
            }
        };
        match timeout(QUICK, set).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(why)) => Err(EngineError::Refused { attempt: attempt(), why: why.to_string() }),
            Err(_) => Err(EngineError::TimedOut { attempt: attempt(), after: QUICK }),
        }
    }

    /// Adds what cuts off the node on behalf of a container, where this process is a helper there.
    pub(super) async fn see_isolation(&self, instance: &mut Instance) {
        if self.runner.is_some() && self.host.may_enter() {
            node::observe(&instance.id.clone(), instance).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_by_which_an_engine_is_reached_is_in_its_address() {
        for (address, want) in [
            ("unix:///var/run/docker.sock", None),
            ("tcp://n3", Some(2375)),
            ("tcp://n3:2376", Some(2376)),
            ("tcp://[fd00::3]:4000", Some(4000)),
            ("tcp://[fd00::3]", Some(2375)),
            ("https://n3", Some(2376)),
            ("ssh://root@n3", Some(22)),
            ("ssh://root@n3:2222/run/docker.sock", Some(2222)),
        ] {
            assert_eq!(port(address), want, "{address}");
        }
    }

    #[test]
    fn a_runner_is_on_the_node_if_it_has_its_network_or_is_in_one_of_its_containers() {
        let here = Runner { network: network().ok(), ..Runner::default() };
        assert!(here.is_here());
        let other = here.network.clone().map(|((device, inode), boot)| ((device, inode + 1), boot));
        assert!(!Runner { network: other.clone(), ..here.clone() }.is_here());
        assert!(Runner { network: other, container: Some("abc".to_owned()), port: None }.is_here());
        let machine = here.network.map(|(own, _)| (own, "another".to_owned()));
        assert!(!Runner { network: machine, ..Runner::default() }.is_here(), "the same number on another machine");
        assert!(!Runner::default().is_here());
    }
}
