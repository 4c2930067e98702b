//! Experiments with which another process meddles: whatever it does, nothing of Squall may be left, the exit code has to be right for
//! what happened, no run may wait for longer than it may, and no instance may be touched that was not meant.

mod afterwards;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rand::rngs::ChaCha12Rng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal};
use squall::host::process::Process;
use squall::record::journal;
use squall::record::state::RunState;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use afterwards::{compared, left, make_good, recover, said_code, settle};

use crate::casualty::end_of;
use crate::field::{Field, Order};
use crate::judge::{self, Meddled, Watched};
use crate::meddling::{self, ExternalAction, Scene, file_in};
use crate::{Arguments, in_lanes, median_and_longest};

/// How often a journal is read until the moment has come.
const READ_INTERVAL: Duration = Duration::from_millis(4);

/// How often targets are looked at while a run goes on.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a run may take beyond what it says itself, and one that has not come to a plan.
const BEYOND: Duration = Duration::from_mins(1);
const UNPLANNED: Duration = Duration::from_mins(1);

/// How long whatever was restarted may take to be as before.
const SETTLED: Duration = Duration::from_secs(15);

/// When it meddles: so long after a step of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Begun,
    Injecting,
    On,
    RollingBack,
}

impl Step {
    const ALL: [Self; 4] = [Self::Begun, Self::Injecting, Self::On, Self::RollingBack];

    /// The latest moment after it, in ms.
    fn latest(self) -> u64 {
        match self {
            Self::Begun => 700,
            Self::Injecting | Self::RollingBack => 60,
            Self::On => 1800,
        }
    }

    fn is_reached(self, s: &RunState) -> bool {
        match self {
            Self::Begun => s.started.is_some(),
            Self::Injecting => s.changes.iter().any(|c| c.injecting.is_some()),
            Self::On => !s.changes.is_empty() && s.changes.iter().all(|c| c.injected.is_some()),
            Self::RollingBack => s.changes.iter().any(|c| c.rolling_back.is_some()),
        }
    }
}

/// A round as it is planned.
#[derive(Debug)]
struct Round {
    number: usize,
    fault: &'static str,
    meddling: &'static ExternalAction,
    step: Step,
    after: Duration,
    rng: ChaCha12Rng,
}

impl Round {
    fn words(&self) -> String {
        format!(
            "round {}: {}, {}, {:?} after {:?}",
            self.number, self.fault, self.meddling.words, self.after, self.step
        )
    }
}

/// What came of it.
struct Outcome {
    meddling: &'static str,
    /// Whether anything was done, and how the run was then.
    done: bool,
    code: String,
    took: Duration,
    violations: Vec<String>,
}

/// Every pair of a fault and a meddling, in an order that follows from the seed, over and over.
fn plan(arguments: &Arguments) -> anyhow::Result<Vec<Round>> {
    let faults = crate::faults::chosen(arguments.network, arguments.machine, &arguments.only);
    let meddlings = || meddling::ALL.iter().filter(|m| m.words.contains(&arguments.meddling));
    let mut pairs: Vec<_> = faults.iter().flat_map(|fault| meddlings().map(move |m| (*fault, m))).collect();
    pairs.shuffle(&mut ChaCha12Rng::seed_from_u64(arguments.seed));
    let round = |number: usize| {
        let (fault, meddling) = *pairs.get(number % pairs.len().max(1)).context("no fault, or no meddling")?;
        let mut rng = arguments.rng(number);
        let step = *Step::ALL.choose(&mut rng).context("a step")?;
        let after = Duration::from_millis(rng.random_range(0..step.latest()));
        Ok(Round { number, fault, meddling, step, after, rng })
    };
    arguments.numbers().map(round).collect()
}

pub(crate) async fn rounds(fields: &[Field], arguments: &Arguments) -> anyhow::Result<()> {
    let outcomes = in_lanes(fields, plan(arguments)?, async |field, round: Round| {
        let (number, words) = (round.number, round.words());
        let outcome = one(field, round).await.with_context(|| words.clone())?;
        for violation in &outcome.violations {
            eprintln!(
                "VIOLATION in {words}\n  {violation}\n  again: --meddled --seed {} --first {number} --rounds 1 {}\n",
                arguments.seed,
                arguments.filters()
            );
        }
        Ok(outcome)
    })
    .await?;
    tell(&outcomes, arguments);
    let violations: usize = outcomes.iter().map(|o| o.violations.len()).sum();
    anyhow::ensure!(violations == 0, "{violations} violations; their journals are kept");
    Ok(())
}

fn tell(outcomes: &[Outcome], arguments: &Arguments) {
    let mut by_meddling: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in outcomes {
        by_meddling.entry(outcome.meddling).or_default().push(outcome);
        *by_code.entry(&outcome.code).or_default() += 1;
    }
    println!("| what another process did | rounds | violations | exit codes | a run took: median | longest |");
    println!("|---|---|---|---|---|---|");
    for (words, of) in by_meddling {
        let took: Vec<Duration> = of.iter().map(|o| o.took).collect();
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        for outcome in &of {
            *codes.entry(outcome.code.split(' ').next().unwrap_or_default()).or_default() += 1;
        }
        let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{code}: {n}")).collect();
        let violations: usize = of.iter().map(|o| o.violations.len()).sum();
        let times = median_and_longest(&took);
        println!("| {words} | {} | {violations} | {} | {times} |", of.len(), codes.join(", "));
    }
    println!("\n| exit code and reason | rounds |\n|---|---|");
    for (code, n) in by_code {
        println!("| {code} | {n} |");
    }
    let done = outcomes.iter().filter(|o| o.done).count();
    println!(
        "\n{} rounds from {} on, seed {}: in {done} of them another process meddled, the others were over by then.",
        outcomes.len(),
        arguments.first,
        arguments.seed
    );
}

/// One round; an error is one of this program.
async fn one(field: &Field, mut round: Round) -> anyhow::Result<Outcome> {
    let (before, lives) = (field.look().await?, field.lives().await?);
    let dir = field.dir.join(format!("round-{}", round.number));
    std::fs::create_dir(&dir)?;
    let fault = crate::faults::idle(round.fault);
    let seed = Some(round.number as u64);
    let begun = Instant::now();
    let mut runner =
        field.start(&Order { fault: &fault, duration: "3s", grace: "30s", seed, engine: None, helper: false }, &dir)?;
    let pid = Pid::from_raw(i32::try_from(runner.id().context("the runner ended at once")?)?).context("no PID")?;

    // What was last read of the journal, whatever becomes of it.
    let known = RefCell::new(RunState::default());
    let over = Cell::new(false);
    let watched = RefCell::new(Watched::default());
    let (status, meddled) = tokio::join!(
        ended(field, &dir, &mut runner, &known, &watched, &over),
        meddle(field, &dir, pid, &mut round, &known, &over)
    );
    let (status, meddled) = (status?, meddled?);
    let mut violations = Vec::new();
    if status.is_none() {
        violations.push(format!("the runner goes on and on, after {:?}", begun.elapsed()));
        runner.kill().await?;
    }
    let is_killed = round.meddling.kills_the_runner() && meddled.is_some();
    let is_orphaned = is_killed && round.meddling.kills_both();
    let end = begun + limit(&known.borrow());
    // What holds packets or load outlives both.
    let still = if is_orphaned { Vec::new() } else { left(&dir, end).await };
    let took = begun.elapsed();
    let at_end = latest(&dir).unwrap_or_else(|| known.borrow().clone());
    let code = status.and_then(|status| status.code());
    violations.extend(judge::exit(code, is_killed, &at_end, meddled.as_ref(), round.meddling, &watched.borrow()));

    // Whatever the meddler changed is his: he makes it good himself, before or after `recover`.
    if code == Some(4) || is_orphaned || status.is_none() || !still.is_empty() {
        let first = recover(&dir).await?;
        if let Some(meddled) = &meddled {
            field.each(round.meddling.undo, &meddled.name).await?;
        }
        let (second, said) = if first.0 == Some(0) { first } else { recover(&dir).await? };
        let may_not_know = round.meddling.may_cost_a_fact() && second == Some(4);
        if second != Some(0) && !may_not_know {
            violations.push(format!("`squall recover` ended with {second:?}: {said}"));
        }
        if may_not_know {
            settle(&dir).await?;
        }
    } else if let Some(meddled) = &meddled {
        field.each(round.meddling.undo, &meddled.name).await?;
    }
    if is_killed && at_end.guards.is_empty() && file_in(&dir).is_none() {
        // No process and no file knows of this run any more: its lock goes on the word of a person.
        let run = at_end.started.as_ref().map(|s| s.run.clone()).unwrap_or_default();
        Field::squall(&dir).args(["recover", "--force-unlock", &run]).stdout(Stdio::null()).status().await?;
    }
    let still = if is_orphaned { left(&dir, Instant::now() + SETTLED).await } else { still };
    if !still.is_empty() {
        let pids: Vec<u32> = still.iter().map(Process::pid).collect();
        violations.push(format!("processes of the run are left: {pids:?}"));
        still.iter().try_for_each(|process| process.signal(Signal::KILL))?;
    }
    let touched: BTreeSet<&String> = at_end.changes.iter().map(|c| &c.change.name).collect();
    violations.extend(compared(field, &round, &before, meddled.as_ref()).await?);
    violations.extend(field.is_clean(&dir).await.err().map(|e| format!("{e:#}")));
    let lives_now = field.lives().await?;
    for (name, life) in &lives {
        let is_theirs = touched.contains(name) || meddled.as_ref().is_some_and(|m| m.name == *name);
        if !is_theirs && lives_now.get(name) != Some(life) {
            violations
                .push(format!("{name} was not meant, and has another life: {life}, now {:?}", lives_now.get(name)));
        }
    }
    if let Some(meddled) = &meddled
        && let Some(made) = &meddled.made
        && lives_now.get(&meddled.name) != Some(made)
    {
        violations.push(format!("{} was made anew as {made}, and is {:?}", meddled.name, lives_now.get(&meddled.name)));
    }
    let done = meddled.is_some();
    let code = said_code(code, &at_end);
    if violations.is_empty() {
        std::fs::remove_dir_all(&dir)?;
    } else {
        let journal = file_in(&dir).map(|journal| end_of(&journal)).unwrap_or_default();
        let mut facts =
            format!("it ended with {code} after {took:?}, and said: {}\n  {}", field.said().trim(), dir.display());
        if let Some(m) = &meddled {
            let _ = write!(facts, "\n  {} was meddled with from {} to {}", m.name, m.from, m.to);
        }
        let _ = write!(facts, "\n{journal}");
        for violation in &mut violations {
            let _ = write!(violation, "\n  {facts}");
        }
    }
    make_good(field, &round, &violations, meddled.as_ref()).await?;
    Ok(Outcome { meddling: round.meddling.words, done, code, took, violations })
}

/// How the run ends: `None` where it does not in its time. Its targets are looked at meanwhile.
async fn ended(
    field: &Field,
    dir: &Path,
    runner: &mut Child,
    known: &RefCell<RunState>,
    watched: &RefCell<Watched>,
    over: &Cell<bool>,
) -> anyhow::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = runner.try_wait()? {
            break Some(status);
        }
        if begun.elapsed() > limit(&known.borrow()) {
            break None;
        }
        if let Some(state) = latest(dir) {
            *known.borrow_mut() = state;
        }
        let on: Vec<_> = known.borrow().on().map(|c| c.change.clone()).collect();
        for change in on {
            let from = Timestamp::now();
            // A container may be on its way between two states.
            if let Ok(now) = field.instance(&change.instance).await {
                watched.borrow_mut().saw(&change, now.as_ref().map(|now| &now.settings), from);
            }
        }
        sleep(LOOK_INTERVAL).await;
    };
    over.set(true);
    Ok(status)
}

/// Meddles when the moment has come; `None` where the run is over before.
async fn meddle(
    field: &Field,
    dir: &Path,
    runner: Pid,
    round: &mut Round,
    known: &RefCell<RunState>,
    over: &Cell<bool>,
) -> anyhow::Result<Option<Meddled>> {
    let mut length = 0;
    loop {
        if over.get() {
            return Ok(None);
        }
        let now = file_in(dir).and_then(|journal| journal.metadata().ok()).map_or(0, |file| file.len());
        if now != length
            && let Some(state) = latest(dir)
            && round.step.is_reached(&state)
        {
            *known.borrow_mut() = state;
            break;
        }
        length = now;
        sleep(READ_INTERVAL).await;
    }
    sleep(round.after).await;
    let state = latest(dir).unwrap_or_else(|| known.borrow().clone());
    let mut names: BTreeSet<String> = state.changes.iter().map(|c| c.change.name.clone()).collect();
    if names.is_empty() {
        names = field.targets().into();
    }
    let names: Vec<String> = names.into_iter().collect();
    let name = names.choose(&mut round.rng).context("a container")?.clone();
    let from = Timestamp::now();
    let scene = Scene { field, dir, runner, state: &state, name: &name };
    scene.meddle(round.meddling, &mut round.rng).await?;
    let made = match round.meddling.act {
        meddling::Act::Replace => field.lives().await?.remove(&name),
        _ => None,
    };
    Ok(Some(Meddled { name, from, to: Timestamp::now(), made }))
}

/// The run as its journal tells it, as far as it can be read.
fn latest(dir: &Path) -> Option<RunState> {
    journal::salvage(&file_in(dir)?).ok().filter(|s| s.started.is_some())
}

/// How long a run may take altogether.
fn limit(s: &RunState) -> Duration {
    let planned = s.deadline.zip(s.began).and_then(|(end, began)| Duration::try_from(end.duration_since(began)).ok());
    let rollback = if s.changes.iter().any(|c| !c.rollback_errors.is_empty()) {
        squall::run::recover::time_limit(s)
    } else {
        Duration::ZERO
    };
    planned.unwrap_or(UNPLANNED) + BEYOND + rollback
}
