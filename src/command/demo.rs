//! `squall demo`: a small stack is made, two experiments are run on it, and it is taken away.
#![expect(clippy::print_stderr, reason = "what people see")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::connect::Reached;
use super::keeper::Keeper;
use super::load;
use super::run::How;
use crate::cli;
use crate::demo::{ACTS, Act, NAME, Ports, Site};
use crate::engine::docker::Docker;
use crate::engine::{Engine as _, Kind};
use crate::exit::Verdict;
use crate::follow::say;
use crate::store::StateDir;

/// How often an experiment is begun that comes to no verdict: just built, a machine may have other things to do.
const ATTEMPTS: usize = 3;

pub(super) async fn run(args: cli::Demo, state: StateDir) -> anyhow::Result<ExitCode> {
    if args.down {
        return down(&args, &state).await;
    }
    let mut signals = Signals::new()?;
    let ports = Ports::free().context("there are no free ports from 8080 on for the demonstration")?;
    let site = site(&args, &state, ports).await?;
    site.refuse_if_taken().await?;
    let keeper = Keeper::start(keeper_arguments(&site, &state)).await?;
    let played = match bring_up(&site, ports, &mut signals).await {
        Ok(()) if args.up => Site::experiments(&state, ports).map(|_| Vec::new()),
        Ok(()) => play(&site, &state, ports, &mut signals).await,
        Err(e) => Err(e),
    };
    if (args.keep || args.up) && played.is_ok() {
        keeper.dismiss().await;
        how_to_go_on(&site, &state, ports);
    } else {
        site.down(played.is_ok())
            .await
            .context("the stack is not wholly taken away; `squall demo --down` tries again")?;
        keeper.dismiss().await;
        say("The stack is taken away; nothing of it is left.");
    }
    let as_expected = match played {
        Ok(verdicts) => verdicts.iter().zip(ACTS).all(|(verdict, act)| *verdict == act.expected),
        Err(e) => {
            eprintln!("error: {e:#}");
            false
        }
    };
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Docker where it answers, else plain processes, unless one is asked for.
async fn site(args: &cli::Demo, state: &StateDir, ports: Ports) -> anyhow::Result<Site> {
    match args.engine {
        Some(Kind::Sim) => bail!("the demonstration is about real processes; `--engine docker` or `--engine local`"),
        Some(Kind::Local) => Site::local(state, ports).await,
        Some(Kind::Docker) => Ok(Site::docker(Docker::connect(args.docker_host.as_deref()).await?)),
        None => match Docker::connect(args.docker_host.as_deref()).await {
            Ok(docker) => Ok(Site::docker(docker)),
            Err(e) => {
                say(&format!("No Docker here, so plain processes take the place of containers.\n  ({e})\n"));
                Site::local(state, ports).await
            }
        },
    }
}

fn keeper_arguments(site: &Site, state: &StateDir) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--state".into(), state.root().into(), "stack".into(), "keep".into()];
    match site {
        Site::Docker { docker, id } => {
            arguments.extend(["--demo".into(), id.into(), "--docker-host".into()]);
            arguments.push(docker.describe().address.into());
        }
        Site::Local { file, .. } => arguments.push(file.into()),
    }
    arguments
}

async fn bring_up(site: &Site, ports: Ports, signals: &mut Signals) -> anyhow::Result<()> {
    let kind = match site {
        Site::Docker { .. } => "containers on Docker",
        Site::Local { .. } => "processes on this machine",
    };
    say(&format!("A gateway, three shops in three zones and a store, as {kind} …"));
    tokio::select! {
        up = site.up(ports) => up?,
        name = signals.any() => bail!("stopped by {name}"),
    }
    say(&format!("They are up: customers check out at http://127.0.0.1:{}/checkout", ports.gateway));
    Ok(())
}

/// Runs the experiments; what they came to, in their order.
async fn play(site: &Site, state: &StateDir, ports: Ports, signals: &mut Signals) -> anyhow::Result<Vec<Verdict>> {
    let files = Site::experiments(state, ports)?;
    let mut ends = Vec::new();
    for (n, (act, file)) in ACTS.iter().zip(&files).enumerate() {
        say(&format!("\n{} of {}  {}\n        {}\n", n + 1, ACTS.len(), act.words[0], act.words[1]));
        let mut end = (Verdict::NoVerdict, None);
        for attempt in 1..=ATTEMPTS {
            end = perform(file, site, state).await?;
            if let Some(name) = signals.come() {
                bail!("stopped by {name}");
            }
            if end.0 != Verdict::NoVerdict || attempt == ATTEMPTS {
                break;
            }
            say(
                "\nNo verdict is none: where the machine is too busy to ask in time, Squall does not guess. Once more.\n",
            );
        }
        ends.push(end);
    }
    say(&format!("\n{}", summary(&ends)));
    Ok(ends.into_iter().map(|(verdict, _)| verdict).collect())
}

/// Runs one experiment: what it came to, and where its reports are.
async fn perform(file: &Path, site: &Site, state: &StateDir) -> anyhow::Result<(Verdict, Option<PathBuf>)> {
    let x = load::experiment(file)?.value;
    let reached = match site {
        Site::Docker { docker, .. } => Reached::Docker(Arc::clone(docker)),
        Site::Local { local, .. } => Reached::Local(Arc::clone(local)),
    };
    super::run::experiment(&x, &file.display().to_string(), &reached, state, &How::default()).await
}

fn summary(ends: &[(Verdict, Option<PathBuf>)]) -> String {
    let line = |(act, (verdict, dir)): (&Act, &(Verdict, Option<PathBuf>))| {
        let name = act.file.trim_end_matches(".yaml");
        let surprise = if *verdict == act.expected { "as expected" } else { "not as expected" };
        let report = dir.as_ref().map(|dir| dir.join("report.html").display().to_string()).unwrap_or_default();
        format!("  {name:<15} {:<11} {surprise:<16} {report}", verdict.words())
    };
    let lines: Vec<String> = ACTS.iter().zip(ends).map(line).collect();
    format!("What came of it:\n{}", lines.join("\n"))
}

fn how_to_go_on(site: &Site, state: &StateDir, ports: Ports) {
    let options = match site {
        Site::Docker { .. } => String::new(),
        Site::Local { file, .. } => format!(" --state {} --stack {}", state.root().display(), file.display()),
    };
    let file = if ports.gateway == Ports::USUAL.gateway {
        format!("experiments/{}", ACTS[0].file)
    } else {
        state.root().join("demo").join(ACTS[0].file).display().to_string()
    };
    say("The stack stays up. An experiment on it, a look at it, and its end:");
    say(&format!("  squall run {file}{options}"));
    say(&format!("  curl http://127.0.0.1:{}/checkout", ports.gateway));
    say("  squall demo --down");
}

/// Takes away what was kept, on whichever engine it is.
async fn down(args: &cli::Demo, state: &StateDir) -> anyhow::Result<ExitCode> {
    let mut found = false;
    if matches!(args.engine, None | Some(Kind::Docker)) {
        match Docker::connect(args.docker_host.as_deref()).await {
            Ok(docker) => found |= Site::docker(docker).down_all().await?,
            Err(e) if args.engine.is_some() => return Err(e.into()),
            Err(_) => {}
        }
    }
    if matches!(args.engine, None | Some(Kind::Local))
        && let Some(site) = Site::earlier_local(state)?
    {
        found |= site.down_all().await?;
    }
    say(&if found { format!("{NAME} is taken away.") } else { format!("There is no {NAME} to take away.") });
    Ok(ExitCode::SUCCESS)
}

/// The signals that end the demonstration. A run heeds them too; here they are noted for afterwards.
struct Signals([(Signal, &'static str); 3]);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let heed = |kind| signal(kind).context("cannot heed signals");
        Ok(Self([
            (heed(SignalKind::interrupt())?, "SIGINT"),
            (heed(SignalKind::terminate())?, "SIGTERM"),
            (heed(SignalKind::hangup())?, "SIGHUP"),
        ]))
    }

    /// The next one.
    async fn any(&mut self) -> &'static str {
        let [(int, a), (term, b), (hup, c)] = &mut self.0;
        tokio::select! {
            _ = int.recv() => a,
            _ = term.recv() => b,
            _ = hup.recv() => c,
        }
    }

    /// One that has come already.
    fn come(&mut self) -> Option<&'static str> {
        futures_util::FutureExt::now_or_never(self.any())
    }
}
