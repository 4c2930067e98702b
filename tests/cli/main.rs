//! The binary as people meet it: messages, exit codes, files.

mod ci;
mod compare;
#[path = "../conformance/mod.rs"]
mod conformance;
mod console;
mod demo;
mod doctor;
mod gameday;
mod gate;
mod harness;
mod history;
mod junit_schema;
mod local;
mod report;
mod repository;
mod schedule;
mod stack;
mod validate;
