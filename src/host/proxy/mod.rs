//! A proxy in the path of connections: it ends them on both sides and does to what passes what a setting says.
//!
//! Each connection of a client has one of its own to the server that it meant, and bytes go from the one to the other as they are; what
//! is spoken is read along. Where it cannot be read for sure, the connection is left to itself. So no fault can be met by anything but
//! what was read, and no client can see what is another's.
//!
//! Knows the vocabulary of network settings and the host's kernel, no engine and no run.

mod between;
mod body;
mod choose;
mod clients;
mod connection;
mod counters;
mod head;
mod hello;
mod http;
mod io;
mod later;
mod listen;
mod postgres;
mod redis;
mod resp;
mod serve;
mod stream;
mod tls;

pub use counters::counted_by;
pub use listen::table_of;
pub use serve::Proxy;

/// The word that a program is started with to be a proxy.
pub const COMMAND: &str = "proxy";
