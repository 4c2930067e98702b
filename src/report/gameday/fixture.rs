//! Game days that never were, for the tests of their reports: folded from events as a timeline would hold them, around runs
//! of [`super::super::fixture`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::fixture;
use super::Record;
use crate::occasions::gameday::event::Stamped;
use crate::occasions::gameday::state::GamedayState;
use crate::record::state::{Finished, RunState};

/// When the first of them begins.
const BEGAN: &str = "2026-11-20T09:00:00Z";

/// Every fixture with its name.
pub(super) fn all() -> Vec<(&'static str, Record, Option<Record>)> {
    vec![
        ("quarterly", quarterly(), Some(summer())),
        ("left-behind", left_behind(), None),
        ("unfinished", unfinished(), None),
        ("unattended", unattended(), None),
        ("hostile", hostile(), None),
        ("empty", Record::default(), None),
    ]
}

fn gameday() -> serde_json::Value {
    json!({
        "version": 1,
        "name": "shop-quarterly",
        "title": "Shop: autumn game day",
        "objective": "Learn whether checkout survives the loss of a replica and of the store, and whether on-call notices in time.",
        "owner": "Payments team",
        "participants": { "commander": ["Ana"], "observers": ["Ben", "Chloé"], "scribe": ["Dev"] },
        "checklist": {
            "before": ["Tell support", "Dashboards are open"],
            "during": ["Customers’ view checked"],
            "after": ["Tell support that it is over", "Alerts are quiet again"],
        },
        "scenarios": [
            { "experiment": "kill-one-replica.yaml", "title": "A replica of the shop dies" },
            { "experiment": "freeze-the-store.yaml", "title": "The store freezes", "pause": "5m" },
            { "experiment": "late-shop.yaml", "title": "The network between shop and store is slow" },
            { "experiment": "zone-a-goes-dark.yaml", "title": "Zone a goes dark" },
        ],
        "goals": { "detected": "1m", "mitigated": "5m", "recovered": "10m" },
        "budget": { "objective": "99.9%" },
        "stop-on": "left-behind",
        "follow-up": "2026-12-15",
    })
}

const EXPERIMENTS: [&str; 4] = ["kill-one-replica", "freeze-the-store", "late-shop", "zone-a-goes-dark"];

/// Events at seconds from the begin; through their own spelling, as a timeline stores them.
struct Script {
    began: Timestamp,
    events: Vec<Stamped>,
    runs: BTreeMap<usize, RunState>,
}

impl Script {
    fn new(began: &str, gameday: &serde_json::Value, unattended: bool) -> Self {
        let mut script = Self { began: began.parse().unwrap(), events: Vec::new(), runs: BTreeMap::new() };
        let day = &began[..10].replace('-', "");
        script.at(
            0,
            json!({
                "event": "started", "format": 1, "id": format!("{day}-090000-shop-quarterly-5d1c"), "file": "gamedays/shop.yaml",
                "gameday": gameday, "experiments": EXPERIMENTS, "unattended": unattended, "rehearsal": false,
            }),
        );
        script
    }

    fn at(&mut self, s: i64, mut event: serde_json::Value) -> &mut Self {
        event["at"] = json!(self.began + SignedDuration::from_secs(s));
        self.events.push(serde_json::from_value(event).unwrap());
        self
    }

    /// A scenario from its begin to its end, around a run.
    fn run(&mut self, s: i64, scenario: usize, run: RunState) -> &mut Self {
        let run = later(run, self.began + SignedDuration::from_secs(s));
        let id = &run.started.as_ref().unwrap().run;
        self.at(s, json!({ "event": "scenario-began", "scenario": scenario, "run": id }));
        if let Some(Finished { at, verdict, reason, text }) = run.finished.clone() {
            let took = at.duration_since(self.began).as_secs() + 1;
            self.at(
                took,
                json!({ "event": "scenario-ended", "scenario": scenario, "verdict": verdict, "reason": reason, "text": text }),
            );
        }
        self.runs.insert(scenario, run);
        self
    }

    fn tick(&mut self, s: i64, list: &str, item: usize, scenario: Option<usize>, done: bool) -> &mut Self {
        self.at(s, json!({ "event": "ticked", "list": list, "item": item, "scenario": scenario, "done": done }))
    }

    fn mark(&mut self, s: i64, mark: &str, by: &str) -> &mut Self {
        self.at(s, json!({ "event": "marked", "mark": mark, "by": by }))
    }

    fn done(&mut self) -> Record {
        self.events.sort_by_key(|e| e.at);
        Record { state: GamedayState::of(&self.events), runs: std::mem::take(&mut self.runs) }
    }
}

/// The same run at another time: all that a game day's report reads.
fn later(mut run: RunState, began: Timestamp) -> RunState {
    let by = run.began.map(|at| began.duration_since(at)).unwrap_or_default();
    let shift = |at: &mut Timestamp| *at += by;
    let times =
        [&mut run.began, &mut run.last, &mut run.times.recovery, &mut run.times.restored, &mut run.times.planned];
    times.into_iter().flatten().for_each(shift);
    run.phases.iter_mut().for_each(|p| shift(&mut p.at));
    run.checks.values_mut().flat_map(|c| &mut c.windows).for_each(|w| shift(&mut w.from));
    run.breaches.iter_mut().for_each(|b| shift(&mut b.at));
    run.noticed.iter_mut().for_each(|n| shift(&mut n.at));
    run.stopping.iter_mut().for_each(|s| shift(&mut s.at));
    run.finished.iter_mut().for_each(|f| shift(&mut f.at));
    for change in &mut run.changes {
        [&mut change.injecting, &mut change.rolling_back].into_iter().flatten().for_each(shift);
        change.injected.iter_mut().for_each(|i| shift(&mut i.at));
        change.verification.iter_mut().for_each(|b| shift(&mut b.at));
        change.rolled_back.iter_mut().for_each(|r| shift(&mut r.at));
    }
    run
}

/// One of everything: held, broken, interrupted, left out.
pub(super) fn quarterly() -> Record {
    let mut s = Script::new(BEGAN, &gameday(), false);
    s.tick(20, "before", 0, None, true).tick(35, "before", 1, None, true);
    s.at(40, json!({ "event": "told", "stage": "initial", "recipient": "slack hooks.slack.com", "attempts": 1 }));
    s.run(60, 0, fixture::held());
    s.mark(84, "detected", "Ben");
    s.at(90, json!({ "event": "noted", "text": "One red spike on the dashboard, then flat. No page.", "by": "Ben" }));
    s.mark(99, "recovered", "Ben");
    s.tick(110, "during", 0, Some(0), true);
    s.run(420, 1, fixture::broken());
    s.mark(512, "detected", "Chloé").mark(519, "mitigated", "Ana");
    s.at(515, json!({ "event": "noted", "text": "The alert came 80 s after customers saw errors", "by": "Chloé" }));
    s.mark(530, "recovered", "Ana");
    s.at(
        540,
        json!({ "event": "action", "text": "Time out reads from the store after 300 ms and serve the cached basket", "owner": "Chloé", "due": "2026-12-04" }),
    );
    s.at(545, json!({ "event": "action", "text": "Page on checkout’s error rate over 1 min, not 5" }));
    s.tick(560, "during", 0, Some(1), false);
    s.at(
        570,
        json!({ "event": "told", "stage": "update", "recipient": "pagerduty events.pagerduty.com", "attempts": 4,
            "error": "cannot connect: Connection refused (os error 111)" }),
    );
    s.run(900, 2, fixture::late());
    s.at(905, json!({ "event": "noted", "text": "p95 of checkout at 212 ms; stopping, sales campaign has begun" }));
    s.tick(920, "during", 0, Some(2), true);
    s.at(
        930,
        json!({ "event": "scenario-skipped", "scenario": 3, "why": "the campaign has begun earlier than planned" }),
    );
    s.tick(950, "after", 0, None, true).tick(955, "after", 1, None, true);
    s.at(960, json!({ "event": "told", "stage": "resolution", "recipient": "slack hooks.slack.com", "attempts": 2 }));
    s.at(961, json!({ "event": "ended", "verdict": "broken" })).done()
}

/// The one before it.
fn summer() -> Record {
    let mut s = Script::new("2026-08-20T09:00:00Z", &gameday(), false);
    s.run(60, 0, fixture::broken());
    s.mark(200, "detected", "Ben");
    s.run(420, 1, fixture::broken());
    s.mark(470, "detected", "Ben").mark(520, "recovered", "Ben");
    s.at(900, json!({ "event": "ended", "verdict": "broken" })).done()
}

fn left_behind() -> Record {
    let mut s = Script::new(BEGAN, &gameday(), false);
    s.tick(20, "before", 0, None, true).tick(35, "before", 1, None, false);
    s.run(60, 1, fixture::left_behind());
    s.at(120, json!({ "event": "stopped", "why": "a rollback was incomplete" }));
    s.at(
        121,
        json!({ "event": "action", "text": "Find out why freeze-the-store broke", "scenario": 1, "suggested": true }),
    );
    s.at(122, json!({ "event": "ended", "verdict": "left-behind" })).done()
}

fn unfinished() -> Record {
    let mut s = Script::new(BEGAN, &gameday(), false);
    s.run(60, 0, fixture::held()).run(420, 1, fixture::unfinished()).done()
}

fn unattended() -> Record {
    let mut plain = gameday();
    plain["checklist"] = json!({});
    let mut s = Script::new(BEGAN, &plain, true);
    s.run(60, 0, fixture::held());
    s.at(200, json!({ "event": "ended", "verdict": "held" })).done()
}

/// Names and words as nobody should write them.
fn hostile() -> Record {
    let mut wild = gameday();
    wild["title"] = json!("<script>alert(1)</script> | `x` *b*");
    wild["scenarios"][0]["title"] = json!("<b onload=\"x\">|pipe|\nline");
    wild["owner"] = json!("\"><img src=x>");
    let mut s = Script::new(BEGAN, &wild, false);
    s.run(60, 0, fixture::hostile());
    s.at(90, json!({ "event": "noted", "text": "</li><script>alert(2)</script>", "by": "<i>" }));
    s.at(91, json!({ "event": "action", "text": "a | b <u>", "owner": "|", "due": "2026-12-04" }));
    s.at(99, json!({ "event": "ended", "verdict": "broken" })).done()
}
