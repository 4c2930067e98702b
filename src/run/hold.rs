//! While the fault is on: is it still on, and is there still a guard?

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, timeout};

use super::alone::unless_alone;
use super::amend::{LastLook, amend, confirm};
use super::effect::first_effect;
use super::ended::Ended;
use super::guard::GuardHandle;
use super::inject::{LOOK_TIMEOUT, stays_applied, traits_during};
use super::off::{Off, not_made_again, off};
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

/// Never returns as long as whatever should be on is. It follows the targets and their peers meanwhile, while nothing is
/// rolled back.
pub(super) async fn lasting(
    spec: &RunSpec<'_>,
    context: &RunContext,
    rec: &Recorder,
    (planned, targeted): (&[Change], &[Instance]),
    amending: &RwLock<()>,
) -> Ended {
    let mut out_of_reach: Option<(Instant, EngineError)> = None;
    let mut down: Option<Instant> = None;
    let mut amended = Instant::now();
    let mut last = LastLook::default();
    let engine = context.engine.as_ref();
    loop {
        sleep(LOOK_INTERVAL).await;
        if let Some(text) = context.engine.acted_alone() {
            return Ended { why: Reason::FaultVanished, text };
        }
        let passed = |(since, _): &(Instant, EngineError)| OUT_OF_REACH.saturating_sub(since.elapsed());
        let patience = out_of_reach.as_ref().map_or(OUT_OF_REACH, passed);
        let look = first_off(engine, rec, targeted, Scope::Everything, Look::Meanwhile(patience));
        let looked = match unless_alone(engine, look).await {
            Ok(looked) => looked,
            Err(ended) => return ended,
        };
        match looked {
            Ok(None) => {
                out_of_reach = None;
                // One that was down and is up again has to be disturbed again at once.
                if down.take().is_some() {
                    last.forget();
                } else if amended.elapsed() < AMEND_INTERVAL {
                    continue;
                }
                amended = Instant::now();
                let _turn = amending.write().await;
                if let Err(ended) = amend(spec, context, rec, targeted, &mut last).await {
                    return ended;
                }
                let rest = async {
                    confirm(context, rec, planned).await;
                    stranger::answers(spec.experiment, context, rec, targeted).await
                };
                match unless_alone(engine, rest).await {
                    Ok(None) => {}
                    Ok(Some(ended)) | Err(ended) => return ended,
                }
            }
            Ok(Some((change, Off::Down(what, wait)))) => {
                out_of_reach = None;
                if down.get_or_insert_with(Instant::now).elapsed() >= wait {
                    return noticed(rec, &change, what);
                }
            }
            Ok(Some((change, Off::Gone(what)))) => return noticed(rec, &change, what),
            Err(NoAnswer { since, error, is_own }) => {
                let known = out_of_reach.take();
                let began = known.as_ref().map_or(since, |(began, _)| *began);
                // What the engine says itself comes before that it was not waited for any longer.
                let error = known.filter(|_| is_own).map_or(error, |(_, before)| before);
                if began.elapsed() >= OUT_OF_REACH {
                    return Ended { why: Reason::EngineFailed, text: error.to_string() };
                }
                out_of_reach = Some((began, error));
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
            Self::Last => LOOK_TIMEOUT,
        }
    }
}

/// A look that came to nothing.
struct NoAnswer {
    /// When it was begun.
    since: Instant,
    error: EngineError,
    /// It was not waited for any longer.
    is_own: bool,
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
    match timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| NoAnswer { since, error, is_own: false }),
        Err(_) => Err(NoAnswer { since, error: late(), is_own: true }),
    }
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
    let mut acting: BTreeMap<usize, Vec<Change>> =
        covered.iter().map(|(c, before)| (c.n, rec.read(acting_on(before)))).collect();
    let nodes = nodes(engine, covered.iter().map(|(change, _)| *change), look.patience()).await;
    let unknown = nodes.is_err();
    let (nodes, mut failed) = nodes.map_or_else(|e| (BTreeMap::new(), Some(e)), |nodes| (nodes, None));
    // Each instance is looked at once, all in the same moment; what one answer shows does not wait for the others.
    let each: BTreeMap<&InstanceId, &str> = covered.iter().map(|(c, _)| (&c.instance, c.name.as_str())).collect();
    let looks = each.into_iter().map(async |(id, name)| (id, within(look.patience(), name, engine.look(id)).await));
    let mut looks = pin!(futures_util::stream::iter(looks).buffer_unordered(AT_ONCE));
    let mut first = None;
    while let Some((id, now)) = looks.next().await {
        let now = match now {
            Ok(now) => now,
            Err(e) => {
                failed.get_or_insert(e);
                continue;
            }
        };
        for (change, before) in covered.iter().filter(|(change, _)| change.instance == *id) {
            let mut acting = acting.remove(&change.n).unwrap_or_default();
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
                // Its manager did not say.
                Setting::Availability(_) if unknown => None,
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
                        first = Some(((*change).clone(), found));
                    }
                }
                None if was_off && !change.to.ends_with_life() => rec.note(Event::Again { n: change.n }),
                None => {}
            }
        }
        if matches!(first, Some((_, Off::Gone(_)))) {
            break;
        }
    }
    match failed {
        Some(failed) if first.is_none() => Err(failed),
        _ => Ok(first),
    }
}
