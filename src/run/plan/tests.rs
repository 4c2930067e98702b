use super::*;
use crate::model::instance::Trait;
use crate::model::machine::Limit;

fn experiment(fault: &str) -> Experiment {
    let text = format!(
        "version: 1\nname: a\nhypothesis: b\nsteady-state: {{ c: {{ tcp: 'x:80' }} }}\ntarget: {{ service: shop }}\n\
         blast-radius: {{ max-instances: 1 }}\nfault: {fault}\n"
    );
    crate::experiment::read::experiment("a", text.as_bytes(), &crate::model::quantity::unset)
        .unwrap_or_else(|m| panic!("{m}"))
        .value
}

fn instance(name: &str, byte: u8, settings: &[Setting], traits: &[Trait]) -> Instance {
    let mut i: Instance = serde_json::from_value(serde_json::json!({
        "id": name, "name": name, "service": "shop", "epoch": "1", "settings": {},
        "addresses": [{ "network": "n", "ip": format!("10.0.0.{byte}") }],
    }))
    .unwrap();
    let always = [Setting::Running(true), Setting::Paused(false)];
    i.settings = always.iter().chain(settings).map(|s| (s.aspect(), s.clone())).collect();
    i.traits = traits.iter().cloned().collect();
    i
}

/// A plan for shop-1, as it is said to be, among shop-2 and shop-3.
fn planned(fault: &str, settings: &[Setting], traits: &[Trait]) -> Result<Plan, String> {
    let targeted = vec![instance("shop-1", 1, settings, traits)];
    let mut fleet = targeted.clone();
    fleet.extend([instance("shop-2", 2, &[], &[]), instance("shop-3", 3, &[], &[])]);
    let by_fault = vec![vec![targeted[0].id.clone()]];
    let targets = Targets { targeted, by_fault, spared: Vec::new() };
    plan(&experiment(fault), &targets, &fleet, 7, |_, _| Ability::Yes).map_err(|r| r.text)
}

const FAULT: &str = "{ latency: { delay: 1s, to: { service: shop } } }";
const FREE: [Setting; 2] = [Setting::Running(true), Setting::Mark(Aspect::Network, None)];

#[test]
fn traffic_that_is_not_the_targets_alone_is_left_alone() {
    for (settings, traits, want) in [
        (&FREE[..], &[Trait::HostNetwork][..], "everything on that machine"),
        (&FREE[..1], &[], "cannot be observed"),
        (&[Setting::Mark(Aspect::Network, Some("0".to_owned()))], &[], "squall recover"),
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
fn a_network_that_the_target_is_not_on_is_refused_with_those_that_it_is_on() {
    let refusal = planned("{ latency: { delay: 1s, network: nn } }", &FREE, &[]).unwrap_err();
    assert!(refusal.contains("shop-1 is not on the network `nn`") && refusal.ends_with("it is on n"), "{refusal}");
    planned("{ latency: { delay: 1s, network: n } }", &FREE, &[]).expect("it is on that one");
}

#[test]
fn a_probe_that_counts_a_service_of_nothing_is_warned_of() {
    let x = |service: &str| {
        let check =
            format!("{{ engine: {{ service: {service}, count: running }}, expect: {{ value: {{ at-most: 5 }} }} }}");
        serde_json::from_value::<Experiment>(serde_json::json!({
            "version": 1, "name": "a", "hypothesis": "b", "target": { "service": "shop" }, "fault": { "pause": {} },
            "steady-state": { "c": serde_yaml::from_str::<serde_json::Value>(&check).unwrap() },
            "blast-radius": { "max-instances": 1 },
        }))
        .unwrap()
    };
    let fleet = [instance("shop-1", 1, &[], &[])];
    assert_eq!(counts_none(&x("shop"), &fleet), Vec::<String>::new());
    let [warning] = &counts_none(&x("shpo"), &fleet)[..] else { panic!("one warning") };
    assert!(warning.contains("`c` counts service `shpo`"), "{warning}");
}

#[test]
fn the_rollback_of_traffic_is_untouched_and_its_chances_have_a_seed() {
    let plan = planned(FAULT, &FREE, &[]).unwrap();
    let [change] = plan.changes.as_slice() else { panic!("{plan:?}") };
    assert_eq!(change.back, crate::model::instance::Rollback::To(Setting::Mark(Aspect::Network, None)));
    let Setting::Network(network) = &change.to else { panic!("{change:?}") };
    assert_eq!((network.seed, network.to_string().as_str()), (7, "1s later, to shop-2 and shop-3"));
}

#[test]
fn further_changes_come_with_other_peers_or_another_life_alone() {
    let x = experiment(FAULT);
    let current = planned(FAULT, &FREE, &[]).unwrap().changes;
    let further = |fleet: &[Instance]| further(&x, fleet, &current, 1, |_, _| Ability::Yes).unwrap();
    let mut fleet: Vec<Instance> = (1..=3).map(|n| instance(&format!("shop-{n}"), n, &FREE, &[])).collect();
    assert_eq!(further(&fleet), [], "nothing has changed, the seed neither");
    fleet[2].addresses[0].ip = [10, 0, 0, 9].into();
    assert_eq!(further(&fleet).len(), 1, "a peer has moved");
    fleet[2].addresses[0].ip = [10, 0, 0, 3].into();
    fleet[0].epoch.0 = "2".to_owned();
    assert_eq!(further(&fleet).len(), 1, "another life");
}

/// Why a plan is refused.
#[track_caller]
fn refusal(fault: &str, settings: &[Setting], traits: &[Trait]) -> String {
    match planned(fault, settings, traits) {
        Ok(plan) => panic!("{fault} is planned: {plan:?}"),
        Err(why) => why,
    }
}

#[test]
fn what_could_not_be_rolled_back_is_refused() {
    for (fault, settings, traits, want) in [
        ("kill", &[][..], &[Trait::AutoRemove][..], "is deleted when it ends (`--rm`) and could not be started again"),
        ("stop", &[], &[Trait::Orchestrated("swarm".to_owned())], "is replaced by swarm when it ends"),
        (
            "{ restart: { heal: self } }",
            &[],
            &[Trait::Orchestrated("swarm".to_owned())],
            "would start it beside that one",
        ),
        ("{ cpu: { cores: 1 } }", &[], &[], "the processor load of shop-1 cannot be observed from here"),
        ("{ pids: { limit: 9 } }", &[], &[], "the limit of processes of shop-1 cannot be observed from here"),
    ] {
        let why = refusal(fault, settings, traits);
        assert!(why.contains(want), "{fault}: {why}");
    }
    planned("{ kill: { heal: self } }", &[], &[Trait::AutoRemove]).expect("nobody takes it back");
}

#[test]
fn an_answer_that_is_the_right_one_is_refused() {
    for (fault, refused) in [
        ("{ dns: { names: shop-2, address: 10.0.0.2 } }", true),
        ("{ dns: { names: shop-2, address: 10.0.0.3 } }", false),
        ("{ dns: { names: [shop-2, shop-3], address: 10.0.0.2 } }", false),
        // Of a service with three instances it is one of three answers.
        ("{ dns: { names: shop, address: 10.0.0.2 } }", false),
        ("{ dns: { names: other, address: 10.0.0.2 } }", false),
        ("{ dns: { names: 'shop-2*', address: 10.0.0.2 } }", false),
        ("{ dns: { address: 10.0.0.2 } }", false),
        ("{ dns: { names: shop-2, answer: nxdomain } }", false),
    ] {
        match planned(fault, &FREE, &[]) {
            Err(why) => assert!(refused && why.contains("shop-2 has the address 10.0.0.2 already"), "{fault}: {why}"),
            Ok(_) => assert!(!refused, "{fault}"),
        }
    }
}

#[test]
fn what_is_so_already_is_refused() {
    let limit = |n| Setting::Limit(Limit::Processes(Some(n)));
    let mark = |aspect| Setting::Mark(aspect, Some("0".to_owned()));
    for (fault, setting, want) in [
        ("pause", Setting::Paused(true), "shop-1 is paused already"),
        (
            "{ pids: { limit: 9 } }",
            limit(8),
            "is limited to at most 8 processes already: at most 9 processes would limit",
        ),
        (
            "{ cpu: { cores: 1 } }",
            mark(Aspect::CpuLoad),
            "shop-1 is not as it should be, by its processor load: left over",
        ),
        (
            "{ memory: { size: 1MiB } }",
            mark(Aspect::MemoryLoad),
            "shop-1 is not as it should be, by its memory load: left over",
        ),
        (
            "{ process: { name: a, act: stop } }",
            mark(Aspect::Processes),
            "shop-1 is not as it should be, by its processes: left over",
        ),
        ("{ disk-fill: { path: /, size: 1MiB } }", mark(Aspect::Disk), "the disk of shop-1 is filled already"),
    ] {
        let why = refusal(fault, &[setting], &[]);
        assert!(why.contains(want), "{fault}: {why}");
    }
}
