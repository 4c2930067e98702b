//! (in work)

pub mod sample;
