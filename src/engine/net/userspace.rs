//! The way in user space: a process of Squall's holds the packets that rules in the namespace hand it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::process::Signal;
use tokio::process::Command;

use super::{EXIT_TIMEOUT, inside, proxy};
use crate::engine::here::MARK;
use crate::host::net::namespace::Namespace;
use crate::host::net::nft::{self, Chain, Lease};
use crate::host::orders::Orders;
use crate::host::process::{if_with_variable, kill_with_variable, with_variable};
use crate::host::shaper::{self, Statistics, counts_for, keeps_socket, statistics, wants_proxy};
use crate::host::worker::Worker;
use crate::model::network::{By, Network, ProxyStatistics};

/// What a shaper has in its environment, so that anybody finds it who knows its tag.
pub const VARIABLE: &str = "SQUALL_SHAPER";

/// What it takes to lay settings on a namespace.
#[derive(Clone, Copy)]
pub struct ShaperSetup<'a> {
    /// Squall's own file.
    pub program: &'a Path,
    /// The namespace.
    pub namespace: &'a Namespace,
    /// What the shaper will be found by: one for each namespace.
    pub tag: &'a str,
    /// The change that it is all for, which finds the shaper where the namespace is gone.
    pub change: &'a str,
    /// A process in the namespace, with whose end the shaper's work ends.
    pub holder: u32,
    /// What the table stands for.
    pub mark: &'a str,
}

/// What is to be laid when the processes stand that it takes.
#[derive(Debug)]
pub struct Lack {
    /// The rules.
    pub rules: Vec<Chain>,
    /// The numbers of the interfaces on the engine's networks that are named.
    pub interfaces: BTreeMap<String, u32>,
}

/// Has settings take effect: starts the processes that they take, then lays the rules that hand these packets, all at once. The table
/// that stands for them must be there. They have it for as long as their lease is renewed.
///
/// # Errors
/// Where the kernel or the rights do not suffice, in words for people.
pub async fn lay(setup: &ShaperSetup<'_>, network: &Network, lack: Lack) -> io::Result<Lease> {
    let Lack { rules, interfaces } = lack;
    let has = |by| network.flows.iter().any(|flow| network.by(flow) == by);
    let orders = orders(setup, network, interfaces)?;
    for (by, command, variable, name) in [
        (By::Process, shaper::COMMAND, VARIABLE, "the shaper"),
        (By::Proxy, crate::host::proxy::COMMAND, proxy::VARIABLE, "the proxy"),
    ] {
        if has(by) {
            start(setup, &orders, command, variable).await.map_err(|e| io::Error::other(format!("{name}: {e}")))?;
        }
    }
    let mark = setup.mark.to_owned();
    inside(setup.namespace, move || nft::fill(&mark, &rules)).await
}

/// Starts a worker. When this returns, it stands. Its work ends with its table, not with this process.
async fn start(setup: &ShaperSetup<'_>, orders: &Orders, command: &str, variable: &str) -> io::Result<()> {
    let mut program = Command::new(setup.program);
    program.arg(command).env(variable, setup.tag).env(MARK, setup.change);
    Worker::start_with(&mut program, orders).await.map(drop)
}

fn orders(setup: &ShaperSetup<'_>, network: &Network, interfaces: BTreeMap<String, u32>) -> io::Result<Orders> {
    Ok(Orders {
        namespace: setup.namespace.path(),
        identity: setup.namespace.identity()?,
        holder: setup.holder,
        mark: setup.mark.to_owned(),
        network: network.clone(),
        interfaces,
    })
}

/// Takes everything of Squall's back, no matter which process laid it: the shaper lets go of what it holds, the proxy leaves the path,
/// then the tables go. What is gone is no error.
///
/// # Errors
/// Where a shaper does not end, or the kernel refuses.
pub async fn clear(namespace: &Namespace, tag: &str) -> io::Result<()> {
    proxy::clear(namespace, tag).await?;
    // The kernel tells who has the queues; only where it does not, every process is looked at.
    let known = inside(namespace, || Ok(bound())).await?.and_then(|pid| if_with_variable(pid, VARIABLE, tag));
    let (known, shapers) = (known.is_some(), known.map_or_else(|| with_variable(VARIABLE, tag), |shaper| vec![shaper]));
    let mut let_go = true;
    for shaper in &shapers {
        shaper.signal(Signal::USR1)?;
    }
    for shaper in &shapers {
        let_go &= shaper.ended_within(EXIT_TIMEOUT).await?;
    }
    if !known || !let_go {
        kill_with_variable(VARIABLE, tag, EXIT_TIMEOUT).await?;
    }
    inside(namespace, nft::delete_all).await
}

/// What the rules and the shaper tell of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CounterSnapshot {
    /// How many packets each flow has met so far, by the flow's place.
    pub flows: BTreeMap<usize, u64>,
    /// How many of them rules have lost.
    pub lost: u64,
    /// How many waited with their socket.
    pub kept: u64,
    /// What the shaper says, where one stands.
    pub shaper: Option<Statistics>,
    /// Whether a shaper is missing: packets that it should hold pass.
    pub lacks_shaper: bool,
    /// What the proxy says, where one stands.
    pub proxy: Option<ProxyStatistics>,
    /// Whether a proxy is missing: connections pass it by.
    pub lacks_proxy: bool,
}

/// What is known of the settings that a mark stands for.
///
/// # Errors
/// Where the kernel does not tell.
pub fn counted(namespace: &Namespace, tag: &str, mark: &str) -> io::Result<CounterSnapshot> {
    let (counters, queued, bound) = namespace.run(|| {
        let counters = nft::counters(mark)?;
        let queued = counters.iter().any(|c| c.queued);
        let bound = if queued { bound() } else { None };
        Ok((counters, queued, bound))
    })?;
    let mut snapshot = CounterSnapshot::default();
    for counter in &counters {
        if let Some((flow, lost)) = counts_for(&counter.comment) {
            *snapshot.flows.entry(flow).or_default() += counter.packets;
            snapshot.lost += if lost { counter.packets } else { 0 };
        }
        if keeps_socket(&counter.comment) {
            snapshot.kept += counter.packets;
        }
    }
    if counters.iter().any(|counter| wants_proxy(&counter.comment)) {
        snapshot.proxy = proxy::counted(namespace, tag, mark)?;
        snapshot.lacks_proxy = snapshot.proxy.is_none();
    }
    if !queued {
        return Ok(snapshot);
    }
    let bound = bound.filter(|pid| !end_if_stopped(*pid, tag));
    let shaper = bound.and_then(statistics).or_else(|| {
        // The kernel tells the number of a socket, which is usually that of its process.
        with_variable(VARIABLE, tag).iter().find_map(|shaper| statistics(shaper.pid()))
    });
    Ok(CounterSnapshot { shaper, lacks_shaper: bound.is_none(), ..snapshot })
}

/// Ends a shaper that is held still by a signal: packets would wait for it for ever, and pass where there is none. Whether it was.
fn end_if_stopped(bound: u32, tag: &str) -> bool {
    // The number may be that of a socket.
    let shaper = if_with_variable(bound, VARIABLE, tag).or_else(|| with_variable(VARIABLE, tag).pop());
    shaper.is_some_and(|shaper| shaper.kill_if_stopped())
}

/// Who has bound a queue in the namespace of this thread, if anybody has.
fn bound() -> Option<u32> {
    let queues = std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue").ok()?;
    queues.lines().next()?.split_whitespace().nth(1)?.parse().ok()
}
