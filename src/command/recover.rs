//! `squall recover`: rolls back what dead runs left in place.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::connect::{ConnectedEngine, reach_again};
use super::{orphans, sessions, unlock};
use crate::command::cli;
use crate::engine::Description;
use crate::experiment::Experiment;
use crate::host::store::{JOURNAL, StateDir};
use crate::host::user;
use crate::model::exit::Verdict;
use crate::model::instance::{Instance, Rollback};
use crate::record::event::TakenOver;
use crate::record::event::{Actor, GuardKind, Phase};
use crate::record::journal::{self, JournalError, Recorder};
use crate::record::state::{GuardState, RunState};
use crate::report;
use crate::report::follow::words::count;
use crate::run::recover;
use crate::text::units::span;

pub(super) async fn run(args: cli::Recover, state: StateDir) -> anyhow::Result<ExitCode> {
    if let Some(run) = &args.force_unlock {
        return Ok(ExitCode::from(unlock::force(run, &args.engine, &state).await?.code()));
    }
    if let Some([run, why]) = args.settle.as_deref() {
        return settle(run, why, &state).await;
    }
    let mut worst = Verdict::Held;
    let journals = recover::unsettled(&state)?;
    // First what no process is at: it need not wait for the others.
    let (free, held): (Vec<_>, Vec<_>) = journals.iter().partition(|path| !journal::is_locked(path));
    for path in free.into_iter().chain(held) {
        match one(path, args.wait).await {
            Ok((left, line)) => {
                tell(&line);
                if left != Leftover::Nothing {
                    worst = Verdict::LeftBehind;
                }
            }
            Err(e) => {
                complain!("error: {}: {e:#}", path.display());
                worst = Verdict::LeftBehind;
            }
        }
    }
    let helpers = sessions::on_host_of(&args.engine).await;
    for settled in &helpers {
        tell(&settled.text);
        if settled.is_left {
            worst = Verdict::LeftBehind;
        }
    }
    // Last: what is undone in a target needs it.
    let stacks = orphans::take_all_away(&state).await;
    for (name, result) in &stacks {
        match result {
            Ok(()) => tell(&format!("{name}: a dead run had brought up this stack, and it is taken away")),
            Err(e) => {
                complain!("error: {e:#}");
                worst = Verdict::LeftBehind;
            }
        }
    }
    if journals.is_empty() && stacks.is_empty() && helpers.is_empty() {
        super::show(&format!("nothing to roll back in {}\n", state.root().display()))?;
    }
    if args.unlock {
        let came = unlock::unlock(&args.engine, &state).await?;
        worst = if came == Verdict::LeftBehind { came } else { worst };
    }
    Ok(ExitCode::from(worst.code()))
}

/// What is left of a dead run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    Nothing,
    /// A lock on a service, so that others are refused there.
    Locks,
    /// Something that is not as it was.
    Changes,
}

/// A reader that has gone away is no reason to stop.
fn tell(line: &str) {
    let _ = super::show(&format!("{line}\n"));
}

/// Sees one run rolled back, by this process or by the one that is at it: what is still left, and a line for people.
async fn one(path: &Path, wait: Option<Duration>) -> anyhow::Result<(Leftover, String)> {
    let mut since: Option<(Instant, Duration)> = None;
    loop {
        match at_work(path)? {
            AtWork::None if since.is_some() && !recover::needs_recovery(path) => {
                return Ok(came_to(path, &journal::salvage(path)?));
            }
            AtWork::None => match take_over(path).await {
                // Another one was faster.
                Err(e) if matches!(e.downcast_ref(), Some(JournalError::Locked(_))) => {}
                result => return result,
            },
            AtWork::Runner(who) => {
                let text = "it is going on, and rolls itself back at its end; Ctrl-C there or `squall halt` ends it";
                return Ok((Leftover::Nothing, format!("{}: {text} ({who})", name(path))));
            }
            AtWork::Rollback(who) => {
                let s = journal::salvage(path)?;
                let (began, limit) = *since.get_or_insert_with(|| {
                    let limit = wait.unwrap_or_else(|| recover::time_limit(&s));
                    tell(&format!("run {} is being rolled back by {who}: waiting at most {}", name(path), span(limit)));
                    (Instant::now(), limit)
                });
                if began.elapsed() >= limit {
                    let left = still_in_place(&s).await;
                    return Ok((
                        Leftover::Changes,
                        format!("{}: {who} has not rolled it back in time{left}", name(path)),
                    ));
                }
            }
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// How often a run that another process is at is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Who has a run's journal.
#[derive(Debug)]
enum AtWork {
    None,
    /// Its runner, which holds a fault or has none yet.
    Runner(String),
    /// A process that rolls it back.
    Rollback(String),
}

fn at_work(path: &Path) -> anyhow::Result<AtWork> {
    if !journal::is_locked(path) {
        return Ok(AtWork::None);
    }
    let s = journal::salvage(path)?;
    if let Some(TakenOver { by, process }) = &s.taken_over {
        return Ok(AtWork::Rollback(match (by, s.guards.last()) {
            (Actor::Guard, Some(GuardState { kind: GuardKind::Container, id })) => {
                format!("container {id} (its guard)")
            }
            (Actor::Guard, _) => format!("process {} (its guard)", process.pid),
            (by, _) => format!("process {} (another {by})", process.pid),
        }));
    }
    let runner = s.started.as_ref().and_then(|s| s.process.as_ref());
    let who = runner.map_or_else(|| "its runner".to_owned(), |p| format!("process {} (its runner)", p.pid));
    let on = !s.outstanding().is_empty();
    Ok(if runner.and_then(unlock::lives) == Some(false) {
        // It is about to say who it is.
        AtWork::Rollback("another process".to_owned())
    } else if on && (s.stopping.is_some() || s.reached(Phase::Rollback)) {
        AtWork::Rollback(who)
    } else {
        AtWork::Runner(who)
    })
}

/// What is in place still, each with the way to roll it back by hand.
async fn still_in_place(s: &RunState) -> String {
    let engine = match s.started.as_ref() {
        Some(started) => reach_again(&started.engine).await.ok(),
        None => None,
    };
    let each = s.outstanding().into_iter().map(|c| {
        let by_hand = match (&c.change.back, &engine) {
            (Rollback::To(to), Some(engine)) => engine.engine().by_hand(&c.change, to),
            (Rollback::To(to), None) => format!("set {} back to {to}", c.change.name),
            (Rollback::Nothing, _) => String::new(),
        };
        format!("\n    {by_hand}")
    });
    format!("; by hand:{}", each.collect::<String>())
}

/// Rolls back what one dead run left in place.
async fn take_over(path: &Path) -> anyhow::Result<(Leftover, String)> {
    let connected = reach_again(&engine_of(&journal::salvage(path)?)?).await?;
    let rec = recover::take_over(path, Actor::Recover, unlock::this_process())?;
    connected.entrust(&rec).await;
    recover::finish(&rec, connected.engine().as_ref(), Actor::Recover).await;
    connected.close(rec.read(RunState::is_settled)).await;
    write_reports(path, &rec);
    Ok(rec.read(|s| came_to(path, s)))
}

/// What is left of a run that no process is at any more, and a line for people.
pub(super) fn came_to(path: &Path, s: &RunState) -> (Leftover, String) {
    match left(s) {
        Leftover::Changes => {
            let by_hand: Vec<String> = s.by_hand().into_iter().map(|c| format!("\n    {c}")).collect();
            let text = if let Some(damage) = s.damage().filter(|_| by_hand.is_empty()) {
                format!(
                    "{0}: what could be read is rolled back, but {damage}, and what else was changed is not known; see to that, \
                     and close it with `squall recover --settle {0} \"WHAT YOU DID\"`",
                    name(path)
                )
            } else {
                let what = s.incomplete().unwrap_or_else(|| "something could not be rolled back".to_owned());
                let hint = if by_hand.is_empty() { String::new() } else { format!("; by hand:{}", by_hand.concat()) };
                format!("{}: {what}{hint}", name(path))
            };
            (Leftover::Changes, text)
        }
        Leftover::Locks => (Leftover::Locks, format!("{}: {}", name(path), locks(s))),
        Leftover::Nothing => {
            let changes = count(s.changes.len(), "change");
            (Leftover::Nothing, format!("{}: {changes} rolled back, nothing is left", name(path)))
        }
    }
}

fn left(s: &RunState) -> Leftover {
    match (!s.is_rolled_back(), s.still_locked.is_empty()) {
        (true, _) => Leftover::Changes,
        (false, false) => Leftover::Locks,
        (false, true) => Leftover::Nothing,
    }
}

/// The locks that are left of a run, in words.
pub(super) fn locks(s: &RunState) -> String {
    let each = s.still_locked.iter().map(|(service, why)| format!("the lock on service `{service}` is left ({why})"));
    each.collect::<Vec<_>>().join("; ")
}

/// Closes a run on the word of a person.
async fn settle(run: &str, why: &str, state: &StateDir) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!why.trim().is_empty(), "say what you did, for those who read it later: --settle {run} \"WHY\"");
    let path = state.resolve(run)?.join(JOURNAL);
    let before = journal::salvage(&path)?;
    if before.is_rolled_back() {
        tell(&format!("{}: nothing of it is left in place, so there is nothing to settle", name(&path)));
        return Ok(ExitCode::SUCCESS);
    }
    let engine = match engine_of(&before) {
        Ok(engine) => reach_again(&engine).await,
        Err(e) => Err(e),
    };
    let connected = match engine {
        Ok(connected) => Some(connected),
        Err(e) => {
            complain!("warning: its locks, where there are any, stay on its engine: {e:#}");
            None
        }
    };
    let (by, why) = (user::at_host(), why.trim().to_owned());
    let rec = match recover::settle(&path, connected.as_ref().map(ConnectedEngine::engine).as_deref(), by, why).await {
        Ok(rec) => rec,
        Err(JournalError::Locked(_)) => {
            complain!("error: {}: a process is still at it; `squall recover` waits for it", name(&path));
            return Ok(ExitCode::from(Verdict::NoVerdict.code()));
        }
        Err(e) => return Err(e.into()),
    };
    if let Some(connected) = &connected {
        // A helper that found it outstanding there would roll it back over what others do by then.
        connected.close(true).await;
    }
    tell(
        &rec.read(|s| format!("{}: {}", name(&path), s.settled.as_ref().map_or_else(String::new, ToString::to_string))),
    );
    write_reports(&path, &rec);
    Ok(ExitCode::SUCCESS)
}

fn write_reports(path: &Path, rec: &Recorder) {
    if let Some(dir) = path.parent()
        && let Err(e) = rec.read(|s| report::write_all(s, dir))
    {
        complain!("warning: the reports could not be written: {e:#}");
    }
}

/// What every run does first. Lines for people.
///
/// # Errors
/// Where something that this run would meet cannot be rolled back; a run on top of that would take it for the normal state.
pub(super) async fn before_run(
    connected: &ConnectedEngine,
    state: &StateDir,
    x: &Experiment,
) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for docker in connected.dockers() {
        // What cannot be looked at now is looked at by `squall recover`.
        for settled in sessions::settle_all(&docker, connected.helper_image()).await.unwrap_or_default() {
            let how = if settled.is_left { "warning" } else { "recovered" };
            lines.push(format!("{how}: {}", settled.text));
        }
    }
    let journals = recover::unsettled(state)?;
    if journals.is_empty() {
        return Ok(lines);
    }
    let engine = connected.engine();
    let here = engine.describe();
    let fleet = engine.observe().await.ok();
    for path in journals {
        let s = journal::salvage(&path).with_context(|| name(&path))?;
        let there = s.started.as_ref().map(|s| &s.engine);
        let is_here = there.is_none_or(|there| there.may_be(&here));
        let meets =
            is_here && fleet.as_ref().is_none_or(|fleet| meets(&s, x, fleet, |service| engine.marked_as(service)));
        let given_up = s.finished.is_some() && !s.outstanding().is_empty();
        match at_work(&path)? {
            // Its locks are in the way of who would meet it.
            AtWork::Runner(_) => continue,
            AtWork::Rollback(_) if !meets => continue,
            AtWork::None if !meets && given_up => {
                lines.push(format!(
                    "warning: {} has left something behind, which this run does not meet; `squall recover` tries again, and \
                     `squall recover --settle` closes it where you have seen to it",
                    name(&path)
                ));
                continue;
            }
            AtWork::Rollback(_) | AtWork::None => {}
        }
        match one(&path, None).await {
            Ok((Leftover::Changes, line)) if meets => anyhow::bail!(line),
            // It is in the way of that service alone.
            Ok((Leftover::Locks | Leftover::Changes, line)) => lines.push(format!("warning: {line}")),
            Ok((Leftover::Nothing, line)) => lines.push(format!("recovered: {line}")),
            Err(e) if meets => return Err(e.context(name(&path))),
            Err(e) => lines.push(format!("warning: {} is not rolled back: {e:#}", name(&path))),
        }
    }
    Ok(lines)
}

/// Whether an experiment could be about what a run has left: the same instances, or services.
fn meets(left: &RunState, x: &Experiment, fleet: &[Instance], marked_as: impl Fn(&str) -> String) -> bool {
    let faults = x.faults();
    let meant = |i: &&Instance| faults.iter().any(|f| f.target.selector().matches(i));
    fleet.iter().filter(meant).any(|i| {
        let service = marked_as(&i.service);
        left.claimed.iter().any(|c| c.service == service)
            || left.outstanding().iter().any(|c| c.change.instance == i.id)
    })
}

pub(super) fn engine_of(s: &RunState) -> anyhow::Result<Description> {
    let damage = s.damage().map_or_else(String::new, |damage| format!(": {damage}"));
    let started = s.started.as_ref().with_context(|| {
        format!(
            "the journal does not say on which engine it was{damage}; see to what is left there, and close it with \
             `squall recover --settle RUN \"WHAT YOU DID\"`"
        )
    })?;
    Ok(started.engine.clone())
}

fn name(journal: &Path) -> String {
    journal
        .parent()
        .and_then(Path::file_name)
        .map_or_else(|| journal.display().to_string(), |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Claim;
    use crate::model::instance::{Aspect, Setting};

    #[test]
    fn what_is_left_is_met_by_who_could_targeted_the_same_service_or_instance() {
        let experiment = "{ version: 1, name: x, hypothesis: h, steady-state: { a: { tcp: { address: '127.0.0.1:1' } } }, \
                          target: { service: shop }, fault: { pause: {} }, blast-radius: { max-instances: 1 } }";
        let x: Experiment = serde_json::from_value(serde_yaml::from_str(experiment).unwrap()).unwrap();
        let mut fleet = [("shop-1", "shop"), ("store-1", "store")].map(|(n, s)| Instance::new(n, n, s)).to_vec();
        // What is left may be the very reason for which it could not be targeted now.
        fleet[0].settings.insert(Aspect::Paused, Setting::Paused(true));
        let claim = |service: &str| {
            let (service, none) = (service.to_owned(), String::new);
            Claim { service, run: none(), owner: none(), at: none(), holder: None }
        };
        let left = |service: &str| RunState { claimed: vec![claim(service)], ..RunState::default() };
        let same = |service: &str| service.to_owned();
        assert!(meets(&left("shop"), &x, &fleet, same));
        assert!(!meets(&left("store"), &x, &fleet, same));
        assert!(!meets(&left("shop"), &x, &fleet, |service| format!("project/{service}")), "another project's");
    }
}
