//! Whole runs that disturb traffic: targets that restart, peers that come and go, and whoever dies meanwhile.

use std::time::Duration;

use bollard::query_parameters::{RestartContainerOptions, RestartContainerOptionsBuilder};
use rustix::process::Signal;
use squall::host::process::with_variable;
use squall::instance::{Aspect, Setting};
use squall::network::Peers;
use squall::state::RunState;

use crate::harness::Spec;
use crate::scene::{Scene, guard, send};

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
    scene.yard.api.restart_container(&scene.hit[0].0, Some(options)).await.unwrap();
    let amended = |s: &RunState| s.changes.len() == 2 && s.changes[1].bite.as_ref().is_some_and(|b| b.1);
    let state = run.until("it is disturbed again", amended).await;
    assert_ne!(state.changes[0].change.epoch, state.changes[1].change.epoch);
    let ended = run.ends().await;
    ended.is(0, "hypothesis-held").taken_back_by("runner");
    assert!(ended.state.noticed.iter().any(|(_, _, what)| what.contains("was restarted")), "{:?}", ended.state.noticed);
    assert!(ended.state.changes[1].measured.is_some_and(|c| c.packets > 0));
    scene.is_as(&before).await;
}

#[tokio::test]
async fn peers_that_come_are_followed() {
    let scene = Scene::of(1, Spec::default()).await;
    let others = scene.yard.name("others");
    let spec = || Spec { labels: vec![("squall.service", others.clone())], ..Spec::default() };
    let first = scene.yard.start("other-1", spec()).await;
    let fault = format!("partition: {{ from: {{ service: {others} }} }}");
    let mut run = scene.start(&scene.experiment(&fault, TIMING));
    run.until_on().await;
    let second = scene.yard.start("other-2", spec()).await;
    let state =
        run.until("the other one is cut off, too", |s| s.changes.len() == 2 && s.changes[1].injected.is_some()).await;
    let Setting::Network(network) = &state.changes[1].change.to else { panic!("{:?}", state.changes[1]) };
    let Peers::These(peers) = &network.flows[0].traffic.peers else { panic!("{network:?}") };
    for id in [&first, &second] {
        let ip = scene.yard.look(id).await.addresses[0].ip;
        assert!(peers.iter().any(|p| p.range() == Some(ip.into())), "{peers:?}: {ip}");
    }
    run.signal(Signal::INT);
    run.ends().await.is(3, "interrupted").taken_back_by("runner");
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
    ended.taken_back_by("guard");
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
    run.ends().await.is(3, "fault-vanished").taken_back_by("runner");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn where_nobody_sends_a_packet_of_our_own_is_the_proof() {
    let scene = Scene::of(1, Spec::default()).await;
    let before = scene.settings().await;
    let ended = scene
        .run(&scene.experiment(
            "loss: { percent: 50%, port: 5432, protocol: tcp }",
            "baseline: 500ms, duration: 2s, recovery: 2s",
        ))
        .await;
    ended.is(0, "hypothesis-held");
    let (_, proven, proof) = ended.state.changes[0].bite.clone().expect("a bite");
    assert!(proven && proof.contains("of our own"), "{proof}");
    scene.is_as(&before).await;
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
    scene.yard.api.restart_container(&scene.hit[0].0, None::<RestartContainerOptions>).await.unwrap();
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
