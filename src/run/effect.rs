//! Whether a change has an effect on what goes on at its target: judged by the instance as it is observed.

mod machine;
mod traffic;

use crate::model::effect::Effect;
use crate::model::instance::{Aspect, Change, Instance, Setting};
use crate::model::machine::counters::Counters;
use crate::record::event::Event;
use crate::record::journal::Recorder;
use crate::record::state::ChangeState;

/// What a change has done so far to the target that it was made for; `None` where its effect needs no showing
/// ([`Setting::can_be_idle`]), or that life of the target is over. Pure.
fn effect(change: &Change, known: &Known, now: Option<&Instance>) -> Option<Effect> {
    let now = now?;
    let since = known.counters.as_ref();
    if now.epoch != change.epoch {
        // Its engine counts the lives that it begins by itself; that another process has restarted it says nothing of memory.
        let died = change.to.may_starve() && now.restarts > known.restarts;
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
    let known = known(rec, change);
    // What a load of the processor comes to is an average of its whole time.
    if known.effect.as_ref().is_some_and(|e| !e.is_unaffected()) || change.to.aspect() == Aspect::CpuLoad {
        return;
    }
    if let Some(effect) = effect(change, &known, now).filter(counts) {
        rec.note(Event::Effect { n: change.n, effect });
    }
}

/// Records what a change came to, right before it is rolled back; an effect that was recorded before stays.
pub(super) fn last_effect(rec: &Recorder, change: &Change, now: Option<&Instance>) {
    let known = known(rec, change);
    let Some(effect) = effect(change, &known, now) else { return };
    let stays =
        known.effect.is_some_and(|known| known.is_affected() || (effect.is_unaffected() && !known.is_unaffected()));
    if effect.is_affected() || !stays {
        rec.note(Event::Effect { n: change.n, effect });
    }
}

fn is_of_memory(to: &Setting) -> bool {
    to.aspect() == Aspect::MemoryLoad
}

/// What is known of a change beside what its target shows now.
#[derive(Default)]
struct Known {
    /// What the kernel had counted of the target when the injection was verified.
    counters: Option<Counters>,
    /// How often its engine had restarted the target by itself when it was chosen.
    restarts: u64,
    /// The effect as it is recorded so far.
    effect: Option<Effect>,
}

fn known(rec: &Recorder, change: &Change) -> Known {
    rec.read(|s| {
        let restarts = s.targeted.iter().find(|i| i.id == change.instance).map_or(0, |i| i.restarts);
        let of = |c: &ChangeState| Known { counters: c.counters.clone(), restarts, effect: c.effect.clone() };
        s.changes.get(change.n).map(of).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Epoch, Rollback};
    use crate::model::machine::Limit;

    #[test]
    fn a_restart_by_another_process_is_no_want_of_memory() {
        let mut now = Instance::new("1", "shop-1", "shop");
        let to = Setting::Limit(Limit::Memory(Some(1 << 20)));
        let change = Change { back: Rollback::Nothing, ..Change::restoring(&now, to) };
        let known = Known { restarts: 3, ..Known::default() };
        now.epoch = Epoch("the next life".to_owned());
        for (restarts, died) in [(0, false), (3, false), (4, true)] {
            now.restarts = restarts;
            let found = effect(&change, &known, Some(&now)).is_some_and(|e| e.is_affected());
            assert_eq!(found, died, "{restarts}");
        }
    }
}
