//! Which mechanism impairs packets on a machine: the kernel's emulator where it has one, else our own in user space. It is tried, once.

use std::io;
use std::time::Duration;

use super::kernel;
use crate::host::Host;
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::{link, nft, qdisc};
use crate::host::shaper::{Surroundings, copies, layout};
use crate::model::network::{Bandwidth, By, Direction, Flow, Mechanism, Network, Shape, Traffic, Treatment};

/// The mechanism for what is asked for; nothing where the kernel's own rules do it without either.
///
/// # Errors
/// Why that machine cannot, and what to do about it.
pub(super) fn choose(host: &Host, network: &Network) -> Result<Option<Mechanism>, String> {
    let mechanism = emulator(host, network)?;
    let chosen = Network { mechanism, ..network.clone() };
    if chosen.flows.iter().any(|flow| copies(&chosen, flow))
        && let Err(why) = has_copies(host)
    {
        return Err(format!(
            "what leaves late is copied by rules of the kernel's (nft dup), so that the delay does not limit its sender, \
             and this kernel cannot do that: {why}"
        ));
    }
    let has = |by, treatment: fn(&Treatment) -> bool| {
        chosen.flows.iter().any(|flow| chosen.by(flow) == by && treatment(&flow.treatment))
    };
    if has(By::Process, |t| matches!(t, Treatment::Dns(_)))
        && let Err(why) = has_queue(host)
    {
        return Err(format!("answers about names are given in user space, and this kernel has no way there: {why}"));
    }
    if has(By::Rules, |t| !matches!(t, Treatment::Reject | Treatment::Refuse(_)))
        && let Err(why) = has_queue(host)
    {
        return Err(format!("packets vanish by way of NFQUEUE, and this kernel has no such thing: {why}"));
    }
    if has(By::Proxy, |_| true)
        && let Err(why) = has_redirect(host)
    {
        return Err(format!(
            "connections are led to a proxy by rules of the kernel's (nft redirect), and this kernel cannot do that: {why}"
        ));
    }
    if chosen.flows.iter().any(|flow| chosen.by(flow) == By::Proxy && flow.traffic.comes())
        && let Err(why) = has_take_up(host)
    {
        return Err(format!(
            "connections are taken up before their server by rules of the kernel's (nft tproxy, and snat by a map), and this kernel \
             cannot do that: {why}; without `side: callee` the proxy stands at the caller"
        ));
    }
    if has(By::Queues, |_| true)
        && let Err(why) = has_hooks(host)
    {
        return Err(format!(
            "packets are handed to the kernel's queues by filters, and this kernel lacks a part: {why}"
        ));
    }
    Ok(mechanism)
}

/// Who emulates what cannot be had otherwise.
fn emulator(host: &Host, network: &Network) -> Result<Option<Mechanism>, String> {
    let shapes =
        || network.flows.iter().filter_map(|f| if let Treatment::Shape(s) = &f.treatment { Some(s) } else { None });
    let emulates = |s: &Shape| s.only_loses().is_none() && s.only_limits().is_none();
    match network.mechanism {
        Some(Mechanism::Netem) => match has_netem(host) {
            Ok(()) => Ok(Some(Mechanism::Netem)),
            Err(why) => Err(format!(
                "`mechanism: netem` is asked for, and this kernel has no sch_netem ({why}): leave the key out, or install \
                 kernel-modules-extra or your system's like"
            )),
        },
        None if !shapes().any(|s| emulates(s)) => Ok(None),
        None if has_netem(host).is_ok() => Ok(Some(Mechanism::Netem)),
        Some(Mechanism::Userspace) | None => match has_queue(host) {
            Ok(()) => Ok(Some(Mechanism::Userspace)),
            Err(why) => Err(format!(
                "this kernel has neither sch_netem nor a way to user space (NFQUEUE: {why}): install kernel-modules-extra or \
                 your system's like"
            )),
        },
    }
}

/// What a machine has for packets that are late or altered, as tried in a namespace that is gone at once; which it takes
/// root to do.
#[derive(Debug, Clone)]
pub struct Mechanisms {
    /// Whether the kernel has its own emulator, or why not.
    pub netem: Result<(), String>,
    /// Whether packets can be handed to a process, or why not.
    pub userspace: Result<(), String>,
}

impl Mechanisms {
    /// Tries both.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        Self { netem: has_netem(host), userspace: has_queue(host) }
    }
}

fn has_netem(host: &Host) -> Result<(), String> {
    host.trials().netem.once(|| {
        let mut socket = Socket::open(Family::Route)?;
        let links = link::links(&mut socket)?;
        let loopback = links.first().ok_or(io::ErrorKind::NotFound)?;
        qdisc::set_root(&mut socket, loopback.index, qdisc::Carries::Netem(&Shape::default(), 0))
    })
}

/// Whether the kernel has what queues hang on. Trying loads its modules, too: who is killed while the kernel waits for one
/// could leave a `clsact` without a filter, which could not be told for Squall's.
fn has_hooks(host: &Host) -> Result<(), String> {
    host.trials().hooks.once(|| {
        let mut socket = Socket::open(Family::Route)?;
        link::add_ifb(&mut socket, "try")?;
        let slow = Shape { bandwidth: Some(Bandwidth { rate: 8000, burst: 0 }), ..Shape::default() };
        let flow = Flow { traffic: Traffic::all(Direction::Both), treatment: Treatment::Shape(Box::new(slow)) };
        let network = Network { flows: vec![flow], mechanism: None, seed: 0 };
        kernel::lay(&network, &link::links(&mut socket)?, |_, _| false)
    })
}

pub(super) fn has_queue(host: &Host) -> Result<(), String> {
    host.trials().queue.once(|| {
        let verdict = nft::Verdict::Queue(1);
        let rule = nft::Rule { matches: Vec::new(), verdict, comment: String::new() };
        let (name, hook) = ("try".to_owned(), nft::Hook::Input);
        nft::create("try")?;
        let rules = [nft::Chain { version: nft::Version::Both, name, hook, priority: 0, rules: vec![rule] }];
        nft::fill("try", &rules).map(drop)
    })
}

/// Whether connections can be led to a process in the namespace itself.
fn has_redirect(host: &Host) -> Result<(), String> {
    host.trials().redirect.once(|| {
        let verdict = nft::Verdict::Redirect(1);
        let rule = nft::Rule {
            matches: nft::beginnings(&Traffic::all(Direction::Egress), None).concat(),
            verdict,
            comment: String::new(),
        };
        let (name, hook) = ("try".to_owned(), nft::Hook::Output);
        let chains = [nft::Chain { version: nft::Version::Both, name, hook, priority: -101, rules: vec![rule] }];
        nft::put_owned("try", &chains).map(drop)
    })
}

/// Whether a process in the namespace can stand before its servers, in the place of their clients.
fn has_take_up(host: &Host) -> Result<(), String> {
    host.trials().take_up.once(|| {
        let take_up = nft::Rule {
            matches: [vec![nft::Match::V6(false)], nft::beginnings(&Traffic::all(Direction::Ingress), None).concat()]
                .concat(),
            verdict: nft::Verdict::TakeUp { v6: false, port: 1 },
            comment: String::new(),
        };
        let leave = nft::Rule {
            matches: nft::from_a_client(false),
            verdict: nft::Verdict::LeaveFrom { v6: false },
            comment: String::new(),
        };
        let chain = |name: &str, hook, priority, rule| {
            let name = name.to_owned();
            nft::Chain { version: nft::Version::Both, name, hook, priority, rules: vec![rule] }
        };
        let chains =
            [chain("arrive", nft::Hook::Prerouting, -150, take_up), chain("leave", nft::Hook::Postrouting, 99, leave)];
        nft::put_owned("try", &chains).map(drop)
    })
}

/// Whether a packet that leaves can be made late without its socket, as [`crate::host::shaper::layout`] has it.
fn has_copies(host: &Host) -> Result<(), String> {
    host.trials().copies.once(|| {
        let late = Shape { delay: Duration::from_millis(1), ..Shape::default() };
        let flow = Flow { traffic: Traffic::all(Direction::Egress), treatment: Treatment::Shape(Box::new(late)) };
        let network = Network { flows: vec![flow], mechanism: Some(Mechanism::Userspace), seed: 0 };
        nft::create("try")?;
        nft::fill("try", &layout(&network, Surroundings { interface: &|_| None, tracked: true }).chains).map(drop)
    })
}
