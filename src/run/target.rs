//! Who is targeted: chosen inside the blast radius, by a seed, purely. Limits are refusals, never adjustments.

pub(crate) mod elsewhere;
pub(crate) mod nodes;
pub(crate) mod projects;
pub(crate) mod unanswered;
pub(crate) mod unsteady;

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use thiserror::Error;

use crate::experiment::fault::Whole;
use crate::experiment::{BlastRadius, Experiment, Injection, Pick};
use crate::model::instance::{Instance, InstanceId, Trait, aliases};
use crate::record::event::{Reason, Spared};
use crate::text::units::few;

/// Who is targeted and who is not, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Who is targeted by any fault, ordered by name.
    pub targeted: Vec<Instance>,
    /// Whom each fault of the list targets.
    pub by_fault: Vec<Vec<InstanceId>>,
    /// Everybody else.
    pub spared: Vec<Spared>,
}

impl Targets {
    /// Whom one fault of the list targets, ordered by name.
    pub fn of(&self, fault: usize) -> impl Iterator<Item = &Instance> {
        let ids = self.by_fault.get(fault).map(Vec::as_slice).unwrap_or_default();
        self.targeted.iter().filter(|i| ids.contains(&i.id))
    }
}

/// Why no instance is targeted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Refusal {
    /// The reason that the run ends with.
    pub reason: Reason,
    /// In a sentence: what, why, and what to do.
    pub text: String,
}

impl Refusal {
    pub(crate) fn limits(text: impl Into<String>) -> Self {
        Self { reason: Reason::Refused, text: text.into() }
    }

    fn nobody(text: impl Into<String>) -> Self {
        Self { reason: Reason::NoTarget, text: text.into() }
    }
}

/// Chooses the targets from everything that the engine has.
///
/// The same fleet and seed give the same choice.
///
/// # Errors
/// Where nothing matches, or the choice would exceed a limit.
pub fn choose(x: &Experiment, fleet: &[Instance], seed: u64) -> Result<Targets, Refusal> {
    let faults = x.faults();
    projects::are_said(x, fleet)?;
    let mut by_fault: Vec<Vec<InstanceId>> = Vec::new();
    for injection in &faults {
        let picked = picked(&x.blast_radius, injection, fleet, seed)?;
        nodes::are_whole(&x.blast_radius, injection, &picked, fleet)?;
        by_fault.push(picked.into_iter().map(|i| i.id.clone()).collect());
    }
    // The limits are about everybody who is targeted, whatever targets them, and whenever; but `min-healthy`.
    let mut targeted: Vec<&Instance> =
        fleet.iter().filter(|i| by_fault.iter().flatten().any(|id| *id == i.id)).collect();
    targeted.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    for at_once in at_once(x, &faults) {
        let down: Vec<&Instance> =
            targeted.iter().copied().filter(|i| at_once.iter().any(|n| by_fault[*n].contains(&i.id))).collect();
        within(&x.blast_radius, fleet, &targeted, &down)?;
    }
    // Another project's instances could not have been meant.
    let meant = |i: &Instance| {
        let of = |ids: &Vec<InstanceId>| targeted.iter().copied().filter(|h| ids.contains(&h.id)).collect::<Vec<_>>();
        faults.iter().zip(&by_fault).any(|(fault, ids)| projects::could_mean(fault, &of(ids), i))
    };
    // Squall's own could not, either, unless it is named.
    let is_named = |i: &Instance| faults.iter().any(|f| f.target.selector().matches(i));
    let meant = |i: &Instance| meant(i) && (!i.traits.contains(&Trait::Ours) || is_named(i));
    let spared = fleet.iter().filter(|i| !targeted.contains(i) && meant(i)).map(|i| spare(x, &faults, i)).collect();
    Ok(Targets { targeted: targeted.into_iter().cloned().collect(), by_fault, spared })
}

/// Which faults are on together, by their file: those at the beginning of each, since there are no more at any other time. Faults that
/// do not overlap by their file never do (see `run/during.rs`).
fn at_once(x: &Experiment, faults: &[Injection]) -> Vec<Vec<usize>> {
    let spans: Vec<_> = faults.iter().map(|fault| fault.span(x.timing.duration)).collect();
    spans.iter().map(|one| (0..spans.len()).filter(|n| spans[*n].contains(&one.start)).collect()).collect()
}

/// Whom one fault targets. Faults with the same target have the same ones.
fn picked<'a>(
    radius: &BlastRadius,
    injection: &Injection,
    fleet: &'a [Instance],
    seed: u64,
) -> Result<Vec<&'a Instance>, Refusal> {
    unanswered::could_be_a_target(radius, &injection.target.selector(), fleet)?;
    let (target, candidates) = (&injection.target, candidates(radius, injection, fleet));
    if candidates.is_empty() {
        let selector = target.selector();
        let matching = fleet.iter().filter(|i| selector.matches(i)).count();
        return Err(Refusal::nobody(if matching == 0 {
            let elsewhere = projects::elsewhere(injection, fleet);
            format!("nothing matches the target ({selector}) among {} instances{elsewhere}", fleet.len())
        } else {
            let (zone, hint) = match injection.fault.disturb().whole() {
                Some(Whole::Zone) => ("in no zone, ", "; `zones` says where a zone is read from"),
                Some(Whole::Node) => ("on no node that is known, ", nodes::UNKNOWN),
                None => ("", ""),
            };
            format!(
                "{matching} instances match the target ({selector}), but each is {zone}protected, paused, not running, or \
                 restarted in the baseline{hint}{}",
                elsewhere::told(injection, fleet)
            )
        }));
    }
    let picked = pick(injection.pick(), candidates, seed)?;
    elsewhere::none_is_left_out(radius, injection, fleet, &picked)?;
    Ok(picked)
}

/// What those are called in answers who are in a zone that is targeted as a whole: by name, id or zone. Nothing: no zone is.
#[must_use]
pub fn zones_targeted(faults: &[Injection], targets: &Targets) -> Option<BTreeSet<String>> {
    let of_zones = |n: &usize| faults[*n].fault.disturb().targets_zones();
    let targeted: Vec<&Instance> = (0..faults.len()).filter(of_zones).flat_map(|n| targets.of(n)).collect();
    (!targeted.is_empty()).then(|| targeted.into_iter().flat_map(called).collect())
}

/// What an instance may be called in answers.
fn called(i: &Instance) -> Vec<String> {
    aliases(&i.name, &i.id.0).into_iter().chain(i.zone.clone()).chain(i.also_called()).collect()
}

/// The services that a choice could target, whatever the seed: those to be claimed.
#[must_use]
pub fn services(x: &Experiment, fleet: &[Instance]) -> Vec<String> {
    let faults = x.faults();
    let meant = faults.iter().flat_map(|f| candidates(&x.blast_radius, f, fleet));
    let names: BTreeSet<&String> = meant.map(|i| &i.service).collect();
    names.into_iter().cloned().collect()
}

/// Whether targeting these stays inside the blast radius, given everything that the engine has now. `down` are those of them that are
/// targeted at the same time: who is targeted earlier or later, and is healthy, is one of the healthy.
///
/// # Errors
/// The first limit that it exceeds.
pub fn within(
    radius: &BlastRadius,
    fleet: &[Instance],
    targeted: &[&Instance],
    down: &[&Instance],
) -> Result<(), Refusal> {
    if let Some(i) = targeted.iter().find(|i| protected_by(radius, i).is_some() || i.traits.contains(&Trait::Ours)) {
        return Err(Refusal::limits(format!("{} is protected", i.name)));
    }
    if let Some(max) = radius.max_instances
        && targeted.len() > max
    {
        return Err(Refusal::limits(format!(
            "{} instances would be targeted, and `max-instances` is {max}",
            targeted.len()
        )));
    }
    unanswered::counts(radius, fleet, targeted)?;
    elsewhere::counts(radius, fleet, targeted)?;
    let zones: BTreeSet<&String> = targeted.iter().filter_map(|i| i.zone.as_ref()).collect();
    // What it shares its fate with is not known, so it counts for itself.
    let alone = targeted.iter().filter(|i| i.zone.is_none()).count();
    if let Some(max) = radius.max_zones
        && zones.len() + alone > max
    {
        let of_none = if alone == 0 { String::new() } else { format!(" ({alone} of them instances in no zone)") };
        let all = zones.len() + alone;
        return Err(Refusal::limits(format!("{all} zones would be targeted{of_none}, and `max-zones` is {max}")));
    }
    nodes::within(radius, targeted)?;
    let mut per_service: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for i in targeted {
        *per_service.entry(replica_group(i)).or_default() += 1;
    }
    for (name, of_service) in per_service {
        let service = name.0;
        let members = || fleet.iter().filter(|i| replica_group(i) == name);
        if let Some(max) = radius.max_percent {
            // What does not run serves no requests, and is no part of what may be lost.
            let serving = |i: &&Instance| i.is_up() || targeted.iter().any(|h| h.id == i.id);
            let (lost, all) = (of_service as f64, members().filter(serving).count() as f64);
            // The epsilon forgives the representation of a third, not an instance.
            if lost > max.0 * all + 1e-9 {
                return Err(Refusal::limits(format!(
                    "{lost} of {all} running instances of `{service}` would be targeted, and `max-percent` is {max}"
                )));
            }
        }
        if let Some(min) = radius.min_healthy {
            let spared = || members().filter(|i| i.is_healthy() && !down.iter().any(|h| h.id == i.id));
            let left = spared().filter(|i| i.unsteady().is_none()).count();
            if left < min {
                let unsteady = spared().filter_map(|i| Some(format!("; {} does not count: {}", i.name, i.unsteady()?)));
                return Err(Refusal::limits(format!(
                    "only {left} healthy instances of `{service}` would be left untouched, and `min-healthy` is {min}{}",
                    unsteady.collect::<String>()
                )));
            }
        }
    }
    Ok(())
}

/// The limit that counts all instances of a service, where there is one.
fn counting_limit(radius: &BlastRadius) -> Option<&'static str> {
    match (radius.min_healthy, radius.max_percent) {
        (Some(_), _) => Some("min-healthy"),
        (None, Some(_)) => Some("max-percent"),
        (None, None) => None,
    }
}

/// Which instances stand in for each other: those of a service, in one project where the engine knows projects.
fn replica_group(i: &Instance) -> (&str, Option<&str>) {
    (&i.service, i.project.as_deref())
}

fn candidates<'a>(radius: &BlastRadius, injection: &Injection, fleet: &'a [Instance]) -> Vec<&'a Instance> {
    let selector = injection.target.selector();
    // What is in no zone goes on when zones are out, and what is on no node when nodes are.
    let placed = |i: &Instance| match injection.fault.disturb().whole() {
        Some(Whole::Zone) => i.zone.is_some(),
        Some(Whole::Node) => i.node.is_some(),
        None => true,
    };
    fleet.iter().filter(|i| selector.matches(i) && placed(i) && obstacle(radius, i).is_none()).collect()
}

/// Why an instance cannot be chosen although it is selected.
fn obstacle(radius: &BlastRadius, i: &Instance) -> Option<String> {
    if i.traits.contains(&Trait::Ours) {
        return Some("it is part of Squall, or of a stack that a run of it has brought up".to_owned());
    }
    if let Some(label) = protected_by(radius, i) {
        return Some(format!("protected by {label}"));
    }
    if let Some(node) = i.elsewhere() {
        return Some(format!("it runs on {node}, which is not seen from here"));
    }
    if !i.is_running() {
        return Some("not running".to_owned());
    }
    if !i.is_up() {
        return Some("paused".to_owned());
    }
    i.unsteady().map(str::to_owned)
}

fn protected_by<'a>(radius: &'a BlastRadius, i: &Instance) -> Option<&'a str> {
    radius.protect.iter().find(|l| i.carries(l)).map(String::as_str)
}

fn spare(x: &Experiment, faults: &[Injection], i: &Instance) -> Spared {
    let why = if faults.iter().any(|f| f.target.selector().matches(i)) {
        obstacle(&x.blast_radius, i).unwrap_or_else(|| "not picked".to_owned())
    } else {
        "not selected".to_owned()
    };
    Spared {
        name: i.name.clone(),
        id: i.id.0.clone(),
        service: i.service.clone(),
        zone: i.zone.clone(),
        called: i.also_called(),
        why,
    }
}

fn pick(pick: Pick, mut candidates: Vec<&Instance>, seed: u64) -> Result<Vec<&Instance>, Refusal> {
    // Sorted, so that the engine's order does not matter, and shuffled by a generator that is stable over releases.
    candidates.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let all = candidates.len();
    match pick {
        Pick::All => Ok(candidates),
        Pick::Count(n) if n > all => {
            Err(Refusal::nobody(format!("{n} instances are to be picked, but only {all} match")))
        }
        Pick::Count(n) => {
            candidates.shuffle(&mut rng);
            candidates.truncate(n);
            Ok(candidates)
        }
        Pick::Share(share) => {
            // Rounded down; the epsilon keeps 30% of 10 at 3 whatever the floating point says.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
            let n = (share.0 * all as f64 + 1e-9).floor() as usize;
            if n == 0 {
                return Err(Refusal::nobody(format!("{share} of {all} matching instances is less than one")));
            }
            candidates.shuffle(&mut rng);
            candidates.truncate(n);
            Ok(candidates)
        }
        Pick::Zones(n) => {
            let zones = some_of(candidates.iter().filter_map(|i| i.zone.as_ref()), n, &mut rng).map_err(|all| {
                Refusal::nobody(format!(
                    "{n} zones are to be picked, but the matching instances are in {all}; `zones` says where a zone is read from"
                ))
            })?;
            candidates.retain(|i| i.zone.as_ref().is_some_and(|z| zones.contains(&z)));
            Ok(candidates)
        }
        Pick::Nodes(n) => {
            let nodes = some_of(candidates.iter().filter_map(|i| i.node.as_ref()), n, &mut rng).map_err(|all| {
                Refusal::nobody(format!("{n} nodes are to be picked, but the matching instances are on {all}"))
            })?;
            candidates.retain(|i| i.node.as_ref().is_some_and(|node| nodes.contains(&node)));
            Ok(candidates)
        }
    }
}

/// So many of these places, by chance; `Err` with how many there are if that is fewer.
fn some_of<'a>(
    all: impl Iterator<Item = &'a String>,
    n: usize,
    rng: &mut ChaCha12Rng,
) -> Result<Vec<&'a String>, usize> {
    let mut places: Vec<&String> = all.collect::<BTreeSet<_>>().into_iter().collect();
    if n > places.len() {
        return Err(places.len());
    }
    places.shuffle(rng);
    places.truncate(n);
    Ok(places)
}

/// A few names, and how many more there are.
pub(crate) fn list(names: &BTreeSet<&str>) -> String {
    few(&names.iter().collect::<Vec<_>>(), 4)
}

#[cfg(test)]
mod tests;
