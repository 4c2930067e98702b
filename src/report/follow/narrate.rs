//! What is said of each event, as it happens. Pure: the state after the event and the event, to lines.

use std::time::Duration;

use jiff::Timestamp;

use super::paint::{Paint, Tone};
use super::words::{count, few, instance, kinds, span, wrap};
use crate::engine::{Description, Outcome};
use crate::experiment::Injection;
use crate::model::effect::Effect;
use crate::model::exit::Verdict;
use crate::model::instance::{Change, Rollback, Setting};
use crate::record::event::{
    Actor, Event, Failover, GuardKind, Judged, Judgement, Phase, Restored, Stamped, Standing, Started,
};
use crate::record::state::{ChangeState, Comeback, PhaseBegin, RecoveryState, RunState};
use crate::text::visible;

/// One happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConsoleLine {
    tone: Tone,
    mark: &'static str,
    topic: String,
    text: String,
    /// Whether the live display shows the same.
    live: bool,
}

const TOPIC: usize = 11;

impl ConsoleLine {
    fn new(tone: Tone, mark: &'static str, topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tone, mark, topic: topic.into(), text: text.into(), live: false }
    }

    fn good(topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Tone::Good, "✓", topic, text)
    }

    fn bad(topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Tone::Bad, "✗", topic, text)
    }

    fn warn(topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Tone::Warn, "!", topic, text)
    }

    fn info(topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Tone::Dim, "·", topic, text)
    }

    fn fault(mark: &'static str, topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Tone::Fault, mark, topic, text)
    }

    fn judged(held: bool, topic: impl Into<String>, text: impl Into<String>) -> Self {
        if held { Self::good(topic, text) } else { Self::bad(topic, text) }
    }

    /// How a probe does, for those who have no live display.
    pub(super) fn pulse(phase: Phase, text: String) -> Self {
        Self { live: true, ..Self::info(phase.to_string(), text) }
    }

    /// Whether the live display shows the same.
    pub(super) fn shown_live(&self) -> bool {
        self.live
    }

    /// For pipes and files: one line, however long, without a control character.
    pub(super) fn plain(&self, since: Duration) -> String {
        let stamp = format!("+{:.3}s", since.as_secs_f64());
        format!("{stamp:<9} {} {:<TOPIC$} {}", self.mark, self.topic, visible::line(&self.text))
    }

    /// For a terminal: as many lines as it takes at that width.
    pub(super) fn on_terminal(&self, since: Duration, width: usize, paint: Paint) -> Vec<String> {
        let stamp = format!("{:>7}", super::words::running(since));
        let topic = format!("{:<TOPIC$}", self.topic);
        // What went well reads calmly; what did not is seen from afar.
        let text = |line: &str| if self.tone == Tone::Bad { paint.on(Tone::Bad, line) } else { line.to_owned() };
        let indent = 7 + 1 + 1 + 1 + TOPIC + 1;
        wrap(&visible::line(&self.text), width.saturating_sub(indent + 1))
            .iter()
            .enumerate()
            .map(|(i, line)| match i {
                0 => format!(
                    "{} {} {} {}",
                    paint.on(Tone::Dim, &stamp),
                    paint.on(self.tone, self.mark),
                    paint.on(Tone::Dim, &topic),
                    text(line)
                ),
                _ => format!("{:indent$}{}", "", text(line)),
            })
            .collect()
    }
}

/// What is said of an event; `state` is that after it. The end itself is the summary's business.
pub(super) fn narrate(state: &RunState, stamped: &Stamped) -> Vec<ConsoleLine> {
    let change = |n: &usize| state.changes.get(*n);
    let about = |n: &usize, what: &dyn Fn(&ChangeState) -> ConsoleLine| change(n).map(what).into_iter().collect();
    match &stamped.event {
        Event::Started(started) => header(started),
        Event::Warned { text } => vec![ConsoleLine::warn("warning", text)],
        Event::UnlockFailed { service, error } => {
            let text = format!("on service `{service}` could not be removed: {error}; `squall recover` tries again");
            vec![ConsoleLine::warn("lock", text)]
        }
        Event::Unlocked { service } => vec![ConsoleLine::good("lock", format!("on service `{service}` is removed"))],
        Event::PhaseBegan { phase, planned_ms } => phase_began(state, *phase, *planned_ms),
        Event::Judged(judged) => vec![phase_judged(judged)],
        Event::Breached { check, standing: s, .. } if state.alerts.contains_key(check) => {
            vec![ConsoleLine::bad("breach", format!("alert {check}: {} ({} {})", s.measured, s.expectation, s.bound))]
        }
        Event::Breached { phase, check, safety, standing: s } => {
            let what = if *safety { "safety check " } else { "" };
            let text = format!("{what}{check} exceeded its budget ({phase}): {}", s.exceeded());
            vec![ConsoleLine::bad("breach", text)]
        }
        Event::Targeted { targeted, spared } => {
            let targeted: Vec<String> = targeted.iter().map(instance).collect();
            let spared: Vec<String> = spared.iter().map(|s| s.name.clone()).collect();
            let beside = if spared.is_empty() { String::new() } else { format!("; spares {}", few(&spared, 6)) };
            vec![ConsoleLine::info("target", format!("targets {}{beside}", few(&targeted, 6)))]
        }
        Event::Guarded { kind: GuardKind::None, .. } => {
            vec![ConsoleLine::info("guard", "none: nothing real is touched")]
        }
        Event::Guarded { kind, id } => {
            let id: String = id.chars().take(12).collect();
            vec![ConsoleLine::good("guard", format!("{kind} {id} rolls everything back if this one dies"))]
        }
        Event::Planned { changes, deadline } => {
            let mut lines = vec![ConsoleLine::info("plan", planned(state, changes, *deadline))];
            lines.extend(faults(state, changes));
            lines
        }
        Event::Amended { changes } => {
            let names: Vec<String> = changes.iter().map(Change::to_string).collect();
            vec![ConsoleLine::warn("amended", format!("{} more: {}", count(changes.len(), "change"), few(&names, 4)))]
        }
        Event::Injected { n, outcome, .. } => about(n, &|c| injected(c, *outcome)),
        Event::InjectFailed { n, error, .. } => {
            about(n, &|c| ConsoleLine::bad("fault in", format!("{}: {error}", c.change)))
        }
        Event::Verified { n, verified: true, proof, .. }
            if state.changes.get(*n).is_some_and(|c| c.change.to.is_claimed()) =>
        {
            about(n, &|c| ConsoleLine::info("injection", format!("{}: claimed: {proof}", c.change.name)))
        }
        Event::Verified { n, verified, proof, .. } => about(n, &|c| {
            let what = if *verified { "" } else { "no effect: " };
            ConsoleLine::judged(*verified, "injection", format!("{}: {what}{proof}", c.change.name))
        }),
        Event::Measured { n, counted } => {
            about(n, &|c| ConsoleLine::info("measured", format!("{}: {counted}", c.change.name)))
        }
        Event::Effect { n, effect } => about(n, &|c| effect_line(&c.change.name, effect)),
        Event::Seen { n, what } => about(n, &|c| {
            let when = if c.rolled_back.is_some() { "afterwards it sees" } else { "it saw" };
            ConsoleLine::info("seen", format!("{}: {when} {what}", c.change.name))
        }),
        Event::Noticed { instance, what } => vec![ConsoleLine::warn("noticed", format!("{instance}: {what}"))],
        Event::Settled { by, why } => vec![ConsoleLine::info("settled", format!("by {by}: {why}"))],
        Event::Stopping { text, .. } => vec![ConsoleLine::warn("stopping", text)],
        Event::RolledBack { n, outcome, by, .. } => about(n, &|c| rolled_back(c, *outcome, *by)),
        Event::RollbackFailed { n, attempt, error } => about(n, &|c| {
            ConsoleLine::warn("rolled back", format!("{}: attempt {attempt} failed: {error}", c.change.name))
        }),
        Event::Stuck { n, by_hand } => about(n, &|c| {
            ConsoleLine::bad("INCOMPLETE", format!("{} could not be rolled back; by hand: {by_hand}", c.change))
        }),
        Event::Restored(restored) if restored.differs() => {
            let Restored { instance, .. } = restored;
            vec![ConsoleLine::bad(
                "restored",
                format!("{instance} is not as it was before: {}", restored.what_differs()),
            )]
        }
        Event::Restored(Restored { instance, .. }) => {
            let claimed = state.changes.iter().any(|c| c.change.name == *instance && c.is_claimed_back());
            let far = if claimed { ", as far as it is observed: its undo command is not" } else { "" };
            vec![ConsoleLine::good("restored", format!("{instance} is as it was before{far}"))]
        }
        Event::Readdressed(moved) if moved.moves.is_empty() => Vec::new(),
        Event::Readdressed(moved) => vec![ConsoleLine::warn("address", moved.to_string())],
        Event::Recovery { .. } => state.recovery.iter().map(|it| recovery(state, it)).collect(),
        Event::AlertFired { alert, after_ms } => {
            vec![ConsoleLine::info("alert", format!("{alert} fires {} after the injection", ms(*after_ms)))]
        }
        Event::AlertResolved { alert, after_ms } => {
            vec![ConsoleLine::info("alert", format!("{alert} is resolved {} after the fault was gone", ms(*after_ms)))]
        }
        Event::Failover { checks } => checks.iter().map(|(check, clock)| failover(check, clock)).collect(),
        // Each of these is followed within milliseconds by what came of it, or shows elsewhere.
        Event::Sampled(_)
        | Event::Claiming { .. }
        | Event::NewLife { .. }
        | Event::Injecting { .. }
        | Event::RollingBack { .. }
        | Event::Off { .. }
        | Event::TakenOver(_)
        | Event::Again { .. }
        | Event::Finished { .. } => Vec::new(),
    }
}

fn effect_line(name: &str, effect: &Effect) -> ConsoleLine {
    if effect.is_affected() {
        return ConsoleLine::info("effect", format!("{name}: {effect}"));
    }
    let what = if effect.is_unaffected() { "none" } else { "cannot be known" };
    ConsoleLine::warn("effect", format!("{name}: {what}: {effect}"))
}

fn ms(ms: u64) -> String {
    span(Duration::from_millis(ms))
}

fn failover(check: &str, clock: &Failover) -> ConsoleLine {
    let stayed = ms(clock.stretch_ms);
    let served = match (clock.served_ms, clock.failed) {
        (Some(_), 0) => "went on without a failure".to_owned(),
        (Some(after), failed) => {
            format!("was served by the others after {} ({failed} failed, then good for {stayed})", ms(after))
        }
        (None, failed) => format!("was not served by the others: {failed} failed, never good for {stayed}"),
    };
    let returned = match clock.returned_ms {
        Some(after) => format!("; the zone served again {} after its rollback began", ms(after)),
        None if clock.told => "; the zone did not serve again".to_owned(),
        None => String::new(),
    };
    ConsoleLine::new(Tone::Plain, "▪", "failover", format!("`{check}` {served}{returned}"))
}

fn header(started: &Started) -> Vec<ConsoleLine> {
    let line = |topic: &str, text: String| ConsoleLine::new(Tone::Strong, "▪", topic, text);
    let engine = &started.engine;
    let mut lines = vec![
        line("experiment", format!("{} ({})", started.experiment.name, started.file)),
        line("hypothesis", started.experiment.hypothesis.clone()),
        line("engine", format!("{} {} at {}", engine.kind, engine.version, engine.address)),
        line("run", format!("{} with seed {}", started.run, started.seed)),
    ];
    lines.extend(helpers(engine).map(|text| line("helper", text)));
    lines
}

/// Which machines roll back alone if they hear nothing more, where some do.
fn helpers(engine: &Description) -> Option<String> {
    let on: Vec<&str> = engine.members.iter().filter(|m| m.engine.helper.is_some()).map(|m| m.name.as_str()).collect();
    let which = match on.as_slice() {
        [] if engine.helper.is_none() => return None,
        [] => "the engine's own host".to_owned(),
        on => few(on, 4),
    };
    Some(format!("on {which}, which rolls back alone if it hears no more of this run"))
}

/// A phase in which nothing is judged ends in silence, but for its time.
fn phase_began(state: &RunState, phase: Phase, planned_ms: Option<u64>) -> Vec<ConsoleLine> {
    let mut lines = Vec::new();
    if let Some(PhaseBegin { phase: before, .. }) = state.phases.iter().rev().nth(1)
        && matches!(before, Phase::Preflight | Phase::WarmUp | Phase::Rollback)
        && let Some((from, mut to)) = state.span_of(*before)
    {
        if *before == Phase::Rollback {
            // The phase also waits for late answers; what counts is when the last change was back.
            to = state.rolled_back().unwrap_or(to);
        }
        let left = state.outstanding().len();
        let clean = *before != Phase::Rollback || left == 0;
        let text = if clean {
            format!("done in {}", span(since(from, to)))
        } else {
            format!("{} not rolled back after {}", count(left, "change"), span(since(from, to)))
        };
        lines.push(ConsoleLine::judged(clean, before.to_string(), text));
    }
    let planned =
        planned_ms.map(|ms| format!(", {}", super::words::planned(Duration::from_millis(ms)))).unwrap_or_default();
    let at_most = if phase == Phase::Recovery && planned_ms.is_some() { " at most" } else { "" };
    lines.push(ConsoleLine::pulse(phase, format!("begins{planned}{at_most}")));
    lines
}

fn phase_judged(j: &Judged) -> ConsoleLine {
    let mut parts: Vec<String> = j.standings.iter().map(Standing::words).collect();
    parts.push(count(j.samples, "sample"));
    if j.failed > 0 {
        parts.push(format!("{} failed ({})", j.failed, kinds(&j.failures)));
    }
    if !j.answers.is_empty() {
        parts.push(format!("answered: {}", kinds(&j.answers)));
    }
    if j.unmeasured > 0 {
        parts.push(format!("{} could not be measured ({})", j.unmeasured, kinds(&j.unmeasured_why)));
    }
    let text = format!("{}: {}", j.check, parts.join(", "));
    let came: Vec<Judgement> = j.standings.iter().map(Standing::judgement).collect();
    let topic = j.phase.to_string();
    match (came.contains(&Judgement::Broken), came.contains(&Judgement::NotJudged)) {
        (true, _) => ConsoleLine::bad(topic, text),
        (false, true) => ConsoleLine::info(topic, text),
        (false, false) => ConsoleLine::good(topic, text),
    }
}

fn planned(state: &RunState, changes: &[Change], deadline: Timestamp) -> String {
    let left = state.last.map(|now| span(since(now, deadline))).unwrap_or_default();
    let momentary = changes.iter().filter(|c| c.back == Rollback::Nothing).count();
    let momentary = match (momentary, changes.len()) {
        (0, _) => "",
        (all, of) if all == of => ", momentary",
        _ => ", some momentary",
    };
    let by = changes.iter().find_map(|c| state.mechanism(c)).map(|by| format!(" by {by}")).unwrap_or_default();
    format!("{}{momentary}{by}; everything is rolled back within {left}", count(changes.len(), "change"))
}

/// Each of several faults with its time and its targets.
fn faults(state: &RunState, changes: &[Change]) -> Vec<ConsoleLine> {
    let Some(x) = state.started.as_ref().map(|s| &s.experiment) else { return Vec::new() };
    let faults = x.faults();
    let of = |(n, fault): (usize, &Injection)| {
        let mut names: Vec<String> = changes.iter().filter(|c| c.fault == n).map(|c| c.name.clone()).collect();
        names.dedup();
        ConsoleLine::info("fault", format!("{}: {}, on {}", n + 1, fault.words(x.timing.duration), few(&names, 6)))
    };
    faults.iter().enumerate().filter(|_| faults.len() > 1).map(of).collect()
}

fn injected(c: &ChangeState, outcome: Outcome) -> ConsoleLine {
    let took = c.injected.map(|i| span(i.took)).unwrap_or_default();
    match outcome {
        Outcome::Done if matches!(c.change.to, Setting::Network(_) | Setting::ConnectionsReset(_)) => {
            ConsoleLine::fault("▼", "fault in", format!("{} (took {took})", c.change))
        }
        Outcome::Done => ConsoleLine::fault("▼", "fault in", format!("{} in {took}", c.change)),
        Outcome::Already => ConsoleLine::warn("fault in", format!("{}: was so already", c.change)),
        Outcome::Gone => ConsoleLine::bad("fault in", format!("{}: it does not exist any more", c.change)),
    }
}

fn rolled_back(c: &ChangeState, outcome: Outcome, by: Actor) -> ConsoleLine {
    let took = c.rolled_back.map(|r| span(r.took)).unwrap_or_default();
    let by = if by == Actor::Runner { String::new() } else { format!(" (by the {by})") };
    let name = &c.change.name;
    let back = match &c.change.back {
        Rollback::To(Setting::Running(true)) => "running again".to_owned(),
        Rollback::To(Setting::Paused(false)) => "resumed".to_owned(),
        Rollback::To(untouched @ Setting::Mark(_, None)) if outcome == Outcome::Done => format!("{untouched} again"),
        Rollback::To(setting) => setting.to_string(),
        Rollback::Nothing => "nothing to restore".to_owned(),
    };
    match outcome {
        Outcome::Done => ConsoleLine::fault("▲", "rolled back", format!("{name}: {back} in {took}{by}")),
        Outcome::Already => ConsoleLine::fault("▲", "rolled back", format!("{name}: {back} already{by}")),
        Outcome::Gone => ConsoleLine::warn("rolled back", format!("{name}: it is gone{by}")),
    }
}

fn recovery(state: &RunState, recovery: &RecoveryState) -> ConsoleLine {
    match recovery.comeback() {
        Comeback::NeverLost => ConsoleLine::good("recovery", "steady state was never lost".to_owned()),
        Comeback::After(rto) => ConsoleLine::good("recovery", format!("steady state is back after {}", span(rto))),
        Comeback::TooLate => {
            let limit = state.started.as_ref().map(|s| s.experiment.timing.recovery.to_string());
            let why = recovery.why_not();
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
            ConsoleLine::bad("recovery", format!("steady state is not back within {}{why}", limit.unwrap_or_default()))
        }
    }
}

/// How a verdict looks, wherever it stands.
pub(super) fn verdict_tone(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Held => (Tone::Good, "✓"),
        Verdict::Broken | Verdict::LeftBehind => (Tone::Bad, "✗"),
        Verdict::NoVerdict => (Tone::Warn, "!"),
        Verdict::Rehearsed | Verdict::RehearsedBroken => (Tone::Rehearsal, "~"),
    }
}

/// From one time stamp to another; nothing where the clock ran backwards.
pub(super) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
