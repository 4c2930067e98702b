//! Locks on services: how long they stay, and who removes them when the run could not.

use squall::engine::Lock as _;
use squall::engine::sim::InjectedFailure;
use squall::model::exit::Verdict;

use crate::harness::{Scenario, experiment};

const SHOP: &str = "{ service: shop, pick: 1 }";

async fn locked(s: &Scenario) -> Vec<String> {
    s.sim.claims().await.expect("the sim answers").into_iter().map(|c| c.service).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_could_not_be_removed_is_removed_by_the_recovery_and_the_verdict_stays() {
    let s = Scenario::new(experiment("{ kill: {} }", SHOP));
    s.sim.fail_calls(|_, what| if what.contains("release") { InjectedFailure::Fail } else { InjectedFailure::None });
    let ran = s.run().await.expect("no process dies");
    let verdict = ran.state.finished.as_ref().map(|f| f.verdict);
    assert_eq!(verdict, Some(Verdict::Rehearsed), "{}", ran.text());
    assert!(!ran.state.is_settled() && ran.state.warned().concat().contains("the lock on service `shop`"));

    // Once more in vain: it is still to be done.
    assert!(s.recover().await);
    assert_eq!(locked(&s).await, ["shop"]);
    assert!(!s.written().is_settled());

    s.sim.fail_calls(|_, _| InjectedFailure::None);
    assert!(s.recover().await);
    assert_eq!(locked(&s).await, Vec::<String>::new());
    let after = s.written();
    assert!(after.is_settled() && after.warned().is_empty(), "{:?}", after.warned());
    assert_eq!(after.finished.map(|f| f.verdict), verdict, "what it came to is not spoken anew");
}

#[tokio::test(start_paused = true)]
async fn a_service_stays_locked_while_something_of_it_is_left_behind() {
    let s = Scenario::new(experiment("{ pause: {} }", SHOP));
    s.sim.fail_calls(|_, what| if what.contains("not paused") { InjectedFailure::Fail } else { InjectedFailure::None });
    assert_eq!(s.run().await.expect("no process dies").code(), 4);
    assert_eq!(locked(&s).await, ["shop"], "another run would count it as a healthy one");
    assert!(s.recover().await);
    assert_eq!(locked(&s).await, ["shop"]);
    s.sim.fail_calls(|_, _| InjectedFailure::None);
    assert!(s.recover().await);
    s.assert_restored("recovered").await;
}
