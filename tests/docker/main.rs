//! Real containers of a real Docker Engine. Needs root and an engine: `cargo test --test docker`.
//!
//! Where no engine answers, these tests fail; they are not skipped.

#[path = "../conformance/mod.rs"]
mod conformance;
mod harness;
mod room;
mod scene;
#[path = "../../examples/machine_table/within.rs"]
mod within;

mod compose;
mod compound;
mod conforms;
mod contained;
mod crash;
mod disk;
mod gameday;
mod guard;
mod image;
mod inside;
mod lifecycle;
mod load;
mod machine;
mod private_engine;
mod runs;
mod schedule;
mod shop;
mod signals;
mod starved;
mod traffic;
mod traffic_runs;
mod trouble;
mod zones;
