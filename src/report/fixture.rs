//! Runs that never were, for the tests of the reports: each folded from synthetic events as a journal would hold them.

mod large;
mod script;
mod stopped;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::{Description, FROM_EXPERIMENT, Kind};
use crate::model::instance::{Aspect, Change, Counted, Rollback, Setting};
use crate::model::network::{Direction, Flow, Mechanism, Network, Ports, Shape, Traffic, Treatment};
use crate::record::event::{Actor, Event, Phase, Reason, Restored, Standing};
use crate::record::state::{Finished, RunState};

pub(super) use large::*;
use script::*;
pub(crate) use stopped::broken;
pub(super) use stopped::*;

/// Every fixture with its name.
pub(super) fn all() -> Vec<(&'static str, RunState)> {
    vec![
        ("held", held()),
        ("broken", broken()),
        ("rehearsed", rehearsal(held())),
        ("rehearsed-broken", rehearsal(broken())),
        ("late", late()),
        ("too-slow", too_slow()),
        ("alerted", alerted()),
        ("no-verdict", no_verdict()),
        ("left-behind", left_behind()),
        ("settled", settled()),
        ("by-guard", by_guard()),
        ("unfinished", unfinished()),
        ("hostile", hostile()),
        ("many", many()),
        ("zone", zone()),
        ("compound", compound()),
        ("empty", RunState::default()),
    ]
}

/// One of three shops is killed for 20 s; customers hardly notice.
pub(super) fn held() -> RunState {
    let mut s = Script::new(KILL_ONE, "20261120-093000-kill-one-replica-7f3a", 7);
    shop_baseline(&mut s);
    s.plan(6110, vec![instance("shop-2", "shop", "b")], shops(), vec![kill(0, "shop-2")]);
    s.phase(6130, Phase::During);
    s.inject(6131, 0, 38, "exited with status 137 at 09:30:06.166Z");
    s.sample("checkout", Phase::During, (6130, 7130), 50, 22.0, &[7, 3]);
    s.sample("checkout", Phase::During, (7130, 26_130), 50, 13.5, &[1]);
    s.count("shops-running", Phase::During, (6130, 26_130), 2);
    s.sample("billing", Phase::During, (6130, 26_130), 5, 3.0, &[]);
    s.at(9_420, Event::Noticed { instance: "shop-3".to_owned(), what: "its health check failed once".to_owned() });
    s.judge(
        26_130,
        "checkout",
        Phase::During,
        vec![
            standing("success", "≥ 95%", "98.9%", Some((11, 50)), true),
            standing("p95", "≤ 300 ms", "31 ms", Some((11, 50)), true),
            standing("max-outage", "≤ 2 s", "240 ms", None, true),
        ],
    );
    s.judge(
        26_130,
        "shops-running",
        Phase::During,
        vec![standing("success", "≥ 100%", "100%", Some((0, 0)), true), standing("value", "≥ 2", "2", None, true)],
    );
    s.judge(26_130, "billing", Phase::During, vec![standing("success", "≥ 90%", "100%", Some((0, 10)), true)]);
    s.phase(26_131, Phase::Rollback);
    s.roll_back(26_132, 0, 291, Actor::Runner);
    s.at(26_430, Event::Restored(Restored::as_before("shop-2")));
    s.phase(26_431, Phase::Recovery);
    s.sample("checkout", Phase::Recovery, (26_431, 33_931), 50, 12.4, &[2, 1, 0, 1]);
    s.count("shops-running", Phase::Recovery, (26_431, 33_931), 3);
    s.sample("billing", Phase::Recovery, (26_431, 33_931), 5, 3.1, &[]);
    s.judge(
        33_931,
        "checkout",
        Phase::Recovery,
        vec![
            standing("success", "≥ 99%", "99.6%", Some((1, 2)), true),
            standing("p95", "≤ 300 ms", "24 ms", Some((1, 12)), true),
        ],
    );
    let checks = [("checkout".to_owned(), Some(1240)), ("shops-running".to_owned(), Some(0))].into();
    let never_lost = ["shops-running".to_owned()].into();
    s.at(33_940, Event::Recovery { rto_ms: Some(1240), checks, missed: BTreeMap::new(), never_lost });
    s.finish(33_941, Reason::HypothesisHeld, "every expectation held, and steady state was back after 1.24 s")
}

/// The same run, in a world that was simulated.
pub(super) fn rehearsal(mut state: RunState) -> RunState {
    if let Some(started) = &mut state.started {
        started.engine = Description::of(Kind::Sim, FROM_EXPERIMENT, "0.1.0");
    }
    if let Some(Finished { verdict, text, .. }) = &mut state.finished {
        *verdict = verdict.rehearsed();
        *text = format!("in the simulated world, {text}");
    }
    state
}

/// One that held, but for its recovery.
pub(super) fn too_slow() -> RunState {
    let mut run = held();
    let failures = [("timeout".to_owned(), 8), ("connection refused".to_owned(), 1)].into();
    let missed = Standing { failures, of: Some(250), ..standing("success", "≥ 99%", "96.4%", Some((9, 2)), false) };
    let text = format!("`checkout` was not back to steady state within 30 s: {}", missed.exceeded());
    if let Some(recovery) = &mut run.recovery {
        recovery.rto = None;
        recovery.checks.insert("checkout".to_owned(), None);
        let queue = standing("value", "≤ 5", "17", None, false);
        recovery.missed = [("checkout".to_owned(), missed), ("queue".to_owned(), queue)].into();
    }
    let reason = Reason::RecoveryTooSlow;
    run.finished = run.finished.map(|f| Finished { verdict: reason.verdict(), reason, text, ..f });
    run
}

/// The packets of one shop are late; cut short, since only its change is of interest.
pub(super) fn late() -> RunState {
    let mut s = Script::new(KILL_ONE, "20261120-101500-late-shop-31c4", 7);
    shop_baseline(&mut s);
    let shape = Shape { delay: Duration::from_millis(200), ..Shape::default() };
    let traffic = Traffic { remote_ports: vec![Ports { first: 5432, last: 5432 }], ..Traffic::all(Direction::Egress) };
    let flows = vec![Flow { traffic, treatment: Treatment::Shape(Box::new(shape)) }];
    let network = Network { flows, mechanism: Some(Mechanism::Userspace), seed: 7 };
    let change = Change {
        before: Some(Setting::Mark(Aspect::Network, None)),
        to: Setting::Network(Box::new(network)),
        back: Rollback::To(Setting::Mark(Aspect::Network, None)),
        ..kill(0, "shop-2")
    };
    s.plan(6110, vec![instance("shop-2", "shop", "b")], shops(), vec![change]);
    s.phase(6130, Phase::During);
    s.inject(6131, 0, 4, "12 packets have met it");
    s.sample("checkout", Phase::During, (6140, 9140), 50, 212.0, &[]);
    s.at(9150, Event::Stopping { why: Reason::Interrupted, text: "interrupted".to_owned() });
    s.phase(9151, Phase::Rollback);
    s.at(
        9152,
        Event::Measured {
            n: 0,
            counted: Counted { packets: 1804, dropped: 3, held_us: Some(200_300), ..Counted::default() },
        },
    );
    s.at(9152, Event::Seen { n: 0, what: "12 processes, at most 12; another one refused 7 times".to_owned() });
    s.roll_back(9153, 0, 3, Actor::Runner);
    s.at(9160, Event::Restored(Restored::as_before("shop-2")));
    s.finish(9161, Reason::Interrupted, "interrupted")
}

/// One alert fires and is resolved; of another one nothing is heard.
pub(super) fn alerted() -> RunState {
    let alerts = "\
alerts:
  shop-down:
    alert: { alertmanager: 'http://127.0.0.1:9093', labels: { alertname: ShopDown, severity: page } }
    fires-within: 15s
    resolves-within: 30s
  slow-checkout:
    alert: { prometheus: 'http://127.0.0.1:9090', labels: { alertname: SlowCheckout } }
    fires-within: 20s
target:";
    let yaml = KILL_ONE.replace("target:", alerts);
    let mut s = Script::new(&yaml, "20261120-093000-kill-one-replica-a1e7", 7);
    shop_baseline(&mut s);
    s.plan(6110, vec![instance("shop-2", "shop", "b")], shops(), vec![kill(0, "shop-2")]);
    s.phase(6130, Phase::During);
    s.inject(6131, 0, 38, "exited with status 137 at 09:30:06.166Z");
    s.sample("checkout", Phase::During, (6130, 26_130), 50, 13.5, &[1]);
    s.at(17_320, Event::AlertFired { alert: "shop-down".to_owned(), after_ms: 11_151 });
    s.phase(26_131, Phase::Rollback);
    s.roll_back(26_132, 0, 291, Actor::Runner);
    s.at(26_430, Event::Restored(Restored::as_before("shop-2")));
    let missing = standing("fires-within", "≤ 20 s", "no such alert", None, false);
    s.at(
        26_431,
        Event::Breached { phase: Phase::During, check: "slow-checkout".to_owned(), safety: false, standing: missing },
    );
    s.phase(26_432, Phase::Recovery);
    s.sample("checkout", Phase::Recovery, (26_432, 33_932), 50, 12.4, &[]);
    s.at(
        33_940,
        Event::Recovery {
            rto_ms: Some(240),
            checks: [("checkout".to_owned(), Some(240))].into(),
            missed: BTreeMap::new(),
            never_lost: BTreeSet::new(),
        },
    );
    s.at(38_300, Event::AlertResolved { alert: "shop-down".to_owned(), after_ms: 11_868 });
    s.finish(
        38_301,
        Reason::AlertMissing,
        "the alert `slow-checkout` did not fire within 20s of the injection: no such alert",
    )
}
