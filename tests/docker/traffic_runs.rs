//! Whole runs that disturb traffic: targets that restart, peers that come and go, and whoever dies meanwhile.

use std::time::Duration;

use bollard::query_parameters::{RestartContainerOptions, RestartContainerOptionsBuilder};
use rustix::process::Signal;
use squall::engine::{Apply as _, Claim, Lock as _};
use squall::host::process::with_variable;
use squall::model::instance::{Aspect, LAPSED, Setting};
use squall::model::network::{Direction, Flow, Network, Peers, Traffic, Treatment};
use squall::record::state::RunState;

use crate::harness::Spec;
use crate::scene::{Scene, eventually, guard, send};

const LATE: &str = "latency: { delay: 30ms, mechanism: userspace }";

const TIMING: &str = "baseline: 500ms, duration: 20s, recovery: 2s";

fn shapers(state: &RunState) -> Vec<u32> {
    let run = &state.started.as_ref().expect("a start").run;
    let tags = state.changes.iter().map(|c| format!("{run}.{}", c.change.n));
    tags.flat_map(|tag| with_variable("SQUALL_CHANGE", &tag)).map(|p| p.pid()).collect()
}

#[tokio::test]
async fn a_target_that_restarts_is_disturbed_again() {
    let scene = Scene::of(1, Spec::default()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment(LATE, "baseline: 500ms, duration: 6s, recovery: 2s"));
    run.until_on().await;
    let options = RestartContainerOptionsBuilder::new().t(0).build();
    scene.sandbox.api.restart_container(&scene.targeted[0].0, Some(options)).await.unwrap();
    let amended = |s: &RunState| s.changes.len() == 2 && s.changes[1].is_verified();
    let state = run.until("it is disturbed again", amended).await;
    assert_ne!(state.changes[0].change.epoch, state.changes[1].change.epoch);
    // What answers it is traffic that leaves.
    let to = scene.sandbox.look(&scene.targeted[0]).await.addresses[0].ip;
    let _ = tokio::time::timeout(Duration::from_secs(2), tokio::net::TcpStream::connect((to, 9))).await;
    let ended = run.ends().await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert!(ended.state.noticed.iter().any(|o| o.what.contains("was restarted")), "{:?}", ended.state.noticed);
    assert!(ended.state.changes[1].measured.is_some_and(|c| c.packets > 0));
    scene.is_as(&before).await;
}

#[tokio::test]
async fn peers_that_come_are_followed() {
    let scene = Scene::of(1, Spec::default()).await;
    let others = scene.sandbox.name("others");
    let spec = || Spec { labels: vec![("squall.service", others.clone())], ..Spec::default() };
    let first = scene.sandbox.start("other-1", spec()).await;
    let fault = format!("partition: {{ from: {{ service: {others} }} }}");
    let mut run = scene.start(&scene.experiment(&fault, TIMING));
    run.until_on().await;
    let second = scene.sandbox.start("other-2", spec()).await;
    let state =
        run.until("the other one is cut off, too", |s| s.changes.len() == 2 && s.changes[1].injected.is_some()).await;
    let Setting::Network(network) = &state.changes[1].change.to else { panic!("{:?}", state.changes[1]) };
    let Peers::These(peers) = &network.flows[0].traffic.peers else { panic!("{network:?}") };
    for id in [&first, &second] {
        let ip = scene.sandbox.look(id).await.addresses[0].ip;
        assert!(peers.iter().any(|p| p.range() == Some(ip.into())), "{peers:?}: {ip}");
    }
    run.signal(Signal::INT);
    run.ends().await.is(3, "interrupted").rolled_back_by("runner");
    let settings = scene.settings().await;
    assert!(settings.values().all(|s| s[&Aspect::Network] == Setting::Mark(Aspect::Network, None)), "{settings:?}");
    scene.is_clear().await;
}

#[tokio::test]
async fn a_runner_that_dies_leaves_no_late_packet() {
    let scene = Scene::of(1, Spec::default()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment(LATE, TIMING));
    let state = run.until_on().await;
    assert_eq!(shapers(&state).len(), 1);
    run.signal(Signal::KILL);
    let ended = run.ends().await;
    ended.rolled_back_by("guard");
    assert_eq!(shapers(&ended.state), Vec::<u32>::new());
    scene.is_as(&before).await;
}

#[tokio::test]
async fn what_holds_packets_and_dies_ends_the_run() {
    let scene = Scene::of(1, Spec::default()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment(LATE, TIMING));
    let state = run.until_on().await;
    send(shapers(&state)[0], Signal::KILL);
    run.ends().await.is(3, "fault-vanished").rolled_back_by("runner");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn what_no_packet_meets_is_no_verdict_unless_it_may_be_idle() {
    for (idle, code, reason) in [("none", 3, "no-effect"), ("allowed", 0, "held-without-effect")] {
        let scene = Scene::of(1, Spec::default()).await;
        let before = scene.settings().await;
        let address = scene.sandbox.look(&scene.targeted[0]).await.addresses[0].ip;
        // A client talks with it, at another port.
        let connect = || async { tokio::net::TcpStream::connect((address, 8080)).await.ok() };
        let client = eventually("that it listens", connect).await;
        let fault = format!("loss: {{ percent: 50%, port: 5432, protocol: tcp, idle: {idle} }}");
        let ended = scene.run(&scene.experiment(&fault, "baseline: 500ms, duration: 2s, recovery: 2s")).await;
        ended.is(code, reason);
        let squall::record::state::Verification { verified, .. } =
            ended.state.changes[0].verification.clone().expect("it is in place");
        assert!(verified && !ended.state.had_effect());
        let seen = format!("from {} to its port 8080", client.local_addr().expect("its own").ip());
        assert!(ended.report["text"].as_str().is_some_and(|text| text.contains(&seen)), "{:#}", ended.report["text"]);
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_dead_run_is_recovered_though_its_target_has_restarted() {
    let scene = Scene::of(1, Spec::default()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment(LATE, TIMING));
    let state = run.until_on().await;
    send(guard(&state), Signal::KILL);
    run.signal(Signal::KILL);
    run.dies().await;
    scene.sandbox.api.restart_container(&scene.targeted[0].0, None::<RestartContainerOptions>).await.unwrap();
    let recovered = scene.squall("state").arg("recover").output().await.unwrap();
    assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stderr));
    tokio::time::timeout(Duration::from_secs(5), async {
        while !shapers(&state).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the shaper ends with the life that it was for");
    scene.is_as(&before).await;
}

const CUT: &str = "partition: {}";

/// Whether a target's server is reached.
async fn is_reached(scene: &Scene) -> Option<()> {
    let address = scene.sandbox.look(&scene.targeted[0]).await.addresses[0].ip;
    let connecting = tokio::net::TcpStream::connect((address, 8080));
    tokio::time::timeout(Duration::from_millis(200), connecting).await.ok()?.ok().map(drop)
}

/// Nothing of Squall's is left that could end the fault: the kernel does.
#[tokio::test]
async fn when_runner_and_guard_are_dead_traffic_flows_again_by_itself() {
    let scene = Scene::of(1, Spec::default()).await;
    let before = scene.settings().await;
    eventually("that it listens", || is_reached(&scene)).await;
    let mut run = scene.start(&scene.experiment(CUT, TIMING));
    let state = run.until_on().await;
    assert_eq!(is_reached(&scene).await, None);
    // A runner that is stopped first cannot replace its guard.
    run.signal(Signal::STOP);
    send(guard(&state), Signal::KILL);
    run.signal(Signal::KILL);
    run.dies().await;
    eventually("traffic flows", || is_reached(&scene)).await;
    assert_ne!(scene.settings().await, before, "its table is there, and lets everything pass");
    let recovered = scene.squall("state").arg("recover").output().await.unwrap();
    assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stderr));
    scene.is_as(&before).await;
}

/// A fault that was away for a moment is never a pass.
#[tokio::test]
async fn a_runner_that_hangs_longer_than_its_lease_comes_to_no_verdict() {
    for fault in [CUT, LATE] {
        let scene = Scene::of(1, Spec::default()).await;
        let before = scene.settings().await;
        let mut run = scene.start(&scene.experiment(fault, TIMING));
        run.until_on().await;
        run.signal(Signal::STOP);
        let mark = Setting::Mark(Aspect::Network, Some(LAPSED.to_owned()));
        let has_lapsed = || async {
            let now = scene.sandbox.look(&scene.targeted[0]).await;
            (now.settings.get(&Aspect::Network) == Some(&mark)).then_some(())
        };
        eventually("its lease lapses", has_lapsed).await;
        run.signal(Signal::CONT);
        let ended = run.ends().await;
        ended.is(3, "fault-vanished").rolled_back_by("runner");
        assert!(
            ended.report["text"].as_str().is_some_and(|text| text.contains("renewed")),
            "{:#}",
            ended.report["text"]
        );
        scene.is_as(&before).await;
    }
}

/// A person whose state directory is lost finds what its run has left, and no other's.
#[tokio::test]
async fn what_no_run_owns_is_named_with_what_to_type() {
    let scene = Scene::of(1, Spec::default()).await;
    let (docker, id) = (&scene.sandbox.docker, &scene.targeted[0]);
    let traffic = Traffic::all(Direction::Egress);
    let network = Network { flows: vec![Flow { traffic, treatment: Treatment::Drop }], mechanism: None, seed: 1 };
    let tag = scene.sandbox.tag(0);
    docker.set(&tag, id, &Setting::Network(Box::new(network))).await.expect("it is cut off");
    let doctor = async || {
        let output = scene.squall("other").arg("doctor").output().await.expect("it runs");
        let table = String::from_utf8(output.stdout).expect("text").replace('│', " ");
        table.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let name = scene.sandbox.name("targeted-1");
    let said = doctor().await;
    assert!(said.contains(&format!("{name}: traffic disturbed")) && said.contains("nsenter"), "{said}");

    let claim = Claim {
        service: scene.service.clone(),
        run: "20260101T000000Z-other-1234".to_owned(),
        owner: "ana@host".to_owned(),
        at: "2026-01-01T00:00:00Z".to_owned(),
        holder: None,
    };
    docker.claim(&claim).await.expect("no other run has it");
    let said = doctor().await;
    docker.release(&claim).await.expect("it was taken here");
    assert!(!said.contains(&format!("{name}: traffic disturbed")), "a run may own it: {said}");

    docker.set(&tag, id, &Setting::Mark(Aspect::Network, None)).await.expect("it is rolled back");
    let said = doctor().await;
    assert!(!said.contains(&format!("{name}: traffic disturbed")), "{said}");
}
