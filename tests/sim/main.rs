//! Whole runs in a simulated world and in paused time: what they come to, and that the world is as it was whatever dies.

mod crashes;
mod harness;
mod runs;
