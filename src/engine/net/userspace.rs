//! The way in user space: a process of Squall's holds the packets that rules in the namespace hand it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use super::inside;
use crate::engine::here::MARK;
use crate::host::net::namespace::Namespace;
use crate::host::net::nft::{self, Chain, Lease};
use crate::host::process::{if_with_variable, kill_with_variable, stat, with_variable};
use crate::host::shaper::{Orders, Statistics, counts_for, keeps_socket, statistics};
use crate::host::worker::Worker;
use crate::model::network::Network;

/// What a shaper has in its environment, so that anybody finds it who knows its tag.
pub const VARIABLE: &str = "SQUALL_SHAPER";

/// How long a shaper may take to let go.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Has settings take effect: starts the shaper, then lays the rules that hand it packets, all at once. The table that stands for
/// them must be there. They have it for as long as their lease is renewed.
///
/// # Errors
/// Where the kernel or the rights do not suffice, in words for people.
pub async fn lay(setup: &ShaperSetup<'_>, network: &Network, rules: Vec<Chain>) -> io::Result<Lease> {
    start(setup, network).await?;
    let mark = setup.mark.to_owned();
    inside(setup.namespace, move || nft::fill(&mark, &rules)).await
}

/// Starts a shaper. When this returns, it stands.
async fn start(setup: &ShaperSetup<'_>, network: &Network) -> io::Result<()> {
    let orders = Orders {
        namespace: setup.namespace.path(),
        identity: setup.namespace.identity()?,
        holder: setup.holder,
        mark: setup.mark.to_owned(),
        network: network.clone(),
    };
    let mut program = Command::new(setup.program);
    program.arg(Orders::COMMAND).env(VARIABLE, setup.tag).env(MARK, setup.change);
    // Its work ends with its table, not with this process.
    Worker::start_with(&mut program, &orders).await.map_err(|e| io::Error::other(format!("the shaper: {e}")))?;
    Ok(())
}

/// Takes everything of Squall's back, no matter which process laid it: the shaper lets go of what it holds, then the
/// tables go. What is gone is no error.
///
/// # Errors
/// Where a shaper does not end, or the kernel refuses.
pub async fn clear(namespace: &Namespace, tag: &str) -> io::Result<()> {
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
    let stopped = shaper.filter(|shaper| stat(shaper.pid()).is_some_and(|stat| matches!(stat.state, 'T' | 't')));
    stopped.is_some_and(|shaper| shaper.signal(Signal::KILL).is_ok())
}

/// Who has bound a queue in the namespace of this thread, if anybody has.
fn bound() -> Option<u32> {
    let queues = std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue").ok()?;
    queues.lines().next()?.split_whitespace().nth(1)?.parse().ok()
}
