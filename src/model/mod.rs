//! What experiments are about: instances and their settings, networks, disks, machines, zones, and what a run can come to. Values and
//! their arithmetic alone.

pub mod addresses;
pub mod disk;
pub mod effect;
pub mod exit;
pub mod instance;
pub mod machine;
pub mod network;
pub mod node;
pub mod quantity;
pub mod standing;
pub mod stressor;
pub mod zones;
