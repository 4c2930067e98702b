//! Real containers of a real Docker Engine. Needs root and an engine: `cargo test --test docker`.
//!
//! Where no engine answers, these tests fail; they are not skipped.

mod cluster;
#[path = "../conformance/mod.rs"]
mod conformance;
mod harness;
#[path = "../ports/mod.rs"]
mod ports;
mod proxy;
mod room;
mod scene;
#[path = "../../examples/machine_table/within.rs"]
mod within;

mod addresses;
mod balancer;
mod compose;
mod compound;
mod conforms;
mod connections;
mod contained;
mod crash;
mod disk;
mod disk_shared;
mod door;
mod effect;
mod fleet;
mod gameday;
mod guard;
mod hangs;
mod image;
mod inside;
mod lifecycle;
mod load;
mod machine;
mod node;
mod outage;
mod podman;
mod private_engine;
mod processes;
mod programs;
mod projects;
mod runs;
mod schedule;
mod shop;
mod signals;
mod starved;
mod swarm;
mod swarm_fleet;
mod traffic;
mod traffic_runs;
mod trouble;
mod ways;
mod zones;
