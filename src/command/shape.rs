//! `squall shape`: a process that holds the packets of a network namespace, for as long as its table is there.
//!
//! Whoever starts it hands it the settings and waits for `ready`. It outlives them: what it does ends when it is told to
//! let go (SIGUSR1), when the table that stands for its settings is gone, when the process ends whose packets they are, or
//! when it is killed. Then packets pass.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::event::{EventfdFlags, eventfd};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli;
use crate::exit;
use crate::host::net::namespace::Namespace;
use crate::host::process::Process;
use crate::network::Network;
use crate::shaper::{Layout, Shaper, layout};

pub(super) async fn run(args: cli::Shape) -> anyhow::Result<ExitCode> {
    // A session of its own, and deaf: a Ctrl-C or a polite end of everything means the runner.
    let _ = rustix::process::setsid();
    let _deaf: Vec<_> =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal).into_iter().collect();
    let mut told = signal(SignalKind::user_defined1()).context("cannot listen for its end")?;
    let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("cannot be told of its end")?);
    let holder = Process::open(args.holder).context("cannot hold the process whose packets these are")?;
    let holder = holder.context("the process whose packets these are has ended")?;
    let (say, mut said) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new().name("shaper".to_owned()).spawn({
        let end = Arc::clone(&end);
        move || {
            let result = shape(&args, &end, || drop(say.send(Ok(()))));
            drop(say.send(result));
        }
    })?;
    let ready = said.recv().await.context("it ended without a word")?;
    // The reason goes the same way as the good news, for whoever waits.
    let word = ready.as_ref().map_or_else(|e| format!("{e:#}"), |()| "ready".to_owned());
    // Whoever has died meanwhile hears nothing; what takes over after it finds the table.
    let _ = writeln!(std::io::stdout(), "{word}").and_then(|()| std::io::stdout().flush());
    if ready.is_err() {
        return Ok(ExitCode::from(exit::INVALID));
    }
    let result = tokio::select! {
        result = said.recv() => result,
        () = async { tokio::select! { _ = told.recv() => {}, () = ended(&holder) => {} } } => {
            rustix::io::write(&*end, &1_u64.to_ne_bytes()).context("cannot tell of the end")?;
            said.recv().await
        }
    };
    drop(thread.join());
    result.unwrap_or(Ok(()))?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for the end of a process.
async fn ended(process: &Process) {
    // A wait that fails says nothing about the process.
    while !matches!(process.ended_within(Duration::from_hours(1)).await, Ok(true) | Err(_)) {}
}

/// Shapes until its end, on a thread that does nothing else.
fn shape(args: &cli::Shape, end: &OwnedFd, ready: impl FnOnce()) -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the settings")?;
    let network: Network = serde_json::from_str(&text).context("the settings make no sense")?;
    let namespace = Namespace::at(&args.namespace).context("cannot open the namespace")?;
    let (device, number) = namespace.identity().context("cannot look at the namespace")?;
    ensure!(args.identity == [device, number], "the namespace is another one by now");
    namespace.enter().context("cannot enter the namespace")?;
    let mut shaper =
        Shaper::new(queues(&network), network.seed).context("cannot bind the queues (NFQUEUE) in the namespace")?;
    ready();
    shaper.serve(&args.mark, end).context("cannot go on")
}

/// All queues that the rules may name. Which interfaces these are for, and whether somebody else has a flow, is for
/// whoever lays the rules to know.
fn queues(network: &Network) -> Layout {
    layout(&network.flows, &|_| Some(0), &|_| false)
}
