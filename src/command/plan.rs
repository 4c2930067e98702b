//! `squall plan`: who would be hit, who is spared and why, and how it would be undone. Touches nothing.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what people see")]

use std::fmt::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use tabled::builder::Builder;
use tabled::settings::{Style, Width, peaker::Priority};

use super::connect::reach;
use super::load;
use super::run::no_verdict;
use crate::cli;
use crate::engine::Engine;
use crate::exit::INVALID;
use crate::instance::{Back, Change, Instance, Setting};
use crate::plan::{Plan, plan};
use crate::store::StateDir;
use crate::target::{self, Targets};

pub(super) async fn run(args: cli::Plan, state: StateDir) -> anyhow::Result<ExitCode> {
    let x = match load::experiment(&args.file) {
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
    let reached = match reach(&args.engine, Some(&x), &state).await {
        Ok(reached) => reached,
        Err(e) => return Ok(no_verdict(&format!("{e:#}"))),
    };
    let engine = reached.engine();
    let fleet = engine.observe().await?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let aimed = target::choose(&x, &fleet, seed)
        .and_then(|targets| plan(&x, &targets, &fleet, seed, |to| engine.can(to)).map(|plan| (targets, plan)));
    let (targets, plan) = match aimed {
        Ok(aimed) => aimed,
        Err(refusal) => return Ok(no_verdict(&format!("{refusal} ({})", refusal.reason.word()))),
    };
    if args.json {
        let steps: Vec<_> =
            plan.changes.iter().map(|c| serde_json::json!({ "change": c, "undo": undo(c, engine.as_ref()) })).collect();
        let all = serde_json::json!({ "seed": seed, "hit": targets.hit, "spared": targets.spared, "changes": steps, "warnings": plan.warnings });
        println!("{all:#}");
    } else {
        show(&targets, &plan, &fleet, engine.as_ref());
        let mut again = format!("squall run {} --seed {seed}", args.file.display());
        if let Some(stack) = &args.engine.stack {
            let _ = write!(again, " --stack {}", stack.display());
        }
        if let Some(kind) = args.engine.engine {
            let _ = write!(again, " --engine {kind}");
        }
        println!("\nThe same victims again: {again}");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(targets: &Targets, plan: &Plan, fleet: &[Instance], engine: &dyn Engine) {
    println!("Would be hit:");
    let mut rows = Builder::default();
    rows.push_record(["instance", "zone", "now", "with the fault", "undone by"]);
    for c in &plan.changes {
        let instance = targets.hit.iter().find(|i| i.id == c.instance);
        let zone = instance.and_then(|i| i.zone.clone()).unwrap_or_else(|| "–".to_owned());
        let now = c.before.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        rows.push_record([c.name.clone(), zone, now, by_name(&c.to, fleet), undo(c, engine)]);
    }
    table(rows);
    if !targets.spared.is_empty() {
        println!("\nSpared:");
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
        table(rows);
    }
    for warning in &plan.warnings {
        println!("\nwarning: {warning}");
    }
    println!("\nNothing was touched.");
}

/// A setting in words, in which instances have their names in place of their addresses.
fn by_name(to: &Setting, fleet: &[Instance]) -> String {
    let name = |word: &str| {
        let address: IpAddr = word.parse().ok()?;
        fleet.iter().find(|i| i.addresses.iter().any(|a| a.ip == address)).map(|i| i.name.clone())
    };
    let text = to.to_string();
    let words = text.split(' ').map(|word| match word.strip_suffix(',') {
        Some(bare) => name(bare).map_or_else(|| word.to_owned(), |name| name + ","),
        None => name(word).unwrap_or_else(|| word.to_owned()),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn undo(c: &Change, engine: &dyn Engine) -> String {
    match &c.back {
        Back::To(setting) => engine.by_hand(c, setting),
        Back::Nothing => "nothing to undo".to_owned(),
    }
}

fn table(rows: Builder) {
    let mut table = rows.build();
    table.with(Style::rounded()).with(Width::wrap(80).priority(Priority::max(true)).keep_words(true));
    println!("{table}");
}
