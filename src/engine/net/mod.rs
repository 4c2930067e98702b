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
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use self::mechanism::Mechanisms;
use self::userspace::Ground;
use super::{Ability, Outcome, Tag};
use crate::host::facts::{CAPABILITIES, Facts};
use crate::host::net::link::{self, Link};
use crate::host::net::namespace::Namespace;
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::{nft, sockets};
use crate::host::process;
use crate::instance::{Address, Aspect, Counted, Instance, Setting};
use crate::network::{Cidr, Network, Peer, Peers, Traffic};
use crate::shaper::layout;

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

impl Site {
    /// Whether a link is on one of the engine's networks.
    fn has(&self, network: &str, link: &Link) -> bool {
        let mut own = self.addresses.iter().filter(|a| a.network == network);
        own.any(|own| link.addresses.iter().any(|(address, _)| *address == own.ip))
    }
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
    if let Some(why) = network.flows.iter().find_map(|flow| nft::too_many(&flow.traffic)) {
        return Ability::No(why);
    }
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
            instance.settings.insert(Aspect::Network, Setting::Mark(Aspect::Network, seen.mark));
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
    let (site, network) = (Arc::new(site), Arc::new(network));
    let begun = match begin(&site, mark, &network).await {
        Ok(Begun::InTheWay) => {
            clear(&site).await?;
            begin(&site, mark, &network).await
        }
        begun => begun,
    };
    let laid = match begun {
        Ok(Begun::Already) => return Ok(Outcome::Already),
        Ok(Begun::InTheWay) => Err(io::Error::other("somebody else disturbs the same traffic at the same time")),
        Ok(Begun::Done) => Ok(()),
        Ok(Begun::Lacks(rules)) => {
            let (namespace, program) = (&site.namespace, site.program.as_path());
            let (shaper, change) = (name(namespace)?, tag.to_string());
            let ground = Ground { program, namespace, tag: &shaper, change: &change, holder: site.pid, mark };
            userspace::lay(&ground, &network, rules).await
        }
        Err(e) => Err(e),
    };
    if laid.is_err() {
        // What is in place of it goes; the reason to tell is the first one.
        let _ = clear(&site).await;
    }
    laid.map(|()| Outcome::Done)
}

/// How far it is after what the kernel does by itself.
enum Begun {
    /// It was in place before.
    Already,
    /// Something else is; nothing was done.
    InTheWay,
    /// It is in place now.
    Done,
    /// A process must hold packets, which these rules hand to it.
    Lacks(Vec<nft::Chain>),
}

/// Lays what the kernel does by itself, in one visit to the namespace.
async fn begin(site: &Arc<Site>, mark: &str, network: &Arc<Network>) -> io::Result<Begun> {
    let (on, network, mark) = (Arc::clone(site), Arc::clone(network), mark.to_owned());
    inside(&site.namespace, move || {
        match nft::tables()?.as_slice() {
            [] => {}
            [table] if table.mark == mark && table.whole => return Ok(Begun::Already),
            _ => return Ok(Begun::InTheWay),
        }
        let lacks = lay_here(&mark, &network, |name, link| on.has(name, link))?;
        Ok(lacks.map_or(Begun::Done, Begun::Lacks))
    })
    .await
}

/// Lays what the kernel does by itself in the namespace of this thread, under a table that stands for `mark`; `has` tells
/// whether a link is on one of an engine's networks. Where a process must hold packets, the rules that hand them to it
/// are told, and nothing has an effect on those before [`userspace::lay`].
///
/// # Errors
/// What the kernel refuses. What is in place of it then is for the caller to clear.
pub fn lay_here(
    mark: &str,
    network: &Network,
    has: impl Fn(&str, &Link) -> bool,
) -> io::Result<Option<Vec<nft::Chain>>> {
    nft::create(mark)?;
    let links = link::links(&mut Socket::open(Family::Route)?)?;
    for name in network.flows.iter().filter_map(|f| f.traffic.network.as_deref()) {
        if !links.iter().any(|link| has(name, link)) {
            return Err(io::Error::other(format!("it is not on the network `{name}`")));
        }
    }
    kernel::lay(network, &links, &has)?;
    let layout = layout(network, &|name| links.iter().find(|link| has(name, link)).map(|link| link.index));
    if !layout.lanes.is_empty() {
        return Ok(Some(layout.chains));
    }
    nft::fill(mark, &layout.chains)?;
    Ok(None)
}

/// Takes everything of ours off it, whoever laid it: whether there was anything.
async fn clear(site: &Arc<Site>) -> io::Result<Outcome> {
    let (was, queued) = inside(&site.namespace, || {
        let tables = nft::tables()?;
        // What is not all in place may have a process without a rule yet. To look for one takes a look at every process.
        let queued = tables.iter().any(|table| {
            !table.whole || nft::counters(&table.mark).is_ok_and(|counters| counters.iter().any(|c| c.queued))
        });
        let was = kernel::clear()? || !tables.is_empty();
        if !queued {
            nft::delete_all()?;
        }
        Ok((was, queued))
    })
    .await?;
    if queued {
        userspace::clear(&site.namespace, &name(&site.namespace)?).await?;
    }
    Ok(if was { Outcome::Done } else { Outcome::Already })
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
    let counted = Counted {
        packets: told.flows.values().sum::<u64>() + kernel.meant,
        dropped: told.lost + kernel.dropped + told.shaper.as_ref().map_or(0, |s| s.dropped + s.overflowed),
        held_us: told.shaper.map(|s| s.median_us).filter(|us| *us > 0),
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
    match peers {
        Peers::Everybody => Ok(Peers::Everybody),
        Peers::These(peers) => look_up_each(peers).await.map(Peers::These),
        Peers::AllBut(peers) => look_up_each(peers).await.map(Peers::AllBut),
    }
}

async fn look_up_each(peers: &[Peer]) -> io::Result<Vec<Peer>> {
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
    Ok(addresses)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
