//! The figures of a run that every format shows, computed once. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::words;
use crate::engine::{DEFAULT_HOST, Kind};
use crate::experiment::fault::Heal;
use crate::experiment::{Check, Experiment, Span};
use crate::model::exit::Verdict;
use crate::record::event::{Judgement, Phase, Standing};
use crate::record::state::{CheckState, Comeback, RunState};
use crate::text::units;

/// The phases in which samples are judged, in their order.
pub(super) const JUDGED: [Phase; 3] = [Phase::Baseline, Phase::During, Phase::Recovery];

/// Samples over a whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Samples {
    pub(super) asked: u64,
    pub(super) failed: u64,
    pub(super) unmeasured: u64,
}

/// A budget and what was spent of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Budget {
    pub(super) check: String,
    pub(super) standing: Standing,
    pub(super) spent: u64,
    pub(super) allowed: u64,
}

/// The verdict, where there is one.
pub(super) fn verdict(state: &RunState) -> Option<Verdict> {
    state.finished.as_ref().map(|f| f.verdict)
}

/// Whether nothing real was touched.
pub(super) fn is_rehearsal(state: &RunState) -> bool {
    state.started.as_ref().is_some_and(|s| s.engine.is_simulated())
}

/// How an expectation came out, in words: in the simulated world nothing holds.
pub(super) fn came_out(state: &RunState, came: Judgement) -> String {
    match (is_rehearsal(state), came) {
        (true, Judgement::Held) => "~ would hold".to_owned(),
        (true, Judgement::Broken) => "~ would break".to_owned(),
        _ => format!("{} {came}", came.mark()),
    }
}

/// The experiment, where the run got so far.
pub(super) fn experiment(state: &RunState) -> Option<&Experiment> {
    state.started.as_ref().map(|s| &s.experiment)
}

/// The experiment's name, or a stand-in.
pub(super) fn name(state: &RunState) -> &str {
    experiment(state).map_or("unknown experiment", |x| &x.name)
}

/// Why it ended as it did, in a sentence; why it is stopping, where it has not ended.
pub(super) fn why(state: &RunState) -> Option<&str> {
    let stopping = state.stopping.as_ref().map(|s| s.text.as_str());
    state.finished.as_ref().map(|f| f.text.as_str()).or(stopping)
}

/// The check of that name as the file has it.
pub(super) fn check<'a>(state: &'a RunState, name: &str) -> Option<&'a Check> {
    let x = experiment(state)?;
    x.steady_state.get(name).or_else(|| x.safety.get(name))
}

/// What a check promises while the fault is on, in words.
pub(super) fn contract(state: &RunState, name: &str) -> Option<String> {
    check(state, name)?.during.words()
}

/// What was answered under that promise, by kind.
pub(super) fn answers(state: &RunState, name: &str) -> Option<String> {
    let judged = state.checks.get(name)?.judged.get(&Phase::During)?;
    (!judged.answers.is_empty()).then(|| units::top(&judged.answers, 3))
}

/// All samples of a check, or of every check.
pub(super) fn samples<'a>(checks: impl IntoIterator<Item = &'a CheckState>) -> Samples {
    checks.into_iter().flat_map(|c| &c.windows).fold(Samples::default(), |sum, w| Samples {
        asked: sum.asked + w.samples,
        failed: sum.failed + w.failed,
        unmeasured: sum.unmeasured + w.unmeasured,
    })
}

/// How the expectations of a check stand in a phase: as judged, else as last seen, else as breached.
pub(super) fn standings(state: &RunState, name: &str, phase: Phase) -> Vec<Standing> {
    let Some(check) = state.checks.get(name) else { return Vec::new() };
    if let Some(judged) = check.judged.get(&phase) {
        return judged.standings.clone();
    }
    let last = check.windows.iter().rev().find(|w| w.phase == phase && !w.standings.is_empty());
    // The phase was not judged: it has not ended, or the run has died.
    let mut standings: Vec<_> = last.into_iter().flat_map(|w| &w.standings).cloned().map(Standing::cut_short).collect();
    for breach in state.breaches.iter().filter(|b| b.check == name && b.phase == phase) {
        standings.retain(|s| s.expectation != breach.standing.expectation);
        standings.push(breach.standing.clone());
    }
    standings
}

/// The budget of the hypothesis that decided the run while the fault was on, else the one that was spent furthest.
pub(super) fn tightest(state: &RunState) -> Option<Budget> {
    if let Some(breach) = state.breach()
        && let (Some(spent), Some(allowed)) = (breach.standing.spent, breach.standing.budget)
    {
        return Some(Budget { check: breach.check.clone(), standing: breach.standing.clone(), spent, allowed });
    }
    let share = |s: &Budget| share(s.spent, s.allowed);
    let names = state.checks.iter().filter(|(_, c)| !c.safety).map(|(name, _)| name);
    names
        .flat_map(|name| standings(state, name, Phase::During).into_iter().map(move |s| (name, s)))
        .filter_map(|(name, standing)| {
            let (spent, allowed) = (standing.spent?, standing.budget?);
            Some(Budget { check: name.clone(), standing, spent, allowed })
        })
        .max_by(|a, b| share(a).total_cmp(&share(b)))
}

/// What an expected alert was to do, and how that came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alerted {
    pub(super) alert: String,
    pub(super) expectation: &'static str,
    pub(super) bound: String,
    pub(super) measured: String,
    /// Nothing where it was not judged.
    pub(super) held: Option<bool>,
}

/// Every expectation of every alert.
pub(super) fn alerts(state: &RunState) -> Vec<Alerted> {
    let steps = state.alerts.iter().flat_map(|(name, alert)| alert.steps().into_iter().map(move |step| (name, step)));
    steps
        .map(|(name, step)| Alerted {
            alert: name.clone(),
            expectation: step.expectation,
            bound: format!("≤ {}", Span(step.within)),
            measured: match (step.took, step.held) {
                (Some(took), _) => words::span(took),
                (None, Some(_)) => "not in time".to_owned(),
                (None, None) => "–".to_owned(),
            },
            held: step.held,
        })
        .collect()
}

/// The alert that fired first, and its time to detect.
pub(super) fn detected(state: &RunState) -> Option<(&str, Duration)> {
    let fired = state.alerts.iter().filter_map(|(name, alert)| Some((name.as_str(), alert.fired?.after)));
    fired.min_by_key(|(_, after)| *after)
}

/// What part of a budget is spent; a budget of nothing is overspent by the first.
#[expect(clippy::cast_precision_loss, reason = "only compared and drawn")]
pub(super) fn share(spent: u64, budget: u64) -> f64 {
    match (spent, budget) {
        (0, _) => 0.0,
        (_, 0) => f64::INFINITY,
        (spent, budget) => spent as f64 / budget as f64,
    }
}

/// From which moment recovery is measured: the begin of the rollback, or with `heal: self` when the last fault was due.
pub(super) fn recovery_from(state: &RunState) -> Option<Timestamp> {
    let x = experiment(state)?;
    match x.heal() {
        Heal::Squall => Some(state.span_of(Phase::Rollback)?.0),
        Heal::Itself => {
            let last = x.faults().iter().map(|fault| fault.span(x.timing.duration).start).max()?;
            Some(words::later(state.span_of(Phase::During)?.0, last))
        }
    }
}

/// When the system had recovered; `None` where it did not, or never had to.
pub(super) fn recovered(state: &RunState) -> Option<Timestamp> {
    at(state, state.recovery.as_ref()?.comeback())
}

/// The same for one check.
pub(super) fn recovered_check(state: &RunState, check: &str) -> Option<Timestamp> {
    at(state, state.recovery.as_ref()?.of(check)?)
}

fn at(state: &RunState, came: Comeback) -> Option<Timestamp> {
    let Comeback::After(rto) = came else { return None };
    Some(words::later(recovery_from(state)?, rto))
}

/// When the first change was made.
pub(super) fn injected(state: &RunState) -> Option<Timestamp> {
    state.injected()
}

/// Which of several faults a change belongs to, in words; nothing where there is only one.
pub(super) fn fault_of(state: &RunState, change: &crate::model::instance::Change) -> Option<String> {
    let x = experiment(state)?;
    let faults = x.faults();
    let fault = faults.get(change.fault).filter(|_| faults.len() > 1)?;
    Some(format!("{}, {}", change.fault + 1, fault.words(x.timing.duration)))
}

/// When the first change of one fault of the list was made.
pub(super) fn injected_of(state: &RunState, fault: usize) -> Option<Timestamp> {
    state.changes.iter().filter(|c| c.change.fault == fault).filter_map(|c| c.injected.as_ref().map(|i| i.at)).min()
}

/// When the last change of one fault of the list was rolled back.
pub(super) fn rolled_back_of(state: &RunState, fault: usize) -> Option<Timestamp> {
    state.changes.iter().filter(|c| c.change.fault == fault).filter_map(|c| c.rolled_back.as_ref().map(|r| r.at)).max()
}

/// When the last change was rolled back.
pub(super) fn rolled_back(state: &RunState) -> Option<Timestamp> {
    state.rolled_back()
}

/// The command that makes the same choices again.
pub(super) fn repeat(state: &RunState) -> Option<String> {
    let started = state.started.as_ref()?;
    let quoted = |file: &str| {
        if file.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c)) {
            return file.to_owned();
        }
        format!("'{}'", file.replace('\'', r"'\''"))
    };
    let stack = started.experiment.stack.as_ref().map(|file| format!(" --stack {}", quoted(file)));
    let engine = match (started.engine.kind, stack) {
        (Kind::Docker, None) => String::new(),
        // Of a run whose journal does not say which.
        (Kind::Local, None) => " --stack STACK.yaml".to_owned(),
        (Kind::Docker | Kind::Local, Some(stack)) => stack,
        (kind @ Kind::Sim, stack) => format!(" --engine {kind}{}", stack.unwrap_or_default()),
    };
    let (address, tls) = (&started.engine.address, started.engine.tls.as_ref());
    // Another one than the usual: a repeat is not for whichever is current by then.
    let host = if !started.engine.members.is_empty() {
        " --fleet FLEET.yaml".to_owned()
    } else if started.engine.kind == Kind::Docker && address != DEFAULT_HOST {
        format!(" --docker-host {}", quoted(address))
    } else {
        String::new()
    };
    let keys = tls.map_or_else(String::new, |tls| {
        format!("DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} ", quoted(&tls.directory.display().to_string()))
    });
    let file = quoted(&started.file);
    Some(format!("{keys}squall run {file} --seed {}{engine}{host}", started.seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Tls;
    use crate::report::fixture;

    /// A repeat reaches the engine of the run, whatever engine is current by then.
    #[test]
    fn a_repeat_names_another_engine_than_the_usual_one() {
        let mut state = fixture::held();
        assert!(!repeat(&state).unwrap().contains("docker-host"));
        let engine = &mut state.started.as_mut().unwrap().engine;
        engine.address = "tcp://h:1".to_owned();
        engine.tls = Some(Tls { directory: "/c".into(), verify: true });
        let command = repeat(&state).unwrap();
        assert!(command.starts_with("DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/c squall run "), "{command}");
        assert!(command.ends_with(" --docker-host 'tcp://h:1'"), "{command}");
    }
}
