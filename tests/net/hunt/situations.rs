//! The situations: what is declared, what is done meanwhile, and which reasons are right.

use std::process::Command;

use serde_json::json;

use squall::engine::net::proxy;
use squall::engine::net::userspace::VARIABLE;

use super::{Deed, GATEWAY, Ground, SLOW, STORE, Situation};
use crate::pair::with_environment;

const INVALID: &[&str] = &["invalid"];
const NO_EFFECT: &[&str] = &["no-effect"];

fn kill(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Runs a command in the network of an instance.
fn inside(ground: &Ground, name: &str, command: &str) {
    let pid = ground.pid(name).to_string();
    let status = Command::new("nsenter").args(["-n", "-t", &pid]).args(command.split(' ')).status().unwrap();
    assert!(status.success(), "{command}");
}

fn situation(what: &'static str, right: &'static [&'static str], keys: serde_json::Value) -> Situation {
    Situation { what, keys, deed: None, right }
}

fn meddled(what: &'static str, right: &'static [&'static str], keys: serde_json::Value, deed: Deed) -> Situation {
    Situation { deed: Some(deed), ..situation(what, right, keys) }
}

/// A hypothesis about the gateway with these keys beside the probe.
fn customer(keys: &serde_json::Value) -> serde_json::Value {
    let mut check = json!({ "http": format!("{GATEWAY}/health"), "rate": "20/s" });
    for (key, value) in keys.as_object().unwrap() {
        check[key] = value.clone();
    }
    json!({ "fault": "pause", "target": { "service": "aside" }, "steady-state": { "customer": check } })
}

/// Nothing that goes on at the target meets the fault.
pub(super) fn nothing_meets_it() -> Vec<Situation> {
    let to = |service: &str| json!({ "service": service });
    let fault = |fault: serde_json::Value| json!({ "fault": fault });
    let at = |service: &str, fault: serde_json::Value| json!({ "fault": fault, "target": { "service": service } });
    vec![
        situation(
            "latency on a mistyped port",
            NO_EFFECT,
            fault(json!({ "latency": { "delay": "500ms", "to": to("shop"), "port": 8181 } })),
        ),
        situation(
            "loss of everything on a mistyped port",
            NO_EFFECT,
            fault(json!({ "loss": { "percent": "100%", "to": to("shop"), "port": 8181 } })),
        ),
        situation(
            "black hole to a range that nothing calls",
            NO_EFFECT,
            fault(json!({ "blackhole": { "to": { "cidr": "192.0.2.0/24" } } })),
        ),
        situation(
            "refusal on a port that nothing calls",
            NO_EFFECT,
            fault(json!({ "blackhole": { "port": 5432, "how": "reject" } })),
        ),
        situation(
            "loss of 0.001% that loses nothing",
            NO_EFFECT,
            at("shop", json!({ "loss": { "percent": "0.001%" } })),
        ),
        situation(
            "corruption of 0.001% that alters nothing",
            NO_EFFECT,
            at("shop", json!({ "corrupt": { "percent": "0.001%" } })),
        ),
        situation(
            "copies of 0.001% of which there are none",
            NO_EFFECT,
            at("shop", json!({ "duplicate": { "percent": "0.001%" } })),
        ),
        situation(
            "reordering of a single flow that overtakes nothing",
            NO_EFFECT,
            at("aside", json!({ "reorder": { "percent": "1%", "delay": "10ms" } })),
        ),
        situation(
            "latency of an instance that nothing calls",
            NO_EFFECT,
            at("aside", json!({ "latency": { "delay": "500ms" } })),
        ),
        situation(
            "latency of ICMP alone",
            NO_EFFECT,
            fault(json!({ "latency": { "delay": "500ms", "protocol": "icmp" } })),
        ),
        situation(
            "latency of UDP where all is TCP",
            NO_EFFECT,
            fault(json!({ "latency": { "delay": "500ms", "protocol": "udp" } })),
        ),
        situation(
            "latency of what arrives on a port that nothing calls",
            NO_EFFECT,
            fault(json!({ "latency": { "delay": "500ms", "from": { "cidr": "0.0.0.0/0" }, "port": 9999 } })),
        ),
        situation(
            "latency of IPv6 where all is IPv4",
            NO_EFFECT,
            fault(json!({ "latency": { "delay": "500ms", "to": { "cidr": "fd00::/8" } } })),
        ),
        situation(
            "partition from a peer that never talks",
            NO_EFFECT,
            fault(json!({ "partition": { "from": to("aside") } })),
        ),
        situation("names that nothing asks for", NO_EFFECT, fault(json!({ "dns": { "answer": "nxdomain" } }))),
        situation(
            "a rate far below what is sent, for a port that nothing calls",
            NO_EFFECT,
            fault(json!({ "bandwidth": { "rate": "8kbit", "port": 8181 } })),
        ),
        situation(
            "503 for a path that nothing asks for",
            NO_EFFECT,
            fault(json!({ "http": { "status": 503, "match": { "path": "/nowhere" } } })),
        ),
        situation(
            "503 on a port that nothing calls",
            NO_EFFECT,
            fault(json!({ "http": { "status": 503, "port": 8181 } })),
        ),
        situation(
            "a rate of answers far above what flows",
            NO_EFFECT,
            fault(json!({ "http": { "bandwidth": "1gbit" } })),
        ),
        situation("a limit that no connection reaches", NO_EFFECT, fault(json!({ "tcp": { "limit": "1GiB" } }))),
        situation("an error of Redis where there is none", NO_EFFECT, fault(json!({ "redis": { "error": "OOM" } }))),
        situation("a rate far above what flows", NO_EFFECT, fault(json!({ "bandwidth": { "rate": "1gbit" } }))),
        situation(
            "a rate far above what flows, of a line that loses nothing",
            NO_EFFECT,
            fault(
                json!({ "shape": { "bandwidth": { "rate": "1gbit" }, "loss": { "percent": "0.0001%" }, "mechanism": "userspace" } }),
            ),
        ),
        situation("a delay that cannot be told from none", INVALID, fault(json!({ "latency": { "delay": "1us" } }))),
        situation(
            "a bad line to a host that nothing calls",
            NO_EFFECT,
            fault(
                json!({ "shape": { "delay": "500ms", "loss": { "percent": "100%" }, "to": { "cidr": "198.51.100.7/32" } } }),
            ),
        ),
        situation(
            "torn connections where there are none",
            &["not-verified", "not-injected", "no-effect"],
            at("aside", json!("reset")),
        ),
    ]
}

/// The fault is gone before its time is over, and customers are content.
pub(super) fn it_is_gone_midway() -> Vec<Situation> {
    use rustix::process::Signal;
    let late = || json!({ "fault": { "latency": { "delay": "20ms" } } });
    let gone: &[&str] = &["fault-vanished"];
    vec![
        meddled(
            "the target dies while its traffic is late",
            gone,
            json!({ "fault": { "latency": { "delay": "20ms" } }, "target": { "service": "store" },
            "steady-state": { "store": { "http": format!("{GATEWAY}/health"), "rate": "20/s" }, "itself": { "http": STORE, "rate": "20/s", "expect": { "success": "10%" } } } }),
            |ground, _| kill(ground.pid("store-1"), Signal::KILL),
        ),
        meddled("the rules are flushed", gone, late(), |ground, _| inside(ground, "gateway-1", "nft flush ruleset")),
        meddled("the process that holds packets is killed", &["fault-vanished", "no-effect"], late(), |ground, _| {
            let tagged = workers(ground, VARIABLE);
            assert!(!tagged.is_empty(), "a shaper");
            for pid in tagged {
                kill(pid, Signal::KILL);
            }
        }),
        meddled("the proxy is killed", gone, json!({ "fault": { "http": { "delay": "20ms" } } }), |ground, _| {
            let proxies = workers(ground, proxy::VARIABLE);
            assert!(!proxies.is_empty(), "a proxy");
            for pid in proxies {
                kill(pid, Signal::KILL);
            }
        }),
        meddled(
            "a paused target is let go on",
            gone,
            json!({ "fault": "pause", "target": { "service": "aside" } }),
            |ground, _| {
                kill(ground.pid("aside-1"), Signal::CONT);
            },
        ),
        meddled(
            "a killed target is started again",
            gone,
            json!({ "fault": "kill", "target": { "service": "aside" } }),
            |ground, _| ground.up(),
        ),
        meddled(
            "a stopped target is started again",
            gone,
            json!({ "fault": "stop", "target": { "service": "aside" } }),
            |ground, _| ground.up(),
        ),
        meddled(
            "a paused target is killed and started again",
            gone,
            json!({ "fault": "pause", "target": { "service": "aside" } }),
            |ground, _| {
                kill(ground.pid("aside-1"), Signal::KILL);
                ground.up();
            },
        ),
    ]
}

/// There is nothing to target, or something that must not be targeted.
pub(super) fn nobody_to_targeted() -> Vec<Situation> {
    let none: &[&str] = &["no-target", "refused"];
    let fault = "kill";
    vec![
        situation("a mistyped service", none, json!({ "fault": fault, "target": { "service": "shopp" } })),
        situation("a name that no instance has", none, json!({ "fault": fault, "target": { "name": "shop-9*" } })),
        situation("an empty zone", none, json!({ "fault": "zone-outage", "target": { "zone": "c" } })),
        situation("a label that nothing carries", none, json!({ "fault": fault, "target": { "labels": "tier=web" } })),
        situation(
            "a share that comes to none",
            none,
            json!({ "fault": fault, "target": { "service": "shop", "pick": "30%" } }),
        ),
        situation(
            "peers that match no instance",
            none,
            json!({ "fault": { "latency": { "delay": "1s", "to": { "service": "shopp" } } } }),
        ),
        situation(
            "more than the blast radius allows",
            none,
            json!({ "fault": fault, "target": { "name": "*-1", "pick": "all" } }),
        ),
        situation(
            "fewer left than must be healthy",
            none,
            json!({ "fault": fault, "target": { "service": "shop" }, "blast-radius": { "max-instances": 1, "min-healthy": 1 } }),
        ),
        situation(
            "a process that the target has not",
            &["no-target", "refused", "not-injected"],
            json!({ "fault": { "process": { "name": "nginx" } } }),
        ),
    ]
}

/// The answers prove nothing.
pub(super) fn no_evidence() -> Vec<Situation> {
    let count = json!({ "aside": { "engine": { "service": "aside", "count": "running" }, "rate": "10/s",
        "expect": { "value": { "at-least": 0 } } } });
    let broken: &[&str] = &["hypothesis-broken"];
    vec![
        situation("a phase in which nothing is asked", INVALID, customer(&json!({ "rate": "6/m" }))),
        situation("a delay as long as the fault", INVALID, json!({ "fault": { "latency": { "delay": "2s" } } })),
        situation("a success that no failure breaks", INVALID, customer(&json!({ "expect": { "success": "0%" } }))),
        situation("a rate that one answer pays for", INVALID, customer(&json!({ "expect": { "rate": "1/m" } }))),
        situation(
            "an outage as long as the fault",
            INVALID,
            customer(&json!({ "expect": { "success": "1%" }, "during": { "success": "1%", "max-outage": "1h" } })),
        ),
        situation(
            "a percentile as long as the time-out",
            INVALID,
            customer(&json!({ "timeout": "1s", "expect": { "success": "1%", "p95": "1s" } })),
        ),
        situation(
            "at least none of them",
            INVALID,
            json!({ "fault": "kill", "target": { "service": "aside" }, "steady-state": count }),
        ),
        situation(
            "a body that everything matches",
            INVALID,
            customer(&json!({ "http": { "url": format!("{GATEWAY}/health"), "matches": ".*" } })),
        ),
        situation(
            "a baseline that is broken already",
            &["baseline-not-met"],
            customer(&json!({ "http": format!("{GATEWAY}/none") })),
        ),
        situation(
            "a host that cannot be looked up",
            &["not-measured", "baseline-not-met"],
            customer(&json!({ "http": "http://nowhere.invalid/" })),
        ),
        situation(
            "a stop that takes longer than the fault",
            broken,
            json!({
                "fault": { "stop": { "timeout": "4s" } }, "target": { "service": "slow" },
                "timing": { "baseline": "1s", "duration": "2s", "recovery": "10s" },
                "steady-state": { "slow": { "http": SLOW, "rate": "20/s" } },
            }),
        ),
        situation(
            "answers that come after the thaw",
            &["no-evidence"],
            json!({
                "fault": "pause", "target": { "service": "store" },
                "steady-state": { "store": { "http": STORE, "rate": "10/s", "timeout": "5s" } },
            }),
        ),
        situation(
            "a command that fails",
            &["not-injected"],
            json!({
                "fault": { "exec": { "run": ["false"], "undo": ["true"], "place": "here" } },
            }),
        ),
        situation(
            "an undo that fails",
            &["left-behind"],
            json!({
                "fault": { "exec": { "run": ["true"], "undo": ["false"], "place": "here" } },
            }),
        ),
    ]
}

/// The run did not come to its end.
pub(super) fn cut_short() -> Vec<Situation> {
    use rustix::process::Signal;
    let paused = || json!({ "fault": "pause", "target": { "service": "aside" } });
    vec![
        meddled("the runner is killed", &["runner-died"], paused(), |_, runner| runner.kill().unwrap()),
        meddled("Ctrl-C is pressed", &["interrupted"], paused(), |_, runner| {
            kill(i32::try_from(runner.id()).unwrap(), Signal::INT);
        }),
        meddled(
            "the stack is taken away",
            &["fault-vanished", "engine-failed", "left-behind"],
            paused(),
            |ground, _| {
                std::fs::remove_dir_all(ground.state().join("stacks")).unwrap();
            },
        ),
    ]
}

/// The processes that hold the packets of a ground's instances.
fn workers(ground: &Ground, variable: &str) -> Vec<i32> {
    let network = std::fs::read_link(format!("/proc/{}/ns/net", ground.pid("gateway-1"))).unwrap();
    let here = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other == network);
    with_environment(&format!("{variable}=")).into_iter().filter(here).collect()
}
