//! Delaying, losing and altering packets in user space, where the kernel has no emulator of its own: what is computed
//! (which packets wait where, when they go) and the loop that holds them.
//!
//! Knows the vocabulary of network settings and the host's kernel, no engine and no run.

mod dns;
mod hold;
mod layout;
pub mod model;
mod random;
mod serve;
mod statistics;

/// The word that a program is started with to be a shaper.
pub const COMMAND: &str = "shape";

pub use layout::{Lane, Layout, Surroundings, copies, counts_for, keeps_socket, layout, wants_proxy};
pub use serve::Shaper;
pub use statistics::{Statistics, statistics};
