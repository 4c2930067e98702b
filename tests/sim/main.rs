//! Whole runs in a simulated world and in paused time: what they come to, and that the world is as it was whatever dies.

mod alerts;
mod compound;
mod conformance;
#[path = "../conformance/mod.rs"]
mod conforms;
mod crashes;
mod damage;
mod degradation;
mod ends;
mod evidence;
mod harness;
mod locks;
mod nodes;
mod off;
mod recovery;
mod rehearsals;
mod runs;
mod traffic;
mod zones;
