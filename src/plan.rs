//! All changes of a run, each with its way back: computed and checked as a whole before anything is touched. Pure.

use std::collections::BTreeSet;

use crate::engine::Ability;
use crate::event::Reason;
use crate::experiment::Experiment;
use crate::fault::{Fault, Heal};
use crate::instance::{Aspect, Change, Instance, Setting, Signal, Trait, Via};
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

/// Plans the fault on every target, among everything that the engine has. The seed is for whatever the fault leaves to chance.
///
/// # Errors
/// Where a target must not be disturbed this way, the engine is not able to, or two changes meet on one aspect.
pub fn plan(
    x: &Experiment,
    targets: &Targets,
    fleet: &[Instance],
    seed: u64,
    can: impl Fn(&Setting) -> Ability,
) -> Result<Plan, Refusal> {
    let mut changes: Vec<Change> = Vec::new();
    let mut taken: BTreeSet<(&str, Aspect)> = BTreeSet::new();
    for instance in &targets.hit {
        for mut to in x.fault.disturb().settings(instance, &others(fleet, instance)) {
            // Another one for each, so that two targets do not lose the same packets.
            sow(&mut to, seed.wrapping_add(changes.len() as u64));
            may_be_disturbed(&x.fault, &to, instance)?;
            traffic_may_be_disturbed(&x.fault, &to, instance)?;
            let to = match can(&to) {
                Ability::Yes => to,
                Ability::As(this) => *this,
                Ability::No(why) => return Err(unable(instance, &to, &why)),
            };
            if !taken.insert((&instance.id.0, to.aspect())) {
                return Err(Refusal::limits(format!("two changes would meet on one aspect of {}", instance.name)));
            }
            let before = instance.settings.get(&to.aspect()).cloned();
            if before.as_ref() == Some(&to) {
                return Err(Refusal::limits(format!("{} is {to} already", instance.name)));
            }
            if before.is_none() && to.aspect() == Aspect::Network {
                return Err(Refusal::limits(format!(
                    "the traffic of {} cannot be observed from here, so that nobody could prove it to be as before",
                    instance.name
                )));
            }
            changes.push(Change {
                n: changes.len(),
                instance: instance.id.clone(),
                name: instance.name.clone(),
                epoch: instance.epoch.clone(),
                back: x.fault.disturb().back(&to, before.as_ref()),
                before,
                to,
            });
        }
    }
    Ok(Plan { changes, warnings: warnings(x, targets) })
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

fn unable(instance: &Instance, to: &Setting, why: &str) -> Refusal {
    let name = &instance.name;
    Refusal { reason: Reason::Refused, text: format!("{name} cannot be {to}: {why}") }
}

/// Further changes that the fleet as it is now asks for: targets that have another life since they were hit, and settings
/// that are about peers who have come or gone. `current` are the changes in effect; what is added is numbered on from
/// `next`. Only settings of traffic follow: nothing else is about peers or has to outlive a life.
///
/// # Errors
/// Where the engine is not able to.
pub fn further(
    x: &Experiment,
    fleet: &[Instance],
    current: &[Change],
    next: usize,
    can: impl Fn(&Setting) -> Ability,
) -> Result<Vec<Change>, Refusal> {
    let mut changes = Vec::new();
    for change in current {
        let Some(instance) = fleet.iter().find(|i| i.id == change.instance && i.is_up()) else { continue };
        let Setting::Network(current) = &change.to else { continue };
        for mut to in x.fault.disturb().settings(instance, &others(fleet, instance)) {
            sow(&mut to, current.seed);
            let to = match can(&to) {
                Ability::Yes => to,
                Ability::As(this) => *this,
                Ability::No(why) => return Err(unable(instance, &to, &why)),
            };
            if to.aspect() != change.to.aspect() || (to == change.to && instance.epoch == change.epoch) {
                continue;
            }
            let before = instance.settings.get(&to.aspect()).cloned();
            changes.push(Change {
                n: next + changes.len(),
                epoch: instance.epoch.clone(),
                back: x.fault.disturb().back(&to, before.as_ref()),
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

/// Networks that are not the instance's alone, that somebody disturbs already, or that the fault would not meet.
fn traffic_may_be_disturbed(fault: &Fault, to: &Setting, i: &Instance) -> Result<(), Refusal> {
    let meant: Vec<&Traffic> = match to {
        Setting::Network(network) => network.flows.iter().map(|flow| &flow.traffic).collect(),
        Setting::ConnectionsReset(traffic) => vec![traffic],
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
    if let Some(Setting::NetworkMark(Some(_))) = i.settings.get(&Aspect::Network) {
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

fn warnings(x: &Experiment, targets: &Targets) -> Vec<String> {
    let mut warnings = Vec::new();
    for i in &targets.hit {
        let ends = |to: &Setting| to.aspect() == Aspect::Running;
        if x.fault.disturb().settings(i, &[]).iter().any(ends) && i.traits.contains(&Trait::RandomPorts) {
            warnings.push(format!("{} publishes random ports: they will be others afterwards", i.name));
        }
        if let Fault::Kill(kill) = &x.fault
            && kill.via == Via::Engine
            && kill.signal != Signal::SigKill
            && i.traits.contains(&Trait::Restarts)
        {
            warnings.push(format!(
                "{} has a restart policy, which the engine disarms until the next start even if the process survives {}",
                i.name, kill.signal
            ));
        }
        if let Fault::Kill(kill) = &x.fault
            && kill.via == Via::Host
            && !i.traits.contains(&Trait::Restarts)
            && kill.heal == Heal::Itself
        {
            warnings.push(format!("{} has no restart policy, and `heal: self` waits for somebody to start it", i.name));
        }
    }
    let only_connects = x.steady_state.values().all(|c| matches!(c.probe, crate::probe::Probe::Tcp(_)));
    if let (true, Some(unseen)) = (only_connects, x.fault.disturb().unseen()) {
        warnings.push(unseen.to_owned());
    }
    warnings
}
