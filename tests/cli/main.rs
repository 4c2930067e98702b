//! The binary as people meet it: messages, exit codes, files.

mod ci;
mod closed;
mod compare;
#[path = "../conformance/mod.rs"]
mod conformance;
mod console;
mod context;
mod degradation;
mod demo;
mod doctor;
mod gameday;
mod gate;
mod harness;
mod history;
mod hostile;
mod junit_schema;
mod local;
mod locks;
mod recover;
mod report;
mod repository;
mod schedule;
mod secrets;
mod stack;
mod state;
mod validate;
mod words;
