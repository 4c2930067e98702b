//! While the fault is on: is it still on, and is there still a guard?

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep};

use super::amend::{amend, witness};
use super::ended::Ended;
use super::guard::Post;
use super::inject::{traits_during, vanished};
use super::revert::What;
use super::{Task, World};
use crate::engine::{Engine, EngineError};
use crate::event::{Event, Reason};
use crate::instance::{Change, Instance};
use crate::journal::Recorder;

pub(super) async fn stand_guard(world: &World, rec: &Recorder, deadline: Timestamp) -> Result<Box<dyn Post>, Ended> {
    let post = world.sentry.post(rec.path(), deadline).await.map_err(|e| Ended {
        why: Reason::GuardMissing,
        text: format!("no guard could be had, so nothing was touched: {e:#}"),
    })?;
    rec.note(Event::Guarded { kind: post.kind(), id: post.id() });
    Ok(post)
}

/// Never returns as long as there is a guard: one that falls is replaced.
pub(super) async fn guarded_by(
    world: &World,
    rec: &Recorder,
    deadline: Timestamp,
    post: &mut Option<Box<dyn Post>>,
) -> Ended {
    loop {
        if let Some(guard) = post {
            guard.fallen().await;
            rec.note(Event::Warned { text: format!("guard {} has fallen; another one is posted", guard.id()) });
        }
        match stand_guard(world, rec, deadline).await {
            Ok(guard) => *post = Some(guard),
            Err(ended) => return Ended { text: format!("the guard has fallen, and {}", ended.text), ..ended },
        }
    }
}

/// How often the fault is looked at while it is on.
const LOOK: Duration = Duration::from_millis(500);

/// How long an engine may be out of reach while the fault is on.
const OUT_OF_REACH: Duration = Duration::from_secs(10);

/// Never returns as long as whatever should be on is. It follows the targets and their peers meanwhile, while nothing is taken
/// back.
pub(super) async fn lasting(
    task: &Task<'_>,
    world: &World,
    rec: &Recorder,
    (planned, hit): (&[Change], &[Instance]),
    amending: &RwLock<()>,
) -> Ended {
    let mut out_of_reach: Option<Instant> = None;
    loop {
        sleep(LOOK).await;
        match gone(world.engine.as_ref(), rec, hit, What::Everything).await {
            Ok(None) => {
                out_of_reach = None;
                let _turn = amending.write().await;
                if let Err(ended) = amend(task, world, rec, hit).await {
                    return ended;
                }
                witness(world, rec, planned).await;
            }
            Ok(Some((name, what))) => {
                return noticed(rec, name, what);
            }
            Err(e) => {
                let since = *out_of_reach.get_or_insert_with(Instant::now);
                if since.elapsed() >= OUT_OF_REACH {
                    return Ended { why: Reason::EngineFailed, text: e.to_string() };
                }
            }
        }
    }
}

/// The last look before the way back.
pub(super) async fn still_on(engine: &dyn Engine, rec: &Recorder, hit: &[Instance], what: What) -> Result<(), Ended> {
    match gone(engine, rec, hit, what).await {
        Ok(None) => Ok(()),
        Ok(Some((name, what))) => Err(noticed(rec, name, what)),
        Err(e) => Err(Ended { why: Reason::EngineFailed, text: e.to_string() }),
    }
}

/// A fault that went away by itself, and the end of the run that it means.
fn noticed(rec: &Recorder, instance: String, what: String) -> Ended {
    let text = format!("{instance} {what}");
    rec.note(Event::Noticed { instance, what });
    Ended { why: Reason::FaultVanished, text }
}

/// The first change that is no longer in effect, though it should last.
async fn gone(
    engine: &dyn Engine,
    rec: &Recorder,
    hit: &[Instance],
    what: What,
) -> Result<Option<(String, String)>, EngineError> {
    // Only from its recorded end on is a change expected to be in effect, and only until it is taken back.
    let changes: Vec<Change> = rec.read(|s| s.on().map(|c| c.change.clone()).collect());
    for change in changes.iter().filter(|c| what.covers(c)) {
        let Some(before) = hit.iter().find(|i| i.id == change.instance) else { continue };
        let now = engine.look(&change.instance).await?;
        if let Some(text) = vanished(change, &traits_during(before, changes.iter()), now.as_ref())
            && rec.read(|s| s.on().any(|c| c.change.n == change.n))
        {
            return Ok(Some((change.name.clone(), text)));
        }
    }
    Ok(None)
}
