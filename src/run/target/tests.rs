//! Over random fleets, selections and limits, a choice never exceeds a limit.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::experiment::Percent;
use crate::model::instance::{Aspect, Epoch, Health, Setting};

fn instance(n: usize) -> impl Strategy<Value = Instance> {
    let service = prop::sample::select(vec!["shop", "store", "gateway"]);
    let zone = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let health = prop::option::of(prop::sample::select(vec![Health::Healthy, Health::Unhealthy, Health::Starting]));
    (
        service,
        zone,
        health,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.05),
        prop::sample::select(vec![Some("one"), Some("one"), Some("one"), Some("other"), None]),
    )
        .prop_map(move |(service, zone, health, running, paused, protected, ours, project)| Instance {
            zone: zone.map(str::to_owned),
            labels: protected.then(|| ("squall.protect".to_owned(), "true".to_owned())).into_iter().collect(),
            project: project.map(str::to_owned),
            epoch: Epoch("1".to_owned()),
            health,
            traits: ours.then_some(Trait::Ours).into_iter().collect(),
            settings: [(Aspect::Running, Setting::Running(running)), (Aspect::Paused, Setting::Paused(paused))].into(),
            ..Instance::new(format!("id{n}"), format!("{service}-{n}"), service)
        })
}

fn fleet() -> impl Strategy<Value = Vec<Instance>> {
    (0_usize..14).prop_flat_map(|n| (0..n).map(instance).collect::<Vec<_>>())
}

fn experiment() -> impl Strategy<Value = Experiment> {
    let pick = prop_oneof![
        (1_usize..6).prop_map(Pick::Count),
        (0.0..=1.0_f64).prop_map(|p| Pick::Share(Percent(p))),
        Just(Pick::All),
        (1_usize..4).prop_map(Pick::Zones),
    ];
    let radius = (
        prop::option::of(0_usize..6),
        prop::option::of((0.0..=1.0_f64).prop_map(Percent)),
        prop::option::of(0_usize..4),
        prop::option::of(0_usize..4),
    )
        .prop_map(|(max_instances, max_percent, max_zones, min_healthy)| BlastRadius {
            max_instances,
            max_percent,
            max_zones,
            max_nodes: None,
            min_healthy,
            protect: vec!["squall.protect=true".to_owned()],
        });
    let service = prop::option::of(prop::sample::select(vec!["shop", "store", "nobody"]));
    let name = prop::option::of(prop::sample::select(vec!["shop-*", "*-1", "*"]));
    let zone = prop::option::weighted(0.2, prop::sample::select(vec!["a", "b"]));
    let project =
        || prop::sample::select(vec![json!([]), json!(["one"]), json!(["none"]), json!(["o*"]), json!(["*"])]);
    // Some targeted others as well, with a second fault.
    let more = prop::option::weighted(0.3, (prop::sample::select(vec!["shop", "store"]), pick.clone(), project()));
    let selection = (service, name, zone, project());
    (pick, radius, selection, more, project()).prop_map(|(pick, blast_radius, selection, more, of_all)| {
        let (service, name, zone, project) = selection;
        let target =
            |pick: Pick| json!({ "service": service, "zone": zone, "name": name, "project": project, "pick": pick });
        let more = more.map(|(service, pick, project)| json!({ "service": service, "project": project, "pick": pick }));
        let fault = |target: Value| json!({ "fault": { "pause": {} }, "target": target });
        let faults: Vec<Value> = [target(pick)].into_iter().chain(more).map(fault).collect();
        serde_json::from_value(json!({
            "version": 1, "name": "x", "hypothesis": "", "steady-state": {}, "project": of_all,
            "faults": faults,
            "blast-radius": blast_radius,
        }))
        .expect("it is an experiment")
    })
}

proptest! {
    // A hundred thousand fleets take seconds in a debug build; `PROPTEST_CASES` makes it more or fewer.
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_choice_never_leaves_the_blast_radius(x in experiment(), fleet in fleet(), seed: u64) {
        let radius = &x.blast_radius;
        match choose(&x, &fleet, seed) {
            Err(refusal) => prop_assert!(matches!(refusal.reason, Reason::NoTarget | Reason::Refused)),
            Ok(targets) => {
                let targeted = &targets.targeted;
                prop_assert!(!targeted.is_empty());
                let could_be_meant = fleet.iter().filter(|i| {
                    let of = |f: &Injection, ids: &[InstanceId]| match f.target.project.as_slice() {
                        [] => targeted.iter().any(|h| ids.contains(&h.id) && h.project == i.project),
                        said => i.is_of(said),
                    };
                    let is_named = x.faults().iter().any(|f| f.target.selector().matches(i));
                    let is_own = i.traits.contains(&Trait::Ours);
                    x.faults().iter().zip(&targets.by_fault).any(|(f, ids)| of(f, ids)) && (is_named || !is_own)
                });
                prop_assert_eq!(targeted.len() + targets.spared.len(), could_be_meant.count());
                for i in targeted {
                    let meant = x.faults().iter().any(|f| f.target.selector().matches(i));
                    prop_assert!(meant, "an unselected instance is targeted");
                    prop_assert!(!i.labels.contains_key("squall.protect"), "a protected instance is targeted");
                    prop_assert!(!i.traits.contains(&Trait::Ours) && i.is_up());
                }
                prop_assert!(radius.max_instances.is_none_or(|max| targeted.len() <= max));
                // What those without a zone share is not known, so that each counts.
                let zones: BTreeSet<_> = targeted.iter().map(|i| i.zone.as_ref().ok_or(&i.id)).collect();
                prop_assert!(radius.max_zones.is_none_or(|max| zones.len() <= max));
                for (service, project) in targeted.iter().map(|i| (&i.service, i.project.as_deref())) {
                    let lost = targeted.iter().filter(|i| &i.service == service && i.project.as_deref() == project).count();
                    // A replica in another project is none.
                    let members: Vec<_> = fleet.iter().filter(|i| &i.service == service && i.project.as_deref() == project).collect();
                    let serving = members.iter().filter(|i| i.is_up()).count();
                    prop_assert!(radius.max_percent.is_none_or(|max| lost as f64 <= max.0 * serving as f64 + 1e-6));
                    let left = members.iter().filter(|i| i.is_healthy() && !targeted.iter().any(|h| h.id == i.id)).count();
                    prop_assert!(radius.min_healthy.is_none_or(|min| left >= min));
                }
                prop_assert_eq!(targets.by_fault.len(), x.faults().len());
                for (fault, ids) in x.faults().iter().zip(&targets.by_fault) {
                    let own: Vec<&Instance> = targeted.iter().filter(|i| ids.contains(&i.id)).collect();
                    prop_assert_eq!(own.len(), ids.len(), "whom a fault targets is among those who are targeted");
                    prop_assert!(own.iter().all(|i| fault.target.selector().matches(i)));
                    let projects: BTreeSet<_> = own.iter().map(|i| &i.project).collect();
                    prop_assert!(!fault.target.project.is_empty() || projects.len() == 1, "of several, and nothing says so");
                    let zones: BTreeSet<_> = own.iter().map(|i| &i.zone).collect();
                    match fault.pick() {
                        Pick::Count(n) => prop_assert_eq!(own.len(), n),
                        Pick::Share(p) => prop_assert!(own.len() as f64 <= p.0 * fleet.len() as f64 + 1e-6),
                        Pick::Zones(n) => prop_assert_eq!(zones.len(), n),
                        Pick::Nodes(_) | Pick::All => {}
                    }
                }
                let by_fault: BTreeSet<_> = targets.by_fault.iter().flatten().map(|id| &id.0).collect();
                prop_assert_eq!(by_fault.len(), targets.targeted.len(), "no other instance is targeted");
                let mut shuffled = fleet.clone();
                shuffled.reverse();
                prop_assert_eq!(&choose(&x, &shuffled, seed).map(|t| t.targeted), &Ok(targets.targeted.clone()), "the seed decides, not the order");
            }
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

/// Three shops in three zones, one of which is protected and one is ours.
fn shops() -> Vec<Instance> {
    let shop = |n: usize, zone: &str| Instance {
        zone: Some(zone.to_owned()),
        settings: [(Aspect::Running, Setting::Running(true)), (Aspect::Paused, Setting::Paused(false))].into(),
        ..Instance::new(format!("id{n}"), format!("shop-{n}"), "shop")
    };
    let mut shops = vec![shop(1, "a"), shop(2, "b"), shop(3, "c"), shop(4, "c"), shop(5, "c")];
    shops[3].labels.insert("squall.protect".to_owned(), "true".to_owned());
    shops[4].traits.insert(Trait::Ours);
    shops
}

#[test]
fn what_would_leave_the_blast_radius_is_refused_in_words() {
    for (target, radius, want) in [
        (json!({ "name": "nobody" }), json!({ "max-instances": 1 }), "nothing matches the target ("),
        (
            json!({ "name": "shop-4" }),
            json!({ "max-instances": 1 }),
            "but each is protected, paused, not running, or restarted in the baseline",
        ),
        (
            json!({ "name": "shop-5" }),
            json!({ "max-instances": 1 }),
            "but each is protected, paused, not running, or restarted in the baseline",
        ),
        (json!({ "pick": 4 }), json!({ "max-instances": 4 }), "4 instances are to be picked, but only 3 match"),
        (json!({ "pick": "30%" }), json!({ "max-instances": 4 }), "30% of 3 matching instances is less than one"),
        (json!({ "pick": { "zones": 4 } }), json!({ "max-zones": 4 }), "4 zones are to be picked, but"),
        (
            json!({ "pick": 2 }),
            json!({ "max-instances": 1 }),
            "2 instances would be targeted, and `max-instances` is 1",
        ),
        (
            json!({ "pick": "all" }),
            json!({ "max-percent": "50%" }),
            "3 of 5 running instances of `shop` would be targeted, and",
        ),
        (json!({ "pick": 2 }), json!({ "max-zones": 1 }), "2 zones would be targeted, and `max-zones` is 1"),
        (json!({}), json!({ "min-healthy": 5 }), "only 4 healthy instances of `shop` would be left untouched, and"),
    ] {
        let mut radius = radius;
        radius["protect"] = json!(["squall.protect=true"]);
        let x: Experiment = serde_json::from_value(json!({
            "version": 1, "name": "x", "hypothesis": "", "steady-state": {}, "fault": { "pause": {} }, "target": target,
            "blast-radius": radius,
        }))
        .expect("it is an experiment");
        let refusal = choose(&x, &shops(), 1).expect_err(want);
        assert!(refusal.text.contains(want), "{}", refusal.text);
    }
    let (fleet, radius) =
        (shops(), BlastRadius { protect: vec!["squall.protect=true".to_owned()], ..Default::default() });
    for targeted in [&fleet[3], &fleet[4]] {
        let refusal = within(&radius, &fleet, &[targeted], &[targeted]).expect_err("it is protected by now");
        assert_eq!(refusal.text, format!("{} is protected", targeted.name));
    }
}
