//! What is laid on the traffic of a namespace, with real packets in namespaces of their own. Needs root:
//! `cargo test --test net`.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

mod callee;
mod dns;
mod http2;
mod hunt;
mod idle;
mod kernel;
mod lease;
mod local;
mod netem;
mod nft;
mod oneway;
mod pair;
mod proxy;
mod real;
mod replicas;
mod shaper;
mod throughput;
