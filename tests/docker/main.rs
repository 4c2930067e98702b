//! Real containers of a real Docker Engine. Needs root and an engine: `cargo test --test docker`.
//!
//! Where no engine answers, these tests fail; they are not skipped.

#[path = "../conformance/mod.rs"]
mod conformance;
mod harness;
mod room;
mod scene;

mod conforms;
mod contained;
mod crash;
mod guard;
mod image;
mod inside;
mod lifecycle;
mod private_engine;
mod runs;
mod shop;
mod signals;
mod traffic;
mod traffic_runs;
mod trouble;
