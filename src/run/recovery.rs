//! After the fault: waits for steady state to come back, and measures how long that takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::verdict::Recovered;
use super::watch::Watch;
use crate::engine::Observe;
use crate::experiment::Experiment;
use crate::model::instance::Instance;
use crate::record::event::{Event, Phase, Standing, millis};
use crate::record::journal::Recorder;
use crate::record::state::RunState;
use crate::text::units;

/// Waits for steady state to come back, now that everything is rolled back; when it began to.
pub(super) async fn recovery(x: &Experiment, rec: &Recorder, watch: &mut Watch<'_>) -> Instant {
    let begin = Instant::now();
    watch.begin(Phase::Recovery, Some(x.timing.recovery.0.max(watch.resolving().unwrap_or_default())));
    watch.may_recover(since_rollback(rec));
    watched_back(watch, begin + x.timing.recovery.0).await;
    begin
}

/// Whether it came back. What came late and was rolled back since that `begin` may have broken it again.
pub(super) async fn recovered(x: &Experiment, rec: &Recorder, watch: &mut Watch<'_>, begin: Instant) -> Recovered {
    let since_begin = begin.elapsed();
    let ago = since_rollback(rec);
    if ago < since_begin {
        watch.may_recover(ago);
        watched_back(watch, Instant::now() + x.timing.recovery.0.saturating_sub(ago)).await;
    }
    tell_recovery(x, rec, watch)
}

/// How long ago the last change was rolled back.
fn since_rollback(rec: &Recorder) -> Duration {
    let last = rec.read(RunState::rolled_back);
    let now = rec.clock().now();
    last.map_or(Duration::ZERO, |at| Duration::try_from(now.duration_since(at)).unwrap_or_default())
}

/// With `heal: self`: waits for steady state, and for the instances themselves, with no helping hand.
pub(super) async fn by_itself(
    x: &Experiment,
    engine: &dyn Observe,
    rec: &Recorder,
    watch: &mut Watch<'_>,
    injected: Instant,
    targeted: &[Instance],
) -> Recovered {
    let end = (injected + x.timing.recovery.0).max(Instant::now());
    watch.begin(Phase::Recovery, Some(end.saturating_duration_since(Instant::now())));
    watched_back(watch, end).await;
    watch.fault_is_gone();
    let known: BTreeSet<String> = rec.read(|s| {
        s.targeted.iter().map(|i| i.id.0.clone()).chain(s.spared.iter().map(|spared| spared.id.clone())).collect()
    });
    let (missing, successors, told) = watch.alongside(missing(engine, targeted, &known, end)).await;
    for (ended, successor) in successors {
        rec.note(Event::Noticed { instance: ended, what: format!("was replaced by {successor}") });
    }
    with_targets(tell_recovery(x, rec, watch), &missing, told, x.timing.recovery.0)
}

/// What the recovery comes to with those of the targets that are missing still. `told`: whether whatever could have taken their places
/// was told, also on machines that are not seen. Pure.
fn with_targets(recovered: Recovered, missing: &[&Instance], told: bool, within: Duration) -> Recovered {
    let names = |which: &[&Instance]| which.iter().map(|i| i.name.clone()).collect::<Vec<_>>().join(", ");
    let (unseen, lost): (Vec<&Instance>, Vec<&Instance>) = missing.iter().partition(|i| i.replaced_by().is_some());
    match (recovered, unseen.first().and_then(|i| i.replaced_by())) {
        _ if !lost.is_empty() => Recovered::No(format!("{} did not come back without intervention", names(&lost))),
        (Recovered::Yes, Some(by)) if told => Recovered::No(format!(
            "{by} has put no healthy instance in the place of {} within {}",
            names(&unseen),
            units::exact(within)
        )),
        // It may run on another machine.
        (Recovered::Yes, Some(by)) => Recovered::Unknown(format!(
            "no other instance stands in for {} on this engine by now; whether {by} has started one elsewhere cannot be seen from here",
            names(&unseen)
        )),
        (recovered, _) => recovered,
    }
}

/// Who is not up although it should have been brought back by now, and which others have come for those that are replaced; and whether
/// all others were told that could have come, also those that run on other machines.
async fn missing<'a>(
    engine: &dyn Observe,
    targeted: &'a [Instance],
    known: &BTreeSet<String>,
    end: Instant,
) -> (Vec<&'a Instance>, Vec<(String, String)>, bool) {
    loop {
        let mut told = true;
        let mut missing: Vec<&Instance> = Vec::new();
        for before in targeted {
            if !matches!(engine.look(&before.id).await, Ok(Some(now)) if now.is_up()) {
                missing.push(before);
            }
        }
        let mut successors = Vec::new();
        if missing.iter().any(|i| i.replaced_by().is_some()) {
            let fleet = engine.observe().await.unwrap_or_default();
            let mut new: Vec<&Instance> = fleet.iter().filter(|i| !known.contains(&i.id.0) && i.stands()).collect();
            missing.retain(|ended| {
                let found = new.iter().position(|i| i.could_replace(ended));
                successors.extend(found.map(|at| (ended.name.clone(), in_words(new.remove(at)))));
                found.is_none()
            });
            // Whether they are is told by those of the same service, be it the ended one.
            let tells = |ended: &Instance| {
                let mut replicas = fleet.iter().filter(|i| i.is_replica_of(ended)).peekable();
                replicas.peek().is_some() && replicas.all(|i| i.others_unknown().is_none())
            };
            told = missing.iter().all(|ended| tells(ended));
        }
        if missing.is_empty() || Instant::now() >= end {
            return (missing, successors, told);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn in_words(successor: &Instance) -> String {
    successor.elsewhere().map_or_else(|| successor.name.clone(), |node| format!("{} on {node}", successor.name))
}

/// How long answers are awaited beyond the time that steady state has to come back.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

async fn watched_back(watch: &mut Watch<'_>, end: Instant) {
    tokio::select! {
        () = watch.back() => return,
        () = sleep_until(end) => {}
    }
    // Of a window that is as long as that time, the last sample is due at its very end.
    tokio::select! {
        () = watch.last_answers(end) => {}
        () = sleep_until(end + LAST_ANSWERS) => {}
    }
}

fn tell_recovery(x: &Experiment, rec: &Recorder, watch: &Watch<'_>) -> Recovered {
    let checks = watch.recovery();
    let rto = checks
        .values()
        .copied()
        .collect::<Option<Vec<Duration>>>()
        .map(|all| all.into_iter().max().unwrap_or_default());
    rec.note(Event::Recovery {
        rto_ms: rto.map(millis),
        checks: checks.iter().map(|(k, v)| (k.clone(), v.map(millis))).collect(),
        missed: watch.missed(),
        never_lost: watch.never_lost(),
    });
    if rto.is_some() {
        return in_time(x, &checks);
    }
    if let Some(text) = watch.recovery_unmeasured() {
        return Recovered::Unknown(text);
    }
    let missed = watch.missed();
    let late = checks.iter().filter(|(_, rto)| rto.is_none()).map(|(name, _)| {
        // Without one, nothing was wrong at the end, and not for long enough.
        let why = missed.get(name).map_or("its last samples were good, but too few".to_owned(), Standing::exceeded);
        format!("`{name}` was not back to steady state within {}: {why}", units::exact(x.timing.recovery.0))
    });
    Recovered::No(late.collect::<Vec<_>>().join("; "))
}

/// Whether each check was back as soon as it has to be.
fn in_time(x: &Experiment, checks: &BTreeMap<String, Option<Duration>>) -> Recovered {
    let late = x.steady_state.iter().filter_map(|(name, check)| {
        let (bound, took) = (check.during.back_within?.0, (*checks.get(name)?)?);
        (took > bound).then(|| {
            let (took, bound) = (units::span_beside(took, bound), units::exact(bound));
            format!("`{name}` was back to steady state after {took}, not within {bound}")
        })
    });
    let late: Vec<String> = late.collect();
    if late.is_empty() { Recovered::Yes } else { Recovered::No(late.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::Trait;

    #[test]
    fn a_check_is_back_as_soon_as_it_has_to_be() {
        let text = "version: 1\nname: x\nhypothesis: h\n\
             steady-state: { ready: { http: 'http://127.0.0.1/', during: { must-fail: true, back-within: 5s } } }\n\
             target: { service: shop }\nfault: pause\nblast-radius: { max-instances: 1 }\n";
        let read = crate::experiment::read::experiment("x.yaml", text.as_bytes(), &crate::model::quantity::unset);
        let x = read.unwrap_or_else(|mistakes| panic!("{mistakes}")).value;
        let after = |took| in_time(&x, &BTreeMap::from([("ready".to_owned(), Some(Duration::from_millis(took)))]));
        assert_eq!(after(5000), Recovered::Yes);
        let late = "`ready` was back to steady state after 7.00 s, not within 5 s";
        assert_eq!(after(7000), Recovered::No(late.to_owned()));
    }

    #[test]
    fn who_is_missing_decides_by_what_is_known_of_its_place() {
        let lone = Instance::new("a", "lone", "web");
        let mut task = Instance::new("b", "web.1.x", "web");
        task.traits.insert(Trait::Orchestrated("Docker Swarm (web)".to_owned()));
        let is = |missing: &[&Instance], told| match with_targets(Recovered::Yes, missing, told, Duration::from_secs(9))
        {
            Recovered::Yes => "yes".to_owned(),
            Recovered::No(why) => format!("no: {why}"),
            Recovered::Unknown(why) => format!("unknown: {why}"),
        };
        assert_eq!(is(&[], false), "yes");
        assert_eq!(is(&[&task, &lone], true), "no: lone did not come back without intervention");
        let never = "no: Docker Swarm (web) has put no healthy instance in the place of web.1.x within 9 s";
        assert_eq!(is(&[&task], true), never);
        assert!(is(&[&task], false).starts_with("unknown: no other instance stands in for web.1.x on this engine"));
        let late = Recovered::No("late".to_owned());
        assert_eq!(with_targets(late.clone(), &[&task], false, Duration::ZERO), late, "a check says more");
    }
}
