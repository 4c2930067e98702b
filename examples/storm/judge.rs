//! Whether a run's exit code is right for what was seen of it from outside. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use squall::model::instance::{Aspect, Change, Setting, Via};
use squall::record::state::{ChangeState, RunState};

use crate::meddling::{Ends, ExternalAction};

/// How long a fault has to be on still, for a run to have to notice what happened to it.
const TO_NOTICE: SignedDuration = SignedDuration::from_millis(700);

/// How long a fault that is made again in another life of its target may be off.
const NEW_LIFE: SignedDuration = SignedDuration::from_millis(1500);

/// For how long a fault has to be seen to be off, for a run to have to see it.
const OFF: SignedDuration = SignedDuration::from_millis(600);

/// What another process did.
#[derive(Debug)]
pub(crate) struct Meddled {
    /// To which container.
    pub(crate) name: String,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// The life of the one that was made in its place.
    pub(crate) made: Option<String>,
}

/// What can be set of an instance, as it is.
type Settings = BTreeMap<Aspect, Setting>;

/// What was seen of the changes while they should have been in effect, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Watched(Vec<Seen>);

/// A change as its target showed it between two moments.
#[derive(Debug)]
struct Seen {
    n: usize,
    is_on: bool,
    from: Timestamp,
    to: Timestamp,
}

impl Watched {
    /// A change as its target has shown it since a moment.
    pub(crate) fn saw(&mut self, change: &Change, now: Option<&Settings>, from: Timestamp) {
        let seen = is_on(change, now).map(|is_on| Seen { n: change.n, is_on, from, to: Timestamp::now() });
        self.0.extend(seen);
    }

    /// The longest time for which a change was seen to be off, until it was rolled back.
    fn longest_off(&self, c: &ChangeState) -> SignedDuration {
        let mut since = None;
        let mut longest = SignedDuration::ZERO;
        let before = |seen: &&Seen| seen.n == c.change.n && c.rolling_back.is_none_or(|end| seen.to < end);
        for seen in self.0.iter().filter(before) {
            if seen.is_on {
                since = None;
            } else {
                longest = longest.max(seen.from.duration_since(*since.get_or_insert(seen.to)));
            }
        }
        longest
    }

    /// Why a run should not have passed: one of its changes was seen to be off for too long.
    pub(crate) fn off(&self, state: &RunState) -> Option<String> {
        state.changes.iter().find_map(|c| {
            let longest = self.longest_off(c);
            let limit = if c.change.to.ends_with_life() { NEW_LIFE } else { OFF };
            let (name, to) = (&c.change.name, &c.change.to);
            (longest > limit).then(|| format!("a pass, although {name} was seen not to be {to} for {longest:?}"))
        })
    }
}

/// Whether a change is in effect; `None` where that cannot be seen.
fn is_on(change: &Change, now: Option<&Settings>) -> Option<bool> {
    match &change.to {
        Setting::Killed(_) | Setting::Stopped { .. } => None,
        to => {
            let value = to.observed_as()?;
            Some(now.is_some_and(|now| now.get(&to.aspect()) == Some(&value)))
        }
    }
}

/// What is wrong with how a run ended.
pub(crate) fn exit(
    code: Option<i32>,
    is_killed: bool,
    state: &RunState,
    meddled: Option<&Meddled>,
    meddling: &ExternalAction,
    watched: &Watched,
) -> Option<String> {
    match code {
        None if is_killed => None,
        None => Some("the runner was ended by a signal that was not sent here".to_owned()),
        Some(0) => false_green(state, meddled, meddling, watched),
        Some(1) => Some("broken, although nothing could break".to_owned()),
        Some(4) if nothing_is_left(state) => Some("exit 4, and the journal says that nothing is left".to_owned()),
        Some(3 | 4) => None,
        Some(code) => Some(format!("exit {code} is for files that are wrong")),
    }
}

fn nothing_is_left(state: &RunState) -> bool {
    let restored = state.restored.iter().all(|r| r.differences.is_empty());
    state.outstanding().is_empty() && state.damaged.is_empty() && restored
}

/// Why a run should not have passed.
fn false_green(
    state: &RunState,
    meddled: Option<&Meddled>,
    meddling: &ExternalAction,
    watched: &Watched,
) -> Option<String> {
    if let Some(off) = watched.off(state) {
        return Some(off);
    }
    let meddled = meddled?;
    let of_it = || state.changes.iter().filter(|c| c.change.name == meddled.name);
    let was_on = of_it().filter_map(|c| c.injected.as_ref()).map(|i| i.at).max()? < meddled.from;
    let is_on_after = of_it().filter_map(|c| c.rolling_back).min()?.duration_since(meddled.to) > TO_NOTICE;
    let makes = |aspect| of_it().any(|c| c.change.to.aspect() == aspect);
    let (is_down, is_frozen) = (makes(Aspect::Running), makes(Aspect::Paused));
    // A crash that a policy makes good is over at once.
    let lasts = of_it().any(|c| !matches!(&c.change.to, Setting::Killed(kill) if kill.via == Via::Host));
    let ends = match meddling.ends {
        Ends::None => false,
        Ends::All => true,
        Ends::Up => !is_down && !is_frozen,
        Ends::Running => !is_down,
        Ends::Frozen => is_frozen,
        Ends::DownOrFrozen => is_down || is_frozen,
    };
    (was_on && is_on_after && lasts && ends).then(|| {
        format!("a pass, although another process did `{}` to {} while the fault was on", meddling.words, meddled.name)
    })
}
