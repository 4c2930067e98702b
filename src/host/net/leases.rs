//! Who keeps the leases of what this process has laid: one thread renews all of them, again and again, until their tables are gone. When
//! it does not, because the process has died or hangs, they lapse.
//!
//! Knows no namespace by name, and nothing of what the rules do.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::nft::Lease;
use crate::host::process::Process;
use crate::host::realtime;

/// How often leases are renewed: they bear a machine that is held up for six beats in a row.
const BEAT: Duration = Duration::from_millis(200);

/// The leases of this process. Dropping it lets them lapse.
#[derive(Debug, Default)]
pub struct Leases {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    leases: Vec<Held>,
    has_keeper: bool,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    /// With its end the namespace is to end: a lease would hold it.
    holder: Process,
}

impl Leases {
    /// Renews a lease until its table is gone, or this process of its namespace has ended.
    pub fn keep(&self, lease: Lease, holder: u32) {
        // One that has ended needs none.
        let Ok(Some(holder)) = Process::open(holder) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.leases.push(Held { lease, holder });
        if !kept.has_keeper {
            let shared = Arc::downgrade(&self.kept);
            let keeper = std::thread::Builder::new().name("leases".to_owned()).spawn(move || keep(&shared));
            kept.has_keeper =
                keeper.inspect_err(|why| tracing::warn!(%why, "what is laid on traffic will not last")).is_ok();
        }
    }
}

/// Renews all there are, until there are none.
#[expect(clippy::disallowed_methods, reason = "it is a thread of its own")]
fn keep(shared: &Weak<Mutex<Kept>>) {
    realtime::ask();
    while renew_all(shared) {
        std::thread::sleep(BEAT);
    }
}

/// Renews them once, where somebody still has them; whether there are any left.
fn renew_all(shared: &Weak<Mutex<Kept>>) -> bool {
    let Some(kept) = shared.upgrade() else { return false };
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let over: Vec<Held> = kept.leases.extract_if(.., |held| !renewed(held)).collect();
    kept.has_keeper = !kept.leases.is_empty();
    let goes_on = kept.has_keeper;
    drop(kept);
    if !over.is_empty() {
        // To close a socket that has deleted something can take 20 ms, in which no other is to wait.
        let _ = std::thread::Builder::new().name("leases".to_owned()).spawn(move || drop(over));
    }
    goes_on
}

/// Whether a lease goes on.
fn renewed(held: &mut Held) -> bool {
    held.holder.is_alive()
        && held.lease.renew().unwrap_or_else(|why| {
            tracing::warn!(%why, "the lease of what is laid on traffic was not renewed; it is tried again");
            true
        })
}
