//! The traffic of containers: whose network namespace it is, found by the container's main process. What is laid on it,
//! and how, is the business of `engine::net`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bollard::models::{ContainerInspectResponse, EndpointSettings};
use tokio::time::Instant;

use super::container::{attempting, is_running, main_pid, name_of};
use super::{Docker, QUICK};
use crate::engine::net::{self, NetworkAccess};
use crate::engine::{Ability, EngineError, Outcome, Tag};
use crate::host::Host;
use crate::host::net::namespace::Namespace;
use crate::host::process::Process;
use crate::model::instance::{Address, Aspect, Instance, InstanceId, Setting};

const NOT_ROOT: &str = "traffic is disturbed in the container's network namespace, from its host: run as root, and in a container \
                        with `--pid=host --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE`";

const NOT_SEEN: &str = "traffic is disturbed in the container's network namespace, and its processes cannot be seen from here: \
                        run Squall on the engine's own host, or in a container with `--pid=host --cap-add SYS_ADMIN \
                        --cap-add NET_ADMIN --cap-add SYS_PTRACE`";

impl Docker {
    /// Whether traffic can be disturbed from here, and how where that leaves a choice.
    pub(super) fn can_disturb(&self, instance: &Instance, to: &Setting) -> Ability {
        if !self.host.may_enter() {
            return Ability::No(NOT_ROOT.to_owned());
        }
        if self.sight.looked.load(Ordering::Relaxed) && !self.sight.found.load(Ordering::Relaxed) {
            return Ability::No(NOT_SEEN.to_owned());
        }
        net::can(&self.host, instance, to)
    }

    /// Disturbs its traffic, leaves it alone again, or resets its connections.
    pub(super) async fn set_traffic(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let Some(container) = self.now_or_last(id, to).await? else { return Ok(Outcome::Gone) };
        let attempt = attempting(&name_of(&container, id), to);
        let running = container.state.as_ref().is_some_and(is_running);
        match site(&container, &self.host) {
            Some(site) => {
                let begin = Instant::now();
                let set = tokio::time::timeout(QUICK, net::set(site, tag, to)).await;
                match set {
                    Ok(Ok(outcome)) => Ok(outcome),
                    Ok(Err(why)) => Err(EngineError::Refused { attempt, why: why.to_string() }),
                    Err(_) => Err(EngineError::TimedOut { attempt, after: begin.elapsed() }),
                }
            }
            // With the last process of a namespace goes everything that lay on it.
            None if matches!(to, Setting::Mark(Aspect::Network, None)) && !running => {
                net::forget(tag).await.map_err(|why| EngineError::Refused { attempt, why: why.to_string() })?;
                Ok(Outcome::Already)
            }
            None if !running => Err(EngineError::Refused { attempt, why: "it is not running".to_owned() }),
            None => Err(EngineError::Refused { attempt, why: NOT_SEEN.to_owned() }),
        }
    }

    /// Keeps what another process of the run's has laid on the traffic of a container or of its machine, and does not any more, so that the
    /// kernel does not end it. What it has ended stays so, and other settings need none of this.
    ///
    /// # Errors
    /// Where the engine does not answer, or the kernel refuses.
    pub async fn keep(&self, id: &InstanceId, to: &Setting) -> Result<(), EngineError> {
        let kept = match to {
            Setting::Network(network) => match self.now_or_last(id, to).await?.and_then(|c| site(&c, &self.host)) {
                Some(site) => net::keep(site, network).await,
                None => Ok(()),
            },
            Setting::Isolated(isolation) => net::node::keep(&self.host, id, *isolation).await,
            _ => Ok(()),
        };
        kept.map_err(|why| EngineError::Refused { attempt: format!("keep {id} {to}"), why: why.to_string() })
    }
}

/// Where a container's traffic is, if it runs and can be seen from here. A process is held before it is shown to be the
/// container's, so that a PID that went to another process meanwhile is never mistaken for it.
pub(super) fn site(container: &ContainerInspectResponse, host: &Arc<Host>) -> Option<NetworkAccess> {
    let state = container.state.as_ref().filter(|s| is_running(s))?;
    let process = Process::open(main_pid(state)?).ok()??;
    let namespace = Namespace::of(process.pid()).ok()?;
    // Asked last: it says that the process lived until now, so that the namespace is that process's.
    let is_its = process.is_of_container(container.id.as_deref()?);
    is_its.then(|| NetworkAccess {
        namespace,
        pid: process.pid(),
        addresses: addresses(container),
        host: Arc::clone(host),
    })
}

/// Where a container can be reached.
pub(super) fn addresses(container: &ContainerInspectResponse) -> Vec<Address> {
    let networks = container.network_settings.as_ref().and_then(|s| s.networks.as_ref());
    let mut addresses: Vec<Address> = networks
        .into_iter()
        .flatten()
        .flat_map(|(network, endpoint)| {
            let network_id = endpoint.network_id.clone().filter(|id| !id.is_empty());
            ips(endpoint)
                .map(|ip| Address { network: network.clone(), network_id: network_id.clone(), ip })
                .collect::<Vec<_>>()
        })
        .collect();
    addresses.sort();
    addresses
}

fn ips(endpoint: &EndpointSettings) -> impl Iterator<Item = std::net::IpAddr> {
    [&endpoint.ip_address, &endpoint.global_ipv6_address].into_iter().flatten().filter_map(|text| text.parse().ok())
}
