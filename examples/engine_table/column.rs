//! The conformance suite and every file over one way to one engine, one after the other: the shop is brought up for them on the engine's own host, and taken away. Knows
//! what a file should come to, and nothing of tables.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall::engine::docker::Docker;
use squall::engine::{Lock as _, Observe as _};
use squall::model::instance::{Aspect, Setting};
use tokio::time::{sleep, timeout};

use crate::conforming::CONFORM;
use crate::engines::{ITSELF, Lab, Way};
use crate::experiment::Experiment;
use crate::monitoring::Monitoring;
use crate::relay::Relay;

/// What the experiments ask, on the loopback of the machine where they run: the gateway, Prometheus, and Alertmanager.
const PORTS: [u16; 3] = [8080, 9090, 9093];

/// The longest that a run takes, or the suite on a busy machine, and more.
const LONGEST: Duration = Duration::from_mins(8);

/// What is left may take so long to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a row is run that did not come to what it should: a machine can be held up.
const AT_MOST: usize = 3;

/// What became of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// How often it was run before.
    pub(crate) again: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    AsExpected,
    /// Why.
    Refused(String),
    /// What it came to instead.
    Wrong(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::AsExpected => f.write_str("as expected")?,
            Outcome::Refused(why) => write!(f, "refused when planning: {why}")?,
            Outcome::Wrong(what) => write!(f, "wrong: {what}")?,
        }
        let again = if self.again > 0 { ", run again" } else { "" };
        write!(f, " ({:.1} s{again})", self.took.as_secs_f64())
    }
}

/// Everything that is seen of the shop from outside.
type Fleet = BTreeMap<String, BTreeMap<Aspect, Setting>>;

/// The row of the conformance suite.
pub(crate) const SUITE: &str = "conformance suite";

/// Runs some rows, of which the suite is the first where it is among them; `tell` has each cell.
pub(crate) async fn run(
    lab: &Lab,
    way: Way,
    with_suite: bool,
    experiments: &[&Experiment],
    tell: impl Fn(&str, Cell) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let docker = lab.engine().await?;
    if with_suite {
        until_right(async |again| suite(lab, way, again).await, |cell| tell(SUITE, cell)).await?;
    }
    if experiments.is_empty() {
        return Ok(());
    }
    says(lab.squall(Way::Unix, "shop").await?, &["demo", "--up"]).await?;
    // From another machine people reach the shop as they reach anything that listens on the loopback of its host.
    let _relay = match way {
        Way::Unix => None,
        _ => Some(Relay::between(&lab.network(way.node())?, &lab.network("n1")?, &PORTS)?),
    };
    for x in experiments {
        let monitoring = if x.is_monitored { Some(Monitoring::of_shop(lab, &docker).await?) } else { None };
        until_right(async |again| one(lab, way, &docker, x, again).await, |cell| tell(&x.name, cell)).await?;
        drop(monitoring);
    }
    says(lab.squall(Way::Unix, "shop").await?, &["doctor"]).await?;
    says(lab.squall(Way::Unix, "shop").await?, &["demo", "--down"]).await?;
    ensure!(docker.observe().await?.is_empty(), "`squall demo --down` has left something");
    Ok(())
}

/// Runs a row until it is not wrong, as often as that may be; `tell` has each cell.
async fn until_right(
    run: impl AsyncFn(usize) -> anyhow::Result<Cell>,
    tell: impl Fn(Cell) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for again in 0..AT_MOST {
        let cell = run(again).await?;
        let is_wrong = matches!(cell.outcome, Outcome::Wrong(_));
        tell(cell)?;
        if !is_wrong {
            break;
        }
    }
    Ok(())
}

/// The suite, by this program in the place of Squall.
async fn suite(lab: &Lab, way: Way, again: usize) -> anyhow::Result<Cell> {
    let begin = Instant::now();
    let mut suite = lab.reaching(way, ITSELF).await?;
    let output = timeout(LONGEST, suite.arg(CONFORM).arg(lab.path("bin/squall")).output()).await;
    let output = output.context("the suite does not end")??;
    let outcome = if output.status.success() {
        Outcome::AsExpected
    } else {
        Outcome::Wrong(String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" "))
    };
    Ok(Cell { outcome, took: begin.elapsed(), again })
}

/// Runs a command of Squall's that is to succeed.
async fn says(mut squall: tokio::process::Command, arguments: &[&str]) -> anyhow::Result<()> {
    let output = timeout(LONGEST, squall.args(arguments).output()).await.context("it does not end")??;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "squall {arguments:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

async fn fleet(docker: &Docker) -> anyhow::Result<Fleet> {
    Ok(docker.observe().await?.into_iter().map(|i| (i.name, i.settings)).collect())
}

/// One run of a file.
async fn one(lab: &Lab, way: Way, docker: &Docker, x: &Experiment, again: usize) -> anyhow::Result<Cell> {
    let before = fleet(docker).await?;
    let begin = Instant::now();
    let state = format!("{way}/{}-{again}", x.name);
    let mut squall = lab.squall(way, &state).await?;
    squall.arg("run").arg(&x.path).arg("--quiet").stdin(Stdio::null());
    let output = timeout(LONGEST, squall.output()).await.with_context(|| format!("{} does not end", x.name))??;
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let Some(report) = report(&lab.path("state").join(&state)) else {
        return Ok(Cell { outcome: Outcome::Wrong(format!("no run: {said}")), took, again });
    };
    let text = report["text"].as_str().unwrap_or_default().to_owned();
    let outcome = match output.status.code() {
        Some(3) if is_refusal(&report) && x.may_be_refused(lab.kind, &text) => Outcome::Refused(text),
        Some(code) if code == x.expected => Outcome::AsExpected,
        code => Outcome::Wrong(format!("exit {code:?}, {}: {text} {said}", report["reason"])),
    };
    Ok(Cell { outcome: nothing_left(docker, &before, way).await?.map_or(outcome, Outcome::Wrong), took, again })
}

/// Whether the run ended when it was planned: its plan was refused, or it found no target.
fn is_refusal(report: &Value) -> bool {
    report["reason"] == "refused" || report["reason"] == "no-target"
}

/// What is not as it was before, if anything.
async fn nothing_left(docker: &Docker, before: &Fleet, way: Way) -> anyhow::Result<Option<String>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = fleet(docker).await?;
        let (claims, sessions) = (docker.claims().await?.len(), docker.sessions().await?.len());
        if now == *before && claims + sessions == 0 {
            return Ok(None);
        }
        if Instant::now() > end {
            return Ok(Some(format!(
                "not as before over {way}: {before:?} has become {now:?}; {claims} locks, {sessions} helpers' volumes"
            )));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The report of the only run of a state directory.
fn report(state: &Path) -> Option<Value> {
    let run = std::fs::read_dir(state.join("runs")).ok()?.next()?.ok()?;
    serde_json::from_slice(&std::fs::read(run.path().join("report.json")).ok()?).ok()
}
