//! What a proxy counts, from all of its threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::network::ProxyStatistics;

/// Counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) reset: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) meant: AtomicU64,
    pub(super) affected: AtomicU64,
    pub(super) encrypted: AtomicU64,
    pub(super) opaque: AtomicU64,
    pub(super) unreachable: AtomicU64,
    pub(super) open: AtomicU64,
}

impl Counters {
    /// What they say now.
    pub(super) fn read(&self) -> ProxyStatistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProxyStatistics {
            connections: of(&self.connections),
            reset: of(&self.reset),
            requests: of(&self.requests),
            meant: of(&self.meant),
            affected: of(&self.affected),
            encrypted: of(&self.encrypted),
            opaque: of(&self.opaque),
            unreachable: of(&self.unreachable),
            open: of(&self.open),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
