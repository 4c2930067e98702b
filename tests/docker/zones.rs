//! Where a zone is read from on a real engine: the network that a container is on, or the engine itself.

use crate::harness::Spec;
use crate::scene::{Scene, lonely};

const TIMING: &str = "baseline: 500ms, duration: 3s, recovery: 5s";

/// A frozen zone, told where zones are read from.
fn frozen(scene: &Scene, zones: &str, target: &str) -> String {
    let fault = "zone-outage: { mode: freeze }";
    let met = "expect: { value: { at-most: 1000 } }";
    // An engine that is slow to answer decides nothing.
    let patient = format!("{met}, during: {{ success: 50%, value: {{ at-most: 1000 }} }}");
    let text = scene.experiment(fault, TIMING).replace(met, &patient);
    assert!(text.contains(&patient), "{text}");
    let (service, limit) = (format!("target: {{ service: {} }}", scene.service), "max-instances: 1");
    assert!(text.contains(&service) && text.contains(limit), "{text}");
    text.replace(&service, &format!("zones: {zones}\ntarget: {target}")).replace(limit, "max-zones: 1")
}

#[tokio::test]
async fn a_network_is_a_zone_and_who_is_on_two_is_in_none() {
    let scene = Scene::of(3, Spec::default()).await;
    let sandbox = &scene.sandbox;
    let networks = [sandbox.name("rack-1"), sandbox.name("rack-2")];
    for network in &networks {
        sandbox.docker.make_network(network, ("squall.test", &sandbox.prefix)).await.expect("a network");
    }
    // One on each, and a gateway on both.
    for (id, on) in scene.targeted.iter().zip([&networks[..1], &networks[1..], &networks[..]]) {
        for network in on {
            let request = bollard::models::NetworkConnectRequest { container: id.0.clone(), endpoint_config: None };
            sandbox.api.connect_network(network, request).await.expect("it joins");
        }
    }
    let before = scene.settings().await;
    let zones = format!("{{ network: '{}' }}", sandbox.name("rack-*"));
    let ended = scene.run(&frozen(&scene, &zones, &format!("{{ zone: {} }}", networks[1]))).await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");

    let targeted: Vec<_> = ended.state.targeted.iter().map(|i| &i.id).collect();
    assert_eq!(targeted, [&scene.targeted[1]]);
    assert!(
        ended.state.changes.iter().all(squall::record::state::ChangeState::is_verified),
        "{:?}",
        ended.state.changes
    );
    let told = |id: &str| ended.state.spared.iter().find(|s| s.id == id).expect("it was spared").zone.clone();
    assert_eq!(told(&scene.targeted[0].0), Some(networks[0].clone()));
    assert_eq!(told(&scene.targeted[2].0), None, "it is on both sides of any cut");
    let zones = ended.report["zones"].as_array().expect("a list");
    let out: Vec<_> = zones.iter().filter(|z| z["outage"] == "freeze").map(|z| z["zone"].as_str()).collect();
    assert_eq!(out, [Some(networks[1].as_str())]);
    scene.is_as(&before).await;
}

#[tokio::test]
async fn an_engine_is_a_zone_of_which_only_what_is_meant_goes_out() {
    let scene = Scene::of(2, lonely()).await;
    let before = scene.settings().await;
    let target = format!("{{ labels: 'squall.test={}' }}", scene.sandbox.prefix);
    let ended = scene.run(&frozen(&scene, "{ engine: {} }", &target)).await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");

    let name = scene.sandbox.docker.details().await.expect("the engine answers").name.expect("a name");
    let mut targeted: Vec<_> = ended.state.targeted.iter().map(|i| (i.id.clone(), i.zone.clone())).collect();
    let mut meant: Vec<_> = scene.targeted.iter().map(|id| (id.clone(), Some(name.clone()))).collect();
    targeted.sort_unstable();
    meant.sort_unstable();
    assert_eq!(targeted, meant);
    scene.is_as(&before).await;
}
