//! Whether a change that should still be in effect is, by what is observed of its instance. Pure.

mod moved;

use std::time::Duration;

use self::moved::moved;
use super::inject::{is_so, stays_applied, traits_during};
use crate::experiment::Span;
use crate::host::net::nft::LEASE;
use crate::model::instance::{Aspect, Change, CommandLocation, Instance, LAPSED, Setting, Trait};

/// How long a target that is down may take to be up again: one that another process restarts, and one with a restart policy.
const RESTART_TIMEOUT: Duration = Duration::from_secs(1);
const POLICY_TIMEOUT: Duration = Duration::from_secs(5);

/// What became of a change that should still be in effect, and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Off {
    /// It is over, and why.
    Gone(String),
    /// Its target went down and may be started again: by a restart that is under way, or by its restart policy. What was seen,
    /// and how long that may take.
    Down(String, Duration),
}

/// Whether a change that should still be in effect is off. `acting` are the changes of its instance that are begun and not over.
/// Pure.
pub(super) fn off(change: &Change, acting: &[Change], before: &Instance, now: Option<&Instance>) -> Option<Off> {
    let traits = traits_during(before, acting.iter());
    let gone = |text: String| Some(Off::Gone(text));
    if let Setting::Ran(command) = &change.to
        && command.place == CommandLocation::Target
        && !acting.iter().any(|c| c.to.aspect() == Aspect::Running)
    {
        // What a command has done to a life ends with it, as far as can be known.
        return match now {
            None => gone("was removed by another process".to_owned()),
            Some(now) if now.epoch != change.epoch && now.is_running() => gone(
                "was restarted after the command had run in it (where that is the command's own doing, say `heal: self`)"
                    .to_owned(),
            ),
            Some(_) => None,
        };
    }
    if !stays_applied(change, &traits) {
        return None;
    }
    if change.to.is_of_node() {
        // Whatever becomes of the instance itself.
        let now = now.filter(|now| !is_so(&change.to, now))?;
        let why = lapsed(&change.to, now).unwrap_or_else(|| "another process changed it".to_owned());
        return gone(format!("is no longer {}: {why}", change.to));
    }
    let Some(now) = now else {
        // Once it has ended, its orchestrator may clear it away.
        let cleared = change.to.aspect() == Aspect::Running && before.replaced_by().is_some();
        return if cleared { None } else { gone("was removed by another process".to_owned()) };
    };
    let made = |aspect| acting.iter().any(|c| c.to.aspect() == aspect);
    let to = &change.to;
    match to {
        Setting::Killed(_) | Setting::Stopped { .. } => {
            // One that has not ended at all is told by its proof.
            return if now.is_running() && now.epoch != change.epoch {
                gone("runs again although Squall did not start it".to_owned())
            } else {
                None
            };
        }
        Setting::Paused(true) if now.epoch != change.epoch && now.is_running() => {
            return gone("was restarted by another process, which ended its pause".to_owned());
        }
        // Its end may be the very effect.
        _ if to.may_starve() && ended(change, now) => {
            return None;
        }
        // What else the run does to its life, it is about.
        _ if made(Aspect::Running) => {}
        _ if !now.is_running() => {
            let text = format!("went down while it was {to}");
            // It never comes back: another one stands in for it, which nothing was done to.
            if let Some(by) = now.replaced_by() {
                return gone(format!("{text}, and {by} replaces it"));
            }
            // A pause and processes held still are over with the life that they were made in.
            let wait = if traits.contains(&Trait::Restarts) { POLICY_TIMEOUT } else { RESTART_TIMEOUT };
            return Some(if to.is_met() { Off::Down(text, wait) } else { Off::Gone(text) });
        }
        _ if now.settings.get(&Aspect::Paused) == Some(&Setting::Paused(true)) && !made(Aspect::Paused) => {
            return gone(format!("was paused by another process while it was {to}"));
        }
        _ => {}
    }
    // It ended with the life that it was made for, and is made again for the next one: see `amend`.
    if to.ends_with_life() && ended(change, now) {
        return None;
    }
    if !is_so(to, now) {
        if let Some(why) = lapsed(to, now) {
            return gone(format!("is no longer {to}: {why}"));
        }
        return gone(match to {
            Setting::Network(_) => {
                "is no longer disturbed in its traffic: another process removed or changed what did it".to_owned()
            }
            Setting::Stressor(_) if matches!(now.settings.get(&to.aspect()), Some(Setting::Mark(_, Some(_)))) => {
                let sees = now.sees.get(&to.aspect()).map(|sees| format!(" ({sees})")).unwrap_or_default();
                format!("is not {to}: Squall's process in it runs and has had none of it{sees}")
            }
            // The kernel ends it where memory runs out; nothing else should.
            Setting::Stressor(_) => {
                format!(
                    "is no longer {to}: Squall's process in it has been ended, for want of memory or by another process"
                )
            }
            _ => format!("is no longer {to}: another process changed it"),
        });
    }
    moved(before, now).and_then(gone)
}

/// Why the kernel has ended what was laid on traffic, where it has.
fn lapsed(to: &Setting, now: &Instance) -> Option<String> {
    let is_lapsed = matches!(now.settings.get(&to.aspect()), Some(Setting::Mark(_, Some(mark))) if mark == LAPSED);
    is_lapsed.then(|| {
        format!(
            "no process of Squall's has renewed its rules for {}, so the kernel lets traffic flow again",
            Span(LEASE)
        )
    })
}

/// Why a change whose target has another life is not in effect when its time is over: nothing was done yet for that life. Pure.
pub(super) fn not_made_again(change: &Change, acting: &[Change], now: Option<&Instance>) -> Option<Off> {
    let to = &change.to;
    let explained = to.may_starve() || acting.iter().any(|c| c.to.aspect() == Aspect::Running);
    let is_off = !explained && to.ends_with_life() && ended(change, now?);
    is_off.then(|| Off::Gone(format!("was restarted while it was {to}, and was not yet disturbed again at the end")))
}

/// Whether the life that a change was made for is over.
fn ended(change: &Change, now: &Instance) -> bool {
    now.epoch != change.epoch || !now.is_running()
}
