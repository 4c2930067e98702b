//! What the daemon tells of itself: whether it is well, and figures in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::model::exit::Verdict;
use crate::occasions::history::{self, Row, series};

/// A daemon that has not come round for so long hangs.
const ROUND: Duration = Duration::from_mins(1);

/// Shared between the daemon, which writes it, and its page.
pub(super) struct View(Mutex<Inside>);

struct Inside {
    round: Instant,
    trouble: Option<String>,
    next: Vec<(String, String, Option<Timestamp>)>,
    files: Vec<(String, bool)>,
    /// Starts that did not happen, by entry and why.
    skipped: BTreeMap<(String, String, &'static str), u64>,
    running: bool,
    past: String,
}

impl View {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inside {
            round: Instant::now(),
            trouble: None,
            next: Vec::new(),
            files: Vec::new(),
            skipped: BTreeMap::new(),
            running: false,
            past: String::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon has come round.
    pub(super) fn round(&self, running: bool, trouble: Option<&str>) {
        let mut inside = self.lock();
        inside.round = Instant::now();
        inside.running = running;
        inside.trouble = trouble.map(str::to_owned);
    }

    pub(super) fn planned(&self, next: Vec<(String, String, Option<Timestamp>)>, files: Vec<(String, bool)>) {
        let mut inside = self.lock();
        inside.next = next;
        inside.files = files;
    }

    pub(super) fn skipped(&self, schedule: &str, entry: &str, why: &'static str) {
        *self.lock().skipped.entry((schedule.to_owned(), entry.to_owned(), why)).or_default() += 1;
    }

    /// What the history says now.
    pub(super) fn learned(&self, rows: &[Row], now: Timestamp) {
        let text = past(rows, now);
        self.lock().past = text;
    }

    /// Why it is not well; nothing where it is.
    pub(super) fn trouble(&self) -> Option<String> {
        let inside = self.lock();
        if inside.round.elapsed() > ROUND {
            return Some(format!("the daemon has not come round for {} s", inside.round.elapsed().as_secs()));
        }
        inside.trouble.clone()
    }

    pub(super) fn metrics(&self) -> String {
        let inside = self.lock();
        let mut out = String::new();
        metric(&mut out, "squall_schedule_next_start_timestamp_seconds", "gauge", "When an entry starts next.");
        for (schedule, entry, at) in &inside.next {
            if let Some(at) = at {
                let labels = [("schedule", schedule.as_str()), ("entry", entry)];
                sample(&mut out, "squall_schedule_next_start_timestamp_seconds", &labels, at.as_second() as f64);
            }
        }
        metric(&mut out, "squall_schedule_file_valid", "gauge", "Whether a schedule file can be read as it is now.");
        for (file, valid) in &inside.files {
            sample(&mut out, "squall_schedule_file_valid", &[("file", file)], f64::from(u8::from(*valid)));
        }
        metric(
            &mut out,
            "squall_schedule_skipped_total",
            "counter",
            "Starts that did not happen, since this daemon began.",
        );
        for ((schedule, entry, why), n) in &inside.skipped {
            let labels = [("schedule", schedule.as_str()), ("entry", entry), ("why", why)];
            sample(&mut out, "squall_schedule_skipped_total", &labels, *n as f64);
        }
        metric(&mut out, "squall_schedule_running", "gauge", "Whether a run of this daemon goes on.");
        sample(&mut out, "squall_schedule_running", &[], f64::from(u8::from(inside.running)));
        out + &inside.past
    }
}

/// The part that comes from the history: rehearsals are left out.
fn past(rows: &[Row], now: Timestamp) -> String {
    let mut out = String::new();
    let all = series(rows);
    metric(&mut out, "squall_runs", "gauge", "Runs in the history, by verdict; pruning takes old ones away.");
    for one in &all {
        for verdict in Verdict::ALL.into_iter().filter(|verdict| !verdict.is_rehearsal()) {
            let n = one.runs.iter().filter(|row| !row.rehearsal && row.verdict == Some(verdict)).count();
            sample(&mut out, "squall_runs", &[("experiment", one.experiment), ("verdict", verdict.word())], n as f64);
        }
    }
    for (name, help, of) in [
        (
            "squall_last_recovery_seconds",
            "Time to recover in the newest run that has one; 0 where steady state was never lost.",
            (|row: &Row| row.recovery_ms.map(|ms| ms as f64)) as fn(&Row) -> Option<f64>,
        ),
        (
            "squall_last_abort_seconds",
            "From the breach to everything rolled back, in the newest run that has it.",
            |row| row.abort_ms,
        ),
        ("squall_last_p99_seconds", "99th percentile of latency while the fault was on, in the newest run.", |row| {
            row.p99_ms
        }),
    ] {
        metric(&mut out, name, "gauge", help);
        for one in &all {
            if let Some(ms) = one.runs.iter().rev().filter(|row| !row.rehearsal).find_map(|row| of(row)) {
                sample(&mut out, name, &[("experiment", one.experiment)], ms / 1000.0);
            }
        }
    }
    metric(&mut out, "squall_score", "gauge", "Resilience score, from 0 to 100.");
    for one in &all {
        if let Some(score) = one.score(now) {
            sample(&mut out, "squall_score", &[("experiment", one.experiment)], score);
        }
    }
    let open = all.iter().filter(|one| one.weaknesses().last().is_some_and(|w| w.closed.is_none())).count();
    metric(&mut out, "squall_open_weaknesses", "gauge", "Hypotheses that broke and have not held since.");
    sample(&mut out, "squall_open_weaknesses", &[], open as f64);
    metric(
        &mut out,
        "squall_budget_spent_seconds",
        "gauge",
        "Time for which runs of the last 30 days made the system bad.",
    );
    let month = SignedDuration::from_hours(24 * 30);
    sample(&mut out, "squall_budget_spent_seconds", &[], history::bad_since(rows, now - month).as_secs_f64());
    out
}

fn metric(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(out, "{name}{labels} {value}");
}
