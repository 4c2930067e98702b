//! The proxy of a namespace, seen from outside: whether it stands, what it tells, and how it goes.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::{EXIT_TIMEOUT, inside};
use crate::host::net::namespace::Namespace;
use crate::host::net::nft;
use crate::host::process::{if_with_variable, kill_with_variable, with_variable};
use crate::host::proxy::{counted_by, table_of};
use crate::model::network::ProxyStatistics;

/// How often a process that is about to end is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What a proxy has in its environment, so that anybody finds it who knows its tag.
pub const VARIABLE: &str = "SQUALL_PROXY";

/// What the proxy for a mark tells; nothing where none is in the path.
///
/// # Errors
/// Where the kernel does not tell.
pub(super) fn counted(namespace: &Namespace, tag: &str, mark: &str) -> io::Result<Option<ProxyStatistics>> {
    let table = table_of(mark);
    let (owner, lapsed) = namespace.run(|| Ok((nft::owner(&table)?, nft::has_lapsed(&table)?)))?;
    // The number may be that of a socket.
    let proxy =
        owner.and_then(|pid| if_with_variable(pid, VARIABLE, tag)).or_else(|| with_variable(VARIABLE, tag).pop());
    // Connections would wait for one that is held still; where there is none, they pass.
    let proxy = proxy.filter(|proxy| !proxy.kill_if_stopped() && !lapsed);
    Ok(proxy.and_then(|proxy| counted_by(proxy.pid())))
}

/// Whether a table that leads to a proxy is in the namespace of this thread.
pub(super) fn is_in_the_path() -> io::Result<bool> {
    Ok(!nft::named(nft::PROXY_PREFIX)?.is_empty())
}

/// Has the proxy of a namespace leave the path, no matter which process started it. What is gone is no error.
///
/// # Errors
/// Where it does not end, or the kernel refuses.
pub(super) async fn clear(namespace: &Namespace, tag: &str) -> io::Result<()> {
    let proxies = with_variable(VARIABLE, tag);
    for proxy in &proxies {
        proxy.signal(Signal::USR1)?;
    }
    let mut ended = true;
    for proxy in &proxies {
        ended &= proxy.ended_within(EXIT_TIMEOUT).await?;
    }
    if !ended {
        kill_with_variable(VARIABLE, tag, EXIT_TIMEOUT).await?;
    }
    let begin = Instant::now();
    loop {
        match inside(namespace, remove_tables).await {
            // It belongs to a process that is about to end.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && begin.elapsed() < EXIT_TIMEOUT => {
                sleep(POLL_INTERVAL).await;
            }
            removed => return removed,
        }
    }
}

/// Removes what leads to a proxy, where it is not gone with its process: the kernel may not know such a table.
fn remove_tables() -> io::Result<()> {
    nft::named(nft::PROXY_PREFIX)?.iter().try_for_each(|table| nft::remove(table).map(drop))
}
