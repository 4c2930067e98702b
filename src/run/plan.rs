//! All changes of a run, each with its rollback: computed and checked as a whole before anything is touched. Pure.

pub mod bystanders;
mod limit;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

pub use limit::time_limit;

use crate::engine::Ability;
use crate::experiment::fault::{Context, Fault};
use crate::experiment::probe::Probe;
use crate::experiment::{Experiment, Injection, Span};
use crate::model::instance::{Aspect, Change, Instance, InstanceId, Setting};
use crate::record::event::Reason;
use crate::run::target::projects::{could_mean, others};
use crate::run::target::{Refusal, Targets, elsewhere, unanswered};

/// All changes of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order in which they are made.
    pub changes: Vec<Change>,
    /// What people should know before they go ahead.
    pub warnings: Vec<String>,
}

/// Plans every fault on its targets, among everything that the engine has. The seed is for whatever a fault leaves to chance.
///
/// # Errors
/// Where a target must not be disturbed this way, the engine is not able to, or two changes do not go together.
pub fn plan(
    x: &Experiment,
    targets: &Targets,
    fleet: &[Instance],
    seed: u64,
    can: impl Fn(&Instance, &Setting) -> Ability,
) -> Result<Plan, Refusal> {
    let faults = &x.faults();
    let planning = Planning { x, faults, targets, fleet, seed };
    // When Squall's own processes are to end by themselves, the changes tell: each has its longest time. No engine is asked for that,
    // and what is wrong with a draft is wrong with the changes, which say so in their order.
    let draft = planning.changes(Duration::ZERO, |_, _| Ability::Yes).unwrap_or_default().0;
    let (changes, second_best) = planning.changes(limit::of_stressors(x, &draft), &can)?;
    bystanders::none_is_targeted(&changes, &changes, fleet)?;
    bystanders::all_are_known(&changes, fleet)?;
    let of_commands = changes.iter().filter_map(|c| {
        let instance = targets.targeted.iter().find(|i| i.id == c.instance)?;
        bystanders::of_a_command(&c.to, instance)
    });
    let of_commands: Vec<String> = of_commands.collect();
    let of_faults = faults.iter().enumerate().flat_map(|(n, i)| warnings(x, &i.fault, targets.of(n)));
    let of_zones = faults
        .iter()
        .enumerate()
        .filter(|(_, i)| i.fault.disturb().targets_zones())
        .flat_map(|(n, i)| part_of_a_zone(&targets.of(n).collect::<Vec<_>>(), i, fleet));
    let unknown = unanswered::warning(faults, fleet);
    let of_probes = x.all_checks().into_iter().filter_map(|(name, check)| {
        let caveat = check.probe.kind().caveat()?;
        Some(format!("the probe `{name}`: {caveat}"))
    });
    let warnings = summed(&second_best)
        .into_iter()
        .chain(of_probes)
        .chain(counts_none(x, fleet))
        .chain(unknown)
        .chain(elsewhere::warnings(fleet, &targets.targeted))
        .chain(of_commands)
        .chain(of_faults)
        .chain(of_zones)
        .collect();
    Ok(Plan { changes, warnings })
}

/// What a plan is made of.
struct Planning<'a> {
    x: &'a Experiment,
    faults: &'a [Injection],
    targets: &'a Targets,
    fleet: &'a [Instance],
    seed: u64,
}

impl Planning<'_> {
    /// Every fault's changes on its targets, and what an engine is not able to where it does something else instead. A process of Squall's
    /// in a target ends by itself after `time_limit`.
    fn changes(
        &self,
        time_limit: Duration,
        can: impl Fn(&Instance, &Setting) -> Ability,
    ) -> Result<(Vec<Change>, Vec<String>), Refusal> {
        let Self { x, faults, targets, fleet, seed } = *self;
        let mut changes: Vec<Change> = Vec::new();
        let mut second_best: Vec<String> = Vec::new();
        for (number, injection) in faults.iter().enumerate() {
            let fault = &injection.fault;
            for instance in targets.of(number) {
                if let Some(why) = fault.disturb().refuses(instance) {
                    return Err(Refusal::limits(format!(
                        "`{}` would not do for {}: {why}",
                        fault.name(),
                        instance.name
                    )));
                }
                let context = Context {
                    peers: &others(fleet, instance, injection)?,
                    fleet,
                    targets: targets.by_fault.get(number).map(Vec::as_slice).unwrap_or_default(),
                    seed: seed.wrapping_add(changes.len() as u64),
                    time_limit,
                };
                for to in fault.disturb().settings(instance, &context) {
                    fault.may_set(&to, instance, &context).map_err(Refusal::limits)?;
                    let of_zones = fault.disturb().targets_zones();
                    elsewhere::peers_are_seen(fault.name(), of_zones, &to, instance, context.peers)?;
                    let to = match (as_able(instance, to.clone(), &can), fault.disturb().instead(&to)) {
                        (Err(first), Some(instead)) => {
                            let instead = as_able(instance, instead, &can)?;
                            second_best.push(format!("{}; {instead} instead", first.text));
                            instead
                        }
                        (able, _) => able?,
                    };
                    for earlier in changes.iter().filter(|c| c.instance == instance.id) {
                        go_together(earlier, number, &to, (faults, x.timing.duration))?;
                    }
                    let before = observed_before(instance, &to)?;
                    changes.push(Change {
                        n: changes.len(),
                        fault: number,
                        instance: instance.id.clone(),
                        name: instance.name.clone(),
                        epoch: instance.epoch.clone(),
                        back: fault.disturb().back(&to, before.as_ref()),
                        before,
                        to,
                    });
                }
            }
        }
        Ok((changes, second_best))
    }
}

/// Probes that count a service of which the engine has no instance, whatever its state: a name that is mistyped, most often.
fn counts_none(x: &Experiment, fleet: &[Instance]) -> Vec<String> {
    let checks = x.all_checks();
    let counted = checks.iter().filter_map(|(name, check)| Some((name, check.asks_engine()?.0)));
    counted
        .filter(|(_, service)| fleet.iter().all(|i| !i.is_of_service(service)))
        .map(|(name, service)| format!("the probe `{name}` counts service `{service}`, of which there is no instance"))
        .collect()
}

/// The first of some warnings that say the same of each instance, and how many there are.
fn summed(all: &[String]) -> Option<String> {
    match all {
        [] => None,
        [one] => Some(one.clone()),
        [first, others @ ..] => Some(format!("{first} (and so for {} others)", others.len())),
    }
}

/// What goes on in zones that shall be out: nothing is targeted that the target does not mean.
fn part_of_a_zone(targeted: &[&Instance], injection: &Injection, fleet: &[Instance]) -> Vec<String> {
    let zones: BTreeSet<&String> = targeted.iter().filter_map(|i| i.zone.as_ref()).collect();
    let left = |zone: &String| {
        let stays =
            |i: &&Instance| i.zone.as_ref() == Some(zone) && i.is_up() && !targeted.iter().any(|h| h.id == i.id);
        fleet
            .iter()
            .filter(|i| could_mean(injection, targeted, i))
            .filter(stays)
            .map(|i| i.name.clone())
            .collect::<Vec<_>>()
    };
    zones
        .into_iter()
        .map(|zone| (zone, left(zone)))
        .filter(|(_, left)| !left.is_empty())
        .map(|(zone, left)| {
            let (are, it) = if left.len() == 1 { ("is", "it") } else { ("are", "they") };
            let names = if left.len() > 4 {
                format!("{} and {} others", left[..3].join(", "), left.len() - 3)
            } else {
                left.join(", ")
            };
            format!("{names} {are} in zone {zone} and not targeted, since {it} {are} not selected or {are} protected: this is not the outage of the whole zone")
        })
        .collect()
}

/// The value that is set back, if the aspect has one: as observed, and another than the one to be set.
fn observed_before(instance: &Instance, to: &Setting) -> Result<Option<Setting>, Refusal> {
    let before = instance.settings.get(&to.aspect()).cloned();
    if before.as_ref() == Some(to) {
        return Err(Refusal::limits(format!("{} is {to} already", instance.name)));
    }
    if before.is_none() && to.aspect().is_observed() {
        return Err(Refusal::limits(format!(
            "the {} of {} cannot be observed from here, so that it could not be verified to be as before",
            to.aspect(),
            instance.name
        )));
    }
    Ok(before)
}

/// Two changes of one instance: whatever they are, at separate times. A run that is late keeps them separate (see `run/during.rs`).
fn go_together(
    earlier: &Change,
    fault: usize,
    to: &Setting,
    (faults, phase): (&[Injection], Span),
) -> Result<(), Refusal> {
    let (one, other) = (earlier.to.aspect(), to.aspect());
    let name = &earlier.name;
    let meet = format!("two changes would meet on one aspect of {name}, its {one}");
    if earlier.fault == fault {
        // What else belongs together is made so by a fault's author.
        return if one == other { Err(Refusal::limits(meet)) } else { Ok(()) };
    }
    if let (Some(one), Some(other)) = (faults.get(earlier.fault), faults.get(fault))
        && are_apart(&one.acts(phase), &other.acts(phase))
    {
        return Ok(());
    }
    let why = if one == other {
        meet
    } else if one == Aspect::Running || other == Aspect::Running {
        format!("one of them ends a life of {name}, and what the other one changes would end with it")
    } else if [one, other].contains(&Aspect::Paused) && !(one.is_of_traffic() || other.is_of_traffic()) {
        format!("{name} does nothing while it is frozen, and only its traffic can be disturbed then")
    } else {
        return Ok(());
    };
    let [one, other] = [earlier.fault, fault].map(|n| faults.get(n).map_or("", |i| i.fault.name()));
    Err(Refusal::limits(format!(
        "fault {} (`{one}`) and fault {} (`{other}`) cannot both targeted {name}: {why}; give one of them another target, or \
         a time of its own (`after`, `for`)",
        earlier.fault + 1,
        fault + 1
    )))
}

/// Whether one is over when the other begins. What is over at once needs a moment of its own.
fn are_apart(one: &Range<Duration>, other: &Range<Duration>) -> bool {
    one.start != other.start && (one.end <= other.start || other.end <= one.start)
}

/// The setting as the engine makes it so.
fn as_able(instance: &Instance, to: Setting, can: impl Fn(&Instance, &Setting) -> Ability) -> Result<Setting, Refusal> {
    let why = match can(instance, &to) {
        Ability::Yes => return Ok(to),
        Ability::As(this) => return Ok(*this),
        Ability::No(why) => why,
    };
    let name = &instance.name;
    let text = match to {
        Setting::Network(_) => format!("the traffic of {name} cannot be disturbed: {why}"),
        Setting::ConnectionsReset(_) => format!("the connections of {name} cannot be reset: {why}"),
        Setting::Filled(_) => format!("the disk of {name} cannot be filled: {why}"),
        _ => format!("{name} cannot be {to}: {why}"),
    };
    Err(Refusal { reason: Reason::Refused, text })
}

/// Further changes that the fleet as it is now asks for: targets that have another life since they were targeted, and settings
/// that are about peers who have come or gone. `current` are the changes in effect; what is added is numbered on from
/// `next`. What ends with a life is made again in the next one; only settings of traffic are about peers.
///
/// # Errors
/// Where the engine is not able to.
pub fn further(
    x: &Experiment,
    fleet: &[Instance],
    current: &[Change],
    next: usize,
    can: impl Fn(&Instance, &Setting) -> Ability,
) -> Result<Vec<Change>, Refusal> {
    let mut changes = Vec::new();
    let faults = x.faults();
    let time_limit = limit::of_stressors(x, current);
    for change in current {
        let Some(injection) = faults.get(change.fault) else { continue };
        let fault = &injection.fault;
        let Some(instance) = fleet.iter().find(|i| i.id == change.instance && i.is_up()) else { continue };
        let wanted = match &change.to {
            Setting::Network(network) => {
                let peers = &others(fleet, instance, injection)?;
                let same = |c: &&Change| c.fault == change.fault;
                let targets: Vec<InstanceId> = current.iter().filter(same).map(|c| c.instance.clone()).collect();
                let context = Context { peers, fleet, targets: &targets, seed: network.seed, time_limit };
                fault.disturb().settings(instance, &context)
            }
            // What was planned for the first life, not what the same words would come to in the next one: it has just begun.
            to if to.ends_with_life() && instance.epoch != change.epoch => vec![to.clone()],
            _ => Vec::new(),
        };
        for to in wanted {
            let to = as_able(instance, to, &can)?;
            if to.aspect() != change.to.aspect() || (to == change.to && instance.epoch == change.epoch) {
                continue;
            }
            let before = instance.settings.get(&to.aspect()).cloned();
            // What cannot be looked at just now has only begun its life.
            if before.is_none() {
                continue;
            }
            changes.push(Change {
                n: next + changes.len(),
                epoch: instance.epoch.clone(),
                back: fault.disturb().back(&to, before.as_ref()),
                before,
                to,
                ..change.clone()
            });
        }
    }
    Ok(changes)
}

fn warnings<'a>(x: &Experiment, fault: &Fault, targeted: impl Iterator<Item = &'a Instance>) -> Vec<String> {
    let mut warnings: Vec<String> = targeted.flat_map(|i| fault.warnings(i)).collect();
    let only_connects = x.steady_state.values().all(|c| matches!(c.probe, Probe::Tcp(_)));
    if let (true, Some(unseen)) = (only_connects, fault.disturb().unseen()) {
        warnings.push(unseen.to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
