//! A game day on real containers: three scenarios, and a runner that is killed in the middle of the second.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use squall::host::store::StateDir;
use squall::occasions::gameday::state::GamedayState;
use squall::occasions::gameday::timeline;
use squall::record::journal;
use tokio::process::Child;
use tokio::time::timeout;

use crate::scene::{Scene, eventually, lonely};

const SCENARIOS: [&str; 3] = ["kill: {}", "pause: {}", "stop: { timeout: 0s }"];

/// Writes the game day; each scenario's fault is on for so long.
fn written(scene: &Scene, durations: [&str; 3]) -> std::path::PathBuf {
    let mut scenarios = String::new();
    for (n, (fault, duration)) in SCENARIOS.into_iter().zip(durations).enumerate() {
        let timing = format!("baseline: 500ms, duration: {duration}, recovery: 10s");
        scene.file(&format!("{n}.yaml"), &scene.experiment(fault, &timing));
        writeln!(scenarios, "  - experiment: {n}.yaml").expect("a string takes it");
    }
    let head = "version: 1\nname: day\ntitle: A day\nobjective: Learn.\nowner: ana\n";
    scene.file("day.yaml", &format!("{head}scenarios:\n{scenarios}"))
}

fn start(scene: &Scene, file: &Path) -> Child {
    let mut squall = scene.squall("state");
    squall.args(["gameday", "run"]).arg(file).args(["--unattended", "--quiet"]);
    squall.spawn().expect("the binary starts")
}

/// The game days in the scene's state directory, oldest first.
fn days(state: &StateDir) -> Vec<GamedayState> {
    let ids = state.gamedays().expect("they can be read");
    ids.iter().map(|id| GamedayState::of(&timeline::read(&state.timeline(id)).unwrap_or_default())).collect()
}

#[tokio::test]
async fn three_scenarios_leave_nothing_and_neither_does_a_death_in_the_second() {
    let scene = Box::pin(Scene::of(2, lonely())).await;
    let before = scene.settings().await;
    let state = StateDir::find(Some(scene.dir.path().join("state"))).expect("a directory");

    let mut child = start(&scene, &written(&scene, ["500ms", "1m", "500ms"]));
    eventually("the second fault", || async {
        let day = days(&state).pop()?;
        let run = day.scenarios.get(&1)?.run.clone()?;
        let run = journal::replay(&state.journal(&run)).ok()?;
        run.changes.iter().any(|c| c.verification.is_some()).then_some(())
    })
    .await;
    child.kill().await.expect("a child");
    // The guard is done when it has ended.
    scene.is_clear().await;
    scene.is_as(&before).await;
    let dead = days(&state).pop().expect("a game day");
    assert!(dead.ended.is_none() && dead.scenarios[&0].ended.is_some() && dead.scenarios[&1].ended.is_none());
    let run = dead.scenarios[&1].run.as_ref().expect("a run");
    assert!(
        journal::replay(&state.journal(run)).expect("a journal").outstanding().is_empty(),
        "the guard took it back"
    );

    let child = start(&scene, &written(&scene, ["500ms"; 3]));
    let ended = timeout(Duration::from_mins(2), child.wait_with_output()).await.expect("an end").expect("its output");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    scene.is_as(&before).await;
    let days = days(&state);
    let verdicts: Vec<&str> =
        days[1].scenarios.values().filter_map(|s| s.ended.as_ref()).map(|e| e.verdict.words()).collect();
    assert_eq!((days.len(), verdicts), (2, vec!["held"; 3]), "{said}");
}
