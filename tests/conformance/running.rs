//! What is changed of an instance that runs on: its traffic, its disk, its limits and its restart policy.

use std::time::Duration;

use squall::engine::{Engine, Outcome};
use squall::model::instance::{Aspect, InstanceId, Kill, RestartPolicy, Setting, Signal, Trait, Via};

use super::{T, feasible, late, look, set, settings};

pub(super) async fn traffic_is_disturbed_and_left_alone(engine: &dyn Engine, id: &InstanceId) {
    let before = settings(engine, id).await;
    let untouched = Setting::Mark(Aspect::Network, None);
    assert_eq!(before[&Aspect::Network], untouched);
    assert_eq!(set(engine, id, &untouched).await, Outcome::Already, "there is nothing to roll back");

    let target = look(engine, id).await;
    let able =
        async |delay| feasible(engine, &target, &late(Duration::from_millis(delay))).await.expect("it is able to");
    let (to, other) = (able(1).await, able(2).await);
    let marked = |to: &Setting| to.observed_as().expect("it can be observed");
    assert_eq!(set(engine, id, &to).await, Outcome::Done);
    let during = look(engine, id).await;
    assert!(during.is_up(), "it runs on");
    assert_eq!(during.settings[&Aspect::Network], marked(&to), "its mark is observed");
    assert!(during.counted.is_some(), "what meets it is counted");
    assert_eq!(set(engine, id, &to).await, Outcome::Already, "a second time");
    assert_eq!(settings(engine, id).await, during.settings, "a second time changes nothing");

    assert_eq!(set(engine, id, &other).await, Outcome::Done, "another one takes its place");
    assert_eq!(settings(engine, id).await[&Aspect::Network], marked(&other));
    assert_eq!(set(engine, id, &untouched).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before);
    assert_eq!(look(engine, id).await.counted, None, "nothing is counted any more");
    assert_eq!(set(engine, id, &untouched).await, Outcome::Already, "a second time");

    assert_eq!(set(engine, id, &to).await, Outcome::Done);
    assert_eq!(set(engine, id, &Setting::Restarted { timeout: T }).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before, "it ends with the life");
    assert_eq!(set(engine, id, &untouched).await, Outcome::Already, "nothing is left to roll back");
}

/// What is written to a root file system outlives a life, and is taken away with the instance running or not.
pub(super) async fn a_disk_is_filled_and_freed(engine: &dyn Engine, id: &InstanceId, to: &Setting) {
    let Setting::Filled(fill) = to else { panic!("{to:?}") };
    let back = Setting::Freed(Box::new(fill.place.clone()));
    let before = settings(engine, id).await;
    assert_eq!(set(engine, id, &back).await, Outcome::Already, "nothing fills it");
    for ends in [None, Some(Setting::Restarted { timeout: T }), Some(Setting::Running(false))] {
        assert_eq!(set(engine, id, to).await, Outcome::Done, "{to}");
        let during = look(engine, id).await;
        assert!(during.is_up(), "it runs on");
        assert_eq!(Some(&during.settings[&Aspect::Disk]), to.observed_as().as_ref(), "it is observed");
        assert_eq!(set(engine, id, to).await, Outcome::Already, "{to} a second time");
        if let Some(end) = &ends {
            assert_eq!(set(engine, id, end).await, Outcome::Done);
            assert_eq!(
                settings(engine, id).await[&Aspect::Disk],
                during.settings[&Aspect::Disk],
                "it stays when {end}"
            );
        }
        assert_eq!(set(engine, id, &back).await, Outcome::Done, "back from {to}, {ends:?}");
        assert_eq!(set(engine, id, &back).await, Outcome::Already, "back a second time, {ends:?}");
    }
    assert_eq!(set(engine, id, &Setting::Running(true)).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before);
}

/// `to` is lower than what it has.
pub(super) async fn is_limited_and_set_back(engine: &dyn Engine, id: &InstanceId, to: &Setting) {
    let before = settings(engine, id).await;
    let back = &before[&to.aspect()];
    assert_eq!(set(engine, id, back).await, Outcome::Already, "it is {back}");
    assert_eq!(set(engine, id, to).await, Outcome::Done, "{to}");
    let during = look(engine, id).await;
    assert!(during.is_up(), "it runs on");
    assert_eq!(Some(&during.settings[&to.aspect()]), to.observed_as().as_ref(), "it is observed");
    assert_eq!(set(engine, id, to).await, Outcome::Already, "{to} a second time");
    assert_eq!(settings(engine, id).await, during.settings, "{to} a second time changes nothing");
    assert_eq!(set(engine, id, back).await, Outcome::Done, "back from {to}");
    assert_eq!(settings(engine, id).await, before, "back from {to}");
    assert_eq!(set(engine, id, back).await, Outcome::Already, "back from {to} a second time");

    assert_eq!(set(engine, id, to).await, Outcome::Done, "{to} once more");
    assert_eq!(set(engine, id, &Setting::Restarted { timeout: T }).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before, "it ends with the life");
    assert_eq!(set(engine, id, back).await, Outcome::Already, "nothing is left to roll back");

    assert_eq!(set(engine, id, to).await, Outcome::Done, "{to} once more");
    assert_eq!(set(engine, id, &Setting::Running(false)).await, Outcome::Done);
    assert_eq!(set(engine, id, back).await, Outcome::Already, "one that does not run has no limit to roll back");
    assert_eq!(set(engine, id, &Setting::Running(true)).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before, "and begins its next life with what is configured");
}

pub(super) async fn a_restart_policy_is_the_instances_own(engine: &dyn Engine, id: &InstanceId) {
    let before = settings(engine, id).await;
    assert_eq!(before[&Aspect::RestartPolicy], Setting::RestartPolicy(RestartPolicy::Never), "the instance has none");
    for policy in [RestartPolicy::OnFailure { most: 3 }, RestartPolicy::UnlessStopped, RestartPolicy::Always] {
        let to = Setting::RestartPolicy(policy);
        assert_eq!(set(engine, id, &to).await, Outcome::Done, "{to}");
        assert_eq!(settings(engine, id).await[&Aspect::RestartPolicy], to);
        assert_eq!(set(engine, id, &to).await, Outcome::Already, "{to} a second time");
        assert!(look(engine, id).await.traits.contains(&Trait::Restarts), "{to}");
    }
    let (always, never) = (&Setting::RestartPolicy(RestartPolicy::Always), &before[&Aspect::RestartPolicy]);
    assert_eq!(set(engine, id, &Setting::Restarted { timeout: T }).await, Outcome::Done);
    assert_eq!(settings(engine, id).await[&Aspect::RestartPolicy], *always, "it outlives a life");
    // Set aside, it does not act; and it is set back on one that does not run, which does not start it.
    assert_eq!(set(engine, id, never).await, Outcome::Done);
    assert_eq!(
        set(engine, id, &Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine })).await,
        Outcome::Done
    );
    assert_eq!(set(engine, id, always).await, Outcome::Done);
    assert!(!look(engine, id).await.is_running());
    assert_eq!(set(engine, id, &Setting::Running(true)).await, Outcome::Done);
    assert_eq!(set(engine, id, never).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before);
}
