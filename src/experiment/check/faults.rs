//! Several faults: whether their times lie inside of the fault phase, and whether they are made good again by the same hand.

use super::{Found, Mistake, Span, Timing};
use crate::fault::{Fault, Heal};

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
        if *heal == Some(Heal::Itself)
            && let Some(span) = found.document.entry(&[place.as_slice(), &["for"]].concat())
        {
            let at = span.key_at.clone();
            found.add(
                Mistake::error(&at, "a fault with `heal: self` has no `for`")
                    .label("nobody takes it back when its time is over"),
            );
        }
    }
    let first = heals.first().copied().flatten();
    let other = heals.iter().position(|heal| heal.is_some() && first.is_some() && *heal != first);
    if let Some(other) = other {
        let [one, other] = [0, other].map(|n| found.document.key_at(&[places[n].as_slice(), &["fault"]].concat()));
        found.add(
            Mistake::error(&other, "`heal: self` is for all faults of a list, or for none")
                .also(&one, "this one is made good by somebody else")
                .help("recovery is measured from the injection or from the way back, not from both"),
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
