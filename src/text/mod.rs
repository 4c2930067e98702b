//! Texts: figures as people read them, what comes from outside made fit to be shown, and what tells one text from another. Knows
//! nothing of what Squall is for.

pub mod fingerprint;
pub mod glob;
pub mod humantime_text;
pub mod redact;
pub mod units;
pub mod visible;
