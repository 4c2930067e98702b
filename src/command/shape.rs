//! `squall shape`: a process that holds the packets of a network namespace, for as long as its table is there.
//!
//! Whoever starts it hands it its orders and waits for `ready`. It outlives them: what it does ends when it is told to
//! let go (SIGUSR1), when the table that stands for its settings is gone, when the process ends whose packets they are, or
//! when it is killed. Then packets pass.
//!
//! It is started for each of a hundred targets at once: one thread, no runtime, no reading of a command line.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::host::process::Process;
use crate::host::shaper::{Orders, Shaper, Surroundings, layout};
use crate::host::{signals, worker};
use crate::model::exit;

/// Does this instead of everything else, where that is what the process was started for. To be called first of all, while
/// there is one thread.
#[must_use]
pub fn if_asked_to() -> Option<ExitCode> {
    std::env::args_os().nth(1).filter(|word| word == Orders::COMMAND)?;
    Some(run().map_or_else(|_| ExitCode::from(exit::INVALID), |()| ExitCode::SUCCESS))
}

/// What it goes on with, once it stands.
struct Shaping {
    shaper: Shaper,
    /// The mark of what its table stands for.
    mark: String,
    /// By these it ends.
    told: OwnedFd,
    holder: Process,
}

fn run() -> anyhow::Result<()> {
    // Where its starter has died meanwhile, what takes over finds the table.
    let Shaping { mut shaper, mark, told, holder } = worker::stand(begin)?;
    shaper.serve(&mark, [told.as_fd(), holder.as_fd()]).context("cannot go on")
}

fn begin() -> anyhow::Result<Shaping> {
    // A session of its own, and deaf: a Ctrl-C or a polite end of everything means the runner.
    let _ = rustix::process::setsid();
    let told = signals::deaf_but_for(Signal::USR1).context("cannot listen for its end")?;
    let line = std::io::stdin().lines().next().context("it has no orders")??;
    let orders: Orders = serde_json::from_str(&line).context("its orders make no sense")?;
    let holder = Process::open(orders.holder).context("cannot hold the process whose packets these are")?;
    let holder = holder.context("the process whose packets these are has ended")?;
    let namespace = orders.namespace().context("cannot open the namespace")?;
    ensure!(namespace.identity().is_ok_and(|now| now == orders.identity), "the namespace is another one by now");
    namespace.enter().context("cannot enter the namespace")?;
    // All queues that the rules may name. Which interfaces these are for is for the process that lays the rules to know.
    let layout = layout(&orders.network, Surroundings { interface: &|_| Some(0), tracked: false });
    let shaper =
        Shaper::new(layout, orders.network.seed).context("cannot bind the queues (NFQUEUE) in the namespace")?;
    Ok(Shaping { shaper, mark: orders.mark, told, holder })
}
