//! Schedules against instants that were worked out by hand, and random ones against their own promises.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::model::quantity;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(head: &str, entry: &str) -> Schedule {
    let text = format!("version: 1\nname: s\n{head}\nentries:\n  it: {{ experiments: a.yaml, {entry} }}\n");
    match read::schedule("s.yaml", text.as_bytes(), &quantity::unset) {
        Ok(reading) => reading.value,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn timetable(head: &str, entry: &str, seed: u64) -> Timetable {
    let schedule = schedule(head, entry);
    Timetable::of(&schedule, "it", &schedule.entries["it"], seed).unwrap()
}

/// An entry that `validate` refuses, since it never starts.
fn refused(head: &str, entry: &str) -> Timetable {
    let text = format!("version: 1\nname: s\n{head}\nentries:\n  it: {{ experiments: [a.yaml], {entry} }}\n");
    let schedule: Schedule = serde_yaml::from_str(&text).unwrap();
    Timetable::of(&schedule, "it", &schedule.entries["it"], 1).unwrap()
}

/// Every start from one moment to another, each as the daemon would make it: on time.
fn starts(table: &Timetable, from: &str, to: &str) -> Vec<Timestamp> {
    let (mut past, to) = (Past { settled: at(from), starts: Vec::new() }, at(to));
    let mut all = Vec::new();
    while let Some(next) = table.next(&past).filter(|next| *next < to) {
        assert!(next > past.settled || all.is_empty(), "{next} is not after {}", past.settled);
        past.settled = next;
        past.starts.push(next);
        past.starts.retain(|start| next.duration_since(*start) < SignedDuration::from_hours(48));
        all.push(next);
    }
    all
}

fn told(all: &[Timestamp]) -> Vec<String> {
    all.iter().map(|at| at.strftime("%d %H:%M").to_string()).collect()
}

/// A month of a daily start: `before` on each day up to the change, `on` it, `after` it (UTC).
fn daily(days: u32, change: u32, before: &str, on: &str, after: &str) -> Vec<String> {
    (1..=days)
        .map(|day| {
            let time = match day.cmp(&change) {
                std::cmp::Ordering::Less => before,
                std::cmp::Ordering::Equal => on,
                std::cmp::Ordering::Greater => after,
            };
            format!("{day:02} {time}")
        })
        .collect()
}

#[test]
fn a_month_of_days_over_both_changes_of_the_clock() {
    for (zone, cron, month, days, change, times) in [
        // Clocks go from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October.
        ("Europe/Berlin", "30 9 * * *", "2026-03", 31, 29, ["08:30", "07:30", "07:30"]),
        ("Europe/Berlin", "30 9 * * *", "2026-10", 31, 25, ["07:30", "08:30", "08:30"]),
        // 02:30 is not there on the one day: right after the gap. It is there twice on the other: the first.
        ("Europe/Berlin", "30 2 * * *", "2026-03", 31, 29, ["01:30", "01:00", "00:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10", 31, 25, ["00:30", "00:30", "01:30"]),
        // 8 March and 1 November.
        ("America/New_York", "15 2 * * *", "2026-03", 31, 8, ["07:15", "07:00", "06:15"]),
        ("America/New_York", "30 1 * * *", "2026-11", 30, 1, ["", "05:30", "06:30"]),
        // Half an hour: from 02:00 to 01:30 on 5 April, from 02:00 to 02:30 on 4 October. Eleven hours before UTC in
        // summer, ten and a half in winter; noon is on the same day in UTC.
        ("Australia/Lord_Howe", "0 12 * * *", "2026-04", 30, 5, ["01:00", "01:30", "01:30"]),
        ("Australia/Lord_Howe", "0 12 * * *", "2026-10", 31, 4, ["01:30", "01:00", "01:00"]),
        // No change at all.
        ("Asia/Kolkata", "0 12 * * *", "2026-03", 31, 15, ["06:30", "06:30", "06:30"]),
    ] {
        let table = timetable(&format!("time-zone: {zone}"), &format!("cron: '{cron}'"), 1);
        let last = format!("{month}-{days:02}T23:59:59Z");
        let [before, on, after] = times;
        let got = told(&starts(&table, &format!("{month}-01T00:00:00Z"), &last));
        assert_eq!(got, daily(days, change, before, on, after), "{zone} {cron} {month}");
    }
}

#[test]
fn many_times_a_day_runs_in_every_hour_that_there_is() {
    let table = timetable("time-zone: Europe/Berlin", "cron: '*/30 * * * *'", 1);
    // The local day: 23 hours, 25 hours, 24 hours.
    assert_eq!(starts(&table, "2026-03-28T22:59:59Z", "2026-03-29T21:59:59Z").len(), 46);
    assert_eq!(starts(&table, "2026-10-24T21:59:59Z", "2026-10-25T22:59:59Z").len(), 50);
    assert_eq!(starts(&table, "2026-06-09T21:59:59Z", "2026-06-10T21:59:59Z").len(), 48);
}

#[test]
fn days_of_the_week_and_of_the_month() {
    let table = timetable("time-zone: Europe/Berlin", "cron: '0 10 * * MON-FRI'", 1);
    let got = told(&starts(&table, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"));
    let days = [1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 21, 22, 23, 24, 25, 28, 29, 30, 31];
    assert_eq!(got, days.map(|day| format!("{day:02} 09:00")));
    let table = timetable("", "cron: '0 0 31 * *'", 1);
    let months: Vec<String> = starts(&table, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
        .iter()
        .map(|at| at.strftime("%m").to_string())
        .collect();
    assert_eq!(months, ["01", "03", "05", "07", "08", "10", "12"]);
    let leap = timetable("", "cron: '0 0 29 2 *'", 1);
    assert_eq!(
        leap.next(&Past { settled: at("2026-03-01T00:00:00Z"), ..Past::default() }),
        Some(at("2028-02-29T00:00:00Z"))
    );
    let never = refused("", "cron: '0 0 30 2 *'");
    assert_eq!(never.next(&Past { settled: at("2026-03-01T00:00:00Z"), ..Past::default() }), None);
}

#[test]
fn nothing_starts_on_a_blackout_day_or_out_of_hours() {
    let head = "time-zone: America/New_York\nblackout: [2026-11-26 to 2026-11-27, 2026-11-11]";
    let table = timetable(head, "cron: '0 8,12,16,20 * * *', hours: { days: MON-FRI, from: '9:00', to: '17:00' }", 1);
    let got = told(&starts(&table, "2026-11-09T00:00:00Z", "2026-12-01T00:00:00Z"));
    let days = [9, 10, 12, 13, 16, 17, 18, 19, 20, 23, 24, 25, 30];
    let want: Vec<String> =
        days.iter().flat_map(|day| [format!("{day:02} 17:00"), format!("{day:02} 21:00")]).collect();
    assert_eq!(got, want);
    let closed = refused("blackout: [2020-01-01 to 2099-12-31]", "cron: '0 9 * * *'");
    assert_eq!(closed.next(&Past { settled: at("2026-03-01T00:00:00Z"), ..Past::default() }), None, "and it ends");
    let apart = refused("", "cron: '0 9 * * *', hours: { from: '10:00', to: '12:00' }");
    assert_eq!(apart.next(&Past { settled: at("2026-03-01T00:00:00Z"), ..Past::default() }), None, "and it ends");
}

#[test]
fn jitter_puts_off_and_is_the_same_whenever_it_is_asked() {
    let plain = starts(&timetable("", "cron: '*/20 * * * *'", 7), "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let table = timetable("", "cron: '*/20 * * * *', jitter: 50m", 7);
    let got = starts(&table, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "in order, though put off beyond the next");
    // Each start belongs to one time of the expression, at most 50 minutes before it.
    assert!((got.len().abs_diff(plain.len())) < 4, "{} {}", got.len(), plain.len());
    let again = starts(&table, "2026-01-15T00:00:00Z", "2026-02-01T00:00:00Z");
    assert_eq!(again, got.iter().copied().filter(|s| *s > at("2026-01-15T00:00:00Z")).collect::<Vec<_>>());
    let other =
        starts(&timetable("", "cron: '*/20 * * * *', jitter: 50m", 8), "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    assert_ne!(got, other, "another seed");
    let put_off: Vec<f64> = {
        let table = timetable("", "cron: '0 */2 * * *', jitter: 1h", 3);
        let starts = starts(&table, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        starts.iter().map(|s| (s.as_second() % 7200) as f64).collect()
    };
    assert!(put_off.iter().all(|s| (0.0..3600.0).contains(s)));
    // 4,380 uniform values: a standard error of 15.7 s; 99.99 % lie within 3.9 of them.
    let mean = put_off.iter().sum::<f64>() / put_off.len() as f64;
    assert!((mean - 1800.0).abs() < 62.0, "{mean}");
}

const MONKEY: &str = "hours: { days: MON-FRI, from: '9:00', to: '15:00' }";

#[test]
fn a_year_of_random_starts_keeps_its_mean_and_its_minimum() {
    // A mean of 4 open hours, of which 1 is the least: the rest is exponential with a mean, and a deviation, of 3.
    let (mut gaps, mut years) = (Vec::new(), Vec::new());
    for seed in 0..20 {
        let table =
            timetable("time-zone: Europe/Berlin", &format!("random: {{ mean: 4h, at-least: 1h }}, {MONKEY}"), seed);
        let starts = starts(&table, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        for start in &starts {
            let local = start.to_zoned(TimeZone::get("Europe/Berlin").unwrap());
            assert!((9..15).contains(&local.hour()) && local.weekday().to_monday_zero_offset() < 5, "{local}");
        }
        for pair in starts.windows(2) {
            let gap = table.open().between(pair[0], pair[1]);
            assert!(gap >= SignedDuration::from_hours(1), "{} to {}", pair[0], pair[1]);
            assert!(pair[1].duration_since(pair[0]) >= SignedDuration::from_hours(1));
            gaps.push(gap.as_secs_f64() / 3600.0);
        }
        years.push(starts);
    }
    let n = gaps.len() as f64;
    assert!(n > 7000.0, "{n}: 261 days of 6 hours, each 4 hours one, 20 times");
    let mean = gaps.iter().sum::<f64>() / n;
    // 3.9 standard errors: 99.99 %.
    assert!((mean - 4.0).abs() < 3.9 * 3.0 / n.sqrt(), "{mean} of {n}");
    // As many are above the median of an exponential as below it: 1 h + 3 h × ln 2.
    let above = gaps.iter().filter(|gap| **gap > 1.0 + 3.0 * 2.0_f64.ln()).count() as f64;
    assert!((above - n / 2.0).abs() < 3.9 * 0.5 * n.sqrt(), "{above} of {n}");
    assert_ne!(years[0], years[1], "another seed");
    let first = timetable("time-zone: Europe/Berlin", &format!("random: {{ mean: 4h, at-least: 1h }}, {MONKEY}"), 0);
    assert_eq!(starts(&first, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), years[0], "the same seed");
}

#[test]
fn so_many_per_day_and_never_on_a_blackout_day() {
    let head = "time-zone: Europe/Berlin\nblackout: 2026-12-24 to 2027-01-03";
    let table = timetable(head, &format!("random: {{ mean: 1h, per-day: 2 }}, {MONKEY}"), 11);
    let starts = starts(&table, "2026-12-01T00:00:00Z", "2027-02-01T00:00:00Z");
    let mut per_day: BTreeMap<Date, usize> = BTreeMap::new();
    for start in &starts {
        *per_day.entry(table.open().day(*start)).or_default() += 1;
    }
    assert!(per_day.values().all(|n| *n <= 2), "{per_day:?}");
    assert!(per_day.values().filter(|n| **n == 2).count() > 30, "most days are full: {per_day:?}");
    let black = (Date::constant(2026, 12, 24), Date::constant(2027, 1, 3));
    assert!(per_day.keys().all(|day| *day < black.0 || *day > black.1), "{per_day:?}");
}

#[test]
fn what_was_missed_is_skipped_or_caught_up_once() {
    let past = Past { settled: at("2026-11-02T09:00:00Z"), ..Past::default() };
    let now = at("2026-11-05T20:00:00Z");
    for (missed, hours, want) in [
        ("skip", "", "2026-11-06T09:00:00Z"),
        ("catch-up", "", "2026-11-05T20:00:00Z"),
        // Not in the middle of the night.
        ("catch-up", ", hours: { from: '8:00', to: '18:00' }", "2026-11-06T08:00:00Z"),
    ] {
        let table = timetable("", &format!("cron: '0 9 * * *', missed: {missed}{hours}"), 1);
        assert_eq!(table.from_now(&past, now), Some(at(want)), "{missed}{hours}");
        // Nothing is missed yet.
        let early = at("2026-11-03T08:59:00Z");
        assert_eq!(table.from_now(&past, early), Some(at("2026-11-03T09:00:00Z")));
        // A little late is on time.
        assert_eq!(table.from_now(&past, early + SignedDuration::from_secs(90)), Some(at("2026-11-03T09:00:00Z")));
    }
    let table = timetable("", "random: { mean: 4h }, missed: skip", 1);
    assert!(table.from_now(&past, now).is_some_and(|next| next > now));
}

#[test]
fn the_budget_that_is_left() {
    let percent = |text: &str| text.parse().unwrap();
    let budget = Budget { objective: percent("99.9%"), window: month(), left: percent("25%") };
    // 43.2 minutes in 30 days.
    for (bad, want) in [(0, 1.0), (1296, 0.5), (2592, 0.0), (5184, -1.0)] {
        let left = budget.left_after(Duration::from_secs(bad));
        assert!((left - want).abs() < 1e-9, "{bad} s: {left}");
    }
}

#[test]
fn a_file_with_mistakes_names_all_of_them() {
    let text = "version: 2
name: staging
time-zone: Europe/Berlinn
blackout: 2026-13-01
entries:
  one: { experiments: a.yaml }
  two: { experiments: a.yaml, cron: '61 * * * *', random: { mean: 1h } }
  three: { experiments: [], cron: '0 9 * * *' }
  four: { experiments: a.yaml, random: { mean: 1h, at-least: 2h, per-day: 0 }, jitter: 5m }
  five: { experiments: a.yaml, cron: '0 9 * * *', hours: { from: '17:00', to: '9:00' } }
  seven: { experiments: a.yaml, cron: '0 9 * * *', mod: dry-run }
  six: { experiments: a.yaml, cron: '0 9 * * *', only-while: { up: { tcp: 'x:80', rate: 5/s }, web: { http: 'ftp://x/' }, db: { tcp: x } } }
";
    let mistakes = read::schedule("s.yaml", text.as_bytes(), &quantity::unset).unwrap_err().to_string();
    for want in [
        "`version` must be 1",
        "there is no time zone `Europe/Berlinn`",
        "is no day",
        "`cron`",
        "is no cron expression",
        "`three` names no experiment",
        "the mean (1h) is not above the least (2h)",
        "`four` may not start on any day",
        "`random` needs no jitter",
        "end before they begin",
        "did you mean `mode`?",
        "`rate` means nothing here",
        "`ftp://x/` is not a URL to ask",
        "`x` is not an address to connect to",
    ] {
        assert!(mistakes.contains(want), "{want}\n{mistakes}");
    }
}

#[test]
fn an_entry_that_never_starts_is_a_mistake() {
    let refused = |head: &str, entry: &str| {
        let text = format!("version: 1\nname: s\n{head}\nentries:\n  it: {{ experiments: a.yaml, {entry} }}\n");
        read::schedule("s.yaml", text.as_bytes(), &quantity::unset).err().map(|mistakes| mistakes.to_string())
    };
    for (head, entry) in [
        ("", "cron: '0 9 31 2 *'"),
        ("", "cron: '0 9 30 FEB *'"),
        ("", "cron: '0 9 31 4,6,9,11 *'"),
        ("", "cron: '0 3 * * *', hours: { from: '09:00', to: '17:00' }"),
        ("", "cron: '0 9 * * SUN', hours: { days: MON-FRI, from: '08:00', to: '17:00' }"),
    ] {
        let said = refused(head, entry).unwrap_or_else(|| panic!("{entry} is taken"));
        assert!(said.contains("`it` never starts"), "{entry}: {said}");
    }
    for (head, entry) in [
        ("", "cron: '0 9 29 2 *'"),
        ("", "cron: '* * * * *', hours: { days: SUN, from: '09:00', to: '09:01' }"),
        ("", "cron: '0 3 * * *', jitter: 8h, hours: { from: '09:00', to: '17:00' }"),
        ("blackout: 2026-01-01 to 2039-12-31", "cron: '0 9 * * *'"),
        ("blackout: 2026-01-01 to 2039-12-31", "random: { mean: 3d }"),
        ("", "random: { mean: 300d, at-least: 200d }"),
    ] {
        assert_eq!(refused(head, entry), None, "{head} {entry}");
    }
}
