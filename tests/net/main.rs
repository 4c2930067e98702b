//! What is laid on the traffic of a namespace, with real packets in namespaces of their own. Needs root:
//! `cargo test --test net`.

mod dns;
mod kernel;
mod nft;
mod pair;
mod shaper;
