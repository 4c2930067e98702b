//! Faults of the network: what a request meets where traffic is disturbed, and what is refused.

use std::time::Duration;

use squall::engine::Apply as _;
use squall::engine::sim::Sim;
use squall::engine::{Outcome, Tag};
use squall::experiment::Experiment;
use squall::model::instance::{InstanceId, Setting};
use squall::model::network::{Direction, Flow, Network, Peers, Shape, Traffic, Treatment};
use squall::report::{Format, render};

use crate::harness::{STACK, Scenario, experiment};

const GATEWAY: &str = "{ service: gateway }";
const ONE_SHOP: &str = "{ service: shop }";
const BOTH_SHOPS: &str = "{ service: shop, pick: 2 }";
const STORE: &str = "{ service: store }";

async fn comes_to(x: Experiment, want: &str) -> Scenario {
    let s = Scenario::new(x);
    let what = serde_json::to_string(&s.experiment.faults()).expect("it is data");
    let ran = s.run().await.expect("no process dies");
    assert_eq!(ran.reason(), want, "{what}: {}", ran.text());
    s.assert_restored(&what).await;
    s
}

#[tokio::test(start_paused = true)]
async fn what_a_customer_meets_is_what_the_traffic_meets() {
    for (fault, target, want) in [
        ("{ latency: { delay: 200ms, to: { service: shop } } }", GATEWAY, "hypothesis-held"),
        ("{ latency: { delay: 400ms, to: { service: shop } } }", GATEWAY, "hypothesis-broken"),
        ("{ latency: { delay: 400ms, to: { service: shop }, port: [8081] } }", GATEWAY, "hypothesis-broken"),
        ("{ latency: { delay: 400ms, from: { service: shop }, port: [8090] } }", STORE, "hypothesis-broken"),
        ("{ latency: { delay: 400ms, to: { zone: c } } }", GATEWAY, "hypothesis-broken"),
        ("{ latency: { delay: 2s } }", STORE, "hypothesis-broken"),
        ("{ loss: { percent: 50% } }", STORE, "hypothesis-broken"),
        ("{ loss: { gilbert-elliott: { p: 100%, r: 0% } } }", ONE_SHOP, "hypothesis-held"),
        ("{ loss: { markov: { p13: 50%, p31: 10%, p32: 0%, p23: 0%, p14: 0% } } }", STORE, "hypothesis-broken"),
        ("{ corrupt: { percent: 50% } }", STORE, "hypothesis-broken"),
        ("{ duplicate: { percent: 100% } }", STORE, "hypothesis-held"),
        ("{ reorder: { percent: 50%, delay: 20ms } }", STORE, "hypothesis-held"),
        ("{ bandwidth: { rate: 1mbit } }", STORE, "hypothesis-held"),
        ("{ bandwidth: { rate: 50kbit, burst: 2k } }", STORE, "hypothesis-broken"),
        ("{ shape: { delay: 30ms, loss: { percent: 100% } } }", STORE, "hypothesis-broken"),
        ("{ partition: {} }", ONE_SHOP, "hypothesis-held"),
        ("{ partition: { from: { service: shop }, how: reject } }", STORE, "hypothesis-broken"),
        ("{ partition: { from: { instance: 'shop-*' }, direction: ingress } }", STORE, "hypothesis-broken"),
        ("{ partition: { from: { service: gateway } } }", BOTH_SHOPS, "hypothesis-held"),
        ("{ blackhole: { to: { host: store }, port: [8090] } }", BOTH_SHOPS, "hypothesis-held"),
        ("{ blackhole: { to: { service: shop } } }", GATEWAY, "hypothesis-broken"),
        ("{ dns: { answer: timeout } }", GATEWAY, "hypothesis-broken"),
        ("{ dns: { names: ['sh*'], answer: nxdomain } }", GATEWAY, "hypothesis-broken"),
        ("{ dns: { address: 192.0.2.1 } }", ONE_SHOP, "hypothesis-held"),
        ("{ reset: { from: { service: gateway } } }", ONE_SHOP, "hypothesis-held"),
        ("{ http: { to: { service: store }, status: 503 } }", ONE_SHOP, "hypothesis-held"),
        ("{ http: { to: { service: shop }, status: 503 } }", GATEWAY, "hypothesis-broken"),
        ("{ http: { to: { service: shop }, status: 503, first: 1 } }", GATEWAY, "hypothesis-held"),
        ("{ http: { to: { service: shop }, delay: 400ms } }", GATEWAY, "hypothesis-broken"),
        ("{ http: { to: { service: shop }, stall: true, share: 50% } }", GATEWAY, "hypothesis-broken"),
        ("{ tcp: { to: { service: shop }, refuse: true } }", GATEWAY, "hypothesis-broken"),
        ("{ tcp: { to: { service: store }, accept-then-hang: true } }", ONE_SHOP, "hypothesis-held"),
        ("{ tcp: { to: { service: shop }, delay: 200ms } }", GATEWAY, "hypothesis-held"),
    ] {
        comes_to(experiment(fault, target), want).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_nothing_meets_has_no_effect() {
    for (fault, target) in [
        ("{ latency: { delay: 400ms, port: [5432] } }", GATEWAY),
        ("{ latency: { delay: 400ms, protocol: udp } }", STORE),
        ("{ http: { status: 503, port: [5432] } }", GATEWAY),
        ("{ latency: { delay: 400ms, to: { service: gateway } } }", STORE),
        ("{ partition: { from: { cidr: 192.0.2.0/24 } } }", STORE),
        ("{ dns: { names: ['billing'], answer: nxdomain } }", GATEWAY),
    ] {
        comes_to(experiment(fault, target), "no-effect").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_idle_is_said_to_have_had_no_effect() {
    for (idle, want) in [("none", "no-effect"), ("some", "no-effect"), ("allowed", "held-without-effect")] {
        let fault = format!("{{ latency: {{ delay: 400ms, port: [5432], idle: {idle} }} }}");
        let s = comes_to(experiment(&fault, GATEWAY), want).await;
        let ran = s.run().await.expect("its end");
        assert!(ran.text().contains("no packet met it (selected: traffic to everybody, port 5432)"), "{}", ran.text());
        for format in [Format::Json, Format::Markdown, Format::Html] {
            assert!(render(&ran.state, format).contains("no packet met it"), "{format:?}");
        }
        assert!(render(&ran.state, Format::Junit).contains(want), "as the suite's reason");
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_nobody_is_are_a_refusal() {
    for fault in [
        "{ latency: { delay: 1s, to: { service: billing } } }",
        "{ partition: { from: { service: shop, zone: z } } }",
        "{ blackhole: { to: { service: store } } }",
        "{ reset: { from: { instance: 'store-1' } } }",
    ] {
        let s = comes_to(experiment(fault, STORE), "refused").await;
        let ran = s.run().await.unwrap();
        assert!(ran.text().contains("store-1") && ran.text().contains("no other running instance"), "{}", ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_are_targeted_are_peers_of_each_other() {
    let s = Scenario::new(experiment("{ partition: { from: { service: shop } } }", BOTH_SHOPS));
    let ran = s.run().await.unwrap();
    for change in &ran.state.changes {
        let Setting::Network(network) = &change.change.to else { panic!("{:?}", change.change) };
        let Peers::These(peers) = &network.flows[0].traffic.peers else { panic!("{network}") };
        assert_eq!(peers.len(), 2, "both others, targeted or not, and not itself");
    }
    assert_eq!(ran.reason(), "no-effect", "shops do not talk with each other");
}

#[tokio::test(start_paused = true)]
async fn what_another_run_has_left_is_a_refusal() {
    let s = Scenario::new(experiment("{ latency: { delay: 10ms } }", STORE));
    let treatment = Treatment::Shape(Box::new(Shape { delay: Duration::from_millis(1), ..Shape::default() }));
    let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment }];
    let (tag, store) = (Tag { run: "r0".into(), change: 0 }, InstanceId("store-1".into()));
    let left = Setting::Network(Box::new(Network { flows, mechanism: None, seed: 0 }));
    assert_eq!(s.sim.set(&tag, &store, &left).await.unwrap(), Outcome::Done);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "refused");
    assert!(ran.text().contains("squall recover"), "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_loses_the_same_packets() {
    let lost = async |seed: u64| {
        let sim = Sim::of_stack(&serde_yaml::from_str(STACK).unwrap());
        let mut x = experiment("{ loss: { percent: 30% } }", STORE);
        x.on_breach = squall::experiment::OnBreach::Observe;
        let mut s = Scenario::within(sim, x);
        s.seed = seed;
        let ran = s.run().await.unwrap();
        ran.state.checks.values().flat_map(|c| &c.windows).map(|w| w.failed).collect::<Vec<_>>()
    };
    assert_eq!(lost(7).await, lost(7).await);
    assert_ne!(lost(7).await, lost(8).await);
}
