//! What a file means: mistakes that no single value shows, each at the key it is about.
//!
//! Works on the parts that could be read, so that these mistakes come together with all others. A part with a mistake in
//! it is left alone: what it lacks may be a consequence.

mod alerts;
mod breakable;
mod contract;
mod expect;
mod faults;
mod fleet;
mod inherited;
mod on_time;
mod probe;
mod radius;
mod ramps;
mod samples;

pub(super) use fleet::{ADDRESS, HOSTNAME, fleet_file};

use super::diagnostic::{Mistake, and};
use super::document::Document;
use super::document::found::{Found, command, dotted, positive, projects, texts};
use super::tree::Kind;
use super::{Percent, Span, Timing};
use crate::experiment::fault::Fault;
use crate::model::quantity::{self, Lookup};

/// The two sections of a file that hold checks.
const SECTIONS: [&str; 2] = ["steady-state", "safety"];

/// Adds what is wrong with the meaning of an experiment.
pub(super) fn experiment(document: &mut Document, lookup: Lookup<'_>) {
    let mut found = Found { document, lookup, mistakes: Vec::new() };
    header(&mut found);
    let timing = timing(&mut found);
    comparison(&mut found);
    for section in SECTIONS {
        let names = found.document.entry(&[section]).map(|e| e.value.entries().to_vec()).unwrap_or_default();
        for entry in names {
            let path = [section, entry.key.as_str()];
            probe::check(&mut found, &path);
            probe::in_flight(&mut found, path);
            expect::check(&mut found, path, timing);
        }
    }
    expect::something(&mut found);
    alerts::check(&mut found, timing);
    projects(&mut found, &[]);
    zones(&mut found);
    names(&mut found);
    let numbers: Vec<String> = (0..injections(found.document)).map(|n| n.to_string()).collect();
    // Where each fault's keys stand: in an item of `faults`, or at the top.
    let mut places: Vec<Vec<&str>> = numbers.iter().map(|n| vec!["faults", n.as_str()]).collect();
    if found.document.entry(&["faults"]).is_none() {
        places.push(Vec::new());
    }
    let under = |key: &'static str| places.iter().map(|p| [p.as_slice(), &[key]].concat()).collect::<Vec<_>>();
    radius::check(&mut found, &under("target"));
    for path in under("fault") {
        fault(&mut found, &path);
    }
    faults::check(&mut found, &places, timing);
    samples::check(&mut found, &places, timing);
    ramps::check(&mut found, &places, timing);
    let mistakes = found.mistakes;
    document.mistakes.extend(mistakes);
}

/// What is wrong with the version and the name of a file of any kind.
pub(super) fn head(document: &Document) -> Vec<Mistake> {
    let mut found = Found { document, lookup: &quantity::unset, mistakes: Vec::new() };
    header(&mut found);
    found.mistakes
}

/// What is wrong with a check that is asked by itself, in a file of any kind.
pub(super) fn probe_of(document: &Document, lookup: Lookup<'_>, path: &[&str]) -> Vec<Mistake> {
    let mut found = Found { document, lookup, mistakes: Vec::new() };
    probe::check(&mut found, path);
    found.mistakes
}

/// How many faults are listed.
fn injections(document: &Document) -> usize {
    match document.entry(&["faults"]).map(|e| &e.value.kind) {
        Some(Kind::List(items)) => items.len(),
        _ => 0,
    }
}

/// Adds what is wrong with the meaning of a project file.
pub(super) fn project_file(document: &mut Document) {
    let mut found = Found { document, lookup: &quantity::unset, mistakes: Vec::new() };
    header(&mut found);
    projects(&mut found, &[]);
    let mistakes = found.mistakes;
    document.mistakes.extend(mistakes);
}

/// Adds what is wrong with the meaning of a stack file.
pub(super) fn stack(document: &mut Document) {
    let mut found = Found { document, lookup: &quantity::unset, mistakes: Vec::new() };
    header(&mut found);
    if let Some(services) = found.document.entry(&["services"]).map(|e| e.value.clone()) {
        if services.entries().is_empty() && !services.has_mistakes() {
            let at = found.document.key_at(&["services"]);
            found.add(Mistake::error(&at, "the stack has no services"));
        }
        for entry in services.entries() {
            service(&mut found, &entry.key, &services);
        }
    }
    let mistakes = found.mistakes;
    document.mistakes.extend(mistakes);
}

fn service(found: &mut Found<'_>, name: &str, all: &super::tree::Node) {
    let path = ["services", name];
    let Some(service) = found.document.part::<crate::experiment::stack::Service>(&path) else { return };
    command(found, &["services", name, "command"], &service.command);
    if service.replicas == 0 {
        let at = found.document.value_at(&["services", name, "replicas"]);
        found.add(Mistake::error(&at, format!("`{name}` has no replicas")).help("remove the service, or give 1"));
    }
    let last = service.port.map(|p| usize::from(p) + service.replicas.saturating_sub(1));
    if service.port == Some(0) || last.is_some_and(|p| p > 65_535) {
        let at = found.document.value_at(&["services", name, "port"]);
        found.add(
            Mistake::error(&at, format!("`{name}` cannot have these ports")).label("1 to 65535, one for each replica"),
        );
    }
    for need in service.needs {
        if all.entry(&[&need]).is_none() {
            let at = found.document.key_at(&["services", name, "needs"]);
            let known = all.entries().iter().map(|e| e.key.as_str());
            let label = match super::diagnostic::meant(&need, known) {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => String::new(),
            };
            found.add(Mistake::error(&at, format!("`{name}` needs `{need}`, which is not in this stack")).label(label));
        }
    }
}

/// Version and name, which every kind of file has.
fn header(found: &mut Found<'_>) {
    if let Some(version) = found.document.part::<u64>(&["version"])
        && version != 1
    {
        let at = found.document.value_at(&["version"]);
        found.add(Mistake::error(&at, format!("version {version} of the format is not known")).label("write `1`"));
    }
    if let Some(name) = found.document.part::<String>(&["name"]) {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > 80
            || !name.chars().all(good)
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            let at = found.document.value_at(&["name"]);
            found.add(
                Mistake::error(&at, "`name` must be a short name").label("up to 80 letters, digits, `-`, `_` and `.`"),
            );
        }
    }
    for key in ["hypothesis", "known-weakness", "zone-label"] {
        if found.document.part::<String>(&[key]).is_some_and(|text| text.trim().is_empty()) {
            let at = found.document.value_at(&[key]);
            found.add(Mistake::error(&at, format!("`{key}` is empty")));
        }
    }
}

/// A confidence of one half is a coin, and no measurement is ever entirely sure. No run can have more failures than all.
fn comparison(found: &mut Found<'_>) {
    let path = ["no-worse-than", "failures"];
    if let Some(more) = found.document.part::<Percent>(&path)
        && more.0 >= 1.0
    {
        let at = found.document.value_at(&path);
        found.add(Mistake::error(&at, "`no-worse-than.failures` can never break").label("2% is usual"));
    }
    let path = ["no-worse-than", "confidence"];
    if let Some(confidence) = found.document.part::<Percent>(&path)
        && !(0.5..1.0).contains(&confidence.0)
    {
        let at = found.document.value_at(&path);
        found.add(
            Mistake::error(&at, "`no-worse-than.confidence` must be at least 50% and below 100%").label("95% is usual"),
        );
    }
}

/// The phases; the defaults where none are given.
fn timing(found: &mut Found<'_>) -> Option<Timing> {
    let timing = match found.document.entry(&["timing"]) {
        Some(_) => found.document.part::<Timing>(&["timing"])?,
        None => Timing::default(),
    };
    for (key, span) in [("baseline", timing.baseline), ("duration", timing.duration)] {
        if span.0.is_zero() {
            let at = found.document.value_at(&["timing", key]);
            let why = if key == "baseline" {
                "without a baseline a breach proves nothing"
            } else {
                "nothing can be observed in no time"
            };
            found.add(Mistake::error(&at, format!("`timing.{key}` is zero")).label(why));
        }
    }
    if timing.recovery < timing.baseline {
        let at = found.document.value_at(&["timing", "recovery"]);
        found.add(
            Mistake::error(
                &at,
                format!("`timing.recovery` ({}) is shorter than the baseline ({})", timing.recovery, timing.baseline),
            )
            .help("the system has recovered after one good stretch as long as the baseline: allow at least that"),
        );
    }
    Some(timing)
}

/// Where zones are read from.
fn zones(found: &mut Found<'_>) {
    if let (Some(zones), Some(label)) = (found.document.entry(&["zones"]), found.document.entry(&["zone-label"])) {
        let (zones, label) = (zones.key_at.clone(), label.key_at.clone());
        found.add(
            Mistake::error(&zones, "`zones` and `zone-label` do not go together")
                .also(&label, "the other one")
                .help("`zone-label: rack` is short for `zones: { label: rack }`"),
        );
    }
    for key in ["label", "network"] {
        if found.document.part::<String>(&["zones", key]).is_some_and(|text| text.trim().is_empty()) {
            let at = found.document.value_at(&["zones", key]);
            found.add(Mistake::error(&at, format!("`zones.{key}` is empty")));
        }
    }
}

/// A name stands for one check in reports, whichever section it is in.
fn names(found: &mut Found<'_>) {
    let document = found.document;
    let section = |name: &str| document.entry(&[name]);
    if let Some(steady) = section("steady-state")
        && steady.value.entries().is_empty()
        && !steady.value.has_mistakes()
    {
        found.add(
            Mistake::error(&steady.key_at, "`steady-state` has no probes")
                .help("without a probe nothing can be proven: name at least one"),
        );
    }
    let pairs = [("steady-state", "safety"), ("steady-state", "alerts"), ("safety", "alerts")];
    let both = pairs.into_iter().flat_map(|(one, other)| {
        section(other).into_iter().flat_map(|s| s.value.entries()).filter_map(move |second| {
            let first = section(one)?.value.entry(&[&second.key])?;
            Some((first, second))
        })
    });
    for (first, second) in both.collect::<Vec<_>>() {
        found.add(
            Mistake::error(&second.key_at, format!("`{}` is the name of two probes", second.key))
                .also(&first.key_at, "first given here"),
        );
    }
}

/// What is wrong with a fault: its own file knows.
fn fault(found: &mut Found<'_>, path: &[&str]) {
    let Some(fault) = found.document.part::<Fault>(path) else { return };
    fault.disturb().check(found, &[path, &[fault.name()]].concat());
    let probes = found.document.entry(&["steady-state"]).map(|e| e.value.entries()).unwrap_or_default();
    let only_tcp = !probes.is_empty() && probes.iter().all(|p| p.value.entry(&["tcp"]).is_some());
    if only_tcp && let Some(unseen) = fault.disturb().unseen() {
        let at = found.document.key_at(path);
        found.add(Mistake::warning(&at, format!("no probe may notice `{}`", fault.name())).help(unseen));
    }
}
