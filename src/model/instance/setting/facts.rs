//! What there is to say about a setting. Each says all of it, in its own file: there is no default that a new one could be
//! treated by without anybody having thought of it.

use std::time::Duration;

use super::Aspect;
use crate::model::instance::sharing::Reach;

/// What is to be known of one value of a setting. Made anew each time that one fact is asked for, so nothing in it is computed.
pub(super) struct Facts<'a> {
    /// Which aspect this is a value of.
    pub(super) aspect: Aspect,
    /// What shows while it is in effect.
    pub(super) observed: Observed<'a>,
    /// What tells that it was made.
    pub(super) proof: Proof,
    /// In which stage of a fault it is set.
    pub(super) stage: Stage,
    /// How long an engine may still be busy with it after the process that asked for it has died.
    pub(super) longest: Duration,
    /// Whether it ends with the life of the instance that it was made for, without being over by that.
    pub(super) ends_with_life: bool,
    /// Whether it stays in effect until it is rolled back.
    pub(super) lasts: Lasts,
    /// How it shows that it has an effect on what goes on at its target.
    pub(super) effect: Shows,
    /// Whether the main process may end for want of memory.
    pub(super) starves: Starves,
    /// What of an instance's shared resources it is on, beside the instance itself.
    pub(super) reaches: &'static [Reach],
}

/// What shows of a setting while it is in effect.
pub(super) enum Observed<'a> {
    /// The value itself.
    Itself,
    /// The mark of what is laid on its aspect.
    Mark(&'a dyn Marked),
    /// That nothing of Squall's lies on its aspect.
    Untouched,
    /// Nothing: it is momentary, or shows otherwise, in a life that ended.
    Nothing,
}

/// What is laid on an instance, and found again by its mark.
pub(super) trait Marked {
    fn mark(&self) -> String;
}

/// What tells that a setting was made.
#[derive(PartialEq, Eq)]
pub(super) enum Proof {
    /// What is observed of the instance.
    Seen,
    /// What the kernel or the engine answered, and nothing else.
    Answered,
    /// A command's exit status and nothing else.
    Claimed,
}

/// Stages of a fault: what must be in place on all targets before anything else happens to them comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before anything else.
    First,
    /// When all of that is in place.
    Then,
}

/// Whether a setting stays in effect until it is rolled back.
pub(super) enum Lasts {
    /// It does.
    UntilRollback,
    /// It does, unless its instance is started again by its restart policy.
    UntilRestart,
    /// It is momentary.
    Momentary,
}

/// How it shows that a setting has an effect on what goes on at its target.
pub(super) enum Shows {
    /// It is itself what was to be brought about.
    ByItself,
    /// By what meets it, for as long as it is in place, in whichever life: it can be in place and meet nothing.
    WhenMet,
    /// By nothing that is observed, and why.
    InNothing(&'static str),
}

/// Whether the instance's main process may end for want of memory.
#[derive(PartialEq, Eq)]
pub(super) enum Starves {
    /// No.
    Never,
    /// It may, where it needs more than it is left.
    Perhaps,
    /// It may, and that may be the very effect.
    OnPurpose,
}

/// How long an engine may be busy with what needs no waiting for the instance.
pub(super) const SHORT: Duration = Duration::from_millis(500);
