//! The report for a pull request: the verdict in a line, then small tables. No HTML but `<details>`.

use std::fmt::Write as _;

use super::zones::{self, PHASES, Zones};
use super::{facts, faults, words};
use crate::model::exit::Verdict;
use crate::record::event::{Judgement, Phase};
use crate::record::state::{Comeback, Evidence, Finished, RunState, Verification};
use crate::text::units::few;

/// From how many rows on a table only counts the rest.
const SHOWN: usize = 10;

/// The text.
pub(super) fn render(state: &RunState) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, state);
    out
}

fn write(out: &mut String, state: &RunState) -> std::fmt::Result {
    let verdict = facts::verdict(state);
    writeln!(out, "### {} {}: {}\n", symbol(verdict), words::verdict(verdict), text(facts::name(state)))?;
    if let Some(x) = facts::experiment(state) {
        writeln!(out, "> {}\n", text(&x.hypothesis))?;
    }
    write!(out, "{}", words::meaning(verdict))?;
    match (facts::why(state), &state.finished) {
        (Some(why), Some(Finished { reason, .. })) => {
            writeln!(out, " {} (`{}`)\n", text(&words::sentence(why)), reason.word())?;
        }
        (Some(why), None) => writeln!(out, " {}\n", text(&words::sentence(why)))?,
        (None, _) => writeln!(out, "\n")?,
    }
    by_hand(out, state)?;
    figures(out, state)?;
    expectations(out, state)?;
    several(out, state)?;
    zones_out(out, state)?;
    alerts(out, state)?;
    targets(out, state)?;
    let warned = state.warned();
    for warning in &warned {
        writeln!(out, "- ⚠️ {}", text(warning))?;
    }
    if !warned.is_empty() {
        writeln!(out)?;
    }
    if let (Some(command), Some(started)) = (facts::repeat(state), &state.started) {
        writeln!(out, "<details><summary>Repeat this run</summary>\n")?;
        writeln!(out, "{}\n", code(&command))?;
        let engine = &started.engine;
        writeln!(
            out,
            "Run {} on {} {}, squall {}.\n",
            code(&started.run),
            engine.kind,
            text(&engine.version),
            text(&started.version)
        )?;
        writeln!(out, "</details>")?;
    }
    Ok(())
}

pub(super) fn symbol(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Held) => "✅",
        Some(Verdict::Broken) => "❌",
        Some(Verdict::NoVerdict) => "⚪",
        Some(Verdict::LeftBehind) => "🛑",
        Some(Verdict::Rehearsed | Verdict::RehearsedBroken) => "🎭",
        None => "⏳",
    }
}

fn by_hand(out: &mut String, state: &RunState) -> std::fmt::Result {
    let left = state.left_in_place();
    if left.is_empty() {
        return Ok(());
    }
    writeln!(out, "**Still in place.** `squall recover` tries again; by hand:\n")?;
    for left in left.iter().take(SHOWN) {
        let command = left.by_hand.map(|c| format!(": {}", code(c))).unwrap_or_default();
        writeln!(out, "- {}{command}", text(&left.to_string()))?;
    }
    more(out, left.len(), "- ")?;
    writeln!(out)
}

fn figures(out: &mut String, state: &RunState) -> std::fmt::Result {
    let mut cells: Vec<(&str, String)> = Vec::new();
    if let Some(recovery) = &state.recovery {
        let came = recovery.comeback();
        cells.push((if came == Comeback::NeverLost { "Steady state" } else { "Recovery" }, came.to_string()));
    }
    cells.extend(zones::slowest(state).map(|(_, clock)| ("Failover", zones::served(clock).0)));
    cells.extend(
        facts::detected(state).map(|(alert, after)| ("Time to detect", format!("{} ({alert})", words::span(after)))),
    );
    cells.extend(state.stopped_in().map(|d| ("Breach → rolled back", words::span(d))));
    let all_back = state.left_in_place().is_empty();
    cells.extend(state.on_shortest().filter(|_| all_back).map(|on| ("Fault lasted", words::span(on))));
    cells.extend(
        state.spread_over_machines().map(|(machines, spread)| ("Spread", format!("{machines} machines: {spread}"))),
    );
    if let Some(spent) = facts::tightest(state) {
        cells.push((
            "Tightest budget",
            format!("{} of {} ({} {})", spent.spent, spent.allowed, spent.check, spent.standing.expectation),
        ));
    }
    let sum = facts::samples(state.checks.values());
    if sum.asked > 0 {
        let (asked, failed) = (words::thousands(sum.asked), words::thousands(sum.failed));
        cells.push(("Samples", format!("{asked}, {failed} failed")));
    }
    cells.extend(state.started.as_ref().map(|s| ("Seed", s.seed.to_string())));
    if cells.is_empty() {
        return Ok(());
    }
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    writeln!(out, "{}", row(cells.iter().map(|c| c.0.to_owned()).collect()))?;
    writeln!(out, "{}", row(cells.iter().map(|_| "---".to_owned()).collect()))?;
    writeln!(out, "{}\n", row(cells.iter().map(|c| text(&c.1)).collect()))
}

/// How every expectation stood: those of the last phase that says something about the hypothesis.
fn expectations(out: &mut String, state: &RunState) -> std::fmt::Result {
    let phase = if state.reached(Phase::During) { Phase::During } else { Phase::Baseline };
    let rows: Vec<_> = state
        .checks
        .keys()
        .flat_map(|name| facts::standings(state, name, phase).into_iter().map(move |s| (name, s)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "| Expectation ({phase}) | Bound | Measured | Budget spent | |\n|---|---|---|---|---|")?;
    for (name, s) in rows.iter().take(2 * SHOWN) {
        let budget = s.spent.zip(s.budget).map_or("–".to_owned(), |(spent, budget)| format!("{spent} of {budget}"));
        let came = s.judgement();
        let result = if facts::is_rehearsal(state) { facts::came_out(state, came) } else { result(came) };
        let cells = [format!("{name} {}", s.expectation), s.bound.clone(), s.measured.clone(), budget];
        writeln!(out, "| {} | {result} |", cells.map(|c| text(&c)).join(" | "))?;
    }
    writeln!(out)?;
    for (name, promised) in
        state.checks.keys().filter_map(|name| Some((name, facts::contract(state, name)?))).take(SHOWN)
    {
        let met = facts::answers(state, name).map(|met| format!("; answered: {met}")).unwrap_or_default();
        writeln!(out, "{} during the fault: {}{}\n", code(name), text(&promised), text(&met))?;
    }
    more(out, rows.len().saturating_sub(SHOWN), "")
}

fn result(came: Judgement) -> String {
    let symbol = match came {
        Judgement::Held => "✅",
        Judgement::Broken => "❌",
        Judgement::NotJudged => "⚪",
    };
    format!("{symbol} {came}")
}

/// Each of several faults with its times.
fn several(out: &mut String, state: &RunState) -> std::fmt::Result {
    let all = faults::all(state);
    if all.len() < 2 || state.changes.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "| Fault | Targeted | Planned | Injected | Rolled back | Was on | Injection |\n|---|---|---|---|---|---|---|"
    )?;
    for fault in all.iter().take(SHOWN) {
        let at = |at: Option<jiff::Timestamp>| at.map_or("no".to_owned(), |at| words::relative(state, at));
        let lasted = fault.lasted().map_or("–".to_owned(), words::span);
        let verified = fault.evidence.filter(|_| fault.verified).map_or("not verified".to_owned(), |e| e.to_string());
        let cells = [fault.title(), fault.whom(), fault.planned(), at(fault.injected), at(fault.rolled_back), lasted];
        writeln!(out, "| {} | {verified} |", cells.map(|c| text(&c)).join(" | "))?;
    }
    writeln!(out)?;
    more(out, all.len(), "")
}

/// Where zones went out: what became of each, in which zone answers were given, and the failover clock.
fn zones_out(out: &mut String, state: &RunState) -> std::fmt::Result {
    let Some(all) = Zones::of(state).filter(Zones::any_out) else { return Ok(()) };
    for sentence in zones::sentences(state) {
        writeln!(out, "{}.\n", text(&sentence))?;
    }
    writeln!(out, "| Zone | What happened | Targeted | Spared |\n|---|---|---|---|")?;
    for zone in all.all.iter().take(SHOWN) {
        let names = |targeted: bool| {
            let name = |m: &zones::Member<'_>| match m.fate {
                zones::InstanceOutcome::Down => format!("{} (was down)", m.name),
                _ => m.name.to_owned(),
            };
            let of: Vec<String> = zone.members.iter().filter(|m| m.fate.is_targeted() == targeted).map(name).collect();
            if of.is_empty() { "–".to_owned() } else { few(&of, 3) }
        };
        let cells = [zone.title(), zone.words().unwrap_or_else(|| "–".to_owned()), names(true), names(false)];
        writeln!(out, "| {} |", cells.map(|c| text(&c)).join(" | "))?;
    }
    writeln!(out)?;
    more(out, all.all.len(), "")?;
    for answers in all.answers(state).iter().take(3) {
        if !answers.given.is_empty() {
            let phases = PHASES.map(|phase| phase.to_string()).join(" | ");
            writeln!(out, "| {} answered in | {phases} |\n|---|---|---|---|---|", text(answers.check))?;
            for (place, given) in answers.given.iter().take(SHOWN) {
                writeln!(out, "| {} | {} |", text(&all.title(*place)), given.map(words::thousands).join(" | "))?;
            }
            writeln!(out)?;
        }
        if let Some(clock) = answers.clock {
            let ((served, note), (returned, after)) = (zones::served(clock), zones::returned(clock));
            writeln!(
                out,
                "Failover of {}: served by the others: **{served}** ({note}). Served by the zone again: **{returned}** ({after}).\n",
                text(answers.check)
            )?;
        }
    }
    Ok(())
}

fn alerts(out: &mut String, state: &RunState) -> std::fmt::Result {
    let rows = facts::alerts(state);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "| Alert | Expected | Bound | Measured | |\n|---|---|---|---|---|")?;
    for row in rows.iter().take(SHOWN) {
        let result = match row.held {
            Some(held) if facts::is_rehearsal(state) => facts::came_out(state, held.into()),
            Some(true) => "✅".to_owned(),
            Some(false) => "❌".to_owned(),
            None => String::new(),
        };
        let cells = [&row.alert, row.expectation, &row.bound, &row.measured];
        writeln!(out, "| {} | {result} |", cells.map(text).join(" | "))?;
    }
    writeln!(out)?;
    more(out, rows.len(), "")
}

fn targets(out: &mut String, state: &RunState) -> std::fmt::Result {
    if state.changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "| Targeted | Change | Injection | Rolled back | Undo |\n|---|---|---|---|---|")?;
    for change in state.changes.iter().take(SHOWN) {
        let injection = match &change.verification {
            Some(Verification { verified: true, proof, .. }) => {
                let evidence = change.evidence().unwrap_or(Evidence::Observed);
                let during = change.sees.during.as_ref().map(|sees| format!("it saw {sees}"));
                let known = change.measured.map(|c| c.to_string()).or(during);
                format!("{evidence}: {}", known.unwrap_or_else(|| proof.clone()))
            }
            Some(Verification { verified: false, proof, .. }) => format!("none: {proof}"),
            None => "not verified".to_owned(),
        };
        let injection = match &change.effect {
            Some(effect) if effect.is_unaffected() => format!("{injection}; no effect: {effect}"),
            Some(effect) if !effect.is_affected() => format!("{injection}; its effect cannot be known: {effect}"),
            _ => injection,
        };
        let back = match &change.rolled_back {
            Some(r) => format!("{} by {}", words::relative(state, r.at), r.by),
            None => "no".to_owned(),
        };
        let undo = match state.restored.iter().find(|r| r.instance == change.change.name) {
            Some(restored) if !restored.differs() && change.is_claimed_back() => {
                "claimed: its undo command ended with exit status 0".to_owned()
            }
            Some(restored) if !restored.differs() => "verified".to_owned(),
            Some(restored) => format!("differs: {}", restored.what_differs()),
            None => "not compared".to_owned(),
        };
        let (before, to, _) = words::values(&change.change);
        let fault = facts::fault_of(state, &change.change).map(|f| format!(" (fault {f})")).unwrap_or_default();
        let cells = [change.change.name.clone(), format!("{before} → {to}{fault}"), injection, back, undo];
        writeln!(out, "| {} |", cells.map(|c| text(&c)).join(" | "))?;
    }
    writeln!(out)?;
    more(out, state.changes.len(), "")?;
    if let Some(by) = state.changes.iter().find_map(|c| state.mechanism(&c.change)) {
        writeln!(out, "Mechanism: {}.\n", text(&by))?;
    }
    if !state.spared.is_empty() {
        let names: Vec<String> = state.spared.iter().map(|s| text(&s.name)).collect();
        writeln!(out, "Spared: {}.\n", few(&names, SHOWN))?;
    }
    Ok(())
}

fn more(out: &mut String, total: usize, lead: &str) -> std::fmt::Result {
    match total.saturating_sub(SHOWN) {
        0 => Ok(()),
        rest => writeln!(out, "{lead}and {rest} more\n"),
    }
}

/// A text that stays one: lines are joined, markup in it is escaped. What stands between backticks stays code.
pub(super) fn text(raw: &str) -> String {
    let parts: Vec<&str> = raw.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped(&raw.replace('`', "'"));
    }
    // A pipe ends a table's cell even inside code.
    let part = |(i, part): (usize, &&str)| if i % 2 == 1 { code(part).replace('|', "\\|") } else { escaped(part) };
    parts.iter().enumerate().map(part).collect()
}

fn escaped(raw: &str) -> String {
    let mut out = String::new();
    for c in raw.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '*' | '_' | '[' | ']' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A text as code, whatever is in it.
pub(super) fn code(raw: &str) -> String {
    let one_line = raw.replace(['\n', '\r'], " ");
    if one_line.is_empty() {
        return one_line;
    }
    let longest = one_line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{one_line}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_fixtures_read_well() {
        for (name, state) in fixture::all() {
            insta::assert_snapshot!(format!("markdown-{name}"), render(&state));
        }
    }

    #[test]
    fn it_fits_a_comment() {
        for (name, state) in fixture::all() {
            let lines = render(&state).lines().count();
            assert!(lines < 60, "{name}: {lines} lines");
        }
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let text = render(&fixture::hostile());
        let outside_of_code: String = text.split("``").step_by(2).collect();
        assert!(!outside_of_code.contains("<script"), "{outside_of_code}");
        // Every row of a table keeps its number of cells.
        let cells = |l: &str| l.replace("\\|", "").matches('|').count();
        let mut columns = 0;
        for line in text.lines() {
            match line.starts_with('|') {
                true if columns == 0 => columns = cells(line),
                true => assert_eq!(cells(line), columns, "{line}"),
                false => columns = 0,
            }
        }
    }
}
