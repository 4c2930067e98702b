//! Laying a setting on the traffic of a namespace, all of it or nothing, and taking it off again.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::userspace::{self, Lack, ShaperSetup};
use super::{BY_POLICY, NetworkAccess, inside, kernel, name, proxy};
use crate::engine::{Outcome, Tag};
use crate::host::net::link::{self, Link};
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::nft::{self, Lease, TableState};
use crate::host::net::{routes, sockets, tracking};
use crate::host::shaper::{Surroundings, copies, layout};
use crate::model::network::{By, Existing, Network, Treatment};

/// Lays it on the traffic of a namespace: all of it, or nothing.
pub(super) async fn lay(site: NetworkAccess, tag: &Tag, mark: &str, network: Network) -> io::Result<Outcome> {
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
        Ok(Begun::InTheWay) => Err(io::Error::other("another process disturbs the same traffic at the same time")),
        Ok(Begun::Laid(Laid::Done(lease))) => Ok(lease),
        Ok(Begun::Laid(Laid::Lacks(lack))) => {
            let (namespace, program) = (&site.namespace, site.host.program());
            let (shaper, change) = (name(namespace)?, tag.to_string());
            let setup = ShaperSetup { program, namespace, tag: &shaper, change: &change, holder: site.pid, mark };
            userspace::lay(&setup, &network, lack).await
        }
        Err(e) => Err(e),
    };
    match laid {
        Ok(lease) => {
            site.host.leases().keep(lease, site.pid);
            Ok(Outcome::Done)
        }
        Err(e) => {
            // What is in place of it goes; the reason to tell is the first one.
            let _ = clear(&site).await;
            Err(e)
        }
    }
}

/// How far it is after what the kernel does by itself.
enum Begun {
    /// It was in place before.
    Already,
    /// Something else is; nothing was done.
    InTheWay,
    /// It was laid now.
    Laid(Laid),
}

/// Lays what the kernel does by itself, in one visit to the namespace.
async fn begin(site: &Arc<NetworkAccess>, mark: &str, network: &Arc<Network>) -> io::Result<Begun> {
    let (on, network, mark) = (Arc::clone(site), Arc::clone(network), mark.to_owned());
    inside(&site.namespace, move || {
        match nft::tables()?.as_slice() {
            [] => {}
            [table] if table.mark == mark && table.state == TableState::Whole => return Ok(Begun::Already),
            _ => return Ok(Begun::InTheWay),
        }
        lay_here(&mark, &network, |name, link| on.has(name, link)).map(Begun::Laid)
    })
    .await
}

/// What the kernel does by itself, once it is laid.
#[derive(Debug)]
pub enum Laid {
    /// All of it, for as long as its lease is renewed.
    Done(Lease),
    /// All but what takes a process.
    Lacks(Lack),
}

/// Lays what the kernel does by itself in the namespace of this thread, under a table that stands for `mark`; `has` tells
/// whether a link is on one of an engine's networks. Where a process must hold packets, the rules that hand them to it
/// are told, and nothing has an effect on those before [`userspace::lay`].
///
/// # Errors
/// What the kernel refuses. What is in place of it then is for the caller to clear.
pub fn lay_here(mark: &str, network: &Network, has: impl Fn(&str, &Link) -> bool) -> io::Result<Laid> {
    nft::create(mark)?;
    let links = link::links(&mut Socket::open(Family::Route)?)?;
    for name in network.flows.iter().filter_map(|f| f.traffic.network.as_deref()) {
        if !links.iter().any(|link| has(name, link)) {
            return Err(io::Error::other(format!("it is not on the network `{name}`")));
        }
    }
    kernel::lay(network, &links, &has)?;
    let copied = network.flows.iter().any(|flow| copies(network, flow));
    if copied && routes::by_policy()? {
        return Err(io::Error::other(BY_POLICY));
    }
    let interface = |name: &str| links.iter().find(|link| has(name, link)).map(|link| link.index);
    let tracked = copied && tracking::is_active()?;
    let layout = layout(network, Surroundings { interface: &interface, tracked });
    if !layout.lanes.is_empty() || network.flows.iter().any(|flow| network.by(flow) == By::Proxy) {
        let named = network.flows.iter().filter_map(|flow| flow.traffic.network.clone());
        let interfaces = named.filter_map(|name| interface(&name).map(|index| (name, index))).collect();
        return Ok(Laid::Lacks(Lack { rules: layout.chains, interfaces }));
    }
    let lease = nft::fill(mark, &layout.chains)?;
    for flow in &network.flows {
        if flow.treatment == Treatment::Refuse(Existing::Reset) {
            let on = flow.traffic.network.as_deref().and_then(interface);
            let own = links.iter().filter(|link| on == Some(link.index)).flat_map(|link| &link.addresses);
            let own: Vec<IpAddr> = own.map(|(address, _)| *address).collect();
            sockets::reset_begun(&flow.traffic, on.map(|_| own.as_slice()), &[])?;
        }
    }
    Ok(Laid::Done(lease))
}

/// Takes everything of Squall's off it, no matter which process laid it: whether there was anything.
pub(super) async fn clear(site: &Arc<NetworkAccess>) -> io::Result<Outcome> {
    let (was, queued) = inside(&site.namespace, || {
        let tables = nft::tables()?;
        // What is not all in place may have a process without a rule yet. To look for one takes a look at every process.
        let queued = tables.iter().any(|table| {
            table.state != TableState::Whole
                || nft::counters(&table.mark).is_ok_and(|counters| counters.iter().any(|c| c.queued))
        });
        let queued = queued || proxy::is_in_the_path()?;
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
