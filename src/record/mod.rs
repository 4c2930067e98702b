//! What a run leaves on record: its events, the journal that they are written to, and the state that they fold into.

pub mod event;
pub mod journal;
pub mod state;
