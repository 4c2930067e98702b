//! The binary as people meet it: messages, exit codes, files.

mod doctor;
mod harness;
mod stack;
mod validate;
