//! All changes of a run, each with its way back: computed and checked as a whole before anything is touched. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::disk::{Mount, MountKind, is_below};
use crate::engine::Ability;
use crate::event::Reason;
use crate::experiment::{Experiment, Injection};
use crate::fault::{Fault, Heal};
use crate::instance::{Aspect, Change, Instance, Setting, Signal, Trait, Via};
use crate::machine::Limit;
use crate::network::{Peers, Traffic};
use crate::target::{Refusal, Targets};

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
    for (number, Injection { fault, .. }) in faults.iter().enumerate() {
        for instance in targets.of(number) {
            if let Some(why) = fault.disturb().refuses(instance) {
                return Err(Refusal::limits(format!("`{}` would not do for {}: {why}", fault.name(), instance.name)));
            }
            for mut to in fault.disturb().settings(instance, &others(fleet, instance)) {
                // Another one for each, so that two targets do not lose the same packets.
                sow(&mut to, seed.wrapping_add(changes.len() as u64));
                bound(&mut to, x, fault);
                may_be_disturbed(fault, &to, instance)?;
                would_limit(&to, instance)?;
                traffic_may_be_disturbed(fault, &to, instance)?;
                disk_may_be_filled(&to, instance, fleet)?;
                has_none(&to, instance)?;
                let to = match (as_able(instance, to.clone(), &can), fault.disturb().instead(&to)) {
                    (Err(first), Some(instead)) => {
                        let instead = as_able(instance, instead, &can)?;
                        second_best.push(format!("{}; {instead} instead", first.text));
                        instead
                    }
                    (able, _) => able?,
                };
                for earlier in changes.iter().filter(|c| c.instance == instance.id) {
                    go_together(earlier, number, &to, &faults)?;
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
    let of_faults = faults.iter().enumerate().flat_map(|(n, i)| warnings(x, &i.fault, targets.of(n)));
    let of_zones = faults
        .iter()
        .enumerate()
        .filter(|(_, i)| i.fault.disturb().hits_zones())
        .flat_map(|(n, _)| part_of_a_zone(&targets.of(n).collect::<Vec<_>>(), fleet));
    let warnings = summed(&second_best).into_iter().chain(of_faults).chain(of_zones).collect();
    Ok(Plan { changes, warnings })
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
fn part_of_a_zone(hit: &[&Instance], fleet: &[Instance]) -> Vec<String> {
    let zones: BTreeSet<&String> = hit.iter().filter_map(|i| i.zone.as_ref()).collect();
    let left = |zone: &String| {
        let stays = |i: &&Instance| i.zone.as_ref() == Some(zone) && i.is_up() && !hit.iter().any(|h| h.id == i.id);
        fleet.iter().filter(stays).map(|i| i.name.clone()).collect::<Vec<_>>()
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
            "the {} of {} cannot be observed from here, so that nobody could prove it to be as before",
            to.aspect(),
            instance.name
        )));
    }
    Ok(before)
}

/// Two changes of one instance. Whether their times overlap does not matter: a run may be late, and the way back of the one
/// would be the beginning of the other.
fn go_together(earlier: &Change, fault: usize, to: &Setting, faults: &[Injection]) -> Result<(), Refusal> {
    let (one, other) = (earlier.to.aspect(), to.aspect());
    let name = &earlier.name;
    let meet = format!("two changes would meet on one aspect of {name}, its {one}");
    if earlier.fault == fault {
        // What else belongs together is made so by a fault's author.
        return if one == other { Err(Refusal::limits(meet)) } else { Ok(()) };
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
        "fault {} (`{one}`) and fault {} (`{other}`) cannot both hit {name}: {why}; give one of them another target",
        earlier.fault + 1,
        fault + 1
    )))
}

/// Everybody else.
fn others(fleet: &[Instance], instance: &Instance) -> Vec<Instance> {
    fleet.iter().filter(|i| i.id != instance.id).cloned().collect()
}

/// Gives what is left to chance its seed.
fn sow(to: &mut Setting, seed: u64) {
    if let Setting::Network(network) = to {
        network.seed = seed;
    }
}

/// How long after its time a process of ours ends that nobody has ended.
const LAST_RESORT: Duration = Duration::from_mins(1);

/// Gives what a process of ours does its time.
fn bound(to: &mut Setting, x: &Experiment, fault: &Fault) {
    if let Setting::Burden(burden) = to {
        let recovery = if fault.heal() == Heal::Itself { x.timing.recovery.0 } else { Duration::ZERO };
        burden.at_most = x.timing.duration.0 + recovery + LAST_RESORT;
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
        let Some(Injection { fault, .. }) = faults.get(change.fault) else { continue };
        let Some(instance) = fleet.iter().find(|i| i.id == change.instance && i.is_up()) else { continue };
        let wanted = match &change.to {
            Setting::Network(current) => {
                let mut wanted = fault.disturb().settings(instance, &others(fleet, instance));
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

/// Instances that could not be brought back, or that somebody else brings back.
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
                    "{} is replaced by {by} when it ends, so that there is nothing to take back; say `heal: self`",
                    i.name
                )));
            }
        }
    }
    Ok(())
}

/// What a process of ours does already, left over from another run, or processes that somebody else has stopped.
fn has_none(to: &Setting, i: &Instance) -> Result<(), Refusal> {
    match (to, i.settings.get(&to.aspect())) {
        (Setting::Burden(_) | Setting::Signalled(_), Some(Setting::Mark(aspect, Some(_)))) => {
            Err(Refusal::limits(format!(
                "{} is not as it should be, by its {aspect}: left over from another run, which `squall recover` takes back, or \
                 stopped by somebody else",
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

/// Networks that are not the instance's alone, that somebody disturbs already, or that the fault would not meet.
fn traffic_may_be_disturbed(fault: &Fault, to: &Setting, i: &Instance) -> Result<(), Refusal> {
    let meant: Vec<&Traffic> = match to {
        Setting::Network(network) => network.flows.iter().map(|flow| &flow.traffic).collect(),
        Setting::ConnectionsReset(traffic) => vec![traffic],
        Setting::Limit(Limit::Ports { .. }) => Vec::new(),
        _ => return Ok(()),
    };
    for t in &i.traits {
        match t {
            Trait::HostNetwork => {
                return Err(Refusal::limits(format!(
                    "{} shares the network of its host: `{}` would hit everything on that machine, not this instance alone",
                    i.name,
                    fault.name()
                )));
            }
            Trait::SharesNetwork(with) => {
                return Err(Refusal::limits(format!(
                    "{} shares its network with {with}: `{}` would hit both, and only one of them is a target",
                    i.name,
                    fault.name()
                )));
            }
            _ => {}
        }
    }
    if let Some(Setting::Mark(Aspect::Network, Some(_))) = i.settings.get(&Aspect::Network) {
        return Err(Refusal::limits(format!(
            "the traffic of {} is disturbed already, left over from another run; `squall recover` takes it back",
            i.name
        )));
    }
    if meant.iter().any(|traffic| traffic.peers == Peers::These(Vec::new())) {
        let peering = fault.disturb().peers().map(|p| format!(" ({p})")).unwrap_or_default();
        return Err(Refusal::limits(format!(
            "nothing would happen to the traffic of {}: nobody else who runs is meant{peering}",
            i.name
        )));
    }
    Ok(())
}

/// A disk that is filled already, or that is not the instance's alone.
fn disk_may_be_filled(to: &Setting, i: &Instance, fleet: &[Instance]) -> Result<(), Refusal> {
    let Setting::Filled(fill) = to else { return Ok(()) };
    if let Some(Setting::Mark(Aspect::Disk, Some(_))) = i.settings.get(&Aspect::Disk) {
        return Err(Refusal::limits(format!(
            "the disk of {} is filled already, left over from another run; `squall recover` takes it back",
            i.name
        )));
    }
    let (Some(source), kind) = (&fill.place.mount.source, fill.place.mount.kind) else { return Ok(()) };
    let shares = |other: &&Instance| {
        let same = |m: &Mount| {
            let their = m.source.as_deref().filter(|_| !m.read_only && m.kind != MountKind::Root);
            their.is_some_and(|their| is_below(their, source) || is_below(source, their))
        };
        other.id != i.id && other.is_running() && other.mounts.iter().any(same)
    };
    match fleet.iter().find(shares) {
        Some(other) if kind != MountKind::Root => Err(Refusal::limits(format!(
            "{} shares {} ({source}) with {}: `disk-fill` would hit both, and only one of them is a target",
            i.name, fill.place.mount.path, other.name
        ))),
        _ => Ok(()),
    }
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
            warnings.push(format!("{} has no restart policy, and `heal: self` waits for somebody to start it", i.name));
        }
    }
    let only_connects = x.steady_state.values().all(|c| matches!(c.probe, crate::probe::Probe::Tcp(_)));
    if let (true, Some(unseen)) = (only_connects, fault.disturb().unseen()) {
        warnings.push(unseen.to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
