//! Whether a change has an effect on what goes on at its target: judged by the instance as it is observed.

mod machine;
mod traffic;

use crate::model::effect::Effect;
use crate::model::instance::{Aspect, Change, Instance, Setting};
use crate::model::machine::counters::Counters;
use crate::record::event::Event;
use crate::record::journal::Recorder;

/// What a change has done so far to the target that it was made for; `None` where its effect needs no showing
/// ([`Setting::can_be_idle`]), or that life of the target is over. `since`: what the kernel had counted when its injection was
/// verified. Pure.
fn effect(change: &Change, since: Option<&Counters>, now: Option<&Instance>) -> Option<Effect> {
    let now = now?;
    if now.epoch != change.epoch {
        let died = change.to.may_starve();
        return died.then(|| Effect::Affected { evidence: "its main process has ended for want of memory".to_owned() });
    }
    match &change.to {
        Setting::Network(network) => Some(traffic::effect(network, now.counted.unwrap_or_default(), now.talk.as_ref())),
        to if to.can_be_idle() => {
            let counters = now.counters.as_ref();
            machine::effect(to, since.unwrap_or(&Counters::default()), counters.unwrap_or(&Counters::default()))
        }
        _ => None,
    }
}

/// Records of what is made once and not looked at again that its effect cannot be known.
pub(super) fn no_more_is_known(rec: &Recorder, change: &Change) {
    let Some(why) = change.to.effect_is_unknown() else { return };
    let effect = Effect::Unknown { selected: change.to.to_string(), why: why.to_owned() };
    rec.note(Event::Effect { n: change.n, effect });
}

/// Records the effect of a change as soon as it has one: what shows it may be gone with the target later.
pub(super) fn first_effect(rec: &Recorder, change: &Change, now: Option<&Instance>) {
    // A load may have its size only for a while, and gives way to its target: that it had it counts.
    let counts = |effect: &Effect| effect.is_affected() || (is_of_memory(&change.to) && !effect.is_unaffected());
    let (since, known) = known(rec, change);
    // What a load of the processor comes to is an average of its whole time.
    if known.is_some_and(|e| !e.is_unaffected()) || change.to.aspect() == Aspect::CpuLoad {
        return;
    }
    if let Some(effect) = effect(change, since.as_ref(), now).filter(counts) {
        rec.note(Event::Effect { n: change.n, effect });
    }
}

/// Records what a change came to, right before it is rolled back; an effect that was recorded before stays.
pub(super) fn last_effect(rec: &Recorder, change: &Change, now: Option<&Instance>) {
    let (since, known) = known(rec, change);
    let Some(effect) = effect(change, since.as_ref(), now) else { return };
    let stays = known.is_some_and(|known| known.is_affected() || (effect.is_unaffected() && !known.is_unaffected()));
    if effect.is_affected() || !stays {
        rec.note(Event::Effect { n: change.n, effect });
    }
}

fn is_of_memory(to: &Setting) -> bool {
    to.aspect() == Aspect::MemoryLoad
}

/// What was counted of the target when the injection was verified, and the effect as it is recorded so far.
fn known(rec: &Recorder, change: &Change) -> (Option<Counters>, Option<Effect>) {
    rec.read(|s| s.changes.get(change.n).map(|c| (c.counters.clone(), c.effect.clone()))).unwrap_or_default()
}
