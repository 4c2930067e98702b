//! The points of a chart: the samples of one check, gathered into short spans of time.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Phase, Window};
use crate::probe::Answer;

/// Gathers the samples of one check into windows by the time they were due. `asked` comes before `answered`.
#[derive(Debug)]
pub struct WindowBuilder {}

impl WindowBuilder {
    /// `origin` is the wall-clock time of the samples' origin; `length` that of a window.
    #[must_use]
    pub fn new(check: &str, origin: Timestamp, length: Duration) -> Self {
        let _ = (check, origin, length);
        Self {}
    }

    /// A phase begins: samples due from `from` on belong to it, and a window that is open is cut there.
    pub fn begin(&mut self, phase: Phase, from: Duration) {
        let _ = (self, phase, from);
    }

    /// A question is out.
    pub fn asked(&mut self, due: Duration) {
        let _ = (self, due);
    }

    /// An answer is there.
    pub fn answered(&mut self, due: Duration, end: Duration, answer: &Answer) {
        let _ = (self, due, end, answer);
    }

    /// The oldest window, once it is over and every question in it is answered. `standings` are the caller's to add.
    pub fn closed(&mut self, now: Duration) -> Option<Window> {
        let _ = (self, now);
        None
    }

    /// All windows that are left, oldest first; what is still in flight counts for nothing.
    pub fn flush(&mut self) -> Vec<Window> {
        let _ = self;
        Vec::new()
    }
}
