//! Squall runs chaos experiments and takes them back.
//!
//! An **instance** has **settings** that an **engine** can observe and set. A **fault** is a pure function from an
//! instance to the settings it shall have. A **change** is one setting of one instance with its value before and after;
//! a **plan** is all changes of a run. The plan is in the **journal** before the first change; taking back is setting the
//! old values, newest first. Everything that happens is an **event**; the state of a run is the fold of its events.
//! Console, reports and notifications only read events.

// What the file says.
pub mod burden;
pub mod disk;
pub mod experiment;
pub mod fault;
pub mod fingerprint;
pub mod gameday;
pub mod glob;
pub mod humantime_text;
pub mod instance;
pub mod machine;
pub mod network;
pub mod notify;
pub mod probe;
pub mod schedule;
pub mod stack;
pub mod zones;
// What happens.
pub mod clock;
pub mod event;
pub mod exit;
pub mod state;
// The world.
pub mod engine;
pub mod host;
pub mod load;
pub mod shaper;
pub mod tls;
// Deciding: pure.
pub mod compare;
pub mod gate;
pub mod plan;
pub mod steady;
pub mod target;
// The run.
pub mod history;
pub mod journal;
pub mod run;
pub mod store;
// What people see.
pub mod follow;
pub mod report;
// The demonstration, and its services.
pub mod demo;
pub mod serve;
// The command line.
pub mod cli;
pub mod command;
