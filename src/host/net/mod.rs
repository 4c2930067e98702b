//! The kernel's network: its sockets for talking about it, and what can be laid on the traffic of a namespace.
//!
//! Nothing here knows a run or an engine. Every function acts in the namespace of the thread that calls it; see
//! [`namespace`].

pub mod bpf;
pub mod filter;
pub mod leases;
pub mod link;
pub mod namespace;
mod netem;
pub mod netlink;
pub mod nft;
pub mod outside;
mod protocols;
pub mod qdisc;
pub mod queue;
pub mod raw;
pub mod routes;
pub mod sockets;
pub mod switch;
pub mod tracking;
