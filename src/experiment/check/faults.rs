//! Several faults: whether their times lie inside of the fault phase, whether what comes again is over by then, and whether they are
//! made good again by the same hand.

use std::ops::Range;
use std::time::Duration;

use super::{Found, Mistake, Span, Timing};
use crate::experiment::MOST_TIMES;
use crate::experiment::fault::{Fault, Heal};
use crate::experiment::injection::beginnings;

/// `places` are the paths of the items.
pub(super) fn check(found: &mut Found<'_>, places: &[Vec<&str>], timing: Option<Timing>) {
    let Some(list) = found.document.entry(&["faults"]) else { return };
    if places.is_empty() && !list.value.has_mistakes() {
        let at = list.key_at.clone();
        found.add(Mistake::error(&at, "`faults` has no fault").help("give at least one, with its `target`"));
    }
    let heals: Vec<Option<Heal>> = places
        .iter()
        .map(|place| found.document.part::<Fault>(&[place.as_slice(), &["fault"]].concat()).map(|f| f.heal()))
        .collect();
    for (place, heal) in places.iter().zip(&heals) {
        if let Some(timing) = timing {
            times(found, place, timing.duration);
        }
        if let (Some(timing), Some(heal)) = (timing, heal) {
            again(found, place, timing.duration, *heal);
        }
        if *heal == Some(Heal::Itself)
            && let Some(span) = found.document.entry(&[place.as_slice(), &["for"]].concat())
        {
            let at = span.key_at.clone();
            found.add(
                Mistake::error(&at, "a fault with `heal: self` has no `for`")
                    .label("it is not rolled back when its time is over"),
            );
        }
    }
    let first = heals.first().copied().flatten();
    let other = heals.iter().position(|heal| heal.is_some() && first.is_some() && *heal != first);
    if let Some(other) = other {
        let [one, other] = [0, other].map(|n| found.document.key_at(&[places[n].as_slice(), &["fault"]].concat()));
        found.add(
            Mistake::error(&other, "`heal: self` is for all faults of a list, or for none")
                .also(&one, "this one is left to the system")
                .help("recovery is measured from the injection or from the rollback, not from both"),
        );
    }
}

/// From when to when a fault is on.
pub(super) fn span(found: &Found<'_>, place: &[&str], phase: Span) -> Range<Duration> {
    let part = |key: &'static str| found.document.part::<Span>(&[place, &[key]].concat());
    let begin = part("after").unwrap_or_default().0.min(phase.0);
    begin..part("for").map_or(phase.0, |on| begin.saturating_add(on.0).min(phase.0))
}

/// The same for each time that it comes; nothing where it says no `for`, and so is on to the end of the phase.
pub(super) fn spans(found: &Found<'_>, place: &[&str], phase: Span) -> Option<Vec<Range<Duration>>> {
    let part = |key: &'static str| found.document.part::<Span>(&[place, &[key]].concat());
    let on = part("for")?;
    let Some(every) = part("every").filter(|every| !every.0.is_zero()) else {
        return Some(vec![span(found, place, phase)]);
    };
    let all = beginnings(part("after").unwrap_or_default(), Some(on), every, phase);
    Some(all.map(|at| at.0..at.0.saturating_add(on.0)).collect())
}

/// A fault that comes again and again.
fn again(found: &mut Found<'_>, place: &[&str], phase: Span, heal: Heal) {
    let key = |key: &'static str| [place, &[key]].concat();
    let span = |k: &'static str| found.document.part::<Span>(&key(k));
    let (Some(fault), Some(every)) = (found.document.part::<Fault>(&key("fault")), span("every")) else { return };
    let (after, on) = (span("after").unwrap_or_default(), span("for"));
    let at = found.document.value_at(&key("every"));
    if every.0.is_zero() {
        found.add(
            Mistake::error(&at, "`every` is zero").help("give the time from one injection to the next, such as `10s`"),
        );
        return;
    }
    let lasts = heal == Heal::Squall && !fault.disturb().is_momentary();
    match on {
        None if lasts => found.add(
            Mistake::error(&at, format!("`{}` lasts: it has to be over before it comes again", fault.name()))
                .help("say with `for` how long it is on each time"),
        ),
        Some(on) if on >= every => {
            let on_at = found.document.value_at(&key("for"));
            found.add(
                Mistake::error(&on_at, format!("it is on for {on}, and comes again after {every}"))
                    .also(&at, "from one injection to the next")
                    .help("give less, or make `every` longer"),
            );
        }
        _ => {}
    }
    let times = beginnings(after, on, every, phase).count();
    if times < 2 && !phase.0.is_zero() {
        found.add(
            Mistake::error(&at, format!("in a phase of {phase} the fault does not come again"))
                .help("make `every` shorter or `timing.duration` longer, or leave `every` out"),
        );
    } else if times > MOST_TIMES as usize {
        found.add(
            Mistake::error(&at, format!("it would come more than {MOST_TIMES} times, which is the most"))
                .help("make `every` longer or `timing.duration` shorter"),
        );
    }
}

fn times(found: &mut Found<'_>, place: &[&str], phase: Span) {
    let key = |key: &'static str| [place, &[key]].concat();
    let span = |found: &Found<'_>, k: &'static str| found.document.part::<Span>(&key(k));
    let (after, on) = (span(found, "after").unwrap_or_default(), span(found, "for"));
    if on.is_some_and(|on| on.0.is_zero()) {
        let at = found.document.value_at(&key("for"));
        found.add(Mistake::error(&at, "`for` is zero").help("leave it out to hold the fault to the end of its phase"));
    }
    if phase.0.is_zero() {
        return;
    }
    let length = found.document.value_at(&["timing", "duration"]);
    let given = found.document.entry(&["timing", "duration"]).is_some();
    if after >= phase {
        let at = found.document.value_at(&key("after"));
        let mistake = Mistake::error(&at, format!("the fault would begin after {after}, when its phase is over"))
            .help(format!("`timing.duration` is {phase}: give less, or make it longer"));
        found.add(if given { mistake.also(&length, "the phase") } else { mistake });
    } else if let Some(on) = on
        && after.0.saturating_add(on.0) > phase.0
    {
        let at = found.document.value_at(&key("for"));
        let end = Span(after.0.saturating_add(on.0));
        let left = Span(phase.0.saturating_sub(after.0));
        let mistake = Mistake::error(&at, format!("the fault would end after {end}, and its phase after {phase}"))
            .label(format!("at most `{left}`"))
            .help("left out, it is held to the end of its phase; `timing.duration` makes that longer");
        found.add(if given { mistake.also(&length, "the phase") } else { mistake });
    }
}
