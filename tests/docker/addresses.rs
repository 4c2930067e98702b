//! Who is started again has the address that it had, also where several start; where it cannot have it, that is said.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bollard::models::{HostConfig, NetworkCreateRequest};

use crate::harness::{Sandbox, Spec};
use crate::scene::Scene;

const TIMING: &str = "baseline: 500ms, duration: 2s, recovery: 5s";

/// So many containers of one service, on a network of their own.
async fn on_a_network(count: usize) -> (Scene, Spec) {
    let sandbox = Sandbox::new().await;
    let network = sandbox.name("net");
    let request = NetworkCreateRequest { name: network.clone(), ..NetworkCreateRequest::default() };
    sandbox.api.create_network(request).await.expect("a network");
    let spec = Spec { host: HostConfig { network_mode: Some(network), ..HostConfig::default() }, ..Spec::default() };
    (Box::pin(Scene::in_sandbox(sandbox, count, spec.clone())).await, spec)
}

fn all(scene: &Scene) -> String {
    let one = format!("target: {{ service: {} }}", scene.service);
    let all = format!("target: {{ service: {}, pick: all }}", scene.service);
    scene.experiment("kill: {}", TIMING).replace(&one, &all).replace("max-instances: 1", "max-instances: 9")
}

async fn addresses(scene: &Scene) -> BTreeMap<String, IpAddr> {
    let mut all = BTreeMap::new();
    for id in &scene.targeted {
        let instance = scene.sandbox.look(id).await;
        all.insert(instance.name, instance.addresses[0].ip);
    }
    all
}

#[tokio::test]
async fn those_that_died_together_come_back_with_their_addresses() {
    let (scene, _) = on_a_network(5).await;
    let before = (scene.settings().await, addresses(&scene).await);
    let ended = scene.run(&all(&scene)).await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert_eq!(addresses(&scene).await, before.1);
    assert!(ended.state.readdressed.is_empty(), "{:?}", ended.state.readdressed);
    scene.is_as(&before.0).await;
}

#[tokio::test]
async fn a_stranger_at_the_address_that_is_asked_is_no_evidence() {
    let (scene, spec) = on_a_network(1).await;
    let ip = addresses(&scene).await.into_values().next().expect("an address");
    // Nobody may notice the gap, so that only a good answer could follow.
    let check = format!(
        "it: {{ http: 'http://{ip}:8080/health', rate: 10/s, expect: {{ success: 90% }}, during: {{ success: 10% }} }}"
    );
    let text = scene.checked(&check, "kill: {}", "baseline: 2s, duration: 30s, recovery: 5s");
    let mut run = scene.start(&text);
    run.until_on().await;
    let thief = scene.sandbox.start("thief", spec).await;
    assert_eq!(scene.sandbox.look(&thief).await.addresses[0].ip, ip, "it takes the address that is free");
    let ended = run.ends().await;
    ended.is(3, "no-evidence");
    let text = ended.report["text"].as_str().expect("a text");
    assert!(text.contains(&format!("`it` asks {ip}")) && text.contains(&scene.sandbox.name("thief")), "{text}");
    scene.is_clear().await;
}

#[tokio::test]
async fn an_address_that_another_one_has_taken_is_said() {
    let (scene, spec) = on_a_network(2).await;
    let before = addresses(&scene).await;
    let mut run = scene.start(&all(&scene));
    run.until_on().await;
    let thief = scene.sandbox.start("thief", spec).await;
    let ended = run.ends().await;
    ended.is(0, "hypothesis-held");
    let (after, thief) = (addresses(&scene).await, scene.sandbox.look(&thief).await);
    let robbed: Vec<&String> = before.iter().filter(|(_, ip)| **ip == thief.addresses[0].ip).map(|(n, _)| n).collect();
    let [robbed] = robbed[..] else { panic!("it took none: {:?} {:?}", before, thief.addresses) };
    let text = ended.report["text"].as_str().expect("a text");
    let said = format!("{robbed} has another address than before: {} was its address", before[robbed]);
    assert!(text.contains(&said) && text.contains(&format!("and {} is", after[robbed])), "{text}");
    assert!(text.ends_with(&thief.name), "who may not find it: {text}");
    scene.is_clear().await;
}
