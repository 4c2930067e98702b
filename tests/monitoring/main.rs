//! A real Prometheus and a real Alertmanager, and experiments that ask them: `cargo test --test monitoring`.
//!
//! Takes the programs `prometheus` and `prometheus-alertmanager` (Debian's packages of these names) in the PATH. Where they
//! are missing these tests fail; they are not skipped. All of it is on loopback.

mod monitors;
#[path = "../ports/mod.rs"]
mod ports;
mod probes;
mod runs;
mod shop;
