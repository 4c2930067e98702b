//! Packets that the kernel delays, loses, alters and limits by itself.
//!
//! On each link a `clsact` holds filters, and each filter gives what it picks to an ifb of its own, named
//! `sq<flow><e or i><link>`, whose root qdisc does the rest. No root qdisc of a link is touched, so that packets that are
//! not meant keep their way, and whatever else shapes the link stays. A `clsact` is ours if all its filters are.

use std::io;
use std::time::{Duration, Instant};

use crate::host::net::bpf::{self, Instruction, Verdict};
use crate::host::net::filter::{self, Hook, Then};
use crate::host::net::link::{self, Link};
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::qdisc::{self, Carries};
use crate::network::{Flow, Peers, Shape, Treatment};

/// How long packets may still leave a queue that gets no more, before it is taken away with what is left.
const DRAIN: Duration = Duration::from_millis(300);

/// What has happened to packets since flows were laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Packets that were meant. Of those that are lost at random and nothing else, the ones that are not lost go their usual
    /// way and are not counted.
    pub meant: u64,
    /// How many of them were dropped.
    pub dropped: u64,
    /// The same where a packet that is yet to be cut into segments is one: as nf_tables counts.
    pub dropped_whole: u64,
    /// Those of [`dropped_whole`](Self::dropped_whole) that arrived, which nf_tables has never seen.
    pub dropped_early: u64,
}

/// A filter to lay on a link, ready but for the number of its ifb.
struct Step<'a> {
    hook: Hook,
    order: u16,
    program: Vec<Instruction>,
    /// The ifb, by name, and what it carries; nothing: the packets go on.
    way: Option<(String, Carries<'a>)>,
}

/// Lays flows on links, both ways; what an earlier call has laid on them goes first. A packet that belongs to several flows
/// is treated as the first of them says. The loopback and our own ifbs are left alone. Where something is refused, what this call has laid is
/// taken back.
///
/// # Errors
/// What the kernel refuses; [`io::ErrorKind::Unsupported`] where it lacks a part; [`io::ErrorKind::InvalidInput`] for flows
/// that are none of this module's, or that cannot be told in its terms; [`io::ErrorKind::AlreadyExists`] where somebody else
/// holds a link's `clsact` or `ingress`.
pub fn lay(flows: &[&Flow], links: &[Link], seed: u64) -> io::Result<()> {
    let links: Vec<&Link> = links.iter().filter(|l| !l.loopback && served_by(l).is_none()).collect();
    let steps = links.iter().map(|link| steps(flows, link, seed)).collect::<io::Result<Vec<_>>>()?;
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
        // The refusal counts, not what comes after it: whoever takes back later finds what is left by name.
        let _ = take(&mut socket, |link| links.iter().any(|l| l.index == link));
    }
    laid
}

/// Takes back everything of ours in this namespace, whoever laid it; whether there was anything. New packets go their usual
/// way at once; those that wait in a queue are given a moment (300 ms) to leave it.
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
            let name = ifb_name(order / 2, filter.hook, clsact.link);
            let ifb = links.iter().find(|l| l.name == name);
            let queue = ifb.and_then(|ifb| qdiscs.iter().find(|q| q.link == ifb.index));
            let whole = queue.map_or(0, |q| q.statistics.drops);
            counted.dropped_whole += whole;
            counted.dropped_early += if filter.hook == Hook::Ingress { whole } else { 0 };
            counted.meant += filter.statistics.packets;
            counted.dropped += match queue {
                // It counts a segmented packet as one.
                Some(q) if q.kind == "blackhole" => filter.statistics.packets,
                Some(q) => q.statistics.drops,
                None => 0,
            };
        }
    }
    Ok(counted)
}

/// Everything to lay on a link, or every reason not to that can be known beforehand.
fn steps<'a>(flows: &[&'a Flow], link: &Link, seed: u64) -> io::Result<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    for (number, flow) in (0_u16..).zip(flows) {
        let (carries, probability) = carries(&flow.treatment, link, seed)?;
        for hook in [Hook::Egress, Hook::Ingress] {
            let arrives = hook == Hook::Ingress;
            if !flow.traffic.has(arrives) || flow.traffic.peers == Peers::These(Vec::new()) {
                continue;
            }
            let program = |verdict| {
                let unfit = |e| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {e}", flow.traffic));
                bpf::compile(&flow.traffic, arrives, verdict).map_err(unfit)
            };
            let order = number.saturating_mul(2);
            if let Some(carries) = carries {
                let way = Some((ifb_name(number, hook, link.index), carries));
                steps.push(Step { hook, order, program: program(Verdict::Match { probability })?, way });
            }
            // Packets that this flow spares must not be taken by a later one.
            let last = usize::from(number) + 1 == flows.len();
            if carries.is_none() || probability < 1.0 && !last {
                steps.push(Step { hook, order: order.saturating_add(1), program: program(Verdict::Spare)?, way: None });
            }
        }
    }
    Ok(steps)
}

/// What an ifb does for a treatment (nothing: there is nothing to do), and how likely a packet gets there.
fn carries<'a>(treatment: &'a Treatment, link: &Link, seed: u64) -> io::Result<(Option<Carries<'a>>, f64)> {
    Ok(match treatment {
        Treatment::Drop => (Some(Carries::Nothing), 1.0),
        Treatment::Shape(shape) if **shape == Shape::default() => (None, 1.0),
        Treatment::Shape(shape) => match (shape.only_loses(), shape.only_limits()) {
            (Some(probability), _) => (Some(Carries::Nothing), probability),
            (_, Some(bandwidth)) => (Some(Carries::Tbf { bandwidth, mtu: link.mtu }), 1.0),
            _ => (Some(Carries::Netem(shape, seed)), 1.0),
        },
        Treatment::Reject | Treatment::Dns(_) => {
            let text = format!("`{treatment}` is nothing that queues of the kernel can do");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    })
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
    // Together, so that no `clsact` is without a filter that says whose it is, even if this process ends in between.
    let begun = socket.requests(vec![qdisc::clsact(link.index), first, link::set_queue_length(link)]);
    if begun.is_err() && filter::filters(socket, link.index)?.is_empty() {
        // The filter was refused; without one nobody would know the `clsact` again.
        qdisc::delete_clsact(socket, link.index)?;
    }
    begun?;
    messages.try_for_each(|message| socket.request(message))
}

/// Takes back what is ours on links with such an index: filters first, so that no new packet comes; then, when they are
/// empty, the queues.
fn take(socket: &mut Socket, of: impl Fn(u32) -> bool) -> io::Result<bool> {
    let mut found = false;
    for qdisc in qdisc::qdiscs(socket)?.iter().filter(|q| q.clsact && of(q.link)) {
        let filters = filter::filters(socket, qdisc.link)?;
        let ours: Vec<_> = filters.iter().filter_map(|f| Some((f.hook, f.ours?))).collect();
        if !ours.is_empty() && ours.len() == filters.len() {
            qdisc::delete_clsact(socket, qdisc.link)?;
        } else {
            // Somebody else has filters there by now: it stays, for them.
            for (hook, order) in &ours {
                filter::delete(socket, qdisc.link, *hook, *order)?;
            }
        }
        found |= !ours.is_empty();
    }
    let ifbs: Vec<Link> = link::links(socket)?.into_iter().filter(|l| served_by(l).is_some_and(&of)).collect();
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

/// The index of the link that an ifb of ours serves; `None`: it is none of ours.
fn served_by(ifb: &Link) -> Option<u32> {
    let (flow, link) = ifb.name.strip_prefix("sq")?.split_once(['e', 'i'])?;
    let ours = ifb.kind.as_deref() == Some("ifb") && flow.parse::<u16>().is_ok();
    link.parse().ok().filter(|_| ours)
}

fn occupied(link: &str, kind: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "{link} has a {kind} qdisc already, which somebody else made (`tc filter show dev {link} ingress` and \
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
