//! The kernel of the machine that this process runs on: processes and what they are known by.
//!
//! Knows no engine, no instance and no run. The only place where `unsafe` may stand.

pub mod cgroup;
pub mod clock;
pub mod command;
pub mod descriptors;
pub mod disk;
pub mod disks;
pub mod errand;
pub mod facts;
pub mod kernel;
pub mod memory;
pub mod mounts;
pub mod net;
pub mod process;
pub mod resolver;
pub mod signals;
pub mod systemd;
