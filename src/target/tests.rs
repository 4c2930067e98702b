//! Over random fleets, selections and limits, a choice never exceeds a limit.

use proptest::prelude::*;

use super::*;
use crate::experiment::{Percent, Target, Timing};
use crate::instance::{Aspect, Epoch, Health, InstanceId, Setting};

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
    )
        .prop_map(move |(service, zone, health, running, paused, protected, ours)| Instance {
            id: InstanceId(format!("id{n}")),
            name: format!("{service}-{n}"),
            service: service.to_owned(),
            zone: zone.map(str::to_owned),
            image: None,
            labels: protected.then(|| ("squall.protect".to_owned(), "true".to_owned())).into_iter().collect(),
            epoch: Epoch("1".to_owned()),
            health,
            restarts: 0,
            addresses: Vec::new(),
            counted: None,
            traits: ours.then_some(Trait::Ours).into_iter().collect(),
            settings: [(Aspect::Running, Setting::Running(running)), (Aspect::Paused, Setting::Paused(paused))].into(),
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
            min_healthy,
            protect: vec!["squall.protect=true".to_owned()],
        });
    let service = prop::option::of(prop::sample::select(vec!["shop", "store", "nobody"]));
    let name = prop::option::of(prop::sample::select(vec!["shop-*", "*-1", "*"]));
    let zone = prop::option::weighted(0.2, prop::sample::select(vec!["a", "b"]));
    (pick, radius, service, name, zone).prop_map(|(pick, blast_radius, service, name, zone)| {
        let text = |t: Option<&str>| t.map(str::to_owned);
        Experiment {
            version: 1,
            name: "x".to_owned(),
            hypothesis: String::new(),
            tags: Vec::new(),
            steady_state: indexmap::IndexMap::new(),
            target: Target {
                service: text(service),
                zone: text(zone),
                name: text(name),
                image: None,
                labels: Vec::new(),
                pick,
            },
            fault: crate::fault::Fault::Pause(crate::fault::Pause::default()),
            blast_radius,
            timing: Timing::default(),
            on_breach: crate::experiment::OnBreach::Abort,
            safety: indexmap::IndexMap::new(),
            zone_label: None,
        }
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
                let hit = &targets.hit;
                prop_assert!(!hit.is_empty());
                prop_assert_eq!(hit.len() + targets.spared.len(), fleet.len());
                for i in hit {
                    prop_assert!(x.target.selector().matches(i), "an unselected instance is hit");
                    prop_assert!(!i.labels.contains_key("squall.protect"), "a protected instance is hit");
                    prop_assert!(!i.traits.contains(&Trait::Ours) && i.is_up());
                }
                prop_assert!(radius.max_instances.is_none_or(|max| hit.len() <= max));
                let zones: BTreeSet<_> = hit.iter().map(|i| &i.zone).collect();
                prop_assert!(radius.max_zones.is_none_or(|max| zones.len() <= max));
                for service in hit.iter().map(|i| &i.service) {
                    let struck = hit.iter().filter(|i| &i.service == service).count();
                    let members: Vec<_> = fleet.iter().filter(|i| &i.service == service).collect();
                    prop_assert!(radius.max_percent.is_none_or(|max| struck as f64 <= max.0 * members.len() as f64 + 1e-6));
                    let left = members.iter().filter(|i| i.is_healthy() && !hit.iter().any(|h| h.id == i.id)).count();
                    prop_assert!(radius.min_healthy.is_none_or(|min| left >= min));
                }
                match x.target.pick {
                    Pick::Count(n) => prop_assert_eq!(hit.len(), n),
                    Pick::Share(p) => prop_assert!(hit.len() as f64 <= p.0 * fleet.len() as f64 + 1e-6),
                    Pick::Zones(n) => prop_assert_eq!(zones.len(), n),
                    Pick::All => {}
                }
                let mut shuffled = fleet.clone();
                shuffled.reverse();
                prop_assert_eq!(&choose(&x, &shuffled, seed).map(|t| t.hit), &Ok(targets.hit.clone()), "the seed decides, not the order");
            }
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}
