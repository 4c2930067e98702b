//! The binary as people meet it: messages, exit codes, files.

mod harness;
mod stack;
mod validate;
