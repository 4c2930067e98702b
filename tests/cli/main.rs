//! The binary as people meet it: messages, exit codes, files.

#[path = "../conformance/mod.rs"]
mod conformance;
mod console;
mod demo;
mod doctor;
mod harness;
mod local;
mod report;
mod repository;
mod stack;
mod validate;
