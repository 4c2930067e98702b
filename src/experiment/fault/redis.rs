//! Redis commands that the instance sends are answered with an error.

use super::traffic::path::answers_for;
use crate::experiment::document::found::Found;
use crate::model::network::{Ports, ProxyFault, RedisError};

answers_for! {
    /// Answer Redis commands that the instance sends with an error.
    pub struct Redis {
        /// Which: `LOADING`, `MASTERDOWN` or `CLUSTERDOWN` for each command, `READONLY` for each that writes, `OOM` for each that takes
        /// memory.
        pub error: RedisError,
    }
}

impl Redis {
    const PORT: Ports = Ports { first: 6379, last: 6379 };

    fn fault(&self, share: f64) -> ProxyFault {
        ProxyFault::Redis { error: self.error, share }
    }

    #[expect(clippy::unused_self, reason = "its type tells all errors there are")]
    fn check_error(&self, _: &mut Found<'_>, _: &[&str]) {}
}
