//! The binary as people meet it: messages, exit codes, files.

mod doctor;
#[path = "../conformance/mod.rs"]
mod conformance;
mod harness;
mod report;
mod local;
mod stack;
mod validate;
