//! Outages of nodes in the sim's world: what runs on a node is out as a whole or not at all, and a crash in the middle is rolled back.

use std::time::Duration;

use squall::engine::sim::{ExternalAction, InjectedFailure, Sim};
use squall::experiment::{Experiment, Span};
use squall::model::instance::InstanceId;
use squall::record::state::RunState;

use crate::harness::{RunResult, Scenario, experiment};

/// Shops on three nodes; on one of them a store runs as well, and one of a service that no customer needs.
const ON_NODES: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, nodes: [edge], needs: [shop], failover: 250ms }
  shop: { command: [x], replicas: 3, nodes: [n1, n2, n3], port: 8081, restart: true, failover: 250ms }
  store: { command: [x], nodes: [n2], port: 8090 }
  idle: { command: [x], nodes: [n2], port: 8099 }
";

/// The same as tasks of a Swarm.
const TASKS: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, nodes: [edge], needs: [shop], failover: 250ms }
  shop: { command: [x], replicas: 3, nodes: [n1, n2, n3], port: 8081, orchestrator: Docker Swarm, failover: 250ms }
";

fn outage(mode: &str, target: &str) -> Experiment {
    let mut x = experiment(&format!("{{ node-outage: {{ mode: {mode} }} }}"), target);
    x.blast_radius.max_instances = None;
    x.blast_radius.max_nodes = Some(1);
    x.timing.duration = Span(Duration::from_secs(4));
    x.timing.recovery = Span(Duration::from_secs(8));
    x.steady_state.clear();
    let checkout: serde_json::Value = serde_yaml::from_str(
        "{ http: { url: 'http://127.0.0.1:8080/checkout' }, rate: 20/s, timeout: 600ms, expect: { success: 99%, p95: 300ms },
           during: { success: 60%, p95: 1s, max-outage: 1s } }",
    )
    .expect("a check");
    x.steady_state.insert("checkout".to_owned(), serde_json::from_value(checkout).expect("a check"));
    x
}

fn targeted(ran: &RunResult) -> Vec<&str> {
    ran.state.targeted.iter().map(|i| i.name.as_str()).collect()
}

async fn run(s: &Scenario) -> RunResult {
    s.run().await.expect("no process dies")
}

#[tokio::test(start_paused = true)]
async fn the_other_nodes_serve_and_the_node_comes_back() {
    for (stack, mode, on_it) in [
        (ON_NODES, "isolate", vec!["idle-1", "shop-2", "store-1"]),
        (ON_NODES, "power", vec!["idle-1", "shop-2", "store-1"]),
        (TASKS, "isolate", vec!["shop-2"]),
    ] {
        let s = Scenario::on(stack, outage(mode, "{ node: n2 }"));
        let ran = run(&s).await;
        assert_eq!(ran.reason(), "hypothesis-held", "{mode}: {}", ran.text());
        assert_eq!(targeted(&ran), on_it, "{mode}");
        s.assert_restored(mode).await;
    }
}

/// Its tasks are replaced, and what the node was before comes back.
#[tokio::test(start_paused = true)]
async fn tasks_of_a_node_are_replaced_and_left_to_their_orchestrator() {
    for mode in ["drain", "power"] {
        let s = Scenario::on(TASKS, outage(mode, "{ node: n2 }"));
        let ran = run(&s).await;
        assert_eq!(ran.reason(), "hypothesis-held", "{mode}: {}", ran.text());
        assert!(!s.sim.peek().iter().any(|i| i.name == "shop-2" && i.is_running()), "{mode}: it was started again");
        assert!(ran.state.changes.iter().all(|c| c.rolled_back.is_some()), "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_starts_on_the_node_before_the_fault_is_not_hit() {
    let s = Scenario::on(ON_NODES, outage("isolate", "{ node: n2 }"));
    s.sim.act_on(&InstanceId("idle-1".to_owned()), ExternalAction::Kill);
    s.act_when("observe", |state: &RunState| !state.changes.is_empty(), ("idle-1", ExternalAction::Restart));
    let ran = run(&s).await;
    assert_eq!(ran.reason(), "refused", "{}", ran.text());
    assert!(ran.text().contains("just before the injection") && ran.text().contains("idle-1"), "{}", ran.text());
    assert!(ran.state.changes.iter().all(|c| c.injecting.is_none()), "nothing was done");
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_engine_call_of_an_outage_leaves_nothing() {
    for mode in ["isolate", "power"] {
        let calls = {
            let s = Scenario::on(ON_NODES, outage(mode, "{ node: n2 }"));
            s.sim.fail_calls(|_, _| InjectedFailure::None);
            run(&s).await;
            Sim::calls(&s.sim)
        };
        for n in (0..calls).step_by(3) {
            for failure in [InjectedFailure::CrashBefore, InjectedFailure::CrashAfter] {
                let s = Scenario::on(ON_NODES, outage(mode, "{ node: n2 }"));
                let what = format!("{mode}, {failure:?} at call {n}");
                s.sim.fail_calls(move |call, _| if call == n { failure.clone() } else { InjectedFailure::None });
                if s.run().await.is_none() {
                    s.sim.fail_calls(|_, _| InjectedFailure::None);
                    assert!(s.recover().await, "{what}");
                }
                s.assert_restored(&what).await;
            }
        }
    }
}
