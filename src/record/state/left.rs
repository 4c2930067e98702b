//! What is left of a run: changes, differences, locks, and what may still come.

use std::fmt;

use super::{ChangeState, RunState};
use crate::engine::Outcome;
use crate::model::exit::Verdict;
use crate::model::instance::Rollback;
use crate::record::event::{Difference, Readdressed};
use crate::text::units;

/// Something that is still in place.
pub struct InPlace<'a> {
    /// The number of its change, where it is one: an instance may also differ in what followed from a change.
    pub n: Option<usize>,
    /// The instance's name.
    pub instance: &'a str,
    /// What is in place, or differs.
    pub what: String,
    /// The command that a person would type, where it is known.
    pub by_hand: Option<&'a str>,
}

impl fmt::Display for InPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.instance, self.what)
    }
}

impl RunState {
    /// The changes that are planned and not rolled back, newest first. A change whose injection is not recorded counts:
    /// the record may be lost, and a rollback is safe to repeat. One that is known to have never begun does not.
    #[must_use]
    pub fn outstanding(&self) -> Vec<&ChangeState> {
        if self.settled.is_some() {
            return Vec::new();
        }
        let is_on = |c: &&ChangeState| c.rolled_back.is_none() && !c.never_began && c.change.back != Rollback::Nothing;
        self.changes.iter().rev().filter(is_on).collect()
    }

    /// What differs from before and is no change that is outstanding anyway: it followed from one, and could not be restored.
    pub fn differing(&self) -> impl Iterator<Item = (&str, &Difference)> {
        let outstanding = self.outstanding();
        let each = self.restored.iter().filter(|_| self.settled.is_none());
        let each = each.flat_map(|r| r.differences.iter().map(|d| (r.instance.as_str(), d)));
        each.filter(move |(name, d)| {
            !outstanding.iter().any(|c| c.change.name == *name && c.change.to.aspect() == d.aspect)
        })
    }

    /// What could not be rolled back, in a sentence; `None` where there is nothing.
    #[must_use]
    pub fn incomplete(&self) -> Option<String> {
        let outstanding = self.outstanding().len();
        let changes =
            (outstanding > 0).then(|| format!("{} could not be rolled back", units::count(outstanding, "change")));
        let differing = self.differing().map(|(name, d)| format!("{name} could not be restored: {}", d.what));
        let parts: Vec<String> = changes.into_iter().chain(differing).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// What is known to be still in place: changes in their order, then what followed from them.
    #[must_use]
    pub fn left_in_place(&self) -> Vec<InPlace<'_>> {
        let is_left = |c: &&ChangeState| c.stuck.is_some() || (c.injecting.is_some() && self.finished.is_some());
        let changes = self.outstanding().into_iter().rev().filter(is_left).map(|c| InPlace {
            n: Some(c.change.n),
            instance: &c.change.name,
            what: c.change.to.to_string(),
            by_hand: c.stuck.as_deref(),
        });
        let differing = self.differing().map(|(instance, d)| InPlace {
            n: None,
            instance,
            what: d.what.clone(),
            by_hand: d.by_hand.as_deref(),
        });
        changes.chain(differing).collect()
    }

    /// The commands that a person would type for what could not be rolled back, where they are known.
    #[must_use]
    pub fn by_hand(&self) -> Vec<&str> {
        self.left_in_place().into_iter().filter_map(|left| left.by_hand).collect()
    }

    /// The changes that were begun and of which it is not known whether the engine is through with them.
    pub fn unanswered(&self) -> impl Iterator<Item = &ChangeState> {
        // A call that was only cut short may still be on its way where there is a network in between.
        let remote = self.started.as_ref().is_some_and(|s| s.engine.is_remote());
        let known = |c: &ChangeState| c.injected.is_some() || c.is_verified() || c.never_began;
        // What had to be rolled back has come.
        let has_come = |c: &ChangeState| c.rolled_back.as_ref().is_some_and(|r| r.outcome == Outcome::Done);
        let open = move |c: &&ChangeState| c.unanswered || remote && c.inject_error.is_none();
        self.changes.iter().filter(move |c| c.injecting.is_some() && !known(c) && !has_come(c)).filter(open)
    }

    /// What people should know: the warnings, the locks that are left, who has another address than before, and what was settled
    /// by hand.
    #[must_use]
    pub fn warned(&self) -> Vec<String> {
        let locked = self.still_locked.iter().map(|(service, why)| {
            format!("the lock on service `{service}` could not be removed ({why}); `squall recover` tries again")
        });
        let moved = self.readdressed.values().map(Readdressed::to_string);
        let settled = self.settled.iter().map(|settled| format!("what was left in place is {settled}"));
        let damage = self.damage().map(|damage| format!("{damage}: what was said there is missing here"));
        self.warnings.iter().cloned().chain(damage).chain(locked).chain(moved).chain(settled).collect()
    }

    /// Whether the run is over and nothing of it is left: no change, no lock.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_rolled_back() && self.still_locked.is_empty()
    }

    /// Whether the run is over and no change of it is left, be it that a person has seen to the rest.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        let complete = |verdict| verdict != Verdict::LeftBehind || self.settled.is_some();
        // Who wrote such an end knew more than can be read where lines are damaged.
        let known = || !self.damaged.is_empty() || self.outstanding().is_empty();
        self.finished.as_ref().is_some_and(|f| complete(f.verdict)) && known()
    }

    /// The lines of the journal that could not be read, for people.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        let (line, why) = self.damaged.first()?;
        Some(match self.damaged.len() {
            1 => format!("line {line} of its journal is damaged ({why})"),
            all => format!("{all} lines of its journal are damaged, the first of them line {line} ({why})"),
        })
    }
}
