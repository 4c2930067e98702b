//! What is said to be done shows: whatever setting there is, an engine refuses it beforehand, or makes it so that it is seen.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use squall::engine::{Ability, Engine, EngineError, Outcome};
use squall::model::disk::DiskLocation;
use squall::model::instance::{
    Aspect, Command, CommandLocation, Instance, InstanceId, Kill, RestartPolicy, Setting, Signal, Signalled, Via,
};
use squall::model::machine::Limit;
use squall::model::network::{Direction, Traffic};
use squall::model::node::{Availability, Isolation, NodeAvailability};
use squall::model::stressor::StressSpec;
use squall::model::stressor::called::Which;

use super::{T, filled, late, limits, loads, look, set, settings, stressor, tag};

/// Every kind of setting, for this instance. The last one of an aspect leaves the instance as it was, or is set back.
fn every(target: &Instance) -> Vec<Setting> {
    let kill = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine });
    let life = [Setting::Running(true), Setting::Running(false), kill, Setting::Stopped { timeout: T }];
    let others = [Setting::Restarted { timeout: T }, Setting::Paused(true), Setting::Paused(false), late(T / 1000)];
    let Setting::Filled(fill) = filled(target) else { panic!("it fills") };
    let place: DiskLocation = fill.place.clone();
    let disk = [Setting::Filled(fill), Setting::Freed(Box::new(place))];
    let which = || Which::named("no-such-process");
    let signalled = Signalled { which: which(), signal: Signal::SigHup };
    let command = Command {
        run: vec!["true".to_owned()],
        place: CommandLocation::Here,
        timeout: T * 5,
        variables: target.variables(),
        directory: std::env::current_dir().ok(),
    };
    let rest = [
        Setting::ReadOnly(["/".to_owned()].into()),
        stressor(StressSpec::Stop(which())),
        Setting::Signalled(Box::new(signalled)),
        Setting::ConnectionsReset(Box::new(Traffic::all(Direction::Both))),
        Setting::RestartPolicy(RestartPolicy::Always),
        Setting::Isolated(Isolation::default()),
        Setting::Availability(NodeAvailability { node: "x".to_owned(), is: Availability::Pause, of_run: true }),
        Setting::Ran(command),
    ];
    let marks = names::<Aspect>().into_iter().flat_map(|name| {
        let aspect: Aspect = serde_json::from_value(name.into()).expect("a name of its own");
        [Setting::Mark(aspect, None), Setting::Mark(aspect, Some("0123456789abcdef".to_owned()))]
    });
    let io = target.settings.get(&Aspect::IoLimit).and_then(slower);
    life.into_iter()
        .chain(others)
        .chain(limits())
        .chain(io)
        .chain(loads())
        .chain(disk)
        .chain(rest)
        .chain(marks)
        .collect()
}

/// A limit of its disks that is far above whatever they do.
fn slower(now: &Setting) -> Option<Setting> {
    let Setting::Limit(Limit::Io(disks)) = now else { return None };
    let mut disks = disks.clone();
    disks.first_mut()?.write = Some(1 << 30);
    Some(Setting::Limit(Limit::Io(disks)))
}

/// What the variants of a type are called where it is stored: all of them, as its reader tells who names another one.
fn names<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().expect("no variant is called that").to_string();
    let names: BTreeSet<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(names.len() > 1, "{error}");
    names
}

fn name_of(to: &impl Serialize) -> String {
    match serde_json::to_value(to).expect("it can be stored") {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(fields) => fields.keys().next().expect("it has a name").clone(),
        other => panic!("{other}"),
    }
}

pub(super) async fn what_is_done_shows(engine: &dyn Engine, id: &InstanceId) {
    let target = look(engine, id).await;
    let every = every(&target);
    let asked: BTreeSet<String> = every.iter().map(name_of).collect();
    assert_eq!(asked, names::<Setting>(), "each kind of setting is in the list");
    for to in &every {
        let to = match engine.can_one(&target, to).await.expect("the engine answers") {
            Ability::Yes => to.clone(),
            Ability::As(this) => *this,
            Ability::No(why) => {
                assert!(!why.is_empty(), "{to}: it says why not");
                continue;
            }
        };
        let before = look(engine, id).await;
        let known = before.settings.get(&to.aspect());
        match engine.set(&tag(), id, &to).await {
            Ok(Outcome::Done) => shows(&to, &before, &look(engine, id).await),
            // Where an aspect is not observed, nothing lies on it.
            Ok(Outcome::Already) => assert_eq!(known.cloned().or(to.observed_as()), to.observed_as(), "{to}"),
            Err(EngineError::Refused { .. }) if needs_something_to_targeted(&to) => {}
            other => panic!("{to}: {other:?}"),
        }
        if let Some(known) = known {
            let back = match &to {
                Setting::Filled(fill) => &Setting::Freed(Box::new(fill.place.clone())),
                _ => known,
            };
            set(engine, id, back).await;
        }
        assert_eq!(settings(engine, id).await, before.settings, "back from {to}");
    }
}

/// Whether it may find nothing at an instance to do it to, which only shows when it is done.
fn needs_something_to_targeted(to: &Setting) -> bool {
    match to {
        Setting::Signalled(_) | Setting::ConnectionsReset(_) => true,
        Setting::Stressor(stressor) => matches!(stressor.work, StressSpec::Stop(_)),
        _ => false,
    }
}

/// What was set is observed, as it says that it is.
fn shows(to: &Setting, before: &Instance, now: &Instance) {
    if let Some(value) = to.observed_as() {
        assert_eq!(now.settings.get(&to.aspect()), Some(&value), "{to}");
        return;
    }
    match to {
        Setting::Killed(_) | Setting::Stopped { .. } => assert!(!now.is_running(), "{to}: {now:?}"),
        Setting::Restarted { .. } => assert_ne!(now.epoch, before.epoch, "{to}"),
        // Nothing of the instance shows it.
        Setting::Signalled(_) | Setting::ConnectionsReset(_) | Setting::Ran(_) => {}
        other => panic!("{other} shows in nothing"),
    }
}
