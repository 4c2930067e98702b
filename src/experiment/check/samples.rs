//! Faults during which no sample is certain to be due: what is never asked proves nothing, and where luck decides whether it is asked,
//! luck decides the verdict. Whole phases are looked at with their bounds: see `breakable`.

use std::ops::Range;
use std::time::Duration;

use super::probe::pace;
use super::{Found, Mistake, SECTIONS, Span, Timing, dotted, faults};
use crate::experiment::{Rate, samples};

/// `places` are the paths of the faults.
pub(super) fn check(found: &mut Found<'_>, places: &[Vec<&str>], timing: Option<Timing>) {
    let Some(timing) = timing.filter(|t| !t.duration.0.is_zero()) else { return };
    let spans = places.iter().map(|place| faults::span(found, place, timing.duration)).enumerate();
    let on: Vec<(usize, Range<Duration>)> = spans.filter(|(_, on)| !on.is_empty()).collect();
    // Time stands still until the first fault is on.
    let idle = on.iter().map(|(_, on)| on.start).min().unwrap_or_default();
    let left = timing.duration.0.saturating_sub(idle);
    let mut steady = Vec::new();
    for section in SECTIONS {
        let names = found.document.entry(&[section]).map(|e| e.value.entries().to_vec()).unwrap_or_default();
        for entry in names {
            let path = [section, entry.key.as_str()];
            let Some((rate, timeout)) = pace(found, path) else { continue };
            if section == SECTIONS[0] {
                steady.push(rate);
            }
            if samples(rate, left) == 0 && samples(rate, timing.duration.0) > 0 {
                never_asked(found, path, rate, Span(left), idle);
            }
            let waits =
                ["http", "tcp", "exec"].iter().any(|probe| found.document.entry(&[path[0], path[1], probe]).is_some());
            if waits && timeout > timing.duration {
                hangs(found, path, timeout, timing.duration);
            }
        }
    }
    let Some(fastest) = steady.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)) else { return };
    for (n, on) in on {
        let lasts = on.end.saturating_sub(on.start);
        if samples(fastest, lasts) == 0 && samples(fastest, left) > 0 {
            unseen(found, &places[n], fastest, Span(lasts));
        }
    }
}

/// A check that is asked in its phase, but not for certain once the first fault is on.
fn never_asked(found: &mut Found<'_>, [section, name]: [&str; 2], rate: Rate, left: Span, idle: Duration) {
    let at = found.document.value_at(&[section, name, "rate"]);
    let (every, needed) = (interval(rate), Span(interval(rate).0 + idle));
    found.add(
        Mistake::error(&at, format!("`{section}.{name}` may not be asked once while a fault is on"))
            .label(format!("once in {every}, and the first fault is on for {left}"))
            .help(format!("raise `rate`, make `timing.duration` at least {needed}, or begin the fault sooner")),
    );
}

/// A request may hang for longer than the fault lasts.
fn hangs(found: &mut Found<'_>, [section, name]: [&str; 2], timeout: Span, duration: Span) {
    let at = found.document.value_at(&[section, name, "timeout"]);
    found.add(
        Mistake::warning(&at, format!("the timeout of `{name}` ({timeout}) is longer than the fault ({duration})"))
            .help("it cannot be known what becomes of a request that hangs until the fault is rolled back: no verdict"),
    );
}

/// A fault that is over before anybody asks.
fn unseen(found: &mut Found<'_>, place: &[&str], fastest: Rate, lasts: Span) {
    let at = found.document.key_at(&[place, &["for"]].concat());
    let name = dotted(&[place, &["fault"]].concat());
    let every = interval(fastest);
    found.add(
        Mistake::error(&at, format!("no probe may be asked while this `{name}` is on"))
            .label(format!("it is on for {lasts}, and a sample is due each {every} at most"))
            .help(format!("let it last at least {every}, or ask more often")),
    );
}

/// From one sample to the next, rounded up to milliseconds.
pub(super) fn interval(rate: Rate) -> Span {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive")]
    let ms = (1000.0 / rate.0 - 1e-6).ceil() as u64;
    Span(Duration::from_millis(ms))
}
