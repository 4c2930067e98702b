//! What a run came to: the verdict in words, every expectation in a table, who was targeted, and what is to be done.
//! Pure: the state, to text.

use std::fmt::Write as _;
use std::time::Duration;

use tabled::builder::Builder;
use tabled::settings::object::{Cell, Rows};
use tabled::settings::peaker::Priority;
use tabled::settings::{Color, Modify, Style, Width};

use super::narrate::verdict_tone;
use super::paint::{Paint, Tone};
use super::words::{budget, count, few, instance, planned, span, wrap};
use crate::model::exit::{REHEARSAL, Verdict};
use crate::model::instance::{Rollback, Setting};
use crate::record::event::{Judgement, Phase, Standing};
use crate::record::state::{AlertStep, ChangeState, CheckState, Comeback, Finished, RunState};

/// The verdict and its reason, and, where a rollback was incomplete, the commands to roll it back by hand.
#[must_use]
pub fn verdict(state: &RunState, width: usize, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::new();
    let (tone, mark, words, text) = match &state.finished {
        Some(Finished { verdict, reason, text, .. }) => {
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
    if state.finished.as_ref().is_some_and(|f| f.verdict.is_rehearsal()) {
        for line in wrap(REHEARSAL, width.saturating_sub(2)) {
            let _ = writeln!(out, "  {}", paint.on(tone, &line));
        }
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
    let left: Vec<_> = state.left_in_place().into_iter().filter(|left| left.by_hand.is_some()).collect();
    let mut out = String::new();
    let touched = state.outstanding().iter().filter(|c| c.injecting.is_some()).count();
    if left.is_empty() && state.finished.is_none() && touched > 0 {
        let text = format!("{} not rolled back yet: `squall recover` does it.", count(touched, "change"));
        let _ = writeln!(out, "  {}", paint.on(Tone::Bad, &text));
    }
    if left.is_empty() {
        return out;
    }
    let say = |out: &mut String, text: &str| {
        for line in wrap(text, width.saturating_sub(2)) {
            let _ = writeln!(out, "  {}", paint.on(Tone::Bad, &line));
        }
    };
    out.push('\n');
    let changes = left.iter().filter(|left| left.n.is_some()).count();
    let each = [(changes, "change"), (left.len() - changes, "difference")];
    let each = each.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(n, what));
    say(&mut out, &format!("{} still in place. Roll back by hand:", each.collect::<Vec<_>>().join(" and ")));
    for left in left {
        let _ = writeln!(out);
        for line in wrap(&format!("# {left}"), width.saturating_sub(4)) {
            let _ = writeln!(out, "    {}", paint.on(Tone::Dim, &line));
        }
        // A command is not broken: it must be possible to copy it.
        let _ = writeln!(out, "    {}", paint.on(Tone::Strong, left.by_hand.unwrap_or_default()));
    }
    out.push('\n');
    say(&mut out, "Or let `squall recover` try again.");
    out
}

/// Every expectation of every check: what was measured in each phase, the budget spent, and the time to recover.
fn table(state: &RunState, width: usize, colour: bool) -> Option<String> {
    let mut builder = Builder::new();
    builder.push_record(["check", "expectation", "baseline", "during", "spent", "recovered"]);
    let mut tones = Vec::new();
    for (name, check) in &state.checks {
        for (i, (before, during)) in expectations(check).into_iter().enumerate() {
            let named = during.or(before)?;
            let recovered = if i == 0 { recovered(state, name) } else { String::new() };
            tones.push([before, during].map(|s| s.map(Standing::judgement)));
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
            for (at, came) in tones.iter().enumerate().filter_map(|(at, came)| Some((at, (*came)?))) {
                let paint = match came {
                    Judgement::Held => Color::FG_GREEN,
                    Judgement::Broken => Color::FG_RED,
                    Judgement::NotJudged => Color::FG_YELLOW,
                };
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
    let came = s.judgement();
    let not = if came == Judgement::NotJudged { ", not judged" } else { "" };
    format!("{} {}{bound}{not}", came.mark(), s.measured)
}

fn recovered(state: &RunState, check: &str) -> String {
    match state.recovery.as_ref().and_then(|r| r.of(check)) {
        Some(came @ Comeback::TooLate) => format!("✗ {came}"),
        Some(came) => came.to_string(),
        None => String::new(),
    }
}

/// What else is worth knowing: topic and sentence.
fn facts(state: &RunState) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if !state.targeted.is_empty() {
        let names: Vec<String> = state.targeted.iter().map(instance).collect();
        let spared = if state.spared.is_empty() { String::new() } else { format!("; {} spared", state.spared.len()) };
        facts.push(("targeted", format!("{}{spared}", few(&names, 8))));
    }
    let is_long = |c: &ChangeState| matches!(c.change.to, Setting::Network(_));
    let on: Vec<String> = state
        .changes
        .iter()
        .map(|c| match (&c.injected, &c.rolled_back) {
            (Some(_), _) if c.change.back == Rollback::Nothing => c.change.to_string(),
            (Some(_), Some(_)) if is_long(c) => format!("{} ({})", c.change, span(state.on_time(c))),
            (Some(_), Some(_)) => format!("{} for {}", c.change, span(state.on_time(c))),
            (Some(_), None) => c.change.to_string(),
            (None, _) if c.is_verified() => format!("{} was being made when the run was stopped", c.change),
            (None, _) => format!("{} was not made", c.change),
        })
        .collect();
    if !on.is_empty() {
        facts.push(("fault", few(&on, 6)));
    }
    let checks = state.started.iter().flat_map(|s| s.experiment.steady_state.iter().chain(&s.experiment.safety));
    facts.extend(checks.filter_map(|(name, check)| Some(("promised", format!("{name}: {}", check.during.words()?)))));
    let met = |c: &ChangeState| Some(format!("{}: {}", c.change.name, c.measured?));
    let met: Vec<String> = state.changes.iter().filter_map(met).collect();
    if !met.is_empty() {
        facts.push(("measured", few(&met, 3)));
    }
    facts.extend(state.changes.iter().find_map(|c| state.mechanism(&c.change)).map(|by| ("mechanism", by)));
    facts.extend(
        state
            .spread_over_machines()
            .map(|(machines, spread)| ("spread", format!("over {machines} machines: {spread}"))),
    );
    if let Some(latency) = state.stopped_in() {
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
        let text = match recovery.comeback() {
            Comeback::NeverLost => "steady state was never lost".to_owned(),
            Comeback::After(rto) => format!("steady state was back after {} ({} allowed)", span(rto), planned(limit)),
            Comeback::TooLate => format!("steady state was not back within {}", planned(limit)),
        };
        facts.push(("recovery", text));
    }
    let differs: Vec<String> = state
        .restored
        .iter()
        .filter(|r| r.differs())
        .map(|r| format!("{} is not as it was: {}", r.instance, r.what_differs()))
        .collect();
    if !differs.is_empty() {
        facts.push(("differs", differs.join("; ")));
    } else if !state.restored.is_empty() && state.finished.as_ref().is_none_or(|f| f.verdict != Verdict::LeftBehind) {
        let claimed = state.claimed_back().map(|claimed| format!("; {claimed}")).unwrap_or_default();
        facts.push(("rolled back", format!("verified for {}{claimed}", count(state.restored.len(), "instance"))));
    }
    for warning in &state.warned() {
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
    use crate::model::instance::Aspect;
    use crate::record::event::{Difference, Restored};

    #[test]
    fn the_end_of_a_run_in_eighty_columns() {
        for (name, run) in [("held", fixture::held()), ("broken", fixture::broken()), ("left", fixture::left_behind())]
        {
            insta::assert_snapshot!(format!("summary_{name}"), summary(&fixture::fold(&run), 80, false));
        }
    }

    #[test]
    fn what_followed_from_a_change_and_is_left_has_its_command() {
        let mut state = fixture::fold(&fixture::held());
        let what = "it was running, and is not running (no answer)".to_owned();
        let left = Difference { aspect: Aspect::Running, what, by_hand: Some("docker start shop-2".to_owned()) };
        state.restored = vec![Restored { instance: "shop-2".to_owned(), differences: vec![left] }];
        let told = summary(&state, 80, false);
        assert!(told.contains("1 difference still in place. Roll back by hand:"), "{told}");
        assert!(told.contains("# shop-2: it was running, and is not running (no answer)"), "{told}");
        assert!(told.lines().any(|line| line.trim() == "docker start shop-2"), "{told}");
    }

    #[test]
    fn what_was_never_lost_has_not_recovered() {
        let told = summary(&fixture::fold(&fixture::unnoticed()), 80, false);
        assert!(told.lines().any(|l| l.contains("recovery") && l.ends_with("steady state was never lost")), "{told}");
        assert!(told.contains("never lost │"), "{told}");
        assert!(!told.contains("was back after"), "{told}");
    }

    #[test]
    fn it_fits_and_colours_change_nothing_but_colours() {
        for run in [fixture::held(), fixture::unnoticed(), fixture::broken()] {
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

    /// The hypothesis may break while a target is still being stopped, say.
    #[test]
    fn a_change_that_was_proven_is_never_told_as_not_made() {
        let mut state = fixture::fold(&fixture::broken());
        state.changes[0].injected = None;
        let told = summary(&state, 100, false);
        assert!(told.contains("paused was being made when the run was stopped"), "{told}");
        state.changes[0].verification = None;
        let told = summary(&state, 100, false);
        assert!(told.contains("paused was not made"), "{told}");
    }

    #[test]
    fn a_rollback_by_a_command_is_claimed() {
        use crate::model::instance::{Command, CommandLocation};
        let mut state = fixture::fold(&fixture::held());
        let run = vec!["mend".to_owned()];
        let (timeout, variables) = (Duration::from_secs(1), std::collections::BTreeMap::new());
        state.changes[0].change.back = Rollback::To(Setting::Ran(Command {
            run,
            place: CommandLocation::Here,
            timeout,
            variables,
            directory: None,
        }));
        let told = summary(&state, 200, false);
        assert!(told.contains("verified for 1 instance; 1 change only claimed, by the exit status of its"), "{told}");
    }

    #[test]
    fn a_run_that_did_not_end_says_so() {
        let run = fixture::held();
        for end in 1..run.len() {
            assert!(summary(&fixture::fold(&run[..end]), 80, false).contains("UNFINISHED"));
        }
    }
}
