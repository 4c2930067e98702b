//! What a machine's kernel was found able to do.
//!
//! A kernel's configuration does not say what can be loaded, so it is tried, once, in a network namespace that is gone at once.

use std::io;
use std::sync::OnceLock;

use super::net::namespace::Namespace;

/// What is tried of a machine, and what came of it.
#[derive(Debug, Default)]
pub struct Trials {
    /// The kernel's own emulator of bad networks.
    pub netem: Trial,
    /// What the kernel's queues hang on.
    pub hooks: Trial,
    /// Packets handed to a process.
    pub queue: Trial,
    /// Connections led to a process.
    pub redirect: Trial,
    /// Connections taken up on their way to a server, and given to it as if from their client.
    pub take_up: Trial,
    /// Copies of packets that leave, in their place.
    pub copies: Trial,
}

/// One thing that is tried.
#[derive(Debug, Default)]
pub struct Trial(OnceLock<Result<(), String>>);

impl Trial {
    /// Attempts it in a namespace of its own, unless it was attempted before.
    ///
    /// # Errors
    /// Why it cannot be done, then as now.
    pub fn once(&self, attempt: impl FnOnce() -> io::Result<()> + Send) -> Result<(), String> {
        self.0.get_or_init(|| Namespace::new().and_then(|n| n.run(attempt)).map_err(|e| e.to_string())).clone()
    }
}
