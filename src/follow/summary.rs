//! What a run came to: the verdict in words, every expectation in a table, who was hit, and what is to be done.
//! Pure: the state, to text.

use std::fmt::Write as _;
use std::time::Duration;

use tabled::builder::Builder;
use tabled::settings::object::{Cell, Rows};
use tabled::settings::peaker::Priority;
use tabled::settings::{Color, Modify, Style, Width};

use super::narrate::{since, verdict_tone};
use super::paint::{Paint, Tone};
use super::words::{budget, count, few, instance, planned, span, wrap};
use crate::event::{Phase, Standing};
use crate::exit::Verdict;
use crate::instance::{Back, Setting};
use crate::state::{AlertStep, ChangeState, CheckState, RunState};

/// The verdict and its reason, and, where something was left behind, the commands to take it back by hand.
#[must_use]
pub fn verdict(state: &RunState, width: usize, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::new();
    let (tone, mark, words, text) = match &state.finished {
        Some((_, verdict, reason, text)) => {
            let (tone, mark) = verdict_tone(*verdict);
            (tone, mark, format!("{} ({})", verdict.words().to_uppercase(), reason.word()), text.as_str())
        }
        None => (Tone::Warn, "!", "UNFINISHED".to_owned(), "The run has not come to its end."),
    };
    let name = state.started.as_ref().map(|s| s.experiment.name.clone()).unwrap_or_default();
    for (i, line) in wrap(&format!("{mark} {words} {name}"), width).into_iter().enumerate() {
        let _ = writeln!(out, "{}{}", if i == 0 { "" } else { "  " }, paint.on(tone, &line));
    }
    for line in wrap(text, width.saturating_sub(2)) {
        let _ = writeln!(out, "  {line}");
    }
    out + &left_behind(state, width, paint)
}

/// The end of a run, at most `width` columns wide.
#[must_use]
pub fn summary(state: &RunState, width: usize, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::from("\n");
    out += &verdict(state, width, colour);
    if let Some(table) = table(state, width, colour) {
        let _ = writeln!(out, "\n{table}");
    }
    let facts = facts(state);
    if !facts.is_empty() {
        out.push('\n');
    }
    for (topic, text) in facts {
        for (i, line) in wrap(&text, width.saturating_sub(14)).into_iter().enumerate() {
            let topic = if i == 0 { topic } else { "" };
            let _ = writeln!(out, "  {} {line}", paint.on(Tone::Dim, &format!("{topic:<11}")));
        }
    }
    out
}

/// The commands that a person must type now, where there are any.
fn left_behind(state: &RunState, width: usize, paint: Paint) -> String {
    let stuck: Vec<_> =
        state.changes.iter().filter(|c| c.reverted.is_none()).filter_map(|c| Some((c, c.stuck.as_ref()?))).collect();
    let mut out = String::new();
    let touched = state.outstanding().iter().filter(|c| c.injecting.is_some()).count();
    if stuck.is_empty() && state.finished.is_none() && touched > 0 {
        let text = format!("{} not taken back yet: `squall recover` does it.", count(touched, "change"));
        let _ = writeln!(out, "  {}", paint.on(Tone::Bad, &text));
    }
    if stuck.is_empty() {
        return out;
    }
    let say = |out: &mut String, text: &str| {
        for line in wrap(text, width.saturating_sub(2)) {
            let _ = writeln!(out, "  {}", paint.on(Tone::Bad, &line));
        }
    };
    out.push('\n');
    say(&mut out, &format!("{} still in place. Take back by hand:", count(stuck.len(), "change")));
    for (c, by_hand) in stuck {
        let _ = writeln!(out);
        for line in wrap(&format!("# {}", c.change), width.saturating_sub(4)) {
            let _ = writeln!(out, "    {}", paint.on(Tone::Dim, &line));
        }
        // A command is not broken: it must be possible to copy it.
        let _ = writeln!(out, "    {}", paint.on(Tone::Strong, by_hand));
    }
    out.push('\n');
    say(&mut out, "Or let `squall recover` try again.");
    out
}

/// Every expectation of every check: what was measured in each phase, the budget spent, and the time to recover.
fn table(state: &RunState, width: usize, colour: bool) -> Option<String> {
    let mut builder = Builder::new();
    builder.push_record(["check", "expectation", "baseline", "fault on", "spent", "recovered"]);
    let mut tones = Vec::new();
    for (name, check) in &state.checks {
        for (i, (before, during)) in expectations(check).into_iter().enumerate() {
            let named = during.or(before)?;
            let recovered = if i == 0 { recovered(state, name) } else { String::new() };
            tones.push([before, during].map(|s| s.map(|s| s.held)));
            let name = match (i, check.safety) {
                (0, true) => format!("{name} (safety)"),
                (0, false) => name.clone(),
                _ => String::new(),
            };
            builder.push_record([
                name,
                format!("{} {}", named.expectation, named.bound),
                cell(before, named),
                cell(during, named),
                during.and_then(budget).unwrap_or_default(),
                recovered,
            ]);
        }
    }
    if tones.is_empty() {
        return None;
    }
    let mut table = builder.build();
    table.with(Style::rounded());
    if colour {
        table.with(Modify::new(Rows::first()).with(Color::new("\u{1b}[2m", "\u{1b}[0m")));
        for (row, tones) in tones.iter().enumerate() {
            for (at, held) in tones.iter().enumerate().filter_map(|(at, held)| Some((at, (*held)?))) {
                let paint = if held { Color::FG_GREEN } else { Color::FG_RED };
                table.with(Modify::new(Cell::new(row + 1, at + 2)).with(paint));
            }
        }
    }
    table.with(Width::wrap(width).priority(Priority::max(true)).keep_words(true));
    Some(table.to_string())
}

/// The expectations of a check, each as it came out in the baseline and under the fault.
fn expectations(check: &CheckState) -> Vec<(Option<&Standing>, Option<&Standing>)> {
    let of = |phase| check.judged.get(&phase).map_or(&[][..], |j| &j.standings[..]);
    let (before, during) = (of(Phase::Baseline), of(Phase::During));
    let find = |all: &'_ [Standing], like: &Standing| all.iter().position(|s| s.expectation == like.expectation);
    let mut rows: Vec<_> = before.iter().map(|s| (Some(s), find(during, s).map(|i| &during[i]))).collect();
    rows.extend(during.iter().filter(|s| find(before, s).is_none()).map(|s| (None, Some(s))));
    rows
}

/// What was measured; with its bound, where that is another one than the row's.
fn cell(s: Option<&Standing>, named: &Standing) -> String {
    let Some(s) = s else { return String::new() };
    let bound = if s.bound == named.bound { String::new() } else { format!(" ({})", s.bound) };
    format!("{} {}{bound}", if s.held { "✓" } else { "✗" }, s.measured)
}

fn recovered(state: &RunState, check: &str) -> String {
    match state.recovery.as_ref().and_then(|r| r.checks.get(check)) {
        Some(Some(rto)) => span(*rto),
        Some(None) => "✗ not in time".to_owned(),
        None => String::new(),
    }
}

/// What else is worth knowing: topic and sentence.
fn facts(state: &RunState) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if !state.hit.is_empty() {
        let names: Vec<String> = state.hit.iter().map(instance).collect();
        let spared = if state.spared.is_empty() { String::new() } else { format!("; {} spared", state.spared.len()) };
        facts.push(("hit", format!("{}{spared}", few(&names, 8))));
    }
    let is_long = |c: &ChangeState| matches!(c.change.to, Setting::Network(_));
    let on: Vec<String> = state
        .changes
        .iter()
        .map(|c| match (&c.injected, &c.reverted) {
            (Some(_), _) if c.change.back == Back::Nothing => c.change.to_string(),
            (Some((from, ..)), Some((to, ..))) if is_long(c) => format!("{} ({})", c.change, span(since(*from, *to))),
            (Some((from, ..)), Some((to, ..))) => format!("{} for {}", c.change, span(since(*from, *to))),
            (Some(_), None) => c.change.to_string(),
            (None, _) => format!("{} was not made", c.change),
        })
        .collect();
    if !on.is_empty() {
        facts.push(("fault", few(&on, 6)));
    }
    let met = |c: &ChangeState| Some(format!("{}: {}", c.change.name, c.measured?));
    let met: Vec<String> = state.changes.iter().filter_map(met).collect();
    if !met.is_empty() {
        facts.push(("measured", few(&met, 3)));
    }
    facts.extend(state.changes.iter().find_map(|c| state.mechanism(&c.change)).map(|by| ("mechanism", by)));
    if let Some(latency) = state.abort_latency() {
        facts.push(("abort", format!("everything was back {} after the breach was known", span(latency))));
    }
    for (name, alert) in &state.alerts {
        let steps: Vec<String> = alert.steps().iter().filter_map(alert_step).collect();
        if !steps.is_empty() {
            facts.push(("alert", format!("{name} {}", steps.join("; "))));
        }
    }
    if let Some(recovery) = &state.recovery {
        let limit = state.started.as_ref().map_or(Duration::ZERO, |s| s.experiment.timing.recovery.0);
        let text = recovery.rto.map_or_else(
            || format!("steady state was not back within {}", planned(limit)),
            |rto| format!("steady state was back after {} ({} allowed)", span(rto), planned(limit)),
        );
        facts.push(("recovery", text));
    }
    let differs: Vec<String> = state
        .restored
        .iter()
        .filter(|(_, d)| !d.is_empty())
        .map(|(name, d)| format!("{name} is not as it was: {}", d.join("; ")))
        .collect();
    if !differs.is_empty() {
        facts.push(("differs", differs.join("; ")));
    } else if !state.restored.is_empty() && state.finished.as_ref().is_none_or(|f| f.1 != Verdict::LeftBehind) {
        facts.push(("taken back", format!("proven for {}", count(state.restored.len(), "instance"))));
    }
    for warning in &state.warnings {
        facts.push(("warning", warning.clone()));
    }
    if let Some(started) = &state.started {
        facts.push(("repeat", format!("--seed {}", started.seed)));
    }
    facts
}

/// What an alert did, or failed to do; nothing where that was not judged.
fn alert_step(step: &AlertStep) -> Option<String> {
    let fires = step.expectation == "fires-within";
    let within = planned(step.within);
    Some(match (fires, step.took, step.held?) {
        (true, Some(took), _) => format!("fired {} after the injection ({within} allowed)", span(took)),
        (true, None, _) => format!("did not fire within {within}"),
        (false, Some(took), _) => format!("was resolved {} after the fault ({within} allowed)", span(took)),
        (false, None, _) => format!("still fired {within} after the fault"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_end_of_a_run_in_eighty_columns() {
        for (name, run) in [("held", fixture::held()), ("broken", fixture::broken()), ("left", fixture::left_behind())]
        {
            insta::assert_snapshot!(format!("summary_{name}"), summary(&fixture::fold(&run), 80, false));
        }
    }

    #[test]
    fn it_fits_and_colours_change_nothing_but_colours() {
        for run in [fixture::held(), fixture::broken()] {
            let state = fixture::fold(&run);
            for width in [60, 80, 100] {
                let plain = summary(&state, width, false);
                for line in plain.lines() {
                    assert!(::console::measure_text_width(line) <= width, "{width}: {line}");
                }
                let coloured = summary(&state, width, true);
                assert!(coloured.contains('\u{1b}'));
                assert_eq!(::console::strip_ansi_codes(&coloured), plain);
            }
        }
    }

    #[test]
    fn what_was_left_behind_can_be_copied_whole() {
        let run = fixture::left_behind();
        assert_eq!(fixture::verdict_of(&run), Verdict::LeftBehind);
        let by_hand = "\n    docker -H unix:///var/run/docker.sock unpause 3f1c9a7be2d04c11\n";
        for width in [30, 80] {
            assert!(verdict(&fixture::fold(&run), width, false).contains(by_hand));
        }
    }

    #[test]
    fn a_run_that_did_not_end_says_so() {
        let run = fixture::held();
        for end in 1..run.len() {
            assert!(summary(&fixture::fold(&run[..end]), 80, false).contains("UNFINISHED"));
        }
    }
}
