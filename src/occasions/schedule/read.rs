//! Reads schedule files, as strictly as experiments: every mistake at once, each with its place.

use super::{Entry, Schedule, Timetable};
use crate::experiment::diagnostic::{Mistake, Mistakes};
use crate::experiment::document::{self, Document, Reading};
use crate::experiment::read;
use crate::model::quantity::Lookup;
use crate::occasions::notify::check;

/// Reads a schedule file; `name` is how messages call the file.
///
/// # Errors
/// Every mistake in it.
pub fn schedule(name: &str, bytes: &[u8], lookup: Lookup<'_>) -> Result<Reading<Schedule>, Mistakes> {
    let (mut document, value) = document::parse(name, bytes, lookup)?;
    let mut mistakes = meaning(&document, lookup);
    if let Some(schedule) = &value {
        mistakes.extend(never(&document, schedule));
    }
    document.mistakes.extend(mistakes);
    document.finish(value)
}

/// What no single value shows.
fn meaning(document: &Document, lookup: Lookup<'_>) -> Vec<Mistake> {
    let mut found = read::head(document);
    found.extend(check::recipients(document, "notify"));
    let names: Vec<String> = document
        .entry(&["entries"])
        .map(|e| e.value.entries().iter().map(|e| e.key.clone()).collect())
        .unwrap_or_default();
    if names.is_empty() && document.entry(&["entries"]).is_some_and(|e| !e.value.has_mistakes()) {
        found.push(Mistake::error(&document.key_at(&["entries"]), "the schedule has no entries"));
    }
    for name in &names {
        if let Some(entry) = document.part::<Entry>(&["entries", name]) {
            one(document, lookup, name, &entry, &mut found);
        }
    }
    found
}

/// Entries that can never start: days that are in no calendar, times that are never open.
fn never(document: &Document, schedule: &Schedule) -> Vec<Mistake> {
    let of = |(name, entry): (&String, &Entry)| {
        if Timetable::of(schedule, name, entry, 0)?.starts_ever(schedule) {
            return None;
        }
        let when = if entry.cron.is_some() { "cron" } else { "random" };
        let limits = entry.hours.is_some() || !schedule.blackout.is_empty();
        let why = if limits {
            "no time of it is within its `hours`, or there is no such day"
        } else {
            "there is no such day"
        };
        let at = document.key_at(&["entries", name, when]);
        Some(Mistake::error(&at, format!("`{name}` never starts")).label(why))
    };
    schedule.entries.iter().filter_map(of).collect()
}

fn one(document: &Document, lookup: Lookup<'_>, name: &str, entry: &Entry, found: &mut Vec<Mistake>) {
    let key = |key: &str| document.key_at(&["entries", name, key]);
    if entry.experiments.is_empty() {
        found.push(Mistake::error(&key("experiments"), format!("`{name}` names no experiment")));
    }
    if let Some(hours) = &entry.hours
        && hours.to <= hours.from
    {
        let mistake = Mistake::error(&key("hours"), format!("the hours of `{name}` end before they begin"));
        found.push(mistake.help("for hours over midnight, make two entries"));
    }
    if let Some(random) = &entry.random {
        if random.mean.0 <= random.at_least.0 {
            let title = format!("`{name}`: the mean ({}) is not above the least ({})", random.mean, random.at_least);
            found.push(Mistake::error(&key("random"), title));
        }
        if random.per_day == Some(0) {
            found.push(Mistake::error(&key("random"), format!("`{name}` may not start on any day")));
        }
        if !entry.jitter.0.is_zero() {
            found.push(Mistake::error(&key("jitter"), format!("`{name}`: `random` needs no jitter")));
        }
    }
    for check in entry.only_while.keys() {
        found.extend(read::probe(document, lookup, &["entries", name, "only-while", check]));
        for unused in ["rate", "expect", "during"] {
            let path = ["entries", name, "only-while", check, unused];
            if document.entry(&path).is_some() {
                let title = format!("`{unused}` means nothing here");
                found.push(Mistake::error(&document.key_at(&path), title).label("each probe is asked once"));
            }
        }
    }
    if let Some(budget) = &entry.budget
        && budget.objective.0 >= 1.0
    {
        let title = format!("`{name}`: an objective of 100% leaves no budget");
        found.push(Mistake::error(&key("budget"), title).label("write for example `99.9%`"));
    }
}
