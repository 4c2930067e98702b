//! Disturbances of traffic, laid on a network namespace from outside and taken off it. What the engines of real instances
//! have in common: they find the namespace, this does the rest. It knows no container and no run.
//!
//! What is in place has a name that says exactly what it is: a table of nf_tables, `squall_` and the mark of the setting. It
//! is there from before the first to after the last of it, and dormant until all of it is in place, so that a program that looks
//! sees all of it, some of it, or nothing.

pub mod kernel;
mod lay;
pub mod manual;
mod mechanism;
pub mod node;
mod peers;
pub mod proxy;
pub mod userspace;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::lay::{Laid, lay_here};
use self::lay::{clear, lay};
pub use self::mechanism::Mechanisms;
pub use self::peers::addresses_of;
use self::peers::{look_up, look_up_peers};
use super::{Ability, Outcome, Tag};
use crate::host::Host;
use crate::host::net::link::Link;
use crate::host::net::namespace::Namespace;
use crate::host::net::nft::{self, TableState};
use crate::host::net::{routes, sockets};
use crate::host::process;
use crate::host::shaper::copies;
use crate::model::instance::{Address, Aspect, Counted, Instance, LAPSED, Setting, Trait};
use crate::model::network::{Network, Talk, Traffic};

/// Where traffic is disturbed.
#[derive(Debug)]
pub struct NetworkAccess {
    /// The network namespace.
    pub namespace: Namespace,
    /// A process in it, with which what is laid there ends.
    pub pid: u32,
    /// The machine that it is on.
    pub host: Arc<Host>,
    /// The instance's addresses, by which its interfaces are known.
    pub addresses: Vec<Address>,
}

impl NetworkAccess {
    /// Whether a link is on one of the engine's networks.
    fn has(&self, network: &str, link: &Link) -> bool {
        let mut own = self.addresses.iter().filter(|a| a.network == network);
        own.any(|own| link.addresses.iter().any(|(address, _)| *address == own.ip))
    }
}

/// What lies on the traffic of a namespace.
#[derive(Default)]
struct LaidTraffic {
    /// The mark of what was set, where something was.
    mark: Option<String>,
    /// What has met it.
    counted: Option<Counted>,
    /// With whom it has connections, where nothing has met it.
    talk: Option<Talk>,
    /// Whether a route there depends on more than the destination.
    by_policy: bool,
}

/// Whether the kernel of an instance's machine can do it to the instance, and by which mechanism.
#[must_use]
pub fn can(host: &Host, instance: &Instance, to: &Setting) -> Ability {
    let network = match OfTraffic::of(to) {
        Some(OfTraffic::Disturbed(network)) => network,
        Some(OfTraffic::Reset(_) | OfTraffic::Untouched) => return Ability::Yes,
        None => return Ability::No(NOT_OF_TRAFFIC.to_owned()),
    };
    if let Some(why) = network.flows.iter().find_map(|flow| nft::too_many(&flow.traffic)) {
        return Ability::No(why);
    }
    match mechanism::choose(host, network) {
        Ok(mechanism) => {
            let network = Network { mechanism, ..network.clone() };
            match loses_its_route(instance, &network) {
                Some(why) => Ability::No(why),
                None => Ability::As(Box::new(Setting::Network(Box::new(network)))),
            }
        }
        Err(why) => Ability::No(why),
    }
}

/// Why packets would not leave on their route any more: copies of them take it by their destination alone.
fn loses_its_route(instance: &Instance, network: &Network) -> Option<String> {
    let copied = network.flows.iter().any(|flow| copies(network, flow));
    (copied && instance.traits.contains(&Trait::RoutesByPolicy)).then(|| BY_POLICY.to_owned())
}

const NOT_OF_TRAFFIC: &str = "it is no setting of traffic";

const BY_POLICY: &str = "packets that leave late take their route by their destination, and rules for routing in this namespace \
                         look at something else (`ip rule`, `ip -6 rule`): delay what arrives (`direction: ingress`), or have \
                         the kernel do it (`mechanism: netem`)";

/// Looks at what lies on an instance's traffic. Nothing can lie on that of one that does not run: it has no site.
pub async fn observe(site: io::Result<Option<NetworkAccess>>, instance: &mut Instance) {
    let seen = match site {
        Ok(Some(site)) => blocking(move || seen_here(&site.namespace)).await,
        Ok(None) => Ok(LaidTraffic::default()),
        Err(why) => Err(why),
    };
    match seen {
        Ok(seen) => {
            instance.settings.insert(Aspect::Network, Setting::Mark(Aspect::Network, seen.mark));
            instance.counted = seen.counted;
            instance.talk = seen.talk;
            if seen.by_policy {
                instance.traits.insert(Trait::RoutesByPolicy);
            }
        }
        Err(why) => tracing::warn!(instance = instance.name, %why, "its traffic cannot be looked at"),
    }
}

/// Disturbs the traffic of a namespace, leaves it alone again, or tears its connections down.
///
/// # Errors
/// Where it cannot be entered, a peer's name cannot be looked up, another program's arrangements are in the way, the kernel
/// refuses, or the setting is none of traffic. Then nothing of it is in place.
pub async fn set(site: NetworkAccess, tag: &Tag, to: &Setting) -> io::Result<Outcome> {
    match OfTraffic::of(to).ok_or_else(|| io::Error::other(NOT_OF_TRAFFIC))? {
        OfTraffic::Disturbed(network) => {
            let mark = network.mark();
            let network = look_up(network).await?;
            lay(site, tag, &mark, network).await
        }
        OfTraffic::Reset(traffic) => {
            let traffic = Traffic { peers: look_up_peers(&traffic.peers).await?, ..traffic.clone() };
            match blocking(move || site.namespace.run(|| reset_soon(&traffic))).await? {
                0 => Err(io::Error::other("there is no established connection of this kind")),
                _ => Ok(Outcome::Done),
            }
        }
        OfTraffic::Untouched => clear(&Arc::new(site)).await,
    }
}

/// Keeps what another process of the run's has laid, and does not any more. What has lapsed by then stays so.
///
/// # Errors
/// Where the namespace cannot be entered, or the kernel refuses.
pub async fn keep(site: NetworkAccess, network: &Network) -> io::Result<()> {
    let mark = network.mark();
    let lease = inside(&site.namespace, move || nft::take_over_mark(&mark)).await?;
    if let Some(lease) = lease {
        site.host.leases().keep(lease, site.pid);
    }
    Ok(())
}

/// A setting of traffic.
enum OfTraffic<'a> {
    Disturbed(&'a Network),
    Reset(&'a Traffic),
    Untouched,
}

impl<'a> OfTraffic<'a> {
    /// `None` where it is none of traffic.
    fn of(to: &'a Setting) -> Option<Self> {
        Some(match to {
            Setting::Network(network) => Self::Disturbed(network),
            Setting::ConnectionsReset(traffic) => Self::Reset(traffic),
            Setting::Mark(Aspect::Network, None) => Self::Untouched,
            Setting::Running(_)
            | Setting::Killed(_)
            | Setting::Stopped { .. }
            | Setting::Restarted { .. }
            | Setting::Paused(_)
            | Setting::Mark(..)
            | Setting::Limit(_)
            | Setting::Filled(_)
            | Setting::Freed(_)
            | Setting::ReadOnly(_)
            | Setting::Stressor(_)
            | Setting::Signalled(_)
            | Setting::RestartPolicy(_)
            | Setting::Isolated(_)
            | Setting::Availability(_)
            | Setting::Ran(_) => return None,
        })
    }
}

/// Ends what of a change goes on outside of the namespace: the process that holds its packets, where it has one.
///
/// # Errors
/// Where it does not end.
pub async fn forget(tag: &Tag) -> io::Result<()> {
    process::kill_with_variable(super::here::MARK, &tag.to_string(), ENDED).await.map(drop)
}

/// How long a worker may take to let go of what it has.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a killed process may take to end.
const ENDED: Duration = Duration::from_secs(5);

/// Resets connections as soon as there are any: where each request has a connection of its own, there is none most of the
/// time.
#[expect(clippy::disallowed_methods, reason = "whoever asks the kernel blocks: this is no runtime's thread")]
fn reset_soon(traffic: &Traffic) -> io::Result<usize> {
    const TIMEOUT: Duration = Duration::from_secs(2);
    const POLL_INTERVAL: Duration = Duration::from_millis(1);
    let begin = Instant::now();
    loop {
        match sockets::reset(traffic)? {
            0 if begin.elapsed() < TIMEOUT => std::thread::sleep(POLL_INTERVAL),
            ended => return Ok(ended),
        }
    }
}

/// The mark of what is not all in place (yet).
const UNFINISHED: &str = "unfinished";

fn seen_here(namespace: &Namespace) -> io::Result<LaidTraffic> {
    let (tables, kernel, by_policy) = namespace.run(|| {
        let tables = nft::tables()?;
        let kernel = if tables.is_empty() { kernel::Counted::default() } else { kernel::counted()? };
        Ok((tables, kernel, routes::by_policy()?))
    })?;
    let mark = match tables.as_slice() {
        [] => return Ok(LaidTraffic { by_policy, ..LaidTraffic::default() }),
        [table] if table.state == TableState::Whole => &table.mark,
        [table] if table.state == TableState::Lapsed => {
            return Ok(LaidTraffic { mark: Some(LAPSED.to_owned()), by_policy, ..LaidTraffic::default() });
        }
        // What is there is not all of a setting, or more than one.
        _ => return Ok(LaidTraffic { mark: Some(UNFINISHED.to_owned()), by_policy, ..LaidTraffic::default() }),
    };
    let told = userspace::counted(namespace, &name(namespace)?, mark)?;
    if told.lacks_shaper || told.lacks_proxy {
        return Ok(LaidTraffic { mark: Some(UNFINISHED.to_owned()), by_policy, ..LaidTraffic::default() });
    }
    // Connections may come to a proxy before the rules that count them are in place.
    let met = told.proxy.map_or(0, |proxy| proxy.connections);
    let counted = Counted {
        packets: (told.flows.values().sum::<u64>() + kernel.meant).max(met),
        dropped: told.lost + kernel.dropped + told.shaper.as_ref().map_or(0, |s| s.dropped + s.overflowed),
        altered: told.shaper.as_ref().map(|s| s.corrupted + s.duplicated + s.overtaking),
        waited: match (told.shaper.as_ref().map(|s| s.paced), kernel.waited) {
            (None, None) => None,
            (shaper, queues) => Some(shaper.unwrap_or_default() + queues.unwrap_or_default()),
        },
        names: told.shaper.as_ref().and_then(|s| s.names),
        kept: told.kept,
        overruns: told.shaper.as_ref().map_or(0, |s| s.overruns),
        overflowed: told.shaper.as_ref().map_or(0, |s| s.overflowed),
        held_us: told.shaper.map(|s| s.median_us).filter(|us| *us > 0),
        proxy: told.proxy,
    };
    let talk = if counted.packets == 0 { namespace.run(sockets::talk).ok() } else { None };
    Ok(LaidTraffic { mark: Some(mark.clone()), counted: Some(counted), talk, by_policy })
}

/// What the shaper of a namespace is found by.
fn name(namespace: &Namespace) -> io::Result<String> {
    let (device, number) = namespace.identity()?;
    Ok(format!("{device}.{number}"))
}

/// Does something in a namespace, where it may block.
async fn inside<T: Send + 'static>(
    namespace: &Namespace,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let namespace = namespace.try_clone()?;
    blocking(move || namespace.run(work)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::{Direction, Flow, Mechanism, Shape, Treatment};

    #[test]
    fn a_delay_by_copies_is_refused_where_routes_depend_on_more_than_the_destination() {
        let late = Shape { delay: Duration::from_millis(10), ..Shape::default() };
        let network = |direction, mechanism| {
            let (traffic, treatment) = (Traffic::all(direction), Treatment::Shape(Box::new(late.clone())));
            Network { flows: vec![Flow { traffic, treatment }], mechanism: Some(mechanism), seed: 0 }
        };
        let mut instance = Instance::new("x", "x", "x");
        let leaving = network(Direction::Egress, Mechanism::Userspace);
        assert_eq!(loses_its_route(&instance, &leaving), None);
        instance.traits.insert(Trait::RoutesByPolicy);
        assert!(loses_its_route(&instance, &leaving).is_some_and(|why| why.contains("ip rule")));
        assert_eq!(loses_its_route(&instance, &network(Direction::Ingress, Mechanism::Userspace)), None);
        assert_eq!(loses_its_route(&instance, &network(Direction::Egress, Mechanism::Netem)), None);
    }
}
