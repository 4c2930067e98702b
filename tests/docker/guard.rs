//! The guard as a container of its own.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::HostConfig;
use bollard::query_parameters::{EventsOptionsBuilder, RemoveVolumeOptions};
use futures_util::TryStreamExt as _;
use squall::engine::docker::PROGRAM;

use crate::harness::{Sandbox, Spec};

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs_f64().to_string()
}

#[tokio::test]
async fn a_guard_is_started_beside_its_runner_and_leaves_nothing() {
    let sandbox = Sandbox::new().await;
    let began = now();
    let volume = sandbox.name("state");
    let host = HostConfig { binds: Some(vec![format!("{volume}:/state")]), ..HostConfig::default() };
    let runner = sandbox.start("runner", Spec { host, ..Spec::default() }).await;
    let (program, journal) = (Path::new(PROGRAM), Path::new("/state/runs/r/journal.ndjson"));
    // There is no journal, so each guard soon ends; the next one must not stumble over its name.
    for _ in 0..2 {
        let guard = sandbox.docker.start_guard(&runner.0, program, journal, "100years", &sandbox.prefix).await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while sandbox.docker.is_alive(&guard).await.unwrap() {
            assert!(tokio::time::Instant::now() < deadline, "a guard without a journal goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sandbox.docker.remove_container(&guard).await.unwrap();
        sandbox.docker.remove_container(&guard).await.expect("what is gone is no error");

        let filters = HashMap::from([("container", vec![guard.as_str()]), ("event", vec!["start"])]);
        let options = EventsOptionsBuilder::new().since(&began).until(&now()).filters(&filters).build();
        let events: Vec<_> = sandbox.api.events(Some(options)).try_collect().await.unwrap();
        let labels = events[0].actor.as_ref().and_then(|a| a.attributes.clone()).unwrap();
        assert_eq!(labels.get("squall.run"), Some(&sandbox.prefix));
        assert_eq!(labels.get("squall.guard"), Some(&runner.0));
    }
    assert!(sandbox.docker.is_alive(&runner.0).await.unwrap());
    sandbox.docker.kill_container(&runner.0).await.unwrap();
    sandbox.docker.kill_container(&runner.0).await.expect("what does not run is no error");
    assert!(!sandbox.docker.is_alive(&runner.0).await.unwrap());
    sandbox.docker.remove_container(&runner.0).await.unwrap();
    sandbox.docker.kill_container(&runner.0).await.expect("what is gone is no error");
    sandbox.api.remove_volume(&volume, None::<RemoveVolumeOptions>).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_no_other_container_can_read_is_refused() {
    let sandbox = Sandbox::new().await;
    let runner = sandbox.start("runner", Spec::default()).await;
    let journal = Path::new("/state/runs/r/journal.ndjson");
    let refused = sandbox.docker.start_guard(&runner.0, Path::new(PROGRAM), journal, "100years", &sandbox.prefix).await;
    assert!(refused.unwrap_err().to_string().contains("volume"));
}
