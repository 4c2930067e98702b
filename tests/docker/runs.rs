//! Whole runs on real containers that end as planned: held and broken, crashes and recoveries.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{HostConfig, NetworkCreateRequest, PortBinding, RestartPolicyNameEnum};
use bollard::query_parameters::InspectContainerOptions;
use squall::engine::Outcome;
use squall::model::instance::InstanceId;
use squall::record::event::Phase;

use crate::harness::{Sandbox, Spec};
use crate::scene::{Scene, lonely};

/// A gateway before shops before a store, on a network of their own; the shops are targeted.
async fn shops(count: usize) -> (Scene, InstanceId) {
    let sandbox = Sandbox::new().await;
    let network = sandbox.name("net");
    let request = NetworkCreateRequest { name: network.clone(), ..NetworkCreateRequest::default() };
    sandbox.api.create_network(request).await.expect("a network");
    let spec = |command: String| Spec {
        command: command.split(' ').map(str::to_owned).collect(),
        host: HostConfig { network_mode: Some(network.clone()), ..HostConfig::default() },
        ..Spec::default()
    };
    let named = |n: usize| sandbox.name(&format!("targeted-{n}:8080"));
    sandbox.start("store", spec("serve store --listen 0.0.0.0:8080".to_owned())).await;
    let upstream = (1..=count).map(named).collect::<Vec<_>>().join(",");
    let gateway =
        sandbox.start("gateway", spec(format!("serve gateway --listen 0.0.0.0:8080 --upstream {upstream}"))).await;
    let store = sandbox.name("store:8080");
    let shop = spec(format!("serve shop --listen 0.0.0.0:8080 --upstream {store}"));
    (Scene::in_sandbox(sandbox, count, shop).await, gateway)
}

/// A container's address on its network.
async fn address(sandbox: &Sandbox, id: &InstanceId) -> String {
    let found = sandbox.api.inspect_container(&id.0, None::<InspectContainerOptions>).await.expect("it exists");
    let networks = found.network_settings.and_then(|n| n.networks).expect("a network");
    networks.into_values().find_map(|n| n.ip_address).expect("an address")
}

/// One that answers on a published port of this machine.
pub(crate) fn published() -> (Spec, u16) {
    let port = crate::ports::free_port();
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
    let bindings = HashMap::from([("8080/tcp".to_owned(), Some(vec![binding]))]);
    let host = HostConfig { port_bindings: Some(bindings), ..HostConfig::default() };
    (Spec { host, ..Spec::default() }, port)
}

fn milliseconds(report: &serde_json::Value, key: &str) -> f64 {
    report[key].as_f64().unwrap_or_else(|| panic!("no {key} in {report:#}"))
}

#[tokio::test]
async fn losing_one_of_three_is_held() {
    let (scene, gateway) = shops(3).await;
    let before = scene.settings().await;
    let check = format!(
        "checkout: {{ http: 'http://{}:8080/checkout', rate: 30/s, expect: {{ success: 99% }}, during: {{ success: 90% }} }}",
        address(&scene.sandbox, &gateway).await
    );
    let x = scene.checked(&check, "kill: {}", "warm-up: 500ms, baseline: 2s, duration: 3s, recovery: 10s");
    let ended = scene.run(&x).await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert_eq!(ended.state.targeted.len(), 1);
    assert!(ended.report["recovery"]["rto-ms"].is_u64());
    scene.is_as(&before).await;
}

/// The kernel gives the first process of a PID namespace no signal that it does not handle.
#[tokio::test]
async fn a_signal_that_is_ignored_kills_no_target() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let ended =
        scene.run(&scene.experiment("kill: { signal: SIGUSR1 }", "baseline: 500ms, duration: 5s, recovery: 5s")).await;
    ended.is(3, "not-verified");
    assert!(
        ended.report["text"].as_str().is_some_and(|t| t.contains("its main process runs on")),
        "{}",
        ended.report["text"]
    );
    scene.is_as(&before).await;
}

#[tokio::test]
async fn one_that_is_killed_again_and_again_is_another_life_each_time() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let first = scene.sandbox.look(&scene.targeted[0]).await.epoch;
    let list = |fault: &str, times: &str| {
        let (one, service) = (scene.experiment(fault, "baseline: 500ms, duration: 5s, recovery: 5s"), &scene.service);
        let single = format!("target: {{ service: {service} }}\nfault: {{ {fault} }}\n");
        assert!(one.contains(&single), "{one}");
        one.replace(
            &single,
            &format!("faults: [{{ fault: {{ {fault} }}, target: {{ service: {service} }}, {times} }}]\n"),
        )
    };
    for (fault, times) in [("kill: {}", "for: 500ms, every: 2s"), ("restart: {}", "every: 2s")] {
        let ended = scene.start_in(&fault[..4], &list(fault, times)).ends().await;
        ended.is(0, "hypothesis-held").rolled_back_by("runner");
        let lives: BTreeSet<String> = ended.state.changes.iter().map(|c| c.change.epoch.0.clone()).collect();
        assert_eq!((lives.len(), ended.state.changes.len()), (3, 3), "{fault}: {lives:?}");
        assert!(ended.state.changes.iter().all(squall::record::state::ChangeState::is_verified));
        assert_ne!(scene.sandbox.look(&scene.targeted[0]).await.epoch, first);
        scene.is_as(&before).await;
    }
}

/// It is frozen: it accepts connections and answers nothing.
#[tokio::test]
async fn freezing_the_only_one_breaks_it_and_is_stopped_at_once() {
    let (spec, port) = published();
    let scene = Scene::of(1, spec).await;
    let before = scene.settings().await;
    let check = format!(
        "stock: {{ http: 'http://127.0.0.1:{port}/stock', rate: 20/s, timeout: 300ms, expect: {{ success: 90% }} }}"
    );
    let x = scene.checked(&check, "pause: {}", "warm-up: 500ms, baseline: 2s, duration: 20s, recovery: 10s");
    let ended = scene.run(&x).await;
    ended.is(1, "hypothesis-broken").rolled_back_by("runner");
    // 40 of 400 may fail: the 41st answer is overdue 2.3 s after the injection, and not a moment is lost after that.
    let latency = milliseconds(&ended.report, "abort-latency-ms");
    assert!((0.0..1000.0).contains(&latency), "{latency} ms from the breach until it was taken back");
    let (began, end) = ended.state.span_of(Phase::During).expect("it was on");
    let held = end.duration_since(began).as_secs_f64();
    assert!((2.2..5.0).contains(&held), "broken after {held} s");
    scene.is_as(&before).await;
}

/// It is gone: connections are refused.
#[tokio::test]
async fn killing_the_only_one_breaks_it() {
    let (spec, port) = published();
    let scene = Scene::of(1, spec).await;
    let before = scene.settings().await;
    let check = format!("stock: {{ http: 'http://127.0.0.1:{port}/stock', rate: 20/s, expect: {{ success: 90% }} }}");
    let x = scene.checked(&check, "kill: {}", "warm-up: 500ms, baseline: 2s, duration: 5s, recovery: 10s");
    let ended = scene.run(&x).await;
    ended.is(1, "hypothesis-broken").rolled_back_by("runner");
    let judged = &ended.state.checks["stock"].judged[&Phase::During];
    assert!(judged.failures.keys().any(|why| why.contains("refused") || why.contains("reset")), "{judged:?}");
    assert!(ended.state.recovery.as_ref().is_some_and(|r| r.rto.is_some()), "it is back");
    scene.is_as(&before).await;
}

/// A check on how many run, with `heal: self`: nobody but the engine's restart policy helps.
async fn crashed(policy: RestartPolicyNameEnum) -> (Scene, crate::scene::Settings, crate::scene::Ended) {
    let scene = Scene::of(1, Spec { restart: Some(policy), ..lonely() }).await;
    let before = scene.settings().await;
    let check = format!(
        "up: {{ engine: {{ service: {}, count: running }}, rate: 10/s, expect: {{ value: 1 }}, \
         during: {{ value: {{ at-most: 1000 }} }} }}",
        scene.service
    );
    let x = scene.checked(&check, "kill: { via: host, heal: self }", "baseline: 1s, duration: 2s, recovery: 4s");
    let ended = scene.run(&x).await;
    (scene, before, ended)
}

#[tokio::test]
async fn a_crash_that_the_restart_policy_makes_good_is_held() {
    let (scene, before, ended) = Box::pin(crashed(RestartPolicyNameEnum::ALWAYS)).await;
    ended.is(0, "hypothesis-held");
    let rto = ended.state.recovery.as_ref().and_then(|r| r.rto).expect("a time to recover");
    assert!(rto < Duration::from_secs(3), "{rto:?}");
    assert_eq!(ended.report["recovery"]["from"], "injection");
    let outcome = ended.state.changes[0].rolled_back.as_ref().map(|r| r.outcome);
    assert_eq!(outcome, Some(Outcome::Already), "nothing was left to be taken back");
    assert_eq!(scene.sandbox.look(&scene.targeted[0]).await.restarts, 1);
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_crash_that_nobody_makes_good_is_a_weakness_and_then_made_good_by_squall() {
    let (scene, before, ended) = Box::pin(crashed(RestartPolicyNameEnum::NO)).await;
    ended.is(1, "recovery-too-slow").rolled_back_by("runner");
    assert_eq!(ended.state.changes[0].rolled_back.as_ref().map(|r| r.outcome), Some(Outcome::Done));
    assert_eq!(ended.state.recovery.as_ref().map(|r| r.rto), Some(None));
    scene.is_as(&before).await;
}
