//! What is laid on the traffic of a namespace, with real packets in namespaces of their own. Needs root:
//! `cargo test --test net`.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

mod dns;
mod kernel;
mod local;
mod netem;
mod nft;
mod pair;
mod shaper;
mod throughput;
