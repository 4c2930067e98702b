//! Who is hit: chosen inside the blast radius, by a seed, purely. Limits are refusals, never adjustments.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use thiserror::Error;

use crate::event::{Reason, Spared};
use crate::experiment::selector::has_label;
use crate::experiment::{BlastRadius, Experiment, Pick};
use crate::instance::{Instance, Trait};

/// Who is hit and who is not, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Who is hit, ordered by name.
    pub hit: Vec<Instance>,
    /// Everybody else.
    pub spared: Vec<Spared>,
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
    let candidates = candidates(x, fleet);
    let selector = x.target.selector();
    if candidates.is_empty() {
        let matching = fleet.iter().filter(|i| selector.matches(i)).count();
        return Err(Refusal::nobody(if matching == 0 {
            format!("nothing matches the target ({selector}) among {} instances", fleet.len())
        } else {
            format!("{matching} instances match the target ({selector}), but each is protected, paused or not running")
        }));
    }
    let mut hit = pick(x.target.pick, candidates, seed)?;
    hit.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    within(&x.blast_radius, fleet, &hit)?;
    let spared = fleet.iter().filter(|i| !hit.contains(i)).map(|i| spare(x, i)).collect();
    Ok(Targets { hit: hit.into_iter().cloned().collect(), spared })
}

/// The services that a choice could hit, whatever the seed: those to be claimed.
#[must_use]
pub fn services(x: &Experiment, fleet: &[Instance]) -> Vec<String> {
    let names: BTreeSet<&String> = candidates(x, fleet).into_iter().map(|i| &i.service).collect();
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

fn candidates<'a>(x: &Experiment, fleet: &'a [Instance]) -> Vec<&'a Instance> {
    let selector = x.target.selector();
    fleet.iter().filter(|i| selector.matches(i) && obstacle(x, i).is_none()).collect()
}

/// Why an instance cannot be chosen although it is selected.
fn obstacle(x: &Experiment, i: &Instance) -> Option<String> {
    if i.traits.contains(&Trait::Ours) {
        return Some("it is part of Squall".to_owned());
    }
    if let Some(label) = protected_by(&x.blast_radius, i) {
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

fn spare(x: &Experiment, i: &Instance) -> Spared {
    let why = if x.target.selector().matches(i) {
        obstacle(x, i).unwrap_or_else(|| "not picked".to_owned())
    } else {
        "not selected".to_owned()
    };
    Spared { name: i.name.clone(), service: i.service.clone(), zone: i.zone.clone(), why }
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
                    "{n} zones are to be picked, but the matching instances are in {}; a zone is the label `squall.zone`",
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
