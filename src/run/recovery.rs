//! After the fault: waits for steady state to come back, and measures how long that takes.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::verdict::Recovered;
use super::watch::Watch;
use crate::engine::Engine;
use crate::event::{Event, Phase, millis};
use crate::experiment::Experiment;
use crate::instance::Instance;
use crate::journal::Recorder;

/// Waits for steady state to come back.
pub(super) async fn recovery(x: &Experiment, rec: &Recorder, watch: &mut Watch<'_>) -> Recovered {
    watch.begin(Phase::Recovery, Some(x.timing.recovery.0.max(watch.resolving().unwrap_or_default())));
    let end = Instant::now() + x.timing.recovery.0;
    watched_back(watch, end).await;
    tell_recovery(rec, watch)
}

/// With `heal: self`: waits for steady state, and for the instances themselves, with no helping hand.
pub(super) async fn by_itself(
    x: &Experiment,
    engine: &dyn Engine,
    rec: &Recorder,
    watch: &mut Watch<'_>,
    injected: Instant,
    hit: &[Instance],
) -> Recovered {
    let end = (injected + x.timing.recovery.0).max(Instant::now());
    watch.begin(Phase::Recovery, Some(end.saturating_duration_since(Instant::now())));
    watched_back(watch, end).await;
    watch.fault_is_gone();
    let missing = watch.alongside(missing(engine, hit, end)).await;
    let recovered = tell_recovery(rec, watch);
    if missing.is_empty() { recovered } else { Recovered::No(format!("nobody brought {} back", missing.join(", "))) }
}

/// Who is not up although somebody should have brought it back by now.
async fn missing(engine: &dyn Engine, hit: &[Instance], end: Instant) -> Vec<String> {
    loop {
        let mut missing = Vec::new();
        for before in hit {
            if !matches!(engine.look(&before.id).await, Ok(Some(now)) if now.is_up()) {
                missing.push(before.name.clone());
            }
        }
        if missing.is_empty() || Instant::now() >= end {
            return missing;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn watched_back(watch: &mut Watch<'_>, end: Instant) {
    tokio::select! {
        () = watch.back() => {}
        () = sleep_until(end) => {}
    }
}

fn tell_recovery(rec: &Recorder, watch: &Watch<'_>) -> Recovered {
    let checks = watch.recovery();
    let rto = checks
        .values()
        .copied()
        .collect::<Option<Vec<Duration>>>()
        .map(|all| all.into_iter().max().unwrap_or_default());
    rec.note(Event::Recovery {
        rto_ms: rto.map(millis),
        checks: checks.iter().map(|(k, v)| (k.clone(), v.map(millis))).collect(),
    });
    if rto.is_some() {
        return Recovered::Yes;
    }
    if let Some(text) = watch.recovery_unasked() {
        return Recovered::Unknown(text);
    }
    let late: Vec<String> =
        checks.iter().filter(|(_, rto)| rto.is_none()).map(|(name, _)| format!("`{name}`")).collect();
    Recovered::No(format!("{} was not back to steady state in time", late.join(", ")))
}
