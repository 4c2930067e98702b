//! All changes of a run, each with its rollback: computed and checked as a whole before anything is touched. Pure.

pub mod bystanders;
mod disk;
mod limit;
mod names;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

pub use limit::time_limit;

use crate::engine::Ability;
use crate::experiment::fault::{Fault, Heal};
use crate::experiment::probe::Probe;
use crate::experiment::{Experiment, Injection, Span};
use crate::model::instance::{Aspect, Change, Instance, Setting, Signal, Trait, Via};
use crate::model::machine::Limit;
use crate::model::network::{Peers, Traffic};
use crate::record::event::Reason;
use crate::run::target::projects::{could_mean, others};
use crate::run::target::{Refusal, Targets, unanswered};

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
    let faults = x.faults();
    let mut changes: Vec<Change> = Vec::new();
    let mut second_best: Vec<String> = Vec::new();
    for (number, injection) in faults.iter().enumerate() {
        let fault = &injection.fault;
        for instance in targets.of(number) {
            if let Some(why) = fault.disturb().refuses(instance) {
                return Err(Refusal::limits(format!("`{}` would not do for {}: {why}", fault.name(), instance.name)));
            }
            for mut to in fault.disturb().settings(instance, &others(fleet, instance, injection)?) {
                // Another one for each, so that two targets do not lose the same packets.
                sow(&mut to, seed.wrapping_add(changes.len() as u64));
                may_be_disturbed(fault, &to, instance)?;
                would_limit(&to, instance)?;
                traffic_may_be_disturbed(fault, &to, instance)?;
                disk::may_be_filled(&mut to, instance, fleet, |id| targets.of(number).any(|t| t.id == *id))?;
                has_none(&to, instance)?;
                names::differ(&to, instance, fleet)?;
                let to = match (as_able(instance, to.clone(), &can), fault.disturb().instead(&to)) {
                    (Err(first), Some(instead)) => {
                        let instead = as_able(instance, instead, &can)?;
                        second_best.push(format!("{}; {instead} instead", first.text));
                        instead
                    }
                    (able, _) => able?,
                };
                for earlier in changes.iter().filter(|c| c.instance == instance.id) {
                    go_together(earlier, number, &to, (&faults, x.timing.duration))?;
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
    limit::end_stressors(x, &mut changes);
    bystanders::none_is_hit(&changes, &changes, fleet)?;
    bystanders::all_are_known(&changes, fleet)?;
    let of_commands = changes.iter().filter_map(|c| {
        let instance = targets.hit.iter().find(|i| i.id == c.instance)?;
        bystanders::of_a_command(&c.to, instance)
    });
    let of_commands: Vec<String> = of_commands.collect();
    let of_faults = faults.iter().enumerate().flat_map(|(n, i)| warnings(x, &i.fault, targets.of(n)));
    let of_zones = faults
        .iter()
        .enumerate()
        .filter(|(_, i)| i.fault.disturb().hits_zones())
        .flat_map(|(n, i)| part_of_a_zone(&targets.of(n).collect::<Vec<_>>(), i, fleet));
    let unknown = unanswered::warning(&faults, fleet);
    let of_probes = x.questions().into_iter().filter_map(|(name, check)| {
        let caveat = check.probe.caveat()?;
        Some(format!("the probe `{name}`: {caveat}"))
    });
    let warnings = summed(&second_best)
        .into_iter()
        .chain(of_probes)
        .chain(counts_none(x, fleet))
        .chain(unknown)
        .chain(of_commands)
        .chain(of_faults)
        .chain(of_zones)
        .collect();
    Ok(Plan { changes, warnings })
}

/// Probes that count a service of which the engine has no instance, whatever its state: a name that is mistyped, most often.
fn counts_none(x: &Experiment, fleet: &[Instance]) -> Vec<String> {
    let counted = x.questions().into_iter().filter_map(|(name, check)| match check.probe {
        Probe::Engine(probe) => Some((name, probe.service)),
        _ => None,
    });
    counted
        .filter(|(_, service)| fleet.iter().all(|i| i.service != *service))
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

/// What goes on in zones that shall be out: nothing is hit that the target does not mean.
fn part_of_a_zone(hit: &[&Instance], injection: &Injection, fleet: &[Instance]) -> Vec<String> {
    let zones: BTreeSet<&String> = hit.iter().filter_map(|i| i.zone.as_ref()).collect();
    let left = |zone: &String| {
        let stays = |i: &&Instance| i.zone.as_ref() == Some(zone) && i.is_up() && !hit.iter().any(|h| h.id == i.id);
        fleet.iter().filter(|i| could_mean(injection, hit, i)).filter(stays).map(|i| i.name.clone()).collect::<Vec<_>>()
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
            format!("{names} {are} in zone {zone} and not hit, since {it} {are} not selected or {are} protected: this is not the outage of the whole zone")
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
        "fault {} (`{one}`) and fault {} (`{other}`) cannot both hit {name}: {why}; give one of them another target, or \
         a time of its own (`after`, `for`)",
        earlier.fault + 1,
        fault + 1
    )))
}

/// Whether one is over when the other begins. What is over at once needs a moment of its own.
fn are_apart(one: &Range<Duration>, other: &Range<Duration>) -> bool {
    one.start != other.start && (one.end <= other.start || other.end <= one.start)
}

/// Gives what is left to chance its seed.
fn sow(to: &mut Setting, seed: u64) {
    if let Setting::Network(network) = to {
        network.seed = seed;
    }
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

/// Further changes that the fleet as it is now asks for: targets that have another life since they were hit, and settings
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
    for change in current {
        let Some(injection) = faults.get(change.fault) else { continue };
        let fault = &injection.fault;
        let Some(instance) = fleet.iter().find(|i| i.id == change.instance && i.is_up()) else { continue };
        let wanted = match &change.to {
            Setting::Network(current) => {
                let mut wanted = fault.disturb().settings(instance, &others(fleet, instance, injection)?);
                for to in &mut wanted {
                    sow(to, current.seed);
                }
                wanted
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

/// Instances that could not be brought back, or that another process brings back.
fn may_be_disturbed(fault: &Fault, to: &Setting, i: &Instance) -> Result<(), Refusal> {
    if to.aspect() == Aspect::Running && fault.heal() == Heal::Squall {
        if i.traits.contains(&Trait::AutoRemove) {
            return Err(Refusal::limits(format!(
                "{} is deleted when it ends (`--rm`) and could not be started again; run it without `--rm`, or say `heal: self`",
                i.name
            )));
        }
        for t in &i.traits {
            if let Trait::Orchestrated(by) = t {
                return Err(Refusal::limits(format!(
                    "{} is replaced by {by} when it ends, so that there is nothing to roll back; say `heal: self`",
                    i.name
                )));
            }
        }
    }
    Ok(())
}

/// Where what is there already comes from, and what to do.
const LEFT_OVER: &str = "left over from another run: `squall recover` with its state directory rolls it back; where that is lost, \
                         `squall doctor` tells how a person does it";

/// What a process of Squall's does already, left over from another run, or processes that another process has stopped.
fn has_none(to: &Setting, i: &Instance) -> Result<(), Refusal> {
    match (to, i.settings.get(&to.aspect())) {
        (Setting::Stressor(_) | Setting::Signalled(_), Some(Setting::Mark(aspect, Some(_)))) => {
            Err(Refusal::limits(format!(
                "{} is not as it should be, by its {aspect}: left over from another run, which `squall recover` rolls back, or \
                 stopped by another process",
                i.name
            )))
        }
        _ => Ok(()),
    }
}

/// A limit that would leave as much as there is, or more.
fn would_limit(to: &Setting, i: &Instance) -> Result<(), Refusal> {
    match (to, i.settings.get(&to.aspect())) {
        (Setting::Limit(to), Some(Setting::Limit(now))) if !to.is_below(now) => {
            Err(Refusal::limits(format!("{} is limited to {now} already: {to} would limit nothing", i.name)))
        }
        _ => Ok(()),
    }
}

/// Networks that are not the instance's alone, that are disturbed already, or that the fault would not meet.
fn traffic_may_be_disturbed(fault: &Fault, to: &Setting, i: &Instance) -> Result<(), Refusal> {
    let meant: Vec<&Traffic> = match to {
        Setting::Network(network) => network.flows.iter().map(|flow| &flow.traffic).collect(),
        Setting::ConnectionsReset(traffic) => vec![traffic],
        Setting::Limit(Limit::Ports { .. }) => Vec::new(),
        _ => return Ok(()),
    };
    if i.traits.contains(&Trait::HostNetwork) {
        return Err(Refusal::limits(format!(
            "{} shares the network of its host: `{}` would hit everything on that machine, not this instance alone",
            i.name,
            fault.name()
        )));
    }
    if let Some(Setting::Mark(Aspect::Network, Some(_))) = i.settings.get(&Aspect::Network) {
        return Err(Refusal::limits(format!("the traffic of {} is disturbed already, {LEFT_OVER}", i.name)));
    }
    let is_on = |network: &&String| i.addresses.iter().any(|a| a.network == **network);
    let off = meant.iter().filter_map(|traffic| traffic.network.as_ref()).find(|network| !is_on(network));
    if let Some(network) = off.filter(|_| !i.addresses.is_empty()) {
        let on: BTreeSet<&str> = i.addresses.iter().map(|a| a.network.as_str()).collect();
        return Err(Refusal::limits(format!(
            "{} is not on the network `{network}`, so nothing would happen to its traffic; it is on {}",
            i.name,
            on.into_iter().collect::<Vec<_>>().join(", ")
        )));
    }
    if meant.iter().any(|traffic| traffic.peers == Peers::These(Vec::new())) {
        let peering = fault.disturb().peers().map(|p| format!(" ({p})")).unwrap_or_default();
        return Err(Refusal::limits(format!(
            "nothing would happen to the traffic of {}: no other running instance is meant{peering}",
            i.name
        )));
    }
    Ok(())
}

fn warnings<'a>(x: &Experiment, fault: &Fault, hit: impl Iterator<Item = &'a Instance>) -> Vec<String> {
    let mut warnings = Vec::new();
    for i in hit {
        warnings.extend(fault.disturb().warns(i));
        let ends = |to: &Setting| to.aspect() == Aspect::Running;
        if fault.disturb().settings(i, &[]).iter().any(ends) && i.traits.contains(&Trait::RandomPorts) {
            warnings.push(format!("{} publishes random ports: they will be others afterwards", i.name));
        }
        if let Fault::Kill(kill) = fault
            && kill.via == Via::Engine
            && kill.signal != Signal::SigKill
            && i.traits.contains(&Trait::Restarts)
        {
            warnings.push(format!(
                "{} has a restart policy, which the engine disarms until the next start even if the process survives {}",
                i.name, kill.signal
            ));
        }
        if let Fault::Kill(kill) = fault
            && kill.via == Via::Host
            && !i.traits.contains(&Trait::Restarts)
            && kill.heal == Heal::Itself
        {
            warnings.push(format!(
                "{} has no restart policy, and `heal: self` waits for something else to start it",
                i.name
            ));
        }
    }
    let only_connects = x.steady_state.values().all(|c| matches!(c.probe, crate::experiment::probe::Probe::Tcp(_)));
    if let (true, Some(unseen)) = (only_connects, fault.disturb().unseen()) {
        warnings.push(unseen.to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
