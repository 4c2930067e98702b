//! The kernel of the machine that this process runs on: processes and what they are known by.
//!
//! Knows no engine, no instance and no run. The only place where `unsafe` may stand.

pub mod cgroup;
pub mod clock;
pub mod command;
pub mod descriptors;
pub mod disk;
pub mod disks;
pub mod facts;
pub mod file;
pub mod http;
pub mod kernel;
pub mod load;
pub mod memory;
pub mod mounts;
pub mod namespaces;
pub mod net;
pub mod process;
pub mod resolver;
pub mod shaper;
pub mod signals;
pub mod store;
pub mod systemd;
pub mod tls;
pub mod user;
pub mod worker;
