//! Runs that never were, for the tests of the reports: each folded from synthetic events as a journal would hold them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::engine::{Description, Kind, Outcome};
use crate::event::{
    Actor, Event, FORMAT, Failover, GuardKind, Judged, Latency, Phase, Reason, Spared, Stamped, Standing,
};
use crate::event::{Started, Window};
use crate::exit::Verdict;
use crate::experiment::Experiment;
use crate::instance::{Aspect, Back, Change, Counted, Epoch, Instance, InstanceId, Kill, Setting, Signal, Via};
use crate::network::{Direction, Flow, Mechanism, Network, Ports, Shape, Traffic, Treatment};
use crate::state::RunState;

/// Every fixture with its name.
pub(super) fn all() -> Vec<(&'static str, RunState)> {
    vec![
        ("held", held()),
        ("broken", broken()),
        ("late", late()),
        ("alerted", alerted()),
        ("no-verdict", no_verdict()),
        ("left-behind", left_behind()),
        ("by-guard", by_guard()),
        ("unfinished", unfinished()),
        ("hostile", hostile()),
        ("many", many()),
        ("zone", zone()),
        ("compound", compound()),
        ("empty", RunState::default()),
    ]
}

const KILL_ONE: &str = "
version: 1
name: kill-one-replica
hypothesis: Losing one of three shop instances goes unnoticed by customers.
steady-state:
  checkout:
    http: { url: 'http://127.0.0.1:8080/checkout', headers: { Authorization: 'Bearer ${SHOP_TOKEN}' } }
    rate: 50/s
    timeout: 1s
    expect: { success: 99%, p95: 300ms }
    during: { success: 95%, max-outage: 2s }
  shops-running:
    engine: { service: shop, count: running }
    rate: 4/s
    expect: { value: { at-least: 3 } }
    during: { value: { at-least: 2 } }
target: { service: shop, pick: 1 }
fault: { kill: { signal: SIGKILL } }
blast-radius: { max-instances: 1, min-healthy: 2, protect: [squall.protect=true] }
timing: { warm-up: 1s, baseline: 5s, duration: 20s, recovery: 30s }
safety:
  billing: { http: { url: 'http://127.0.0.1:8090/health' }, rate: 5/s, expect: { success: 90% } }
";

const FREEZE_STORE: &str = "
version: 1
name: freeze-the-store
hypothesis: Checkout goes on for customers while the store does not answer.
steady-state:
  checkout:
    http: { url: 'http://127.0.0.1:8080/checkout' }
    rate: 50/s
    timeout: 500ms
    expect: { success: 99%, p95: 100ms }
    during: { success: 90% }
target: { service: store }
fault: { pause: {} }
blast-radius: { max-instances: 1 }
timing: { warm-up: 500ms, baseline: 4s, duration: 15s, recovery: 20s }
";

const ZONE_POWER: &str = "
version: 1
name: zone-power
hypothesis: Customers can check out while zone b has no power.
steady-state:
  checkout:
    http: { url: 'http://127.0.0.1:8080/checkout', answered-by: { header: X-Served-By } }
    rate: 50/s
    timeout: 1s
    expect: { success: 99%, p95: 300ms }
    during: { success: 95%, p95: 600ms, max-outage: 2s }
target: { zone: b }
fault: { zone-outage: { mode: power, return: { every: 1s } } }
blast-radius: { max-zones: 1, max-instances: 2 }
timing: { warm-up: 500ms, baseline: 3s, duration: 8s, recovery: 10s }
";

const SLOW_AND_FROZEN: &str = "
version: 1
name: slow-and-frozen
hypothesis: A slow shop and a frozen one at the same time cost customers patience, and nothing else.
steady-state:
  checkout:
    http: { url: 'http://127.0.0.1:8080/checkout' }
    rate: 40/s
    timeout: 2s
    expect: { success: 99%, p95: 300ms }
    during: { success: 95%, p95: 900ms }
faults:
  - fault: { latency: { delay: 50ms } }
    target: { service: shop, name: '*-1' }
  - fault: { pause: {} }
    target: { service: shop, name: '*-2' }
    after: 3s
    for: 3s
blast-radius: { max-instances: 2, min-healthy: 1 }
timing: { warm-up: 500ms, baseline: 3s, duration: 9s, recovery: 10s }
";

/// A world in which events happen at given milliseconds.
struct Script {
    began: Timestamp,
    state: RunState,
    noise: u64,
    /// Who gives the good answers, in turn.
    by: Vec<String>,
}

impl Script {
    fn new(yaml: &str, run: &str, seed: u64) -> Self {
        let tree: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
        let experiment: Experiment = serde_json::from_value(tree).unwrap();
        let mut script = Self {
            began: "2026-11-20T09:30:00Z".parse().unwrap(),
            state: RunState::default(),
            noise: seed,
            by: Vec::new(),
        };
        script.at(
            0,
            Event::Started(Box::new(Started {
                format: FORMAT,
                version: "0.1.0".to_owned(),
                run: run.to_owned(),
                file: format!("experiments/{}.yaml", experiment.name),
                experiment,
                seed,
                engine: Description {
                    kind: Kind::Docker,
                    address: "unix:///var/run/docker.sock".to_owned(),
                    version: "20.10.24".to_owned(),
                },
                owner: "ana@staging-1".to_owned(),
            })),
        );
        script.at(0, Event::PhaseBegan { phase: Phase::Preflight, planned_ms: None });
        script
    }

    fn time(&self, ms: i64) -> Timestamp {
        self.began + SignedDuration::from_millis(ms)
    }

    fn at(&mut self, ms: i64, event: Event) -> &mut Self {
        let stamped = Stamped { seq: self.state.seq, at: self.time(ms), event };
        // Through the journal's own spelling, so that what a report needs is really stored.
        let line = serde_json::to_string(&stamped).unwrap();
        self.state.apply(&serde_json::from_str(&line).unwrap()).unwrap();
        self
    }

    fn phase(&mut self, ms: i64, phase: Phase) -> &mut Self {
        self.at(ms, Event::PhaseBegan { phase, planned_ms: None })
    }

    /// A number from 0 to 1.
    fn noise(&mut self) -> f64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.noise >> 33).unwrap()) / f64::from(1u32 << 31)
    }

    /// From now on these give the good answers.
    fn served_by(&mut self, names: &[&str]) -> &mut Self {
        self.by = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The good answers of a window by who gave them.
    fn given(&self, good: u64) -> BTreeMap<String, u64> {
        let (all, n) = (u64::try_from(self.by.len()).unwrap(), good);
        self.by.iter().zip(0..).map(|(by, i)| (by.clone(), n / all + u64::from(i < n % all))).collect()
    }

    /// Windows of half a second (or what is left) with a median latency around `p50` and so many failures each.
    fn sample(&mut self, check: &str, phase: Phase, span: (i64, i64), per_second: u64, p50: f64, failed: &[u64]) {
        let mut from = span.0;
        let mut i = 0;
        while from < span.1 {
            let length = (span.1 - from).min(500);
            let samples = (per_second * u64::try_from(length).unwrap()).div_ceil(1000);
            let failed = failed.get(i).copied().unwrap_or(0).min(samples);
            let wobble = 0.9 + 0.2 * self.noise();
            let tail = 1.6 + self.noise();
            let p50 = p50 * wobble;
            let latency = (failed < samples).then_some(Latency {
                p50,
                p95: p50 * tail,
                p99: p50 * tail * 1.3,
                max: p50 * tail * (1.5 + 2.0 * self.noise()),
            });
            let (from_time, by) = (self.time(from), self.given(samples - failed));
            self.at(
                from + length,
                Event::Sampled(Window {
                    check: check.to_owned(),
                    phase,
                    from: from_time,
                    length_ms: u64::try_from(length).unwrap(),
                    samples,
                    failed,
                    unasked: 0,
                    latency,
                    value: None,
                    by,
                    failures: (failed > 0).then(|| ("timeout".to_owned(), failed)).into_iter().collect(),
                    standings: Vec::new(),
                }),
            );
            from += length;
            i += 1;
        }
    }

    /// The same for a probe that reads a number.
    fn count(&mut self, check: &str, phase: Phase, span: (i64, i64), value: u64) {
        let mut from = span.0;
        while from < span.1 {
            let length = (span.1 - from).min(500);
            let from_time = self.time(from);
            self.at(
                from + length,
                Event::Sampled(Window {
                    check: check.to_owned(),
                    phase,
                    from: from_time,
                    length_ms: u64::try_from(length).unwrap(),
                    samples: 2,
                    failed: 0,
                    unasked: 0,
                    latency: None,
                    value: Some(value.to_string()),
                    by: BTreeMap::new(),
                    failures: BTreeMap::new(),
                    standings: Vec::new(),
                }),
            );
            from += length;
        }
    }

    fn judge(&mut self, ms: i64, check: &str, phase: Phase, standings: Vec<Standing>) -> &mut Self {
        let windows = self.state.checks.get(check).map(|c| c.windows.clone()).unwrap_or_default();
        let of_phase = || windows.iter().filter(|w| w.phase == phase);
        let safety = self.state.checks.get(check).is_some_and(|c| c.safety);
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        for (kind, n) in of_phase().flat_map(|w| &w.failures) {
            *failures.entry(kind.clone()).or_default() += n;
        }
        let judged = Judged {
            check: check.to_owned(),
            safety,
            phase,
            samples: of_phase().map(|w| w.samples).sum(),
            failed: of_phase().map(|w| w.failed).sum(),
            unasked: 0,
            unasked_why: BTreeMap::new(),
            failures,
            longest_outage_ms: if of_phase().any(|w| w.failed > 0) { 240 } else { 0 },
            latency: of_phase().find_map(|w| w.latency),
            distribution: Vec::new(),
            standings,
        };
        self.at(ms, Event::Judged(judged))
    }

    fn finish(&mut self, ms: i64, reason: Reason, text: &str) -> RunState {
        let verdict = reason.verdict();
        self.at(ms, Event::Finished { verdict, reason, text: text.to_owned() });
        std::mem::take(&mut self.state)
    }

    /// Chosen, guarded and planned at `ms`.
    fn plan(&mut self, ms: i64, hit: Vec<Instance>, spared: Vec<Spared>, changes: Vec<Change>) {
        self.at(ms, Event::Targeted { hit, spared });
        self.at(ms + 9, Event::Guarded { kind: GuardKind::Process, id: "4242".to_owned() });
        let deadline = self.time(ms + 60_000);
        self.at(ms + 12, Event::Planned { changes, deadline });
    }

    fn inject(&mut self, ms: i64, n: usize, took_ms: u32, proof: &str) {
        self.at(ms, Event::Injecting { n });
        let done = ms + i64::from(took_ms);
        self.at(done, Event::Injected { n, outcome: Outcome::Done, took_us: u64::from(took_ms) * 1000 });
        self.at(done + 6, Event::Bite { n, proven: true, proof: proof.to_owned() });
    }

    fn revert(&mut self, ms: i64, n: usize, took_ms: u32, by: Actor) {
        self.at(ms, Event::Reverting { n });
        let done = ms + i64::from(took_ms);
        self.at(done, Event::Reverted { n, outcome: Outcome::Done, by, took_us: u64::from(took_ms) * 1000 });
    }
}

fn standing(expectation: &str, bound: &str, measured: &str, budget: Option<(u64, u64)>, held: bool) -> Standing {
    Standing {
        expectation: expectation.to_owned(),
        bound: bound.to_owned(),
        measured: measured.to_owned(),
        number: None,
        spent: budget.map(|b| b.0),
        budget: budget.map(|b| b.1),
        held,
    }
}

fn instance(name: &str, service: &str, zone: &str) -> Instance {
    Instance {
        zone: Some(zone.to_owned()),
        image: Some("squall-demo:0.1.0".to_owned()),
        epoch: Epoch("2026-11-20T09:12:44Z".to_owned()),
        settings: [(Aspect::Running, Setting::Running(true)), (Aspect::Paused, Setting::Paused(false))].into(),
        ..Instance::new(format!("{name}-0f3c9a7be1d2"), name, service)
    }
}

fn spared(name: &str, service: &str, zone: &str, why: &str) -> Spared {
    Spared {
        name: name.to_owned(),
        id: String::new(),
        service: service.to_owned(),
        zone: Some(zone.to_owned()),
        why: why.to_owned(),
    }
}

fn kill(n: usize, name: &str) -> Change {
    Change {
        n,
        fault: 0,
        instance: InstanceId(format!("{name}-0f3c9a7be1d2")),
        name: name.to_owned(),
        epoch: Epoch("2026-11-20T09:12:44Z".to_owned()),
        before: Some(Setting::Running(true)),
        to: Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine }),
        back: Back::To(Setting::Running(true)),
    }
}

fn pause(n: usize, name: &str) -> Change {
    Change {
        before: Some(Setting::Paused(false)),
        to: Setting::Paused(true),
        back: Back::To(Setting::Paused(false)),
        ..kill(n, name)
    }
}

fn shops() -> Vec<Spared> {
    vec![
        spared("shop-1", "shop", "a", "not picked"),
        spared("shop-3", "shop", "c", "not picked"),
        spared("gateway-1", "gateway", "a", "other service"),
        spared("store-1", "store", "b", "other service; protected by squall.protect=true"),
    ]
}

/// Baseline of the shop: 0.1 s to 6.1 s.
fn shop_baseline(s: &mut Script) {
    s.phase(100, Phase::WarmUp);
    s.sample("checkout", Phase::WarmUp, (100, 1100), 50, 14.0, &[]);
    s.phase(1100, Phase::Baseline);
    s.sample("checkout", Phase::Baseline, (1100, 6100), 50, 12.0, &[0, 0, 0, 1]);
    s.count("shops-running", Phase::Baseline, (1100, 6100), 3);
    s.sample("billing", Phase::Baseline, (1100, 6100), 5, 3.0, &[]);
    s.judge(
        6100,
        "checkout",
        Phase::Baseline,
        vec![
            standing("success", "≥ 99%", "99.6%", Some((1, 2)), true),
            standing("p95", "≤ 300ms", "26ms", Some((0, 12)), true),
        ],
    );
    s.judge(6100, "shops-running", Phase::Baseline, vec![standing("value", "≥ 3", "3", None, true)]);
    s.judge(6100, "billing", Phase::Baseline, vec![standing("success", "≥ 90%", "100%", Some((0, 2)), true)]);
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
            standing("p95", "≤ 300ms", "31ms", Some((11, 50)), true),
            standing("max-outage", "≤ 2s", "240ms", None, true),
        ],
    );
    s.judge(26_130, "shops-running", Phase::During, vec![standing("value", "≥ 2", "2", None, true)]);
    s.judge(26_130, "billing", Phase::During, vec![standing("success", "≥ 90%", "100%", Some((0, 10)), true)]);
    s.phase(26_131, Phase::Revert);
    s.revert(26_132, 0, 291, Actor::Runner);
    s.at(26_430, Event::Restored { instance: "shop-2".to_owned(), differences: Vec::new() });
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
            standing("p95", "≤ 300ms", "24ms", Some((1, 12)), true),
        ],
    );
    let checks = [("checkout".to_owned(), Some(1240)), ("shops-running".to_owned(), Some(310))].into();
    s.at(33_940, Event::Recovery { rto_ms: Some(1240), checks });
    s.finish(33_941, Reason::HypothesisHeld, "every expectation held, and steady state was back after 1.24 s")
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
        back: Back::To(Setting::Mark(Aspect::Network, None)),
        ..kill(0, "shop-2")
    };
    s.plan(6110, vec![instance("shop-2", "shop", "b")], shops(), vec![change]);
    s.phase(6130, Phase::During);
    s.inject(6131, 0, 4, "12 packets have met it");
    s.sample("checkout", Phase::During, (6140, 9140), 50, 212.0, &[]);
    s.at(9150, Event::Stopping { why: Reason::Interrupted, text: "interrupted".to_owned() });
    s.phase(9151, Phase::Revert);
    s.at(9152, Event::Measured { n: 0, counted: Counted { packets: 1804, dropped: 3, held_us: Some(200_300) } });
    s.at(9152, Event::Seen { n: 0, what: "12 processes, at most 12; another one refused 7 times".to_owned() });
    s.revert(9153, 0, 3, Actor::Runner);
    s.at(9160, Event::Restored { instance: "shop-2".to_owned(), differences: Vec::new() });
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
    s.phase(26_131, Phase::Revert);
    s.revert(26_132, 0, 291, Actor::Runner);
    s.at(26_430, Event::Restored { instance: "shop-2".to_owned(), differences: Vec::new() });
    let missing = standing("fires-within", "≤ 20s", "no such alert", None, false);
    s.at(
        26_431,
        Event::Breached { phase: Phase::During, check: "slow-checkout".to_owned(), safety: false, standing: missing },
    );
    s.phase(26_432, Phase::Recovery);
    s.sample("checkout", Phase::Recovery, (26_432, 33_932), 50, 12.4, &[]);
    s.at(33_940, Event::Recovery { rto_ms: Some(240), checks: [("checkout".to_owned(), Some(240))].into() });
    s.at(38_300, Event::AlertResolved { alert: "shop-down".to_owned(), after_ms: 11_868 });
    s.finish(
        38_301,
        Reason::AlertMissing,
        "the alert `slow-checkout` did not fire within 20s of the injection: no such alert",
    )
}

/// The store is frozen; the gateway has no answer to that, and the run is aborted.
pub(super) fn broken() -> RunState {
    let mut s = freeze();
    s.phase(6230, Phase::Revert);
    s.revert(6231, 0, 15, Actor::Runner);
    s.at(6251, Event::Restored { instance: "store-1".to_owned(), differences: Vec::new() });
    s.phase(6252, Phase::Recovery);
    s.sample("checkout", Phase::Recovery, (6252, 7252), 50, 48.0, &[20, 6]);
    s.sample("checkout", Phase::Recovery, (7252, 11_752), 50, 9.2, &[]);
    s.judge(
        11_752,
        "checkout",
        Phase::Recovery,
        vec![
            standing("success", "≥ 99%", "100%", Some((0, 2)), true),
            standing("p95", "≤ 100ms", "17ms", Some((0, 10)), true),
        ],
    );
    s.at(11_755, Event::Recovery { rto_ms: Some(890), checks: [("checkout".to_owned(), Some(890))].into() });
    s.finish(
        11_756,
        Reason::HypothesisBroken,
        "`checkout` could no longer reach success ≥ 90%: 76 of 750 samples failed, 75 were allowed",
    )
}

/// Until the breach, at 6.229 s.
fn freeze() -> Script {
    let mut s = Script::new(FREEZE_STORE, "20261120-093000-freeze-the-store-c41d", 42);
    s.at(
        20,
        Event::Warned {
            text: "`store-1` is the only instance of `store`: nothing is left of it while the fault is on".to_owned(),
        },
    );
    s.phase(80, Phase::WarmUp);
    s.sample("checkout", Phase::WarmUp, (80, 580), 50, 9.5, &[]);
    s.phase(580, Phase::Baseline);
    s.sample("checkout", Phase::Baseline, (580, 4580), 50, 9.0, &[]);
    s.judge(
        4580,
        "checkout",
        Phase::Baseline,
        vec![
            standing("success", "≥ 99%", "100%", Some((0, 2)), true),
            standing("p95", "≤ 100ms", "18ms", Some((0, 10)), true),
        ],
    );
    s.plan(
        4590,
        vec![instance("store-1", "store", "b")],
        vec![spared("gateway-1", "gateway", "a", "other service"), spared("shop-1", "shop", "a", "other service")],
        vec![pause(0, "store-1")],
    );
    s.phase(4610, Phase::During);
    s.inject(4611, 0, 11, "all processes of it are frozen");
    s.sample("checkout", Phase::During, (4610, 6229), 50, 9.0, &[24, 25, 25, 25]);
    let gone = standing("success", "≥ 90%", "5.3%", Some((76, 75)), false);
    s.at(
        6229,
        Event::Breached { phase: Phase::During, check: "checkout".to_owned(), safety: false, standing: gone.clone() },
    );
    s.at(
        6229,
        Event::Stopping {
            why: Reason::HypothesisBroken,
            text: "`checkout` is beyond its budget: success ≥ 90%, 76 failures where 75 were allowed".to_owned(),
        },
    );
    s.judge(6230, "checkout", Phase::During, vec![gone, standing("p95", "≤ 100ms", "> 500ms", Some((76, 37)), false)]);
    s
}

/// Steady state was not met before anything was touched.
pub(super) fn no_verdict() -> RunState {
    let mut s = Script::new(KILL_ONE, "20261120-093000-kill-one-replica-19be", 19);
    s.phase(100, Phase::Baseline);
    s.sample("checkout", Phase::Baseline, (100, 1900), 50, 310.0, &[1, 0, 1, 1]);
    s.count("shops-running", Phase::Baseline, (100, 1900), 3);
    let gone = standing("success", "≥ 99%", "96.7%", Some((3, 2)), false);
    s.at(
        1900,
        Event::Breached { phase: Phase::Baseline, check: "checkout".to_owned(), safety: false, standing: gone.clone() },
    );
    s.judge(1901, "checkout", Phase::Baseline, vec![gone, standing("p95", "≤ 300ms", "512ms", Some((9, 12)), true)]);
    s.judge(1901, "shops-running", Phase::Baseline, vec![standing("value", "≥ 3", "3", None, true)]);
    s.finish(
        1902,
        Reason::BaselineNotMet,
        "`checkout` was not healthy before anything was touched: success ≥ 99%, measured 96.7%",
    )
}

/// The engine refuses to thaw the store.
pub(super) fn left_behind() -> RunState {
    let mut s = freeze();
    s.phase(6230, Phase::Revert);
    s.at(6231, Event::Reverting { n: 0 });
    for attempt in 1..=3 {
        let error = "cannot unpause store-1: the engine answered 500: cgroup is busy".to_owned();
        s.at(6240 + i64::from(attempt) * 400, Event::RevertFailed { n: 0, attempt, error });
    }
    s.at(7450, Event::Stuck { n: 0, by_hand: "docker unpause store-1".to_owned() });
    s.at(
        7460,
        Event::Restored { instance: "store-1".to_owned(), differences: vec!["paused, was not paused".to_owned()] },
    );
    s.finish(7461, Reason::LeftBehind, "1 change could not be taken back: `store-1` is still paused")
}

/// The runner was killed; its guard took everything back.
pub(super) fn by_guard() -> RunState {
    let mut s = Script::new(KILL_ONE, "20261120-093000-kill-one-replica-a002", 3);
    shop_baseline(&mut s);
    s.plan(6110, vec![instance("shop-2", "shop", "b")], shops(), vec![kill(0, "shop-2")]);
    s.phase(6130, Phase::During);
    s.inject(6131, 0, 38, "exited with status 137 at 09:30:06.166Z");
    s.sample("checkout", Phase::During, (6130, 9130), 50, 13.0, &[3, 1]);
    s.count("shops-running", Phase::During, (6130, 9130), 2);
    s.phase(9152, Phase::Revert);
    s.at(9152, Event::Stopping { why: Reason::RunnerDied, text: "the runner ended without a word".to_owned() });
    s.revert(9153, 0, 280, Actor::Guard);
    s.at(9440, Event::Restored { instance: "shop-2".to_owned(), differences: Vec::new() });
    s.finish(9441, Reason::RunnerDied, "the runner ended without a word; its guard took everything back")
}

/// The fault is on, and nobody has written anything since.
pub(super) fn unfinished() -> RunState {
    freeze().state
}

/// Names and texts that would be markup if nobody escaped them.
pub(super) fn hostile() -> RunState {
    const EVIL: &str = "<script>alert(1)</script>|`\"'&\n# x";
    let mut s = freeze();
    let mut changed = s.state.clone();
    if let Some(started) = &mut changed.started {
        started.experiment.name = EVIL.to_owned();
        started.experiment.hypothesis = EVIL.to_owned();
        started.run = EVIL.to_owned();
        started.file = EVIL.to_owned();
        let check = started.experiment.steady_state.shift_remove("checkout").unwrap();
        started.experiment.steady_state.insert(EVIL.to_owned(), check);
    }
    let mut check = changed.checks.shift_remove("checkout").unwrap();
    for window in check.windows.iter_mut().filter(|w| w.failed > 0) {
        window.failures = [(EVIL.to_owned(), window.failed)].into();
    }
    for judged in check.judged.values_mut() {
        judged.failures = [(EVIL.to_owned(), 3)].into();
        for standing in &mut judged.standings {
            standing.bound = EVIL.to_owned();
            standing.measured = EVIL.to_owned();
        }
    }
    changed.checks.insert(EVIL.to_owned(), check);
    changed.warnings = vec![EVIL.to_owned()];
    for breach in &mut changed.breaches {
        breach.check = EVIL.to_owned();
    }
    for change in &mut changed.changes {
        change.change.name = EVIL.to_owned();
        change.stuck = Some(EVIL.to_owned());
        change.bite = Some((s.time(4630), true, EVIL.to_owned()));
    }
    changed.noticed = vec![(s.time(5000), EVIL.to_owned(), EVIL.to_owned())];
    changed.spared = vec![spared(EVIL, EVIL, EVIL, EVIL)];
    changed.finished = Some((s.time(7000), Verdict::LeftBehind, Reason::LeftBehind, EVIL.to_owned()));
    s.state = changed;
    s.state
}

/// Zone b loses its power and comes back one by one; the gateway goes on to the shops of other zones.
pub(super) fn zone() -> RunState {
    let mut s = Script::new(ZONE_POWER, "20261120-093000-zone-power-b879", 11);
    let everybody = ["shop-1", "shop-2", "shop-3"];
    s.phase(80, Phase::WarmUp);
    s.sample("checkout", Phase::WarmUp, (80, 580), 50, 12.0, &[]);
    s.phase(580, Phase::Baseline);
    s.served_by(&everybody).sample("checkout", Phase::Baseline, (580, 3580), 50, 12.0, &[]);
    s.judge(3580, "checkout", Phase::Baseline, vec![standing("success", "≥ 99%", "100%", Some((0, 1)), true)]);
    let elsewhere = "not selected";
    let mut spared_ones = vec![
        spared("shop-1", "shop", "a", elsewhere),
        spared("store-1", "store", "a", elsewhere),
        spared("shop-3", "shop", "c", elsewhere),
        spared("shop-4", "shop", "b", "not running"),
        spared("gateway-1", "gateway", "", elsewhere),
    ];
    spared_ones[4].zone = None;
    let hit = vec![instance("shop-2", "shop", "b"), instance("store-2", "store", "b")];
    let killed =
        |n, name| Change { to: Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host }), ..kill(n, name) };
    s.plan(3600, hit, spared_ones, vec![killed(0, "shop-2"), killed(1, "store-2")]);
    s.phase(3620, Phase::During);
    for (n, name) in [(0, "exited with status 137"), (1, "exited with status 137")] {
        s.inject(3622, n, 21, name);
    }
    s.served_by(&["shop-1", "shop-3"]).sample("checkout", Phase::During, (3620, 11_620), 50, 14.0, &[14, 3]);
    s.judge(
        11_620,
        "checkout",
        Phase::During,
        vec![
            standing("success", "≥ 95%", "95.8%", Some((17, 20)), true),
            standing("max-outage", "≤ 2s", "240ms", None, true),
        ],
    );
    s.phase(11_625, Phase::Revert);
    s.revert(11_626, 0, 240, Actor::Runner);
    s.sample("checkout", Phase::Revert, (11_625, 13_125), 50, 13.0, &[]);
    s.revert(12_866, 1, 230, Actor::Runner);
    for name in ["shop-2", "store-2"] {
        s.at(13_120, Event::Restored { instance: name.to_owned(), differences: Vec::new() });
    }
    s.phase(13_125, Phase::Recovery);
    s.served_by(&everybody).sample("checkout", Phase::Recovery, (13_125, 16_125), 50, 12.0, &[]);
    s.judge(16_125, "checkout", Phase::Recovery, vec![standing("success", "≥ 99%", "100%", Some((0, 1)), true)]);
    s.at(16_130, Event::Recovery { rto_ms: Some(310), checks: [("checkout".to_owned(), Some(310))].into() });
    let clock = Failover { served_ms: Some(741), failed: 17, stretch_ms: 1000, returned_ms: Some(1530), told: true };
    s.at(16_131, Event::Failover { checks: [("checkout".to_owned(), clock)].into() });
    s.finish(16_140, Reason::HypothesisHeld, "every expectation held, and steady state was back after 310 ms")
}

/// One shop is slow, and meanwhile another one freezes for a while.
pub(super) fn compound() -> RunState {
    let mut s = Script::new(SLOW_AND_FROZEN, "20261120-093000-slow-and-frozen-58ba", 5);
    s.phase(80, Phase::WarmUp);
    s.sample("checkout", Phase::WarmUp, (80, 580), 40, 12.0, &[]);
    s.phase(580, Phase::Baseline);
    s.sample("checkout", Phase::Baseline, (580, 3580), 40, 12.0, &[]);
    s.judge(3580, "checkout", Phase::Baseline, vec![standing("success", "≥ 99%", "100%", Some((0, 1)), true)]);
    let shape = Shape { delay: Duration::from_millis(50), ..Shape::default() };
    let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment: Treatment::Shape(Box::new(shape)) }];
    let network = Network { flows, mechanism: Some(Mechanism::Userspace), seed: 5 };
    let late = Change {
        before: Some(Setting::Mark(Aspect::Network, None)),
        to: Setting::Network(Box::new(network)),
        back: Back::To(Setting::Mark(Aspect::Network, None)),
        ..kill(0, "shop-1")
    };
    let hit = vec![instance("shop-1", "shop", "a"), instance("shop-2", "shop", "b")];
    s.plan(
        3600,
        hit,
        vec![spared("shop-3", "shop", "c", "not picked")],
        vec![late, Change { fault: 1, ..pause(1, "shop-2") }],
    );
    s.phase(3620, Phase::During);
    s.inject(3621, 0, 9, "12 packets have met it");
    s.sample("checkout", Phase::During, (3620, 6620), 40, 48.0, &[]);
    s.inject(6621, 1, 11, "it is paused");
    s.sample("checkout", Phase::During, (6620, 9620), 40, 260.0, &[2, 1]);
    s.revert(9621, 1, 19, Actor::Runner);
    s.at(9650, Event::Restored { instance: "shop-2".to_owned(), differences: Vec::new() });
    s.sample("checkout", Phase::During, (9620, 12_620), 40, 50.0, &[]);
    s.judge(
        12_620,
        "checkout",
        Phase::During,
        vec![
            standing("success", "≥ 95%", "99.2%", Some((3, 18)), true),
            standing("p95", "≤ 900ms", "420ms", Some((3, 18)), true),
        ],
    );
    s.phase(12_625, Phase::Revert);
    s.revert(12_626, 0, 24, Actor::Runner);
    s.at(12_660, Event::Restored { instance: "shop-1".to_owned(), differences: Vec::new() });
    s.phase(12_661, Phase::Recovery);
    s.sample("checkout", Phase::Recovery, (12_661, 15_661), 40, 12.0, &[]);
    s.judge(15_661, "checkout", Phase::Recovery, vec![standing("success", "≥ 99%", "100%", Some((0, 1)), true)]);
    s.at(15_670, Event::Recovery { rto_ms: Some(40), checks: [("checkout".to_owned(), Some(40))].into() });
    s.finish(15_680, Reason::HypothesisHeld, "every expectation held, and steady state was back after 40 ms")
}

/// Sixty instances, and more windows than a chart has room for.
pub(super) fn many() -> RunState {
    let mut s = Script::new(KILL_ONE, "20261120-093000-kill-one-replica-6060", 60);
    shop_baseline(&mut s);
    let names: Vec<String> = (1..=60).map(|n| format!("shop-{n}")).collect();
    s.plan(
        6110,
        names.iter().map(|n| instance(n, "shop", "b")).collect(),
        (61..=120).map(|n| spared(&format!("shop-{n}"), "shop", "c", "not picked")).collect(),
        names.iter().enumerate().map(|(n, name)| kill(n, name)).collect(),
    );
    s.phase(6130, Phase::During);
    for n in 0..60 {
        s.inject(6131 + i64::try_from(n).unwrap() * 20, n, 12, "exited with status 137");
    }
    s.sample("checkout", Phase::During, (7400, 307_400), 50, 13.0, &[3, 1]);
    s.phase(307_400, Phase::Revert);
    for n in (0..60).rev() {
        s.revert(307_401 + i64::try_from(60 - n).unwrap() * 30, n, 28, Actor::Runner);
    }
    for name in &names {
        s.at(310_000, Event::Restored { instance: name.clone(), differences: Vec::new() });
    }
    s.phase(310_000, Phase::Recovery);
    s.sample("checkout", Phase::Recovery, (310_000, 315_000), 50, 13.0, &[]);
    s.at(315_001, Event::Recovery { rto_ms: Some(0), checks: [("checkout".to_owned(), Some(0))].into() });
    s.finish(315_002, Reason::HypothesisHeld, "every expectation held")
}
