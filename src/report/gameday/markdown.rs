//! A game day's report as text, for a wiki or a ticket: what came of it first, then tables. No HTML but `<details>`.

use std::fmt::Write as _;

use super::super::markdown::{code, symbol, text};
use super::super::words as shared;
use super::compared::Trend;
use super::facts::Facts;
use super::scenario::{Clock, ScenarioOutcome};
use super::timeline::Who;
use super::words;
use crate::model::exit::Verdict;
use crate::record::state::RunState;

/// The text.
pub(super) fn render(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, facts);
    out
}

fn write(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(out, "# {} {}\n", symbol(facts.verdict()), text(facts.title()))?;
    writeln!(out, "**{}**\n", text(&facts.headline()))?;
    if let Some(words) = words::circumstances(facts) {
        writeln!(out, "*{words}*\n")?;
    }
    head(out, facts)?;
    scenarios(out, facts)?;
    left_behind(out, facts)?;
    actions(out, facts)?;
    gaps(out, facts)?;
    clocks(out, facts)?;
    compared(out, facts)?;
    timeline(out, facts)
}

fn row(out: &mut String, cells: &[String]) -> std::fmt::Result {
    writeln!(out, "| {} |", cells.iter().map(|c| text(c)).collect::<Vec<_>>().join(" | "))
}

fn header(out: &mut String, names: &[&str]) -> std::fmt::Result {
    writeln!(out, "| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()))
}

fn head(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    header(out, &["", ""])?;
    let mut line = |name: &str, value: &str| row(out, &[name.to_owned(), value.to_owned()]);
    if let Some(gameday) = facts.gameday {
        line("Objective", &gameday.objective)?;
        line("Owner", &gameday.owner)?;
    }
    for (role, names) in words::participants(facts) {
        line(&shared::sentence(role).replace('.', ""), &names)?;
    }
    line("When", &words::when(facts))?;
    line("Instances targeted", &facts.targeted().to_string())?;
    let (asked, failed) = facts.requests();
    if asked > 0 {
        let share = words::percent(failed, asked);
        line("Requests failed", &format!("{share} of {} while a fault was on", shared::thousands(asked)))?;
    }
    if let Some(budget) = words::budget(facts) {
        line("Error budget spent", &budget)?;
    }
    if let Some(day) = facts.gameday.and_then(|g| g.follow_up.as_ref()) {
        line("Follow-up", &day.to_string())?;
    }
    writeln!(out)
}

fn sign(came: ScenarioOutcome) -> &'static str {
    match came {
        ScenarioOutcome::To(verdict) => symbol(Some(verdict)),
        ScenarioOutcome::LeftOut | ScenarioOutcome::NotReached => "⏭️",
        ScenarioOutcome::Unfinished => symbol(None),
    }
}

fn scenarios(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(out, "## What held, and what broke\n")?;
    header(out, &["Scenario", "", "Why", "Targeted", "Failed", "Worst check"])?;
    for s in &facts.scenarios {
        row(
            out,
            &[
                format!("{}. {}", s.n + 1, s.title),
                format!("{} {}", sign(s.came), s.came.words()),
                s.sentence(),
                words::names(&s.targeted),
                words::failed(s),
                words::worst(s.worst.as_ref()),
            ],
        )?;
    }
    writeln!(out)?;
    for s in &facts.scenarios {
        let Some(hypothesis) = s.hypothesis else { continue };
        writeln!(out, "- **{}. {}**: {}", s.n + 1, text(s.title), text(hypothesis))?;
    }
    writeln!(out)
}

fn left_behind(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    for s in facts.scenarios.iter().filter(|s| s.came == ScenarioOutcome::To(Verdict::LeftBehind)) {
        let title = text(s.title);
        writeln!(out, "**🛑 Still in place after {title}.** `squall recover` tries again; by hand:\n")?;
        for left in s.run.map(RunState::left_in_place).unwrap_or_default() {
            let by_hand = left.by_hand.map(|c| format!(": {}", code(c))).unwrap_or_default();
            writeln!(out, "- {}{by_hand}", text(&left.to_string()))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn actions(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let actions = &facts.record.state.actions;
    if actions.is_empty() {
        return Ok(());
    }
    writeln!(out, "## What is to be done\n")?;
    header(out, &["", "Action", "Owner", "Due", "Because of"])?;
    for (i, action) in actions.iter().enumerate() {
        let suggested = if action.suggested { " (suggested)" } else { "" };
        row(
            out,
            &[
                (i + 1).to_string(),
                format!("{}{suggested}", action.text),
                action.owner.clone().unwrap_or_else(|| "no owner yet".to_owned()),
                action.due.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string),
                words::because(facts, action).unwrap_or("–").to_owned(),
            ],
        )?;
    }
    writeln!(out)
}

fn gaps(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    if facts.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Gaps found\n")?;
    for gap in &facts.gaps {
        writeln!(out, "- {}", text(&gap.text))?;
    }
    writeln!(out)
}

/// A goal, and whether it was met.
fn goal(clock: &Clock<'_>) -> String {
    match (clock.goal, clock.met()) {
        (None, _) => "–".to_owned(),
        (Some(goal), Some(true)) => format!("✅ {}", words::span(goal)),
        (Some(goal), Some(false)) => format!("❌ {}", words::span(goal)),
        (Some(goal), None) => words::span(goal),
    }
}

fn clocks(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    if facts.scenarios.iter().all(|s| s.injected().is_none()) {
        return Ok(());
    }
    writeln!(out, "## How fast people and Squall were\n\nFrom the injection on.\n")?;
    header(out, &["Scenario", "", "People", "Goal", "Squall"])?;
    for s in facts.scenarios.iter().filter(|s| s.injected().is_some()) {
        for (i, clock) in s.clocks.iter().enumerate() {
            let title = if i == 0 { format!("{}. {}", s.n + 1, s.title) } else { String::new() };
            let what = clock.mark.word().to_owned();
            row(out, &[title, what, words::people(clock), goal(clock), words::time(clock.machine)])?;
        }
    }
    writeln!(out)
}

fn compared(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let Some(compared) = &facts.compared else { return Ok(()) };
    let day = compared.previous.state.began.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    writeln!(out, "## Since the last game day ({day})\n")?;
    header(out, &["Scenario", "Verdict", "Recovery", "Detected", "Mitigated", "Recovered"])?;
    for pair in &compared.scenarios {
        let before = pair.came.0.map_or("new", ScenarioOutcome::words);
        let verdict = format!("{before} → {}{}", pair.came.1.words(), arrow(pair.verdict));
        let times = std::iter::once(&pair.recovery).chain(&pair.people);
        let times = times.map(|then| {
            if then.before.is_none() && then.now.is_none() {
                return "–".to_owned();
            }
            format!("{} → {}{}", words::came(then.before), words::came(then.now), arrow(then.trend()))
        });
        let title = facts.scenarios.get(pair.n).map_or("", |s| s.title).to_owned();
        row(out, &[title, verdict].into_iter().chain(times).collect::<Vec<_>>())?;
    }
    writeln!(out, "\nEach time was measured once; differences below 10 % are called the same.\n")
}

fn arrow(trend: Trend) -> String {
    match trend {
        Trend::Better => " ✅ better".to_owned(),
        Trend::Worse => " ❌ worse".to_owned(),
        Trend::Same => " same".to_owned(),
        Trend::Unknown => String::new(),
    }
}

fn timeline(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    if facts.moments.is_empty() {
        return Ok(());
    }
    writeln!(out, "<details><summary>Timeline</summary>\n")?;
    header(out, &["UTC", "Who", "What"])?;
    for moment in &facts.moments {
        let who = match moment.who {
            Who::Day => String::new(),
            Who::Machine(n) => format!("Squall, {}", n + 1),
            Who::People(by) => by.unwrap_or("a participant").to_owned(),
        };
        row(out, &[moment.at.strftime("%H:%M:%S").to_string(), who, moment.text.clone()])?;
    }
    writeln!(out, "\n</details>\n")?;
    let state = &facts.record.state;
    let runs: Vec<String> = facts.scenarios.iter().filter_map(|s| s.run_id).map(code).collect();
    writeln!(
        out,
        "Game day {}; its runs: {}. `squall report RUN` shows each of them.",
        code(&state.id),
        runs.join(", ")
    )
}
