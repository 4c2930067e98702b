//! A game day's report for programs. Every field is always there, `null` where there is nothing; `docs/gameday-report-json.md`
//! names them all, and a test holds the two together. Fields may be added, never renamed or given another meaning.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::super::json::text;
use super::super::timeline::Kind;
use super::compared::{Then, Trend};
use super::facts::Facts;
use super::scenario::{Clock, ScenarioOutcome};
use super::timeline::Who;
use crate::model::exit::Verdict;
use crate::occasions::gameday::event::List;
use crate::occasions::notify::Stage;
use crate::record::event::{Excerpt, Judgement, millis};
use crate::record::state::Comeback;

/// The format of the report.
const FORMAT: u32 = 1;

/// The text.
pub(super) fn render(facts: &Facts<'_>) -> String {
    text(&Report::of(facts))
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    format: u32,
    gameday: &'a str,
    file: &'a str,
    name: Option<&'a str>,
    title: &'a str,
    objective: Option<&'a str>,
    owner: Option<&'a str>,
    participants: BTreeMap<&'a str, &'a [String]>,
    rehearsal: bool,
    unattended: bool,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    stopped: Option<&'a str>,
    verdict: Option<Verdict>,
    exit_code: Option<u8>,
    headline: String,
    instances_targeted: usize,
    requests: u64,
    requests_failed: u64,
    budget: Option<BudgetOut<'a>>,
    scenarios: Vec<ScenarioOut<'a>>,
    actions: Vec<ActionOut<'a>>,
    gaps: Vec<GapOut<'a>>,
    checklist: Vec<TickOut<'a>>,
    told: Vec<ToldOut<'a>>,
    timeline: Vec<MomentOut<'a>>,
    compared: Option<ComparedOut<'a>>,
    follow_up: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BudgetOut<'a> {
    objective: &'a str,
    window: &'a str,
    whole_ms: u64,
    spent_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ScenarioOut<'a> {
    title: &'a str,
    experiment: &'a str,
    hypothesis: Option<&'a str>,
    run: Option<&'a str>,
    standing: &'static str,
    text: String,
    injected: Option<Timestamp>,
    targeted: &'a [&'a str],
    spared: usize,
    requests: u64,
    requests_failed: u64,
    unmeasured: u64,
    bad_ms: u64,
    recovery_ms: Option<u64>,
    never_lost: bool,
    worst: Option<WorstOut<'a>>,
    clocks: BTreeMap<&'static str, ClockOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WorstOut<'a> {
    check: &'a str,
    expectation: &'a str,
    bound: &'a str,
    measured: &'a str,
    value: Option<&'a Excerpt>,
    held: bool,
    result: Judgement,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ClockOut<'a> {
    people_ms: Option<u64>,
    by: Option<&'a str>,
    machine_ms: Option<u64>,
    goal_ms: Option<u64>,
    met: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ActionOut<'a> {
    at: Timestamp,
    text: &'a str,
    owner: Option<&'a str>,
    due: Option<String>,
    scenario: Option<usize>,
    suggested: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GapOut<'a> {
    kind: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TickOut<'a> {
    list: List,
    scenario: Option<usize>,
    text: &'a str,
    done: bool,
    at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ToldOut<'a> {
    at: Timestamp,
    stage: Stage,
    recipient: &'a str,
    attempts: u32,
    error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MomentOut<'a> {
    at: Timestamp,
    of: &'static str,
    scenario: Option<usize>,
    by: Option<&'a str>,
    kind: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ComparedOut<'a> {
    gameday: &'a str,
    began: Option<Timestamp>,
    scenarios: Vec<PairOut>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PairOut {
    scenario: usize,
    before: Option<&'static str>,
    now: &'static str,
    verdict: Option<&'static str>,
    recovery: ThenOut,
    detected: ThenOut,
    mitigated: ThenOut,
    recovered: ThenOut,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ThenOut {
    before_ms: Option<u64>,
    now_ms: Option<u64>,
    trend: Option<&'static str>,
}

fn standing(came: ScenarioOutcome) -> &'static str {
    match came {
        ScenarioOutcome::To(verdict) => verdict.word(),
        ScenarioOutcome::LeftOut => "left-out",
        ScenarioOutcome::NotReached => "not-reached",
        ScenarioOutcome::Unfinished => "unfinished",
    }
}

fn trend(trend: Trend) -> Option<&'static str> {
    (trend != Trend::Unknown).then(|| trend.words())
}

fn clock<'a>(clock: &Clock<'a>) -> ClockOut<'a> {
    ClockOut {
        people_ms: clock.people.map(|p| millis(p.0)),
        by: clock.people.and_then(|p| p.1),
        machine_ms: clock.machine.map(millis),
        goal_ms: clock.goal.map(millis),
        met: clock.met(),
    }
}

fn then(then: &Then) -> ThenOut {
    let ms = |came: Option<Comeback>| came.and_then(Comeback::took).map(millis);
    ThenOut { before_ms: ms(then.before), now_ms: ms(then.now), trend: trend(then.trend()) }
}

impl<'a> Report<'a> {
    fn of(facts: &'a Facts<'_>) -> Self {
        let (state, gameday) = (&facts.record.state, facts.gameday);
        let (requests, requests_failed) = facts.requests();
        Self {
            format: FORMAT,
            gameday: &state.id,
            file: &state.file,
            name: gameday.map(|g| g.name.as_str()),
            title: facts.title(),
            objective: gameday.map(|g| g.objective.as_str()),
            owner: gameday.map(|g| g.owner.as_str()),
            participants: gameday
                .iter()
                .flat_map(|g| &g.participants)
                .map(|(role, names)| (role.as_str(), names.0.as_slice()))
                .collect(),
            rehearsal: state.rehearsal,
            unattended: state.unattended,
            began: state.began,
            ended: state.ended,
            stopped: state.stopped.as_ref().map(|stopped| stopped.why.as_str()),
            verdict: facts.verdict(),
            exit_code: facts.verdict().map(Verdict::code),
            headline: facts.headline(),
            instances_targeted: facts.targeted(),
            requests,
            requests_failed,
            budget: facts.budget.as_ref().map(|b| BudgetOut {
                objective: &b.objective,
                window: &b.window,
                whole_ms: millis(b.whole),
                spent_ms: millis(b.spent),
            }),
            scenarios: scenarios(facts),
            actions: state
                .actions
                .iter()
                .map(|a| ActionOut {
                    at: a.at,
                    text: &a.text,
                    owner: a.owner.as_deref(),
                    due: a.due.as_ref().map(ToString::to_string),
                    scenario: a.scenario,
                    suggested: a.suggested,
                })
                .collect(),
            gaps: facts.gaps.iter().map(|gap| GapOut { kind: gap.kind, text: &gap.text }).collect(),
            checklist: checklist(facts),
            told: state
                .told
                .iter()
                .map(|t| ToldOut {
                    at: t.at,
                    stage: t.stage,
                    recipient: &t.recipient,
                    attempts: t.attempts,
                    error: t.error.as_deref(),
                })
                .collect(),
            timeline: timeline(facts),
            compared: facts.compared.as_ref().map(|compared| ComparedOut {
                gameday: &compared.previous.state.id,
                began: compared.previous.state.began,
                scenarios: compared.scenarios.iter().map(pair).collect(),
            }),
            follow_up: gameday.and_then(|g| g.follow_up.as_ref()).map(ToString::to_string),
        }
    }
}

fn scenarios<'a>(facts: &'a Facts<'_>) -> Vec<ScenarioOut<'a>> {
    let of = |s: &'a super::scenario::Scenario<'_>| ScenarioOut {
        title: s.title,
        experiment: s.experiment,
        hypothesis: s.hypothesis,
        run: s.run_id,
        standing: standing(s.came),
        text: s.sentence(),
        injected: s.injected(),
        targeted: &s.targeted,
        spared: s.spared,
        requests: s.asked,
        requests_failed: s.failed,
        unmeasured: s.unmeasured,
        bad_ms: millis(s.bad),
        recovery_ms: s.recovery().and_then(Comeback::took).map(millis),
        never_lost: s.recovery() == Some(Comeback::NeverLost),
        worst: s.worst.as_ref().map(|w| WorstOut {
            check: &w.check,
            expectation: &w.expectation,
            bound: &w.bound,
            measured: &w.measured,
            value: w.value.as_ref(),
            held: w.came == Judgement::Held,
            result: w.came,
        }),
        clocks: s.clocks.iter().map(|c| (c.mark.word(), clock(c))).collect(),
    };
    facts.scenarios.iter().map(of).collect()
}

fn checklist<'a>(facts: &'a Facts<'_>) -> Vec<TickOut<'a>> {
    let Some(lists) = facts.gameday.map(|g| &g.checklist) else { return Vec::new() };
    let items = |list| match list {
        List::Before => &lists.before,
        List::During => &lists.during,
        List::After => &lists.after,
    };
    let ticks = facts.record.state.ticks.iter();
    ticks
        .map(|(of, tick)| TickOut {
            list: of.list,
            scenario: of.scenario,
            text: items(of.list).get(of.item).map_or("", String::as_str),
            done: tick.done,
            at: tick.at,
        })
        .collect()
}

fn timeline<'a>(facts: &'a Facts<'_>) -> Vec<MomentOut<'a>> {
    let of = |moment: &'a super::timeline::Moment<'_>| {
        let (of, scenario, by) = match moment.who {
            Who::Day => ("gameday", None, None),
            Who::Machine(n) => ("squall", Some(n), None),
            Who::People(by) => ("people", None, by),
        };
        let kind = match moment.kind {
            Kind::Step => "step",
            Kind::Fault => "fault",
            Kind::Proof => "mark",
            Kind::Alarm => "alarm",
            Kind::Good => "good",
        };
        MomentOut { at: moment.at, of, scenario, by, kind, text: &moment.text }
    };
    facts.moments.iter().map(of).collect()
}

fn pair(pair: &super::compared::Pair) -> PairOut {
    let [detected, mitigated, recovered] = &pair.people;
    PairOut {
        scenario: pair.n,
        before: pair.came.0.map(standing),
        now: standing(pair.came.1),
        verdict: trend(pair.verdict),
        recovery: then(&pair.recovery),
        detected: then(detected),
        mitigated: then(mitigated),
        recovered: then(recovered),
    }
}
