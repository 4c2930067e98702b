//! Who is hit: chosen inside the blast radius, by a seed, purely. Limits are refusals, never adjustments.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use thiserror::Error;

use crate::event::{Reason, Spared};
use crate::experiment::selector::has_label;
use crate::experiment::{BlastRadius, Experiment, Injection, Pick};
use crate::instance::{Instance, InstanceId, Trait, aliases};

/// Who is hit and who is not, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Who is hit by any fault, ordered by name.
    pub hit: Vec<Instance>,
    /// Whom each fault of the list hits.
    pub by_fault: Vec<Vec<InstanceId>>,
    /// Everybody else.
    pub spared: Vec<Spared>,
}

impl Targets {
    /// Whom one fault of the list hits, ordered by name.
    pub fn of(&self, fault: usize) -> impl Iterator<Item = &Instance> {
        let ids = self.by_fault.get(fault).map(Vec::as_slice).unwrap_or_default();
        self.hit.iter().filter(|i| ids.contains(&i.id))
    }
}

/// Why nobody is hit.
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

/// Chooses the victims from everything that the engine has.
///
/// The same fleet and seed give the same choice.
///
/// # Errors
/// Where nothing matches, or the choice would exceed a limit.
pub fn choose(x: &Experiment, fleet: &[Instance], seed: u64) -> Result<Targets, Refusal> {
    let faults = x.faults();
    let mut by_fault: Vec<Vec<InstanceId>> = Vec::new();
    for injection in &faults {
        by_fault.push(drawn(&x.blast_radius, injection, fleet, seed)?.into_iter().map(|i| i.id.clone()).collect());
    }
    // The limits are about everybody who is hit, whatever hits them, and whenever.
    let mut hit: Vec<&Instance> = fleet.iter().filter(|i| by_fault.iter().flatten().any(|id| *id == i.id)).collect();
    hit.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    within(&x.blast_radius, fleet, &hit)?;
    let spared = fleet.iter().filter(|i| !hit.contains(i)).map(|i| spare(x, &faults, i)).collect();
    Ok(Targets { hit: hit.into_iter().cloned().collect(), by_fault, spared })
}

/// Whom one fault hits. Faults with the same target hit the same.
fn drawn<'a>(
    radius: &BlastRadius,
    injection: &Injection,
    fleet: &'a [Instance],
    seed: u64,
) -> Result<Vec<&'a Instance>, Refusal> {
    let (target, candidates) = (&injection.target, candidates(radius, injection, fleet));
    if candidates.is_empty() {
        let selector = target.selector();
        let matching = fleet.iter().filter(|i| selector.matches(i)).count();
        return Err(Refusal::nobody(if matching == 0 {
            format!("nothing matches the target ({selector}) among {} instances", fleet.len())
        } else if injection.fault.disturb().hits_zones() {
            format!(
                "{matching} instances match the target ({selector}), but each is in no zone, protected, paused or not running; \
                 `zones` says where a zone is read from"
            )
        } else {
            format!("{matching} instances match the target ({selector}), but each is protected, paused or not running")
        }));
    }
    pick(injection.pick(), candidates, seed)
}

/// What those are called in answers who are in a zone that is hit as a whole: by name, id or zone. Nothing: no zone is.
#[must_use]
pub fn zones_hit(faults: &[Injection], targets: &Targets) -> Option<BTreeSet<String>> {
    let of_zones = |n: &usize| faults[*n].fault.disturb().hits_zones();
    let hit: Vec<&Instance> = (0..faults.len()).filter(of_zones).flat_map(|n| targets.of(n)).collect();
    (!hit.is_empty()).then(|| hit.into_iter().flat_map(called).collect())
}

/// What an instance may be called in answers.
fn called(i: &Instance) -> Vec<String> {
    // Where a label says which service it is, the one of Compose may name this instance.
    let composed = i.labels.get("com.docker.compose.service").filter(|name| **name != i.service);
    aliases(&i.name, &i.id.0).into_iter().chain(i.zone.clone()).chain(composed.cloned()).collect()
}

/// The services that a choice could hit, whatever the seed: those to be claimed.
#[must_use]
pub fn services(x: &Experiment, fleet: &[Instance]) -> Vec<String> {
    let faults = x.faults();
    let meant = faults.iter().flat_map(|f| candidates(&x.blast_radius, f, fleet));
    let names: BTreeSet<&String> = meant.map(|i| &i.service).collect();
    names.into_iter().cloned().collect()
}

/// Whether hitting these stays inside the blast radius, given everything that the engine has now.
///
/// # Errors
/// The first limit that it exceeds.
pub fn within(radius: &BlastRadius, fleet: &[Instance], hit: &[&Instance]) -> Result<(), Refusal> {
    if let Some(i) = hit.iter().find(|i| protected_by(radius, i).is_some() || i.traits.contains(&Trait::Ours)) {
        return Err(Refusal::limits(format!("{} is protected", i.name)));
    }
    if let Some(max) = radius.max_instances
        && hit.len() > max
    {
        return Err(Refusal::limits(format!("{} instances would be hit, and `max-instances` is {max}", hit.len())));
    }
    let zones: BTreeSet<Option<&String>> = hit.iter().map(|i| i.zone.as_ref()).collect();
    if let Some(max) = radius.max_zones
        && zones.len() > max
    {
        return Err(Refusal::limits(format!("{} zones would be hit, and `max-zones` is {max}", zones.len())));
    }
    let mut per_service: BTreeMap<(&str, Option<&String>), usize> = BTreeMap::new();
    for i in hit {
        *per_service.entry(kin(i)).or_default() += 1;
    }
    for (name, struck) in per_service {
        let service = name.0;
        let members = || fleet.iter().filter(|i| kin(i) == name);
        if let Some(max) = radius.max_percent {
            let (struck, all) = (struck as f64, members().count() as f64);
            // The epsilon forgives the representation of a third, not an instance.
            if struck > max.0 * all + 1e-9 {
                return Err(Refusal::limits(format!(
                    "{struck} of {all} instances of `{service}` would be hit, and `max-percent` is {max}"
                )));
            }
        }
        if let Some(min) = radius.min_healthy {
            let left = members().filter(|i| i.is_healthy() && !hit.iter().any(|h| h.id == i.id)).count();
            if left < min {
                return Err(Refusal::limits(format!(
                    "only {left} healthy instances of `{service}` would be left untouched, and `min-healthy` is {min}"
                )));
            }
        }
    }
    Ok(())
}

/// Which instances stand in for each other: those of a service, in one project where the engine knows projects.
fn kin(i: &Instance) -> (&str, Option<&String>) {
    (&i.service, i.labels.get("com.docker.compose.project"))
}

fn candidates<'a>(radius: &BlastRadius, injection: &Injection, fleet: &'a [Instance]) -> Vec<&'a Instance> {
    let selector = injection.target.selector();
    // What is in no zone goes on when zones are out.
    let placed = |i: &Instance| i.zone.is_some() || !injection.fault.disturb().hits_zones();
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
    if !i.is_running() {
        return Some("not running".to_owned());
    }
    (!i.is_up()).then(|| "paused".to_owned())
}

fn protected_by<'a>(radius: &'a BlastRadius, i: &Instance) -> Option<&'a str> {
    radius.protect.iter().find(|l| has_label(i, l)).map(String::as_str)
}

fn spare(x: &Experiment, faults: &[Injection], i: &Instance) -> Spared {
    let why = if faults.iter().any(|f| f.target.selector().matches(i)) {
        obstacle(&x.blast_radius, i).unwrap_or_else(|| "not picked".to_owned())
    } else {
        "not selected".to_owned()
    };
    Spared { name: i.name.clone(), id: i.id.0.clone(), service: i.service.clone(), zone: i.zone.clone(), why }
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
            let mut zones: Vec<&String> =
                candidates.iter().filter_map(|i| i.zone.as_ref()).collect::<BTreeSet<_>>().into_iter().collect();
            if n > zones.len() {
                return Err(Refusal::nobody(format!(
                    "{n} zones are to be picked, but the matching instances are in {}; `zones` says where a zone is read from",
                    zones.len()
                )));
            }
            zones.shuffle(&mut rng);
            zones.truncate(n);
            candidates.retain(|i| i.zone.as_ref().is_some_and(|z| zones.contains(&z)));
            Ok(candidates)
        }
    }
}

#[cfg(test)]
mod tests;
