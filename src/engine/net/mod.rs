//! Disturbances of traffic, laid on a network namespace from outside and taken off it. What the engines of real instances
//! have in common: they find the namespace, this does the rest. It knows no container and no run.
//!
//! What is in place has a name that says exactly what it is: a table of nf_tables, `squall_` and the mark of the setting. It
//! is there from before the first to after the last of it, and dormant until all of it is in place, so that whoever looks
//! sees all of it, some of it, or nothing.

pub mod kernel;
pub mod manual;
mod mechanism;
pub mod userspace;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use self::mechanism::Mechanisms;
use self::userspace::Ground;
use super::{Ability, Outcome, Tag};
use crate::host::facts::{CAPABILITIES, Facts};
use crate::host::net::namespace::Namespace;
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::{link, nft, sockets};
use crate::host::process;
use crate::instance::{Address, Aspect, Counted, Instance, Setting};
use crate::network::{Cidr, Flow, Network, Peer, Peers, Traffic};

/// Where traffic is disturbed.
#[derive(Debug)]
pub struct Site {
    /// The network namespace.
    pub namespace: Namespace,
    /// A process in it, with which what is laid there ends.
    pub pid: u32,
    /// Squall's own file, for the process that holds packets.
    pub program: PathBuf,
    /// The instance's addresses, by which its interfaces are known.
    pub addresses: Vec<Address>,
}

/// What lies on the traffic of a namespace.
#[derive(Default)]
struct Seen {
    /// The mark of what was set, where something was.
    mark: Option<String>,
    /// What has met it.
    counted: Option<Counted>,
}

/// Whether this process may enter other network namespaces and change what is in them.
#[must_use]
pub fn may_enter() -> bool {
    // Asked for each instance each time that it is looked at, and never another answer.
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        let facts = Facts::here();
        CAPABILITIES.iter().filter(|c| c.name != "KILL").all(|c| facts.has(*c) == Some(true))
    })
}

/// Whether this machine's kernel can do it, and by which mechanism.
#[must_use]
pub fn can(to: &Setting) -> Ability {
    let Setting::Network(network) = to else { return Ability::Yes };
    match mechanism::choose(network) {
        Ok(mechanism) => {
            Ability::As(Box::new(Setting::Network(Box::new(Network { mechanism, ..network.as_ref().clone() }))))
        }
        Err(why) => Ability::No(why),
    }
}

/// Looks at what lies on an instance's traffic. Nothing can lie on that of one that does not run: it has no site.
pub async fn observe(site: io::Result<Option<Site>>, instance: &mut Instance) {
    let seen = match site {
        Ok(Some(site)) => blocking(move || seen_here(&site.namespace)).await,
        Ok(None) => Ok(Seen::default()),
        Err(why) => Err(why),
    };
    match seen {
        Ok(seen) => {
            instance.settings.insert(Aspect::Network, Setting::NetworkMark(seen.mark));
            instance.counted = seen.counted;
        }
        Err(why) => tracing::warn!(instance = instance.name, %why, "its traffic cannot be looked at"),
    }
}

/// Disturbs the traffic of a namespace, leaves it alone again, or tears its connections down.
///
/// # Errors
/// Where it cannot be entered, a peer's name cannot be looked up, somebody else's arrangements are in the way, or the
/// kernel refuses. Then nothing of it is in place.
pub async fn set(site: Site, tag: &Tag, to: &Setting) -> io::Result<Outcome> {
    match to {
        Setting::Network(network) => {
            let mark = network.mark();
            let network = look_up(network).await?;
            lay(site, tag, &mark, network).await
        }
        Setting::ConnectionsReset(traffic) => {
            let traffic = Traffic { peers: look_up_peers(&traffic.peers).await?, ..traffic.as_ref().clone() };
            match blocking(move || site.namespace.run(|| reset_soon(&traffic))).await? {
                0 => Err(io::Error::other("there is no established connection of this kind")),
                _ => Ok(Outcome::Done),
            }
        }
        _ => clear(&Arc::new(site)).await,
    }
}

/// Sends a packet of our own the way of those that are meant; see [`host::net::knock`](crate::host::net::knock).
///
/// # Errors
/// Where the namespace cannot be entered, or none can be sent.
pub async fn knock(site: Site, to: &Setting) -> io::Result<()> {
    let Setting::Network(network) = to else { return Ok(()) };
    let network = look_up(network).await?;
    blocking(move || {
        site.namespace
            .run(|| network.flows.iter().try_for_each(|f| crate::host::net::knock::knock(&f.traffic).map(drop)))
    })
    .await
}

/// Ends what of a change goes on outside of the namespace: the process that holds its packets, where it has one.
///
/// # Errors
/// Where it does not end.
pub async fn forget(tag: &Tag) -> io::Result<()> {
    process::kill_with_variable(super::here::MARK, &tag.to_string(), ENDED).await.map(drop)
}

/// How long a killed process may take to end.
const ENDED: Duration = Duration::from_secs(5);

/// Resets connections as soon as there are any: where each request has a connection of its own, there is none most of the
/// time.
#[expect(clippy::disallowed_methods, reason = "whoever asks the kernel blocks: this is no runtime's thread")]
fn reset_soon(traffic: &Traffic) -> io::Result<usize> {
    const AT_MOST: Duration = Duration::from_secs(2);
    const OFTEN: Duration = Duration::from_millis(1);
    let begin = Instant::now();
    loop {
        match sockets::reset(traffic)? {
            0 if begin.elapsed() < AT_MOST => std::thread::sleep(OFTEN),
            ended => return Ok(ended),
        }
    }
}

/// The mark of what is not all in place (yet).
const UNFINISHED: &str = "unfinished";

/// Lays it on the traffic of a namespace: all of it, or nothing.
async fn lay(site: Site, tag: &Tag, mark: &str, network: Network) -> io::Result<Outcome> {
    let site = Arc::new(site);
    let found = inside(&site.namespace, nft::tables).await?;
    if matches!(found.as_slice(), [table] if table.mark == mark && table.whole) {
        return Ok(Outcome::Already);
    }
    if !found.is_empty() {
        clear(&site).await?;
    }
    let laid = try_to_lay(&site, tag, mark, network).await;
    if laid.is_err() {
        // What is in place of it goes; the reason to tell is the first one.
        let _ = clear(&site).await;
    }
    laid.map(|()| Outcome::Done)
}

async fn try_to_lay(site: &Arc<Site>, tag: &Tag, mark: &str, network: Network) -> io::Result<()> {
    let network = Arc::new(network);
    let (on, flows, table) = (site.clone(), network.clone(), mark.to_owned());
    let links = inside(&site.namespace, move || {
        nft::create(&table)?;
        let links = link::links(&mut Socket::open(Family::Route)?)?;
        lay_in_kernel(&on, &flows, &links)?;
        Ok(links)
    })
    .await?;
    let ground = Ground {
        program: &site.program,
        namespace: &site.namespace,
        tag: &name(&site.namespace)?,
        change: &tag.to_string(),
        holder: site.pid,
        mark,
        interface: &|name| on_network(name, site, &links).first().map(|l| l.index),
        elsewhere: &|flow| mechanism::is_kernels(flow, network.mechanism),
    };
    userspace::lay(&ground, &network).await
}

/// What the kernel does by itself, link by link: a flow may be about one of them.
fn lay_in_kernel(site: &Site, network: &Network, links: &[link::Link]) -> io::Result<()> {
    let flows: Vec<&Flow> = network.flows.iter().filter(|f| mechanism::is_kernels(f, network.mechanism)).collect();
    for name in network.flows.iter().filter_map(|f| f.traffic.network.as_deref()) {
        if on_network(name, site, links).is_empty() {
            return Err(io::Error::other(format!("it is not on the network `{name}`")));
        }
    }
    for link in links.iter().filter(|l| !l.loopback) {
        let is_on = |name: &str| on_network(name, site, links).contains(&link);
        let on: Vec<&Flow> = flows.iter().filter(|f| f.traffic.network.as_deref().is_none_or(is_on)).copied().collect();
        if !on.is_empty() {
            kernel::lay(&on, std::slice::from_ref(link), network.seed)?;
        }
    }
    Ok(())
}

/// The interfaces on one of the engine's networks.
fn on_network<'a>(network: &str, site: &Site, links: &'a [link::Link]) -> Vec<&'a link::Link> {
    let own: Vec<IpAddr> = site.addresses.iter().filter(|a| a.network == network).map(|a| a.ip).collect();
    links.iter().filter(|l| l.addresses.iter().any(|(a, _)| own.contains(a))).collect()
}

/// Takes everything of ours off it, whoever laid it: whether there was anything.
async fn clear(site: &Arc<Site>) -> io::Result<Outcome> {
    let (tables, kernels, queued) = inside(&site.namespace, || {
        let tables = nft::tables()?;
        // What is not all in place may have a process without a rule yet. To look for one takes a look at every process.
        let queued = tables.iter().any(|table| {
            !table.whole || nft::counters(&table.mark).is_ok_and(|counters| counters.iter().any(|c| c.queued))
        });
        Ok((tables, kernel::clear()?, queued))
    })
    .await?;
    if queued {
        userspace::clear(&site.namespace, &name(&site.namespace)?).await?;
    } else {
        inside(&site.namespace, nft::delete_all).await?;
    }
    Ok(if tables.is_empty() && !kernels { Outcome::Already } else { Outcome::Done })
}

fn seen_here(namespace: &Namespace) -> io::Result<Seen> {
    let (tables, kernel) = namespace.run(|| {
        let tables = nft::tables()?;
        let kernel = if tables.is_empty() { kernel::Counted::default() } else { kernel::counted()? };
        Ok((tables, kernel))
    })?;
    let mark = match tables.as_slice() {
        [] => return Ok(Seen::default()),
        [table] if table.whole => &table.mark,
        // What is there is not all of a setting, or more than one.
        _ => return Ok(Seen { mark: Some(UNFINISHED.to_owned()), counted: None }),
    };
    let told = userspace::counted(namespace, &name(namespace)?, mark)?;
    if told.lacks_shaper {
        return Ok(Seen { mark: Some(UNFINISHED.to_owned()), counted: None });
    }
    let (met, shaper) = (told.flows.values().sum::<u64>(), told.shaper);
    // Where rules count, they have met all but what was dropped before them. Else the kernel's filters have met all.
    let by_rules = met + kernel.dropped_early;
    let (packets, dropped) =
        if by_rules > kernel.meant { (by_rules, kernel.dropped_whole) } else { (kernel.meant, kernel.dropped) };
    let counted = Counted {
        packets,
        dropped: dropped + shaper.as_ref().map_or(0, |s| s.dropped + s.overflowed),
        held_us: shaper.map(|s| s.median_us).filter(|us| *us > 0),
    };
    Ok(Seen { mark: Some(mark.clone()), counted: Some(counted) })
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

/// The same with the addresses of peers that are known by name.
async fn look_up(network: &Network) -> io::Result<Network> {
    let mut network = network.clone();
    for flow in &mut network.flows {
        flow.traffic.peers = look_up_peers(&flow.traffic.peers).await?;
    }
    Ok(network)
}

async fn look_up_peers(peers: &Peers) -> io::Result<Peers> {
    let Peers::These(peers) = peers else { return Ok(Peers::Everybody) };
    let mut addresses = Vec::new();
    for peer in peers {
        match peer {
            Peer::Addresses(_) | Peer::Instance { .. } => addresses.push(peer.clone()),
            Peer::Host(name) => {
                let found = tokio::net::lookup_host((name.as_str(), 0))
                    .await
                    .map_err(|e| io::Error::other(format!("the address of `{name}` cannot be looked up: {e}")))?;
                addresses.extend(found.map(|a| Peer::Addresses(Cidr::from(a.ip()))));
            }
        }
    }
    addresses.sort();
    addresses.dedup();
    Ok(Peers::These(addresses))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
