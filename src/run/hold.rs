//! While the fault is on: is it still on, and is there still a guard?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, timeout};

use super::amend::{LastLook, amend, confirm};
use super::effect::first_effect;
use super::ended::Ended;
use super::guard::GuardHandle;
use super::inject::{Off, not_made_again, off, stays_applied, traits_during};
use super::scope::Scope;
use super::{RunContext, RunSpec, stranger};
use crate::engine::{EngineError, Observe};
use crate::experiment::Span;
use crate::experiment::fault::Heal;
use crate::model::instance::{Aspect, Change, Instance, InstanceId, Setting};
use crate::model::node::NodeAvailability;
use crate::record::event::{Event, Reason, millis};
use crate::record::journal::Recorder;
use crate::record::state::{ChangeState, RunState};

pub(super) async fn stand_guard(
    context: &RunContext,
    rec: &Recorder,
    deadline: Timestamp,
) -> Result<Box<dyn GuardHandle>, Ended> {
    // A guard reads the journal; where it cannot be mended, the guard says what is wrong with it.
    let _ = rec.mend();
    let left = Duration::try_from(deadline.duration_since(rec.clock().now())).unwrap_or_default();
    let guard = context.launcher.launch(rec.path(), left).await.map_err(|e| Ended {
        why: Reason::GuardMissing,
        text: format!("no guard could be had, so nothing was touched: {e:#}"),
    })?;
    rec.note(Event::Guarded { kind: guard.kind(), id: guard.id() });
    Ok(guard)
}

/// Never returns as long as there is a guard: one that falls is replaced.
pub(super) async fn guarded_by(
    context: &RunContext,
    rec: &Recorder,
    deadline: Timestamp,
    guard: &mut Option<Box<dyn GuardHandle>>,
) -> Ended {
    loop {
        if let Some(guard) = guard {
            guard.has_exited().await;
            rec.note(Event::Warned { text: format!("guard {} has exited; another one is started", guard.id()) });
        }
        match stand_guard(context, rec, deadline).await {
            Ok(new) => *guard = Some(new),
            Err(ended) => return Ended { text: format!("the guard has exited, and {}", ended.text), ..ended },
        }
    }
}

/// How often the fault is looked at while it is on.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How often it is looked whether the whole fleet asks for further changes.
const AMEND_INTERVAL: Duration = Duration::from_millis(500);

/// The most instances that are looked at in the same moment.
const AT_ONCE: usize = 64;

/// How long an engine may be out of reach while the fault is on.
const OUT_OF_REACH: Duration = Duration::from_secs(10);

/// How long the last look at an instance may take: the time of the fault is over.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Never returns as long as whatever should be on is. It follows the targets and their peers meanwhile, while nothing is
/// rolled back.
pub(super) async fn lasting(
    spec: &RunSpec<'_>,
    context: &RunContext,
    rec: &Recorder,
    (planned, targeted): (&[Change], &[Instance]),
    amending: &RwLock<()>,
) -> Ended {
    let mut out_of_reach: Option<Instant> = None;
    let mut down: Option<Instant> = None;
    let mut amended = Instant::now();
    let mut last = LastLook::default();
    loop {
        sleep(LOOK_INTERVAL).await;
        if let Some(text) = context.engine.acted_alone().or_else(|| context.engine.acts_alone()) {
            return Ended { why: Reason::FaultVanished, text };
        }
        let patience = out_of_reach.map_or(OUT_OF_REACH, |since| OUT_OF_REACH.saturating_sub(since.elapsed()));
        match first_off(context.engine.as_ref(), rec, targeted, Scope::Everything, Look::Meanwhile(patience)).await {
            Ok(None) => {
                out_of_reach = None;
                // One that was down and is up again has to be disturbed again at once.
                if down.take().is_some() {
                    last = LastLook::default();
                } else if amended.elapsed() < AMEND_INTERVAL {
                    continue;
                }
                amended = Instant::now();
                let _turn = amending.write().await;
                if let Err(ended) = amend(spec, context, rec, targeted, &mut last).await {
                    return ended;
                }
                confirm(context, rec, planned).await;
                if let Some(ended) = stranger::answers(spec.experiment, context, rec, targeted).await {
                    return ended;
                }
            }
            Ok(Some((change, Off::Down(what, wait)))) => {
                out_of_reach = None;
                if down.get_or_insert_with(Instant::now).elapsed() >= wait {
                    return noticed(rec, &change, what);
                }
            }
            Ok(Some((change, Off::Gone(what)))) => return noticed(rec, &change, what),
            Err(NoAnswer { since, error }) => {
                let since = *out_of_reach.get_or_insert(since);
                if since.elapsed() >= OUT_OF_REACH {
                    return Ended { why: Reason::EngineFailed, text: error.to_string() };
                }
            }
        }
    }
}

/// The last look before the rollback.
pub(super) async fn still_on(
    engine: &dyn Observe,
    rec: &Recorder,
    targeted: &[Instance],
    what: Scope<'_>,
) -> Result<(), Ended> {
    match first_off(engine, rec, targeted, what, Look::Last).await {
        Ok(None) => Ok(()),
        Ok(Some((change, Off::Gone(what) | Off::Down(what, _)))) => Err(noticed(rec, &change, what)),
        Err(NoAnswer { error, .. }) => Err(Ended { why: Reason::EngineFailed, text: error.to_string() }),
    }
}

/// A fault that went away by itself, and the end of the run that it means.
fn noticed(rec: &Recorder, change: &Change, what: String) -> Ended {
    let instance = change.name.clone();
    let lasted = rec.read(|s| s.changes.get(change.n).map(|c| s.on_time(c))).unwrap_or_default();
    let text = format!(
        "{instance} {what}: the fault was on for {} of {}",
        Span(Duration::from_millis(millis(lasted))),
        Span(rec.read(|s| planned_for(s, change.fault)))
    );
    rec.note(Event::Noticed { instance, what });
    Ended { why: Reason::FaultVanished, text }
}

/// For how long a fault of the list is to be on.
fn planned_for(state: &RunState, fault: usize) -> Duration {
    let Some(x) = state.started.as_ref().map(|s| &s.experiment) else { return Duration::ZERO };
    x.faults()
        .get(fault)
        .map(|f| f.span(x.timing.duration))
        .map_or(Duration::ZERO, |span| span.end.saturating_sub(span.start))
}

/// The changes of an instance that may explain what is seen of it: those that have been begun and are not over, because they are
/// rolled back, or were made and proven and last no longer than that.
fn acting_on(before: &Instance) -> impl Fn(&RunState) -> Vec<Change> {
    let before = before.clone();
    move |s| {
        let begun = s.changes.iter().filter(|c| c.change.instance == before.id && c.injecting.is_some());
        let begun: Vec<&ChangeState> = begun.filter(|c| c.rolled_back.is_none()).collect();
        let traits = traits_during(&before, begun.iter().map(|c| &c.change));
        let over = |c: &ChangeState| c.is_verified() && !stays_applied(&c.change, &traits);
        begun.into_iter().filter(|c| !over(c)).map(|c| c.change.clone()).collect()
    }
}

/// Which look at the fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// What ended with a life may still be made again; an engine may take so long to answer.
    Meanwhile(Duration),
    /// It cannot any more.
    Last,
}

impl Look {
    /// How long an answer is waited for: with one machine that is cut off, the fault goes on at all others.
    fn patience(self) -> Duration {
        match self {
            Self::Meanwhile(patience) => patience,
            Self::Last => LAST_LOOK,
        }
    }
}

/// A look that came to nothing.
struct NoAnswer {
    /// When it was begun.
    since: Instant,
    error: EngineError,
}

/// What an engine answers, if it does in time.
async fn within<T>(
    patience: Duration,
    what: &str,
    asked: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, NoAnswer> {
    let since = Instant::now();
    let late =
        || EngineError::TimedOut { attempt: format!("look at {what}"), after: Duration::from_secs(patience.as_secs()) };
    timeout(patience, asked).await.unwrap_or_else(|_| Err(late())).map_err(|error| NoAnswer { since, error })
}

/// The instances of these changes as they are now, each looked at once: in the same moment on all machines.
async fn looks(
    engine: &dyn Observe,
    changes: impl Iterator<Item = &Change>,
    patience: Duration,
) -> Result<BTreeMap<InstanceId, Option<Instance>>, NoAnswer> {
    let each: BTreeMap<&InstanceId, &str> = changes.map(|c| (&c.instance, c.name.as_str())).collect();
    let looks = each.into_iter().map(async |(id, name)| {
        let now = within(patience, name, engine.look(id)).await?;
        Ok((id.clone(), now))
    });
    futures_util::stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await
}

/// Whether nodes of an orchestrator are given tasks, as far as that is known: what ran on one is gone when it is not.
async fn nodes(
    engine: &dyn Observe,
    changes: impl Iterator<Item = &Change>,
    patience: Duration,
) -> Result<BTreeMap<String, NodeAvailability>, NoAnswer> {
    let node = |change: &Change| match &change.to {
        Setting::Availability(to) => Some(to.node.clone()),
        _ => None,
    };
    let mut told = BTreeMap::new();
    for node in changes.filter_map(node).collect::<BTreeSet<String>>() {
        let asked = engine.node_availability(&node);
        if let Some(availability) = within(patience, &format!("the node {node}"), asked).await? {
            told.insert(node, availability);
        }
    }
    Ok(told)
}

/// That a node is another way by now than it was made.
fn another_has_set(change: &Change, now: &NodeAvailability) -> Option<Off> {
    let is_so = matches!(&change.to, Setting::Availability(to) if to == now);
    (!is_so).then(|| Off::Gone(format!("is {now} by now: another process changed it")))
}

/// The first change that is no longer in effect, though it should last. Each that is found so, and each that is in effect again,
/// is recorded with the moment at which that is seen.
async fn first_off(
    engine: &dyn Observe,
    rec: &Recorder,
    targeted: &[Instance],
    what: Scope<'_>,
    look: Look,
) -> Result<Option<(Change, Off)>, NoAnswer> {
    // Only from its recorded end on is a change expected to be in effect, and only until it is rolled back.
    let changes: Vec<Change> = rec.read(|s| s.on().map(|c| c.change.clone()).collect());
    let itself = rec.read(|s| s.started.as_ref().is_some_and(|s| s.experiment.heal() == Heal::Itself));
    let covered: Vec<(&Change, &Instance)> = changes
        .iter()
        .filter(|c| what.covers(c))
        .filter_map(|c| Some((c, targeted.iter().find(|i| i.id == c.instance)?)))
        .collect();
    // What is looked at may be of a change whose end is recorded meanwhile.
    let acting: Vec<Vec<Change>> = covered.iter().map(|(_, before)| rec.read(acting_on(before))).collect();
    let of_each = || covered.iter().map(|(change, _)| *change);
    let seen = looks(engine, of_each(), look.patience()).await?;
    let nodes = nodes(engine, of_each(), look.patience()).await?;
    let mut first = None;
    for ((change, before), mut acting) in covered.into_iter().zip(acting) {
        let now = seen.get(&change.instance).cloned().flatten();
        first_effect(rec, change, now.as_ref());
        // Who is up again has healed, and that is what is awaited.
        let about_life = change.to.aspect() == Aspect::Running || matches!(change.to, Setting::Ran(_));
        if itself && about_life && now.as_ref().is_some_and(Instance::is_running) {
            continue;
        }
        // Meanwhile its rollback may have begun.
        let Some(was_off) = rec.read(|s| s.on().find(|c| c.change.n == change.n).map(ChangeState::is_off)) else {
            continue;
        };
        acting.extend(rec.read(acting_on(before)));
        let not_again = || not_made_again(change, &acting, now.as_ref()).filter(|_| look == Look::Last);
        let seen_off = match &change.to {
            Setting::Availability(to) if nodes.contains_key(&to.node) => another_has_set(change, &nodes[&to.node]),
            _ => off(change, &acting, before, now.as_ref()),
        };
        match seen_off.or_else(not_again) {
            Some(found) => {
                if !was_off {
                    let (Off::Gone(what) | Off::Down(what, _)) = found.clone();
                    rec.note(Event::Off { n: change.n, what });
                }
                // What is over for good comes before what may come back.
                if !matches!((&first, &found), (Some((_, Off::Gone(_))), _) | (Some(_), Off::Down(..))) {
                    first = Some((change.clone(), found));
                }
            }
            None if was_off && !change.to.ends_with_life() => rec.note(Event::Again { n: change.n }),
            None => {}
        }
    }
    Ok(first)
}
