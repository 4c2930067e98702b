//! What a proxy counts, from all of its threads, and where it is read from outside.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::mapped::{self, Mapped};
use crate::model::network::ProxyStatistics;

/// The name that they go by.
const NAME: &str = "squall-proxy";

/// What is counted, in the order in which it stands.
macro_rules! counted {
    ($($name:ident),*) => {
        /// The place of each.
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "as they are called where they are shown")]
        enum Place { $($name),* }

        /// How many there are.
        const COUNT: usize = [$(Place::$name),*].len();

        impl Counters {
            $(pub(super) fn $name(&self) -> &AtomicU64 {
                &self.0[Place::$name as usize]
            })*
        }

        fn statistics(of: [u64; COUNT]) -> ProxyStatistics {
            ProxyStatistics { $($name: of[Place::$name as usize]),* }
        }
    };
}

/// Counters.
#[derive(Debug)]
pub(super) struct Counters(Mapped<COUNT>);

counted!(connections, reset, requests, meant, affected, encrypted, opaque, unreachable, open);

impl Counters {
    /// Counters that can be read from outside at any time.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Mapped::new(NAME)?))
    }

    /// What they say now.
    pub(super) fn read(&self) -> ProxyStatistics {
        statistics(std::array::from_fn(|n| self.0[n].load(Ordering::Relaxed)))
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the proxy that is this process has counted; `None` where it is none, or has ended.
#[must_use]
pub fn counted_by(pid: u32) -> Option<ProxyStatistics> {
    Some(statistics(mapped::read(pid, NAME)?))
}
