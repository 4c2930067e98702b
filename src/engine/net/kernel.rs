//! Packets that the kernel's queues delay, lose, alter and limit.
//!
//! On each link a `clsact` holds filters, and each filter gives what it picks to an ifb of its own, named
//! `sq<flow><e or i><link>`, whose root qdisc does the rest. No root qdisc of a link is touched, so that packets that are
//! not meant keep their way, and whatever else shapes the link stays. A `clsact` is ours if all its filters are; one without
//! filters is, if an ifb of Squall's serves its link.

use std::io;
use std::time::{Duration, Instant};

use crate::host::net::bpf::{self, Instruction, Verdict};
use crate::host::net::filter::{self, Hook, Then};
use crate::host::net::link::{self, Link};
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::nft::rule::LEASED;
use crate::host::net::qdisc::{self, Carries};
use crate::model::network::{By, Flow, Network, Peers, Shape, Treatment};

/// How long packets may still leave a queue that gets no more, before it is taken away with what is left.
const DRAIN: Duration = Duration::from_millis(300);

/// What has happened to packets since flows were laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Packets that were meant.
    pub meant: u64,
    /// How many of them were dropped; one that is yet to be cut into segments is one.
    pub dropped: u64,
    /// How often a rate made one of them wait; `None` where there is none, or it is not counted.
    pub waited: Option<u64>,
}

/// A filter to lay on a link, ready but for the number of its ifb.
struct Step<'a> {
    hook: Hook,
    order: u16,
    program: Vec<Instruction>,
    /// The ifb, by name, and what it carries; nothing: the packets go on.
    way: Option<(String, Carries<'a>)>,
}

/// Lays what of a network's flows is for queues on links, both ways; what an earlier call has laid on them goes first.
/// A packet that belongs to several flows is treated as the first of them says, and is left alone here where that is for
/// others to treat. `is_on` tells whether a link is on an engine's network. The loopback and our own ifbs are left alone, and so are
/// links that no flow is about. Where something is refused, what this call has laid is rolled back.
///
/// # Errors
/// What the kernel refuses; [`io::ErrorKind::Unsupported`] where it lacks a part; [`io::ErrorKind::InvalidInput`] for flows
/// that cannot be told in its terms; [`io::ErrorKind::AlreadyExists`] where another program holds a link's `clsact` or
/// `ingress`.
pub fn lay(network: &Network, links: &[Link], is_on: impl Fn(&str, &Link) -> bool) -> io::Result<()> {
    let (mut all, mut on) = (Vec::new(), Vec::new());
    for link in links.iter().filter(|l| !l.loopback && served_by(l).is_none()) {
        let about = |f: &&Flow| f.traffic.network.as_deref().is_none_or(|name| is_on(name, link));
        let flows: Vec<&Flow> = network.flows.iter().filter(about).collect();
        if flows.iter().any(|flow| network.by(flow) == By::Queues) {
            all.push(steps(network, &flows, link)?);
            on.push(link);
        }
    }
    if on.is_empty() {
        return Ok(());
    }
    let (steps, links) = (all, on);
    let mut socket = Socket::open(Family::Route)?;
    take(&mut socket, |link| links.iter().any(|l| l.index == link))?;
    for qdisc in qdisc::qdiscs(&mut socket)?.iter().filter(|q| q.clsact) {
        if let Some(link) = links.iter().find(|l| l.index == qdisc.link) {
            return Err(occupied(&link.name, &qdisc.kind));
        }
    }
    let laid = links.iter().zip(&steps).try_for_each(|(link, steps)| {
        lay_on(&mut socket, link, steps)
            .map_err(|e| io::Error::new(e.kind(), format!("nothing can be laid on {}: {e}", link.name)))
    });
    if laid.is_err() {
        // The refusal counts, not what comes after it: the process that rolls back later finds what is left by name.
        let _ = take(&mut socket, |link| links.iter().any(|l| l.index == link));
    }
    laid
}

/// Rolls back everything of Squall's in this namespace, no matter which process laid it; whether there was anything. New packets
/// go their usual way at once; those that wait in a queue are given a moment (300 ms) to leave it.
///
/// # Errors
/// What the kernel refuses.
pub fn clear() -> io::Result<bool> {
    take(&mut Socket::open(Family::Route)?, |_| true)
}

/// What has happened to packets so far, over all links of this namespace.
///
/// # Errors
/// What the kernel refuses.
pub fn counted() -> io::Result<Counted> {
    let mut socket = Socket::open(Family::Route)?;
    let links = link::links(&mut socket)?;
    let qdiscs = qdisc::qdiscs(&mut socket)?;
    let mut counted = Counted::default();
    for clsact in qdiscs.iter().filter(|q| q.clsact) {
        for filter in filter::filters(&mut socket, clsact.link)? {
            let Some(order) = filter.ours else { continue };
            let name = ifb_name(order, filter.hook, clsact.link);
            let ifb = links.iter().find(|l| l.name == name);
            let queue = ifb.and_then(|ifb| qdiscs.iter().find(|q| q.link == ifb.index));
            counted.meant += filter.statistics.packets;
            counted.dropped += queue.map_or(0, |q| q.statistics.drops);
            if let Some(queue) = queue.filter(|q| q.kind == "tbf") {
                *counted.waited.get_or_insert(0) += queue.statistics.overlimits;
            }
        }
    }
    Ok(counted)
}

/// Everything to lay on a link, or every reason not to that can be known beforehand.
fn steps<'a>(network: &Network, flows: &[&'a Flow], link: &Link) -> io::Result<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    for (number, flow) in (0_u16..).zip(flows) {
        let carries = match (network.by(flow), &flow.treatment) {
            (By::Queues, Treatment::Shape(shape)) => carries(shape, link, network.seed),
            _ => None,
        };
        for hook in [Hook::Egress, Hook::Ingress] {
            let arrives = hook == Hook::Ingress;
            if !flow.traffic.has(arrives) || flow.traffic.peers == Peers::These(Vec::new()) {
                continue;
            }
            let verdict = if carries.is_some() { Verdict::Match } else { Verdict::Spare };
            // What leaves is queued while the lease runs; what arrives meets the queue before any rule.
            let leased = (carries.is_some() && !arrives).then_some(LEASED);
            let program = bpf::compile(&flow.traffic, arrives, leased, verdict)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {e}", flow.traffic)))?;
            let way = carries.map(|carries| (ifb_name(number, hook, link.index), carries));
            steps.push(Step { hook, order: number, program, way });
        }
    }
    // What comes after the last that does something has nothing to be spared from.
    steps.truncate(steps.iter().rposition(|step| step.way.is_some()).map_or(0, |last| last + 1));
    Ok(steps)
}

/// What an ifb does for a shape; nothing where there is nothing to do.
fn carries<'a>(shape: &'a Shape, link: &Link, seed: u64) -> Option<Carries<'a>> {
    match shape.only_limits() {
        _ if *shape == Shape::default() => None,
        Some(bandwidth) => Some(Carries::Tbf { bandwidth, mtu: link.mtu }),
        None => Some(Carries::Netem(shape, seed)),
    }
}

fn lay_on(socket: &mut Socket, link: &Link, steps: &[Step<'_>]) -> io::Result<()> {
    let mut messages = Vec::new();
    for Step { hook, order, program, way } in steps {
        let then = match way {
            None => Then::AsItSays,
            Some((name, carries)) => {
                let ifb = link::add_ifb(socket, name)?;
                qdisc::set_root(socket, ifb, *carries)?;
                link::set_up(socket, ifb)?;
                Then::Redirect(ifb)
            }
        };
        messages.push(filter::filter(link.index, *hook, *order, program, then)?);
    }
    let mut messages = messages.into_iter();
    let Some(first) = messages.next() else { return Ok(()) };
    // Together, so that no `clsact` is without a filter that says whose it is, even if this process ends in between. (It can,
    // where the kernel has to load a module first; see `mechanism`.)
    let begun = socket.requests(vec![qdisc::clsact(link.index), first, link::set_queue_length(link)]);
    if begun.is_err() && filter::filters(socket, link.index)?.is_empty() {
        // The filter was refused; without one the `clsact` could not be told for Squall's.
        qdisc::delete_clsact(socket, link.index)?;
    }
    begun?;
    messages.try_for_each(|message| socket.request(message))
}

/// Rolls back what is ours on links with such an index: filters first, so that no new packet comes; then, when they are
/// empty, the queues.
fn take(socket: &mut Socket, of: impl Fn(u32) -> bool) -> io::Result<bool> {
    let ifbs: Vec<Link> = link::links(socket)?.into_iter().filter(|l| served_by(l).is_some_and(&of)).collect();
    let mut found = false;
    for qdisc in qdisc::qdiscs(socket)?.iter().filter(|q| q.clsact && of(q.link)) {
        let filters = filter::filters(socket, qdisc.link)?;
        let ours: Vec<_> = filters.iter().filter_map(|f| Some((f.hook, f.ours?))).collect();
        // One without any filter is ours where our ifbs stand already: the process that laid them died in between.
        let begun = ifbs.iter().any(|ifb| served_by(ifb) == Some(qdisc.link));
        if ours.len() == filters.len() && (begun || !ours.is_empty()) {
            qdisc::delete_clsact(socket, qdisc.link)?;
        } else {
            // Somebody else has filters there by now: it stays, for them.
            for (hook, order) in &ours {
                filter::delete(socket, qdisc.link, *hook, *order)?;
            }
        }
        found |= !ours.is_empty();
    }
    drain(socket, &ifbs)?;
    for ifb in &ifbs {
        link::delete(socket, &ifb.name)?;
    }
    Ok(found || !ifbs.is_empty())
}

/// Waits until nothing is left in the queues of these links, for a moment at most.
#[expect(clippy::disallowed_methods, reason = "whoever asks the kernel blocks: this is no runtime's thread")]
fn drain(socket: &mut Socket, ifbs: &[Link]) -> io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < DRAIN {
        let waits = |q: &qdisc::Qdisc| q.statistics.backlog > 0 && ifbs.iter().any(|l| l.index == q.link);
        if ifbs.is_empty() || !qdisc::qdiscs(socket)?.iter().any(waits) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The name of a flow's ifb. A kernel's names have 15 characters: enough for a thousand flows and 99,999,999 links.
fn ifb_name(flow: u16, hook: Hook, link: u32) -> String {
    let way = if hook == Hook::Egress { 'e' } else { 'i' };
    format!("sq{flow}{way}{link}")
}

/// The index of the link that an ifb of Squall's serves; `None`: it is none of Squall's.
fn served_by(ifb: &Link) -> Option<u32> {
    let (flow, link) = ifb.name.strip_prefix("sq")?.split_once(['e', 'i'])?;
    let ours = ifb.kind.as_deref() == Some("ifb") && flow.parse::<u16>().is_ok();
    link.parse().ok().filter(|_| ours)
}

fn occupied(link: &str, kind: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "{link} has a {kind} qdisc already, which Squall did not make (`tc filter show dev {link} ingress` and \
             `egress` tell what for), and there is room for one: nothing is laid beside it. If nobody needs it: \
             `tc qdisc del dev {link} {kind}`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_ifb_says_whose_it_is() {
        let link = |name: &str, kind: &str| Link {
            index: 1,
            name: name.to_owned(),
            kind: Some(kind.to_owned()),
            master: None,
            up: true,
            loopback: false,
            mtu: 1500,
            queue_length: 1000,
            addresses: Vec::new(),
        };
        let name = ifb_name(12, Hook::Ingress, 1_234_567);
        assert!(name.len() <= 15, "{name}");
        assert_eq!(served_by(&link(&name, "ifb")), Some(1_234_567));
        for (name, kind) in [("sq0e2", "veth"), ("square2", "ifb"), ("sqe2", "ifb"), ("ifb0", "ifb"), ("sq0e", "ifb")] {
            assert_eq!(served_by(&link(name, kind)), None, "{name}");
        }
    }
}
