//! Several faults in one run: each on its own target and in its own time, and all of them rolled back, also where the runner dies
//! in the middle.

use bollard::models::RestartPolicyNameEnum;
use rustix::process::Signal;
use squall::model::instance::{Aspect, Instance, Setting};
use squall::record::event::Phase;
use squall::record::state::RunState;

use crate::harness::Spec;
use crate::scene::{Scene, send};

/// One instance is slow all the time, and the other one stands still for a while.
fn slow_and_frozen(scene: &Scene, frozen_for: &str, duration: &str) -> String {
    let service = &scene.service;
    let target = |n: usize| format!("{{ service: {service}, name: {} }}", scene.sandbox.name(&format!("targeted-{n}")));
    format!(
        "version: 1\nname: compound\nhypothesis: Nothing stays behind.\nsteady-state:\n  \
         count: {{ engine: {{ service: {service}, count: running }}, rate: 4/s, expect: {{ value: {{ at-most: 1000 }} }} }}\n\
         faults:\n  - {{ fault: {{ latency: {{ delay: 50ms, idle: allowed }} }}, target: {} }}\n  \
         - {{ fault: pause, target: {}, after: 1s, for: {frozen_for} }}\n\
         blast-radius: {{ max-instances: 2 }}\ntiming: {{ baseline: 500ms, duration: {duration}, recovery: 5s }}\n",
        target(1),
        target(2)
    )
}

/// The changes of the two: the slow one and the frozen one.
fn both(state: &RunState) -> Option<[&squall::record::state::ChangeState; 2]> {
    match state.changes.as_slice() {
        [slow, frozen] => Some([slow, frozen]),
        _ => None,
    }
}

fn is_slow(i: &Instance) -> bool {
    matches!(i.settings.get(&Aspect::Network), Some(Setting::Mark(_, Some(_))))
}

fn is_frozen(i: &Instance) -> bool {
    i.settings.get(&Aspect::Paused) == Some(&Setting::Paused(true))
}

#[tokio::test]
async fn each_fault_has_its_own_target_and_its_own_time() {
    let scene = Scene::of(2, Spec::default()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&slow_and_frozen(&scene, "3s", "12s"));
    let look = |n: usize| scene.sandbox.look(&scene.targeted[n]);

    run.until("the first is on", |s| both(s).is_some_and(|[slow, _]| slow.injected.is_some())).await;
    run.until("the second is on", |s| both(s).is_some_and(|[_, frozen]| frozen.verification.is_some())).await;
    assert!(is_slow(&look(0).await) && !is_frozen(&look(0).await));
    assert!(is_frozen(&look(1).await) && !is_slow(&look(1).await));

    run.until("the second is over", |s| both(s).is_some_and(|[_, frozen]| frozen.rolled_back.is_some())).await;
    assert!(!is_frozen(&look(1).await), "its time is over");
    assert!(is_slow(&look(0).await), "the other one goes on");

    let ended = run.ends().await;
    ended.is(0, "held-without-effect").rolled_back_by("runner");
    let [slow, frozen] = both(&ended.state).expect("two changes");
    let at = |c: &squall::record::state::ChangeState| {
        (c.injected.as_ref().map(|i| i.at).expect("made"), c.rolled_back.as_ref().map(|r| r.at).expect("rolled back"))
    };
    let ((slow_from, slow_to), (frozen_from, frozen_to)) = (at(slow), at(frozen));
    assert!(slow_from < frozen_from && frozen_to < slow_to, "one lies within the other");
    // Nothing before its time, which counts from the phase's begin; how much later is up to the machine.
    let (begin, _) = ended.state.span_of(Phase::During).expect("the fault was on");
    let second = jiff::SignedDuration::from_secs(1);
    assert!(frozen_from.duration_since(begin) >= second - second / 10);
    assert!(frozen_to.duration_since(begin) >= second * 4 - second / 10);
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_runner_that_dies_in_the_middle_leaves_neither_of_two_faults() {
    let scene = Scene::of(2, Spec { restart: Some(RestartPolicyNameEnum::ALWAYS), ..Spec::default() }).await;
    let before = scene.settings().await;
    let mut run = scene.start(&slow_and_frozen(&scene, "50s", "60s"));
    run.until_on().await;
    assert!(
        is_slow(&scene.sandbox.look(&scene.targeted[0]).await)
            && is_frozen(&scene.sandbox.look(&scene.targeted[1]).await)
    );
    send(run.pid(), Signal::KILL);
    let ended = run.ends().await;
    ended.rolled_back_by("guard");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_runner_that_dies_before_the_second_fault_is_due_leaves_the_first_one_neither() {
    let scene = Scene::of(2, Spec::default()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&slow_and_frozen(&scene, "50s", "60s").replace("after: 1s", "after: 8s"));
    run.until("the first is on", |s| both(s).is_some_and(|[slow, _]| slow.verification.is_some())).await;
    send(run.pid(), Signal::KILL);
    let ended = run.ends().await;
    let [slow, frozen] = both(&ended.state).expect("two changes are planned");
    assert!(slow.rolled_back.is_some());
    assert!(frozen.injecting.is_none() && frozen.injected.is_none(), "nobody has begun it");
    scene.is_as(&before).await;
}
