//! `squall plan`: who would be targeted, who is spared and why, and how it would be undone. Touches nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use tabled::builder::Builder;
use tabled::settings::{Style, Width, peaker::Priority};

use super::connect::{ConnectedEngine, reach};
use super::load;
use super::one_run::no_verdict;
use crate::command::cli;
use crate::engine::{Apply, Engine};
use crate::experiment::Experiment;
use crate::host::store::StateDir;
use crate::model::exit::INVALID;
use crate::model::instance::project::by_project;
use crate::model::instance::{Aspect, Change, Instance, Rollback, Setting};
use crate::report::follow;
use crate::run::abilities::with_abilities;
use crate::run::plan::{Plan, plan};
use crate::run::target::{self, Targets};
use crate::run::{hosts, programs};
use crate::text::visible::line;

pub(super) async fn run(mut args: cli::Plan, state: StateDir) -> anyhow::Result<ExitCode> {
    let mut x = match load::experiment(&args.file) {
        Ok(reading) => {
            if !args.json && !reading.warnings.is_empty() {
                follow::complain_styled(&format!("{}\n", reading.warnings.render(load::styled())));
            }
            reading.value
        }
        Err(trouble) => {
            follow::complain_styled(&trouble.to_string());
            return Ok(ExitCode::from(INVALID));
        }
    };
    x.blast_radius.protect.extend(args.protect.iter().cloned());
    super::run_stack::named(&mut args.engine, [&mut x])?;
    let reached = match reach(&args.engine, Some(&x), &state).await {
        Ok(reached) => reached,
        Err(e) => return Ok(no_verdict(&format!("{e:#}"))),
    };
    let came = planned(&args, &x, &reached).await;
    reached.close(true).await;
    came
}

/// Plans on an engine that answers, and shows what would be done.
async fn planned(args: &cli::Plan, x: &Experiment, reached: &ConnectedEngine) -> anyhow::Result<ExitCode> {
    let engine = reached.engine();
    let fleet = match engine.observe().await {
        Ok(fleet) => fleet,
        Err(e) => return Ok(no_verdict(&e.to_string())),
    };
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let aimed = match target::choose(x, &fleet, seed) {
        Ok(targets) => {
            let plan = with_abilities(engine.as_ref(), |can| plan(x, &targets, &fleet, seed, can)).await;
            match plan {
                Ok(plan) => plan.map(|plan| (targets, plan)),
                Err(e) => return Ok(no_verdict(&e.to_string())),
            }
        }
        Err(refusal) => Err(refusal),
    };
    let (targets, plan) = match aimed {
        Ok(aimed) => aimed,
        Err(refusal) => return Ok(no_verdict(&format!("{refusal} ({})", refusal.reason.word()))),
    };
    let hosts = match hosts::addresses(engine.as_ref(), &plan.changes).await {
        Ok(hosts) => hosts,
        Err(refusal) => return Ok(no_verdict(&format!("{refusal} ({})", refusal.reason.word()))),
    };
    if let Err(refusal) = programs::are_there(engine.as_ref(), &plan.changes).await {
        return Ok(no_verdict(&format!("{refusal} ({})", refusal.reason.word())));
    }
    if args.json {
        let steps: Vec<_> = plan
            .changes
            .iter()
            .map(|c| serde_json::json!({ "change": c, "undo": undo(c, &targets, engine.as_ref()) }))
            .collect();
        let all = serde_json::json!({ "seed": seed, "targeted": targets.targeted, "spared": targets.spared, "changes": steps, "warnings": plan.warnings });
        super::print(&format!("{all:#}\n"))?;
    } else {
        let mut again = format!("squall run {} --seed {seed}", args.file.display());
        if let Some(stack) = &args.engine.stack {
            let _ = write!(again, " --stack {}", stack.display());
        }
        if let Some(kind) = args.engine.engine {
            let _ = write!(again, " --engine {kind}");
        }
        for (option, value) in args.engine.docker.named() {
            let _ = write!(again, " {option} {value}");
        }
        let text = shown(x, &targets, &plan, &hosts, engine.as_ref());
        super::show(&format!("{text}\nThe same targets again: {again}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(
    x: &Experiment,
    targets: &Targets,
    plan: &Plan,
    hosts: &BTreeMap<String, Vec<IpAddr>>,
    engine: &dyn Engine,
) -> String {
    let mut out = String::from("Would be targeted:\n");
    let mut rows = Builder::default();
    rows.push_record(["instance", "zone", "now", "with the fault"]);
    for c in &plan.changes {
        let instance = targets.targeted.iter().find(|i| i.id == c.instance);
        let zone = instance.and_then(|i| i.zone.clone()).unwrap_or_else(|| "–".to_owned());
        let now = c.before.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        rows.push_record([c.name.clone(), zone, now, c.to.to_string()].map(|cell| line(&cell).into_owned()));
    }
    let _ = writeln!(out, "{}", table(rows));
    let projects: Vec<&str> = by_project(&targets.targeted).into_keys().flatten().collect();
    if !projects.is_empty() {
        let _ = writeln!(out, "Project: {}", line(&projects.join(", ")));
    }
    let faults = x.faults();
    for (n, fault) in faults.iter().enumerate().filter(|_| faults.len() > 1) {
        let names: Vec<&str> = targets.of(n).map(|i| i.name.as_str()).collect();
        let text = format!("Fault {}: {}, on {}", n + 1, fault.words(x.timing.duration), names.join(", "));
        let _ = writeln!(out, "{}", line(&text));
    }
    let mechanism = plan.changes.iter().find_map(|c| match &c.to {
        Setting::Network(network) if !engine.describe().is_simulated() => Some(network.done_by()),
        _ => None,
    });
    if let Some(by) = mechanism {
        let _ = writeln!(out, "Mechanism: {by}");
    }
    for (host, addresses) in hosts {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "Peer {}: {}", line(host), addresses.join(", "));
    }
    // Each on a line of its own, as it stands: to be copied.
    let _ = writeln!(out, "\nUndone by hand, the newest first:");
    for c in plan.changes.iter().rev() {
        let _ = writeln!(out, "{}", undo(c, targets, engine));
    }
    if !targets.spared.is_empty() {
        out.push_str("\nSpared:\n");
        let mut rows = Builder::default();
        rows.push_record(["instance", "service", "zone", "why"]);
        for s in &targets.spared {
            let zone = s.zone.as_deref().unwrap_or("–");
            rows.push_record([&s.name, &s.service, zone, &s.why].map(|cell| line(cell).into_owned()));
        }
        let _ = writeln!(out, "{}", table(rows));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "\nwarning: {}", line(warning));
    }
    out + "\nNothing was touched.\n"
}

/// The line that a person would type to undo a change; a comment where there is nothing to type.
fn undo(c: &Change, targets: &Targets, engine: &dyn Apply) -> String {
    let instance = targets.targeted.iter().find(|i| i.id == c.instance);
    match (&c.back, instance.and_then(Instance::replaced_by)) {
        (Rollback::To(_), Some(by)) if c.to.aspect() == Aspect::Running => {
            format!("# nothing for {}: {} replaces it", line(&c.name), line(by))
        }
        (Rollback::To(setting), _) => engine.by_hand(c, setting),
        (Rollback::Nothing, _) => format!("# nothing for {}", line(&c.name)),
    }
}

fn table(rows: Builder) -> String {
    let mut table = rows.build();
    table.with(Style::rounded()).with(Width::wrap(80).priority(Priority::max(true)).keep_words(true));
    table.to_string()
}
