//! `squall gameday status`: where the game day is.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::super::table::{WIDTH, between, column, cut, table};
use super::place::{self, Day, Standing};
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::occasions::gameday::event::Mark;
use crate::report::follow::words::wrap;
use crate::text::units::{span, span_ms, times};

/// So many notes are shown, the newest.
const NOTES: usize = 8;

/// Where a game day is, for programs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GamedayStatus<'a> {
    id: &'a str,
    name: &'a str,
    title: &'a str,
    status: Standing,
    verdict: Option<Verdict>,
    rehearsal: bool,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    stopped: Option<&'a str>,
    /// The one that goes on, from 1.
    now: Option<usize>,
    scenarios: Vec<StatusLine<'a>>,
    notes: Vec<Said<'a>>,
    actions: Vec<Action<'a>>,
    undelivered: Vec<Undelivered<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StatusLine<'a> {
    title: &'a str,
    status: &'static str,
    run: Option<&'a str>,
    verdict: Option<Verdict>,
    reason: Option<&'a str>,
    began: Option<Timestamp>,
    /// What the times of people count from.
    injected: Option<Timestamp>,
    detected: Option<Marked<'a>>,
    mitigated: Option<Marked<'a>>,
    recovered: Option<Marked<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Marked<'a> {
    at: Timestamp,
    /// Since the injection.
    after_ms: Option<i128>,
    by: Option<&'a str>,
}

#[derive(Serialize)]
struct Said<'a> {
    at: Timestamp,
    text: &'a str,
    by: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Action<'a> {
    text: &'a str,
    owner: Option<&'a str>,
    due: Option<String>,
    /// From 1.
    scenario: Option<usize>,
    suggested: bool,
}

#[derive(Serialize)]
struct Undelivered<'a> {
    recipient: &'a str,
    error: &'a str,
}

pub(super) fn run(json: bool, state: &StateDir) -> anyhow::Result<ExitCode> {
    let day = place::current(state)?;
    let status = GamedayStatus::of(&day, state);
    if json {
        super::super::print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else {
        super::super::show(&text(&day, &status, Timestamp::now()))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> GamedayStatus<'a> {
    fn of(day: &'a Day, dir: &StateDir) -> Self {
        let it = &day.state;
        let gameday = it.gameday.as_ref();
        let count = gameday.map_or(0, |g| g.scenarios.len());
        let now = it.latest().filter(|n| day.standing == Standing::GoingOn && it.scenarios[n].ended.is_none());
        Self {
            id: &day.id,
            name: gameday.map_or("", |g| g.name.as_str()),
            title: gameday.map_or("", |g| g.title.as_str()),
            status: day.standing,
            verdict: it.verdict,
            rehearsal: it.rehearsal,
            began: it.began,
            ended: it.ended,
            stopped: it.stopped.as_ref().map(|s| s.why.as_str()),
            now: now.map(|n| n + 1),
            scenarios: (0..count).map(|n| StatusLine::of(day, n, dir)).collect(),
            notes: it.notes.iter().map(|n| Said { at: n.at, text: &n.text, by: n.by.as_deref() }).collect(),
            actions: it.actions.iter().map(Action::of).collect(),
            undelivered: it
                .told
                .iter()
                .filter_map(|t| Some(Undelivered { recipient: &t.recipient, error: t.error.as_deref()? }))
                .collect(),
        }
    }
}

impl<'a> StatusLine<'a> {
    fn of(day: &'a Day, n: usize, dir: &StateDir) -> Self {
        let it = day.state.scenarios.get(&n);
        let injected = day.injected(n, dir);
        let marked = |mark: Mark| {
            let said = it?.marks.get(&mark)?;
            let after_ms = injected.map(|injected| said.at.duration_since(injected).as_millis());
            Some(Marked { at: said.at, after_ms, by: said.by.as_deref() })
        };
        let ended = it.and_then(|s| s.ended.as_ref());
        Self {
            title: day.state.title(n),
            status: match it {
                Some(s) if s.skipped.is_some() => "left out",
                Some(s) if s.ended.is_some() => "over",
                Some(_) if day.standing == Standing::GoingOn => "going on",
                Some(_) => "unfinished",
                None if day.standing == Standing::GoingOn => "to come",
                None => "not run",
            },
            run: it.and_then(|s| s.run.as_deref()),
            verdict: ended.map(|e| e.verdict),
            reason: ended.map(|e| e.reason.as_str()),
            began: it.and_then(|s| s.began),
            injected,
            detected: marked(Mark::Detected),
            mitigated: marked(Mark::Mitigated),
            recovered: marked(Mark::Recovered),
        }
    }

    fn mark(&self, mark: Mark) -> Option<&Marked<'a>> {
        match mark {
            Mark::Detected => self.detected.as_ref(),
            Mark::Mitigated => self.mitigated.as_ref(),
            Mark::Recovered => self.recovered.as_ref(),
        }
    }
}

impl<'a> Action<'a> {
    fn of(action: &'a crate::occasions::gameday::state::Action) -> Self {
        Self {
            text: &action.text,
            owner: action.owner.as_deref(),
            due: action.due.map(|due| due.to_string()),
            scenario: action.scenario.map(|n| n + 1),
            suggested: action.suggested,
        }
    }
}

fn text(day: &Day, status: &GamedayStatus<'_>, now: Timestamp) -> String {
    let since = |at: Option<Timestamp>| at.map_or(String::new(), |at| span(between(at, now)));
    let mut out = String::new();
    for line in wrap(status.title, WIDTH) {
        let _ = writeln!(out, "{line}");
    }
    let rehearsal =
        if status.rehearsal && !status.verdict.is_some_and(Verdict::is_rehearsal) { "; a rehearsal" } else { "" };
    let standing = match status.status {
        Standing::GoingOn => format!("going on for {}", since(status.began)),
        Standing::Over => {
            let long = status.began.zip(status.ended).map(|(began, ended)| span(between(began, ended)));
            format!("over after {}: {}", long.unwrap_or_default(), status.verdict.map_or("", Verdict::words))
        }
        Standing::Unfinished => "unfinished: its process is dead; `squall list` shows its runs".to_owned(),
    };
    let _ = writeln!(out, "  {standing}{rehearsal}");
    if let Some(n) = status.now {
        let line = &status.scenarios[n - 1];
        let clock = match line.injected {
            Some(at) => format!("fault in for {}", since(Some(at))),
            None => format!("for {}, nothing injected yet", since(line.began)),
        };
        for line in wrap(&format!("{}: {clock}", day.scenario(n - 1)), WIDTH - 2) {
            let _ = writeln!(out, "  {line}");
        }
    }
    if let Some(why) = status.stopped {
        for line in wrap(&format!("stopped: {why}"), WIDTH - 2) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let _ = writeln!(out, "  {}\n\n{}", status.id, scenarios(status));
    let mut section = |name: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{name}");
            lines.iter().flat_map(|line| wrap(line, WIDTH - 2)).for_each(|line| {
                let _ = writeln!(out, "  {line}");
            });
        }
    };
    let by = |by: Option<&str>| by.map(|by| format!("{by}: ")).unwrap_or_default();
    let notes = status.notes[status.notes.len().saturating_sub(NOTES)..].iter();
    section("notes", notes.map(|n| format!("{} {}{}", n.at.strftime("%H:%M:%SZ"), by(n.by), n.text)).collect());
    let action = |a: &Action<'_>| {
        let who = a.owner.map(|owner| format!(" ({owner})")).unwrap_or_default();
        let due = a.due.as_ref().map(|due| format!(", until {due}")).unwrap_or_default();
        format!("{}{who}{due}{}", a.text, if a.suggested { " [suggested]" } else { "" })
    };
    section("actions", status.actions.iter().map(action).collect());
    let not_told = |(to, why, messages): (&str, &str, u64)| {
        let often = if messages == 1 { String::new() } else { format!(" ({})", times(messages)) };
        format!("{to}{often}: {why}")
    };
    section("not told", day.state.undelivered().into_iter().map(not_told).collect());
    out
}

/// One scenario a line, with the times of people since the injection.
fn scenarios(status: &GamedayStatus<'_>) -> String {
    let numbered: Vec<(usize, &StatusLine<'_>)> = status.scenarios.iter().enumerate().collect();
    let mut columns = vec![
        column("SCENARIO", &numbered, |(n, line)| format!("{} {}", n + 1, line.title)),
        column("VERDICT", &numbered, |(_, line)| line.verdict.map_or(line.status, Verdict::words).to_owned()),
    ];
    for mark in Mark::ALL {
        let cell = |line: &StatusLine<'_>| {
            let marked = line.mark(mark)?;
            Some(span_ms(marked.after_ms? as f64))
        };
        columns.push(column(&mark.word().to_uppercase(), &numbered, |(_, line)| cell(line).unwrap_or("–".to_owned())));
    }
    cut_lines(&table(columns, &[(0, 12)]))
}

fn cut_lines(text: &str) -> String {
    text.lines().map(|line| cut(line, WIDTH)).collect::<Vec<_>>().join("\n")
}
