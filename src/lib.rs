//! Squall runs chaos experiments and rolls them back.
//!
//! An **instance** has **settings** that an **engine** can observe and set. A **fault** is a pure function from an
//! instance to the settings it shall have. A **change** is one setting of one instance with its value before and after;
//! a **plan** is all changes of a run. The plan is in the **journal** before the first change; rolling back is setting the
//! old values, newest first. Everything that happens is an **event**; the state of a run is the fold of its events.
//! Console, reports and notifications only read events.
//!
//! The floors of the house, the ground first. `docs/architecture.md` says who may import whom.

pub mod text;

pub mod model;

pub mod host;

pub mod engine;

pub mod experiment;

pub mod record;

pub mod run;

pub mod occasions;

pub mod report;

pub mod command;
