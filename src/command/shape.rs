//! `squall shape` and `squall proxy`: a process that holds the packets of a network namespace, or is in the path of its connections, for as
//! long as its table is there.
//!
//! The process that starts it hands it its orders and waits for `ready`. It outlives that one: what it does ends when it is told to let go
//! (SIGUSR1), when the table that stands for its settings is gone, when the process ends whose traffic it is, or when it is
//! killed. Then everything passes.
//!
//! It is started for each of a hundred targets at once: one thread, no runtime but for a proxy's, no reading of a command line.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::host::orders::Orders;
use crate::host::process::Process;
use crate::host::proxy::{self, Proxy};
use crate::host::shaper::{self, Shaper, Surroundings, layout};
use crate::host::{signals, worker};
use crate::model::exit;

/// Does this instead of everything else, where that is what the process was started for. To be called first of all, while
/// there is one thread.
#[must_use]
pub fn if_asked_to() -> Option<ExitCode> {
    let word = std::env::args_os().nth(1)?;
    let done = match word.to_str()? {
        shaper::COMMAND => shape(),
        proxy::COMMAND => stand_in_the_path(),
        _ => return None,
    };
    Some(done.map_or_else(|_| ExitCode::from(exit::INVALID), |()| ExitCode::SUCCESS))
}

/// What it goes on with, once it stands.
struct At<T> {
    work: T,
    /// By these it ends.
    told: OwnedFd,
    holder: Process,
}

// Where its starter has died meanwhile, what takes over finds the table.
fn shape() -> anyhow::Result<()> {
    let At { work: (mut shaper, mark), told, holder } = worker::stand(|| {
        begin(|orders| {
            // All queues that the rules may name. Which interfaces these are for is for the process that lays the rules to know.
            let layout = layout(&orders.network, Surroundings { interface: &|_| Some(0), tracked: false });
            let shaper = Shaper::new(layout, orders.network.seed)
                .context("cannot bind the queues (NFQUEUE) in the namespace")?;
            Ok((shaper, orders.mark))
        })
    })?;
    shaper.serve(&mark, [told.as_fd(), holder.as_fd()]).context("cannot go on")
}

fn stand_in_the_path() -> anyhow::Result<()> {
    let At { work: proxy, told, holder } =
        worker::stand(|| begin(|orders| Proxy::new(orders).context("cannot come into the path in the namespace")))?;
    proxy.serve([told.as_fd(), holder.as_fd()]).context("cannot go on")
}

/// Reads the orders, and begins the work in the namespace that they name.
fn begin<T>(work: impl FnOnce(Orders) -> anyhow::Result<T>) -> anyhow::Result<At<T>> {
    // A session of its own, and deaf: a Ctrl-C or a polite end of everything means the runner.
    let _ = rustix::process::setsid();
    let told = signals::deaf_but_for(Signal::USR1).context("cannot listen for its end")?;
    let line = std::io::stdin().lines().next().context("it has no orders")??;
    let orders: Orders = serde_json::from_str(&line).context("its orders make no sense")?;
    let holder = Process::open(orders.holder).context("cannot hold the process whose traffic it is")?;
    let holder = holder.context("the process whose traffic it is has ended")?;
    let namespace = orders.namespace().context("cannot open the namespace")?;
    ensure!(namespace.identity().is_ok_and(|now| now == orders.identity), "the namespace is another one by now");
    namespace.enter().context("cannot enter the namespace")?;
    Ok(At { work: work(orders)?, told, holder })
}
