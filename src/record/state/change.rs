//! What is known of a change.

use jiff::Timestamp;

use super::{ChangeStatus, Injected, OffSpan, RolledBack, Verification};
use crate::model::effect::Effect;
use crate::model::instance::{Change, Counted};
use crate::model::machine::counters::Counters;

/// What an instance sees itself of an aspect, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sees {
    /// When the change was planned.
    pub before: Option<String>,
    /// Right before it was rolled back.
    pub during: Option<String>,
    /// When all was as before.
    pub after: Option<String>,
}

/// What is known of a change.
#[derive(Debug, Clone)]
pub struct ChangeState {
    /// The change.
    pub change: Change,
    /// How far it is.
    pub status: ChangeStatus,
    /// When it was about to be made.
    pub injecting: Option<Timestamp>,
    /// That it was made.
    pub injected: Option<Injected>,
    /// Why it could not be made.
    pub inject_error: Option<String>,
    /// Whether it could not even be begun.
    pub never_began: bool,
    /// Whether the engine did not answer in its time: it may still happen.
    pub unanswered: bool,
    /// Whether it shows in what can be observed of its instance.
    pub verification: Option<Verification>,
    /// What the kernel had counted of its instance when that was proven.
    pub counters: Option<Counters>,
    /// What has met it, where it disturbs traffic.
    pub measured: Option<Counted>,
    /// Whether it had an effect on what goes on at its target, once that is known.
    pub effect: Option<Effect>,
    /// What its instance sees itself of what was changed.
    pub sees: Sees,
    /// When it was seen to be off before it was rolled back.
    pub off: Vec<OffSpan>,
    /// When it was about to be rolled back.
    pub rolling_back: Option<Timestamp>,
    /// How often that was begun: where the run stops meanwhile, it is begun again.
    pub rollbacks: u32,
    /// That it was rolled back.
    pub rolled_back: Option<RolledBack>,
    /// Why attempts to roll it back failed.
    pub rollback_errors: Vec<String>,
    /// The command to roll it back by hand, where all attempts failed.
    pub stuck: Option<String>,
}

impl ChangeState {
    /// One of which nothing has been done yet; `sees` is what its instance saw itself before.
    pub(super) fn planned(change: Change, sees: Option<String>) -> Self {
        Self {
            change,
            status: ChangeStatus::default(),
            injecting: None,
            injected: None,
            inject_error: None,
            never_began: false,
            unanswered: false,
            verification: None,
            counters: None,
            measured: None,
            effect: None,
            sees: Sees { before: sees, ..Sees::default() },
            off: Vec::new(),
            rolling_back: None,
            rollbacks: 0,
            rolled_back: None,
            rollback_errors: Vec::new(),
            stuck: None,
        }
    }

    /// Whether it is about the same of the same instance, for the same fault, as an earlier one.
    #[must_use]
    pub fn takes_the_place_of(&self, earlier: &Self) -> bool {
        let (now, then) = (&self.change, &earlier.change);
        now.fault == then.fault && now.instance == then.instance && now.to.aspect() == then.to.aspect()
    }
}
