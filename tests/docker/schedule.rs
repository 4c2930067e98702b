//! `squall schedule` on real containers: the daemon is killed at random moments and started again, twenty runs long.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};
use squall::host::store::StateDir;
use squall::model::exit::Verdict;
use squall::occasions::history::{Filter, History, Row, Status};
use squall::record::journal;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, eventually, lonely};

/// So many runs, each to its end.
const RUNS: usize = 20;

#[tokio::test]
async fn killed_at_random_moments_it_leaves_nothing_and_loses_and_doubles_no_run() {
    let scene = Box::pin(Scene::of(2, lonely())).await;
    let before = scene.settings().await;
    scene.file("pause.yaml", &scene.experiment("pause: {}", "baseline: 500ms, duration: 1s, recovery: 3s"));
    let schedule = scene.file(
        "schedule.yaml",
        "version: 1\nname: storm\nentries:\n  it: { experiments: pause.yaml, random: { mean: 500ms } }\n",
    );
    let log = scene.dir.path().join("log");
    let state = StateDir::find(Some(scene.dir.path().join("state"))).expect("a directory");
    let mut rng = ChaCha12Rng::seed_from_u64(7);
    let end = Instant::now() + Duration::from_mins(10);
    let mut killed = 0;
    while over(&state).len() < RUNS {
        assert!(Instant::now() < end, "{} runs after {killed} kills:\n{}", over(&state).len(), read(&log));
        let mut daemon = daemon(&scene, &schedule, &log);
        sleep(Duration::from_millis(rng.random_range(200..6000))).await;
        daemon.kill().await.expect("it is there");
        killed += 1;
    }
    // A last one, which ends in peace: what is not rolled back by now, it rolls back.
    let starts = read(&log).matches("figures").count() + read(&log).matches("entry of").count();
    let mut last = daemon(&scene, &schedule, &log);
    eventually("the last daemon", || async {
        (read(&log).matches("entry of").count() + read(&log).matches("figures").count() > starts).then_some(())
    })
    .await;
    let pid = last.id().expect("it is there");
    crate::scene::send(pid, rustix::process::Signal::TERM);
    assert!(last.wait().await.expect("a child").success(), "{}", read(&log));

    // Every run comes to its end, those too whose daemon is long dead; then nothing is left of any.
    eventually("the end of every run", || async {
        rows(&state).iter().all(|row| row.status == Status::Finished).then_some(())
    })
    .await;
    scene.is_as(&before).await;

    // None lost: a row for every directory. None doubled: every start has a seed, and one run has it.
    let rows = rows(&state);
    assert_eq!(rows.iter().map(|row| row.run.clone()).collect::<Vec<_>>(), state.runs().expect("runs"));
    let seeds: Vec<u64> = rows.iter().map(|row| seed(&state, row)).collect();
    let distinct: BTreeSet<u64> = seeds.iter().copied().collect();
    assert_eq!(distinct.len(), seeds.len(), "{seeds:?}");
    let log = read(&log);
    // What the last daemon has begun may have been ended by the same signal before it was a run.
    let (killed_ones, _) = log.rsplit_once("entry of").expect("the last one's own word");
    let announced =
        killed_ones.split("with seed ").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok());
    let announced: BTreeSet<u64> = announced.collect();
    assert!(announced.is_subset(&distinct), "announced and not in the history: {announced:?} {distinct:?}\n{log}");
    // The kills met daemons, not runs: a run goes on to its own end.
    let bad: Vec<&Row> = rows.iter().filter(|row| row.verdict != Some(Verdict::Held)).collect();
    let with = |reason: &str| bad.iter().filter(|row| row.reason.as_deref() == Some(reason)).count();
    // A run that a daemon begins in its last moment has no journal yet when the next one looks for it: its lock stops the next run.
    let (interrupted, stopped_by_the_lock) = (with("interrupted"), with("claimed"));
    assert!(bad.len() == interrupted + stopped_by_the_lock && interrupted <= 1, "{bad:#?}\n{log}");
    assert!(stopped_by_the_lock < killed, "{stopped_by_the_lock} of {killed}: {bad:#?}\n{log}");
    assert!(killed >= 5, "{killed} kills");
}

pub(crate) fn daemon(scene: &Scene, schedule: &Path, log: &Path) -> Child {
    let out = std::fs::File::options().create(true).append(true).open(log).expect("a log");
    let mut squall = scene.squall("state");
    squall.arg("schedule").arg(schedule).args(["--listen", "off"]);
    squall.stdout(out.try_clone().expect("a log")).stderr(Stdio::from(out)).spawn().expect("the binary starts")
}

pub(crate) fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

fn rows(state: &StateDir) -> Vec<Row> {
    History::open(state).and_then(|history| history.rows(&Filter::default())).expect("a history")
}

/// The runs that are over.
pub(crate) fn over(state: &StateDir) -> Vec<Row> {
    rows(state).into_iter().filter(|row| row.status == Status::Finished).collect()
}

fn seed(state: &StateDir, row: &Row) -> u64 {
    journal::replay(&state.journal(&row.run)).expect("a journal").started.expect("a start").seed
}
