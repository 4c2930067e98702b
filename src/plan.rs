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
            let to = as_able(instance, to, &can)?;
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

/// The setting as the engine makes it so.
fn as_able(instance: &Instance, to: Setting, can: impl Fn(&Setting) -> Ability) -> Result<Setting, Refusal> {
    let why = match can(&to) {
        Ability::Yes => return Ok(to),
        Ability::As(this) => return Ok(*this),
        Ability::No(why) => why,
    };
    let name = &instance.name;
    let text = match to {
        Setting::Network(_) => format!("the traffic of {name} cannot be disturbed: {why}"),
        Setting::ConnectionsReset(_) => format!("the connections of {name} cannot be reset: {why}"),
        _ => format!("{name} cannot be {to}: {why}"),
    };
    Err(Refusal { reason: Reason::Refused, text })
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
            let to = as_able(instance, to, &can)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(fault: &str) -> Experiment {
        let text = format!(
            "version: 1\nname: a\nhypothesis: b\nsteady-state: {{ c: {{ tcp: 'x:80' }} }}\ntarget: {{ service: shop }}\n\
             blast-radius: {{ max-instances: 1 }}\nfault: {fault}\n"
        );
        crate::experiment::read::experiment("a", text.as_bytes(), &|_| None).unwrap_or_else(|m| panic!("{m}")).value
    }

    fn instance(name: &str, byte: u8, settings: &[Setting], traits: &[Trait]) -> Instance {
        let mut i: Instance = serde_json::from_value(serde_json::json!({
            "id": name, "name": name, "service": "shop", "epoch": "1", "settings": {},
            "addresses": [{ "network": "n", "ip": format!("10.0.0.{byte}") }],
        }))
        .unwrap();
        i.settings = settings.iter().map(|s| (s.aspect(), s.clone())).collect();
        i.traits = traits.iter().cloned().collect();
        i
    }

    /// A plan for shop-1, as it is said to be, among shop-2 and shop-3.
    fn planned(fault: &str, settings: &[Setting], traits: &[Trait]) -> Result<Plan, String> {
        let hit = vec![instance("shop-1", 1, settings, traits)];
        let mut fleet = hit.clone();
        fleet.extend([instance("shop-2", 2, &[], &[]), instance("shop-3", 3, &[], &[])]);
        let targets = Targets { hit, spared: Vec::new() };
        plan(&experiment(fault), &targets, &fleet, 7, |_| Ability::Yes).map_err(|r| r.text)
    }

    const FAULT: &str = "{ latency: { delay: 1s, to: { service: shop } } }";
    const FREE: [Setting; 2] = [Setting::Running(true), Setting::NetworkMark(None)];

    #[test]
    fn traffic_that_is_not_the_targets_alone_is_left_alone() {
        let with = Trait::SharesNetwork("sidecar".to_owned());
        for (settings, traits, want) in [
            (&FREE[..], &[Trait::HostNetwork][..], "everything on that machine"),
            (&FREE[..], &[with][..], "shares its network with sidecar"),
            (&FREE[..1], &[], "cannot be observed"),
            (&[Setting::NetworkMark(Some("0".to_owned()))], &[], "squall recover"),
        ] {
            let refusal = planned(FAULT, settings, traits).unwrap_err();
            assert!(refusal.contains("shop-1") && refusal.contains(want), "{refusal}");
            planned("pause", settings, traits).expect("other faults do not care");
        }
        let refusal = planned("reset", &FREE, &[Trait::HostNetwork]).unwrap_err();
        assert!(refusal.contains("everything on that machine"), "{refusal}");
        let refusal = planned("{ partition: { from: { zone: b } } }", &FREE, &[]).unwrap_err();
        assert!(refusal.contains("(from zone b)"), "{refusal}");
    }

    #[test]
    fn the_way_back_of_traffic_is_untouched_and_its_chances_have_a_seed() {
        let plan = planned(FAULT, &FREE, &[]).unwrap();
        let [change] = plan.changes.as_slice() else { panic!("{plan:?}") };
        assert_eq!(change.back, crate::instance::Back::To(Setting::NetworkMark(None)));
        let Setting::Network(network) = &change.to else { panic!("{change:?}") };
        assert_eq!((network.seed, network.to_string().as_str()), (7, "1s later, to shop-2 and shop-3"));
    }

    #[test]
    fn further_changes_come_with_other_peers_or_another_life_alone() {
        let x = experiment(FAULT);
        let current = planned(FAULT, &FREE, &[]).unwrap().changes;
        let further = |fleet: &[Instance]| further(&x, fleet, &current, 1, |_| Ability::Yes).unwrap();
        let mut fleet: Vec<Instance> = (1..=3).map(|n| instance(&format!("shop-{n}"), n, &FREE, &[])).collect();
        assert_eq!(further(&fleet), [], "nothing has changed, the seed neither");
        fleet[2].addresses[0].ip = [10, 0, 0, 9].into();
        assert_eq!(further(&fleet).len(), 1, "a peer has moved");
        fleet[2].addresses[0].ip = [10, 0, 0, 3].into();
        fleet[0].epoch.0 = "2".to_owned();
        assert_eq!(further(&fleet).len(), 1, "another life");
    }
}
