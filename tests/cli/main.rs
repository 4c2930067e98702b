//! The binary as people meet it: messages, exit codes, files.

mod doctor;
mod harness;
mod report;
mod stack;
mod validate;
