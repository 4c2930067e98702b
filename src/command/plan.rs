//! `squall plan`: who would be hit, who is spared and why, and how it would be undone. Touches nothing.
#![expect(clippy::print_stderr, reason = "what people see")]

use std::fmt::Write;
use std::process::ExitCode;

use tabled::builder::Builder;
use tabled::settings::{Style, Width, peaker::Priority};

use super::connect::reach;
use super::load;
use super::run::no_verdict;
use crate::cli;
use crate::engine::{Engine, Kind};
use crate::exit::INVALID;
use crate::experiment::Experiment;
use crate::instance::{Back, Change, Setting};
use crate::plan::{Plan, plan};
use crate::store::StateDir;
use crate::target::{self, Targets};

pub(super) async fn run(mut args: cli::Plan, state: StateDir) -> anyhow::Result<ExitCode> {
    let mut x = match load::experiment(&args.file) {
        Ok(reading) => {
            if !args.json && !reading.warnings.is_empty() {
                eprintln!("{}\n", reading.warnings.render(load::styled()));
            }
            reading.value
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            return Ok(ExitCode::from(INVALID));
        }
    };
    x.blast_radius.protect.extend(args.protect);
    super::run_stack::named(&mut args.engine, [&mut x])?;
    let reached = match reach(&args.engine, Some(&x), &state).await {
        Ok(reached) => reached,
        Err(e) => return Ok(no_verdict(&format!("{e:#}"))),
    };
    let engine = reached.engine();
    let fleet = engine.observe().await?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let aimed = target::choose(&x, &fleet, seed)
        .and_then(|targets| plan(&x, &targets, &fleet, seed, |i, to| engine.can(i, to)).map(|plan| (targets, plan)));
    let (targets, plan) = match aimed {
        Ok(aimed) => aimed,
        Err(refusal) => return Ok(no_verdict(&format!("{refusal} ({})", refusal.reason.word()))),
    };
    if args.json {
        let steps: Vec<_> =
            plan.changes.iter().map(|c| serde_json::json!({ "change": c, "undo": undo(c, engine.as_ref()) })).collect();
        let all = serde_json::json!({ "seed": seed, "hit": targets.hit, "spared": targets.spared, "changes": steps, "warnings": plan.warnings });
        super::print(&format!("{all:#}\n"))?;
    } else {
        let mut again = format!("squall run {} --seed {seed}", args.file.display());
        if let Some(stack) = &args.engine.stack {
            let _ = write!(again, " --stack {}", stack.display());
        }
        if let Some(kind) = args.engine.engine {
            let _ = write!(again, " --engine {kind}");
        }
        let text = shown(&x, &targets, &plan, engine.as_ref());
        super::print(&format!("{text}\nThe same victims again: {again}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(x: &Experiment, targets: &Targets, plan: &Plan, engine: &dyn Engine) -> String {
    let mut out = String::from("Would be hit:\n");
    let mut rows = Builder::default();
    let fits = plan.changes.iter().any(|c| !is_long(c));
    let columns = ["instance", "zone", "now", "with the fault", "undone by"].map(str::to_owned);
    rows.push_record(columns.into_iter().take(if fits { 5 } else { 4 }));
    for c in &plan.changes {
        let instance = targets.hit.iter().find(|i| i.id == c.instance);
        let zone = instance.and_then(|i| i.zone.clone()).unwrap_or_else(|| "–".to_owned());
        let now = c.before.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        let undone_by = if is_long(c) { "see below".to_owned() } else { undo(c, engine) };
        let cells = [c.name.clone(), zone, now, c.to.to_string(), undone_by];
        rows.push_record(cells.into_iter().take(if fits { 5 } else { 4 }));
    }
    let _ = writeln!(out, "{}", table(rows));
    let faults = x.faults();
    for (n, fault) in faults.iter().enumerate().filter(|_| faults.len() > 1) {
        let names: Vec<&str> = targets.of(n).map(|i| i.name.as_str()).collect();
        let _ = writeln!(out, "Fault {}: {}, on {}", n + 1, fault.words(x.timing.duration), names.join(", "));
    }
    let mechanism = plan.changes.iter().find_map(|c| match &c.to {
        Setting::Network(network) if engine.describe().kind != Kind::Sim => Some(network.done_by()),
        _ => None,
    });
    if let Some(by) = mechanism {
        let _ = writeln!(out, "Mechanism: {by}");
    }
    for c in plan.changes.iter().filter(|c| is_long(c)) {
        let _ = writeln!(out, "\nWhat would undo {} by hand:\n{}", c.name, undo(c, engine));
    }
    if !targets.spared.is_empty() {
        out.push_str("\nSpared:\n");
        let mut rows = Builder::default();
        rows.push_record(["instance", "service", "zone", "why"]);
        for s in &targets.spared {
            rows.push_record([
                s.name.clone(),
                s.service.clone(),
                s.zone.clone().unwrap_or_else(|| "–".to_owned()),
                s.why.clone(),
            ]);
        }
        let _ = writeln!(out, "{}", table(rows));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "\nwarning: {warning}");
    }
    out + "\nNothing was touched.\n"
}

/// Whether the way back is too long for a table: then it stands below it, whole.
fn is_long(c: &Change) -> bool {
    matches!(c.back, Back::To(Setting::Mark(..)))
}

fn undo(c: &Change, engine: &dyn Engine) -> String {
    match &c.back {
        Back::To(setting) => engine.by_hand(c, setting),
        Back::Nothing => "nothing to undo".to_owned(),
    }
}

fn table(rows: Builder) -> String {
    let mut table = rows.build();
    table.with(Style::rounded()).with(Width::wrap(80).priority(Priority::max(true)).keep_words(true));
    table.to_string()
}
