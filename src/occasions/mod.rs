//! What experiments are run for: a gate, a game day, a schedule; and what stays of many runs: their history, their comparison, and who
//! is told. Knows no engine by name.

pub mod compare;
pub mod gameday;
pub mod gate;
pub mod history;
pub mod notify;
pub mod schedule;
