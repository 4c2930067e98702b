//! Injections that were not answered: the engine may be through with them, or never have heard of them, or execute them when all is
//! rolled back already. Their targets are watched for a while, and what comes late is rolled back again.
//!
//! Like [`super::rollback`], it takes no `Abort` and knows no experiment.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use tokio::time::{sleep, timeout};

use super::inject::is_so;
use super::locks::among;
use super::rollback::{LAST_LOOK, ROLLBACK_TIMEOUT, persist};
use super::scope::Scope;
use crate::engine::{Apply, Engine, Lock, Tag};
use crate::model::instance::{Aspect, Change, Instance, Rollback, Setting};
use crate::record::event::{Actor, Event, micros};
use crate::record::journal::Recorder;
use crate::record::state::ChangeState;

/// How long after its rollback has begun an injection is waited for that was not answered in its time: longer than a lost packet
/// takes to be sent again a few times.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// How long the guard goes on watching when the run is over.
pub(super) const WATCH: Duration = Duration::from_mins(2);

/// How often the targets are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Who watches for late injections, and thus for what and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The run is not over: whatever differs is ours, and it is waited for if an engine did not answer in its time.
    InRun,
    /// The run is over: others may stop and start its targets again, and target them.
    AfterRun,
}

/// Waits for what may still come of that, and rolls it back. Returns at once where every injection's end is known.
pub(super) async fn late(engine: &dyn Engine, rec: &Recorder, by: Actor, stage: Stage, what: Scope<'_>) {
    let of = |c: &&ChangeState| match stage {
        // Where a guard stands, it suffices that the guard watches for what was only cut short.
        Stage::InRun => c.unanswered || by == Actor::Recover,
        Stage::AfterRun => c.change.to.aspect() != Aspect::Running,
    };
    let all: Vec<Change> = rec.read(|s| {
        let all = s.unanswered().filter(of).filter(|c| what.covers(&c.change));
        all.map(|c| c.change.clone()).collect()
    });
    join_all(all.iter().map(|change| one(engine, rec, by, stage, change))).await;
    if stage == Stage::InRun {
        tell(engine, rec, by, what);
    }
}

/// Says of which injections it is not known whether they may still come.
fn tell(engine: &dyn Apply, rec: &Recorder, by: Actor, what: Scope<'_>) {
    let open: Vec<Change> = rec.read(|s| s.unanswered().map(|c| c.change.clone()).collect());
    for change in open.into_iter().filter(|change| what.covers(change)) {
        let Rollback::To(to) = &change.back else { continue };
        let guarded = if by == Actor::Recover {
            String::new()
        } else {
            format!(", and the guard watches for it until {} after the rollback", humantime::format_duration(WATCH))
        };
        let text = format!(
            "the engine has never said whether it made {} {}, and may still do it{guarded}; by hand: {}",
            change.name,
            change.to,
            engine.by_hand(&change, to)
        );
        rec.note(Event::Warned { text });
    }
}

async fn one(engine: &dyn Engine, rec: &Recorder, by: Actor, stage: Stage, change: &Change) {
    let Rollback::To(to) = &change.back else { return };
    let limit = if stage == Stage::InRun { WAIT } else { WATCH };
    let since = |c: &ChangeState| if c.unanswered { c.rolling_back } else { c.injecting };
    let end = rec.read(|s| s.changes.get(change.n).and_then(since)).unwrap_or_else(|| rec.clock().now())
        + SignedDuration::try_from(limit).unwrap_or_default();
    let run = rec.run();
    while rec.clock().now() < end {
        sleep(LOOK_INTERVAL).await;
        let now = match timeout(LAST_LOOK, engine.look(&change.instance)).await {
            Ok(Ok(Some(now))) => now,
            Ok(Ok(None)) => return,
            Ok(Err(_)) | Err(_) => continue,
        };
        if !has_come(change, to, &now) {
            continue;
        }
        if stage == Stage::AfterRun && another_has_it(engine, rec, &run, change).await {
            return;
        }
        let again = if now.is_over() { "it is left to what replaces it" } else { "rolled back again" };
        let what = format!("the engine made it {} only now, late: {again}", change.to);
        rec.note(Event::Noticed { instance: change.name.clone(), what });
        rec.note(Event::RollingBack { n: change.n });
        let begin = tokio::time::Instant::now();
        let tag = Tag { run: run.clone(), change: change.n };
        if let Some(outcome) = persist(engine, rec, &tag, change, to, ROLLBACK_TIMEOUT).await {
            rec.note(Event::RolledBack { n: change.n, outcome, by, took_us: micros(begin.elapsed()) });
        }
        return;
    }
}

/// Whether an instance shows what was undone already.
fn has_come(change: &Change, back: &Setting, now: &Instance) -> bool {
    is_so(&change.to, now) || *back == Setting::Running(true) && !now.is_running()
}

/// Whether another run has a service that this one had: what is seen there may be its fault.
async fn another_has_it(engine: &dyn Lock, rec: &Recorder, run: &str, change: &Change) -> bool {
    let had = rec.read(|s| s.claimed.clone());
    // Who cannot be asked may say so.
    let asked = timeout(LAST_LOOK, engine.claims_at(&change.instance)).await.ok().and_then(Result::ok);
    asked.is_none_or(|all| among(all, run, &had).is_some())
}
