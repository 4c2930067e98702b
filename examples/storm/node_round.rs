//! Experiments on three machines, each disturbed once: processes die, a machine goes off, a link is cut, an engine is killed. Nothing may be
//! left on any machine, and no run may pass whose fault was off.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::rngs::ChaCha12Rng;
use rand::seq::IndexedRandom;
use squall::model::instance::InstanceId;
use squall::record::journal;
use squall::record::state::RunState;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::casualty::{Moment, end_of, journal_in, restored};
use crate::field::BYSTANDER;
use crate::judge::Watched;
use crate::look::Look;
use crate::node_blow::{Blow, strike};
use crate::nodes::{Ask, NODES, Nodes, OPERATOR, OVER_SSH};
use crate::{Arguments, faults, median_and_longest};

/// Seven of nine: some on each machine.
const TARGET: (&str, &str) = ("pick: 7", "max-instances: 7");

/// How long a fault is on: longer than the lease of a helper.
const DURATION: &str = "8s";

/// For how long everything has to be as before, to count as rolled back.
const STABLE: Duration = Duration::from_secs(2);

/// How long a run that has not begun its fault may take to notice what happened, before that is ended.
const UNNOTICED: Duration = Duration::from_secs(10);

/// What takes longer is told in full.
const SLOW: Duration = Duration::from_secs(12);

/// How long a rollback on machines that are reached may take, and a run.
const LONGEST: Duration = Duration::from_mins(2);
const LONGEST_RUN: Duration = Duration::from_mins(4);

/// How long containers may take to be up that an engine starts of its own accord.
const RESTARTS: Duration = Duration::from_secs(15);

/// How long a fault has to be on still, for a pass to be wrong when its machine is gone.
const TO_NOTICE: SignedDuration = SignedDuration::from_millis(700);

/// A round as it is planned.
#[derive(Debug)]
struct Round {
    number: usize,
    fault: &'static str,
    blow: Blow,
    node: &'static str,
    moment: Moment,
}

impl Round {
    fn random(number: usize, arguments: &Arguments) -> anyhow::Result<Self> {
        let mut rng: ChaCha12Rng = arguments.rng(number);
        let faults = faults::chosen(arguments.network, arguments.machine, &arguments.only);
        let faults: Vec<_> = faults.into_iter().filter(|fault| !fault.starts_with("zone")).collect();
        let fault = faults.choose(&mut rng).context("no fault")?;
        // Each as often as the others.
        let blow = Blow::ALL[number % Blow::ALL.len()];
        let node = if blow == Blow::Ssh { OVER_SSH } else { NODES.choose(&mut rng).context("a node")? };
        let after = Duration::from_millis(rng.random_range(0..arguments.latest));
        let moment = if rng.random_ratio(1, 4) { Moment::OfTheRun(2 * after) } else { Moment::OfTheFault(after) };
        Ok(Self { number, fault, blow, node, moment })
    }

    /// The machine that something happens to.
    fn machine(&self) -> &'static str {
        if self.blow == Blow::Operator { OPERATOR } else { self.node }
    }

    /// The nodes that can be looked at meanwhile: from here, also past a link that is cut.
    fn seen(&self) -> Vec<&'static str> {
        NODES.into_iter().filter(|node| !self.blow.ends_containers() || *node != self.node).collect()
    }
}

/// What came of it.
struct Outcome {
    /// How long it took until everything was as before on all nodes that are seen; `None` if no fault was on.
    took: Option<Duration>,
    /// Whether the run was over before its moment came.
    missed: bool,
    violation: Option<String>,
    code: String,
}

/// What was seen of a run while it went on.
struct Watch<'a> {
    dir: &'a Path,
    before: &'a BTreeMap<&'static str, Look>,
    watched: Watched,
    /// When each node was first seen to be as before, since it was last seen not to be.
    since: BTreeMap<&'static str, Instant>,
    /// What differed then.
    differed: BTreeMap<&'static str, String>,
}

impl Watch<'_> {
    fn state(&self) -> RunState {
        journal_in(self.dir).and_then(|path| journal::replay(&path).ok()).unwrap_or_default()
    }

    async fn look(&mut self, nodes: &mut Nodes, seen: &[&'static str]) {
        let state = self.state();
        let on: Vec<_> = state.on().map(|c| c.change.clone()).collect();
        let from = Timestamp::now();
        // A container may be on its way between two states.
        let Ok(now) = nodes.look_at_times(seen).await else {
            self.since.clear();
            return;
        };
        for change in on {
            let Some((node, name)) = InstanceId::split(&change.name) else { continue };
            if let Some((look, _)) = now.get(node) {
                self.watched.saw(&change, look.settings.get(name), from);
            }
        }
        for (node, (look, at)) in now {
            let Some(before) = self.before.get(node) else { continue };
            if before == &look {
                self.since.entry(node).or_insert(at);
            } else {
                self.since.remove(node);
                self.differed.insert(node, before.differences(&look));
            }
        }
    }

    /// Since when all of these are as before, if they are for long enough.
    fn stable(&self, nodes: &[&'static str]) -> Option<Instant> {
        let since: Option<Vec<Instant>> = nodes.iter().map(|node| self.since.get(node).copied()).collect();
        since?.into_iter().max().filter(|since| since.elapsed() > STABLE)
    }

    /// How long each took, for people, with what differed last where that was slow.
    fn times(&self, from: Instant) -> String {
        let told = self.since.iter().map(|(node, since)| {
            let took = since.duration_since(from);
            let differed =
                self.differed.get(node).filter(|_| took > SLOW).map_or_else(String::new, |d| format!(" {d}"));
            format!("{node} {} ms{differed}", took.as_millis())
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

pub(crate) async fn rounds(arguments: &Arguments) -> anyhow::Result<()> {
    let mut nodes = Nodes::prepare().await?;
    let mut figures: BTreeMap<Blow, Vec<Outcome>> = BTreeMap::new();
    for number in arguments.numbers() {
        let round = Round::random(number, arguments)?;
        let outcome = one(&mut nodes, &round).await.with_context(|| format!("{round:?}"))?;
        let took = outcome.took.map_or_else(String::new, |took| format!(", as before after {} ms", took.as_millis()));
        eprintln!("{round:?}: {}{took}", outcome.code);
        if let Some(violation) = &outcome.violation {
            eprintln!("violation: {violation}");
        }
        figures.entry(round.blow).or_default().push(outcome);
    }
    println!(
        "| what was done | rounds | everything as before, no false pass | exit codes | fault on | until as before: median | longest |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (blow, outcomes) in &figures {
        let right = outcomes.iter().filter(|o| o.violation.is_none()).count();
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        for outcome in outcomes {
            *codes.entry(&outcome.code).or_default() += 1;
        }
        let codes: Vec<_> = codes.iter().map(|(code, n)| format!("{code}: {n}")).collect();
        let took: Vec<_> = outcomes.iter().filter_map(|o| o.took).collect();
        let times = if took.is_empty() { "– | –".to_owned() } else { median_and_longest(&took) };
        let all = outcomes.len();
        println!("| {} | {all} | {right} | {} | {} | {times} |", blow.words(), codes.join(", "), took.len());
    }
    let missed = figures.values().flatten().filter(|o| o.missed).count();
    println!("\n{} rounds, seed {}: {missed} runs were over before their moment.", arguments.rounds, arguments.seed);
    nodes.clear().await
}

async fn one(nodes: &mut Nodes, round: &Round) -> anyhow::Result<Outcome> {
    let dir = nodes.dir.join(format!("round-{}", round.number));
    std::fs::create_dir(&dir)?;
    let file = dir.join("experiment.yaml");
    std::fs::write(&file, faults::experiment(&nodes.service, &faults::idle(round.fault), TARGET, DURATION))?;
    let before = nodes.look(&NODES).await?;
    let said = std::fs::File::create(dir.join("said"))?;
    let words = ["run", &file.display().to_string(), "--quiet", "--grace", "30s"];
    let mut runner = nodes.squall(&words, &dir).stdout(said.try_clone()?).stderr(said).spawn()?;
    let mut watch = Watch {
        dir: &dir,
        before: &before,
        watched: Watched::default(),
        since: BTreeMap::new(),
        differed: BTreeMap::new(),
    };

    let missed = until_moment(&mut watch, nodes, round, &mut runner).await?;
    let at_blow = watch.state();
    let mut took = None;
    let mut lasted = Timestamp::now()..Timestamp::now();
    if !missed {
        let was_on = at_blow.changes.iter().any(|c| c.injecting.is_some() && c.rolled_back.is_none());
        let from = Instant::now();
        strike(nodes, round.blow, round.machine(), &dir).await?;
        let back = until_back(&mut watch, nodes, round, &mut runner, (from, was_on)).await?;
        took = was_on.then(|| back.duration_since(from));
        if let Some((_, undo)) = round.blow.verbs() {
            nodes.does(undo, round.machine()).await?;
        }
        if round.blow == Blow::Off {
            nodes.start_observer(round.node)?;
        }
        lasted.end = Timestamp::now();
    }
    let status = until_over(&mut watch, nodes, &mut runner).await?;
    let code = status.code().map_or_else(|| "killed".to_owned(), |code| code.to_string());
    let recovered = nodes.squall(&["recover"], &dir).stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
    let state = watch.state();
    let mut violations = Vec::new();
    if recovered.status.success() {
        restored(&dir, false).await?;
    } else {
        let said = [recovered.stdout, recovered.stderr].concat();
        violations.push(format!("recover ended with {}: {}", recovered.status, String::from_utf8_lossy(&said)));
    }
    if !missed {
        violations.extend(false_pass(&code, round, &state, &watch.watched, &lasted));
    }
    if matches!(code.as_str(), "1" | "2") {
        violations.push(format!("exit {code}, although nothing could break"));
    }
    violations.extend(left(nodes, round, &before, &at_blow, &dir).await?);
    if violations.is_empty() {
        std::fs::remove_dir_all(&dir)?;
        return Ok(Outcome { took, missed, violation: None, code });
    }
    let end = journal_in(&dir).map(|journal| end_of(&journal)).unwrap_or_default();
    let kept = std::env::temp_dir().join(format!("{}-round-{}", nodes.service, round.number));
    Command::new("cp").arg("-r").arg(&dir).arg(&kept).status().await?;
    let said = read_to_string(dir.join("said")).unwrap_or_default();
    let violation = Some(format!("{}\n{said}\n{end}\nkept in {}", violations.join("\n"), kept.display()));
    Ok(Outcome { took, missed, violation, code })
}

/// Waits for the moment of the blow. Whether the run was over before.
async fn until_moment(
    watch: &mut Watch<'_>,
    nodes: &mut Nodes,
    round: &Round,
    runner: &mut Child,
) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut end = match round.moment {
        Moment::OfTheRun(after) => Some(begun + after),
        Moment::OfTheFault(_) => None,
    };
    loop {
        if let Moment::OfTheFault(after) = round.moment
            && end.is_none()
            && watch.state().changes.iter().any(|c| c.injecting.is_some())
        {
            end = Some(Instant::now() + after);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(false);
        }
        if runner.try_wait()?.is_some() {
            return Ok(true);
        }
        ensure!(begun.elapsed() < LONGEST_RUN, "a run that goes on and on");
        if end.is_some_and(|end| end.duration_since(Instant::now()) > Duration::from_millis(400)) {
            watch.look(nodes, &NODES).await;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until everything is as before on all nodes that are seen, and stays so. Since when it is.
async fn until_back(
    watch: &mut Watch<'_>,
    nodes: &mut Nodes,
    round: &Round,
    runner: &mut Child,
    (from, was_on): (Instant, bool),
) -> anyhow::Result<Instant> {
    let seen = round.seen();
    watch.since.clear();
    loop {
        watch.look(nodes, &seen).await;
        let is_told = was_on || from.elapsed() > UNNOTICED || runner.try_wait()?.is_some();
        if let Some(since) = watch.stable(&seen).filter(|_| is_told) {
            eprintln!("  {}: {}", round.blow.words(), watch.times(from));
            return Ok(since);
        }
        let text = || journal_in(watch.dir).map(|journal| end_of(&journal)).unwrap_or_default();
        ensure!(from.elapsed() < LONGEST, "never as before: {}", text());
    }
}

/// Waits for the end of the runner.
async fn until_over(watch: &mut Watch<'_>, nodes: &mut Nodes, runner: &mut Child) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = runner.try_wait()? {
            return Ok(status);
        }
        ensure!(begun.elapsed() < LONGEST_RUN, "a run that goes on and on");
        watch.look(nodes, &NODES).await;
    }
}

/// Why a run should not have passed.
fn false_pass(
    code: &str,
    round: &Round,
    state: &RunState,
    watched: &Watched,
    lasted: &std::ops::Range<Timestamp>,
) -> Option<String> {
    if code != "0" {
        return None;
    }
    // What is on a node that is gone is not seen: its fault is off when its containers are.
    let of_node =
        || state.changes.iter().filter(|c| InstanceId::split(&c.change.name).is_some_and(|(n, _)| n == round.node));
    let was_on = of_node().filter_map(|c| c.injected.as_ref()).any(|i| i.at < lasted.start);
    let went_on =
        of_node().filter_map(|c| c.rolling_back).min().is_some_and(|end| end.duration_since(lasted.start) > TO_NOTICE);
    let gone = round.blow.ends_containers() && was_on && went_on;
    let gone = gone.then(|| format!("a pass, although {} was gone while the fault was on", round.node));
    gone.or_else(|| watched.off(state))
}

/// What is not as before, on any node.
async fn left(
    nodes: &mut Nodes,
    round: &Round,
    before: &BTreeMap<&'static str, Look>,
    at_blow: &RunState,
    dir: &Path,
) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    // What the end of a node has ended is started again by the run that has disturbed it, and otherwise by its owner.
    let mut expected = before.clone();
    let ended = round.blow.ends_containers().then_some(round.node);
    let names: Vec<String> = before.values().flat_map(|look| look.settings.keys().cloned()).collect();
    let is_disturbed = |name: &str| {
        let whole = InstanceId::of_node(round.node, name);
        at_blow.changes.iter().any(|c| c.change.name == whole && c.injecting.is_some() && c.rolled_back.is_none())
    };
    let begun = Instant::now();
    loop {
        let mut now = nodes.look(&NODES).await?;
        for name in names.iter().filter(|name| name.ends_with(BYSTANDER) || !is_disturbed(name)) {
            for look in [&mut expected, &mut now].into_iter().filter_map(|all| all.get_mut(ended?)) {
                look.forget(Some(name));
            }
        }
        if now == expected {
            break;
        }
        if ended.is_none() || begun.elapsed() > RESTARTS {
            violations.extend(differences(&expected, &now));
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    for node in NODES {
        nodes.has(node, &Ask::Refill).await?;
        if let Err(e) = nodes.has(node, &Ask::IsClean(dir.to_owned())).await {
            violations.push(format!("{e:#}"));
        }
    }
    let now = nodes.look(&NODES).await?;
    if now != *before {
        violations.extend(differences(before, &now).into_iter().map(|d| format!("started again: {d}")));
    }
    Ok(violations)
}

fn differences(before: &BTreeMap<&'static str, Look>, now: &BTreeMap<&'static str, Look>) -> Vec<String> {
    let differing = before.iter().filter(|(node, look)| now.get(*node) != Some(look));
    let told = differing
        .map(|(node, look)| format!("{node}: {}", now.get(node).map_or_else(String::new, |now| look.differences(now))));
    told.collect()
}
