//! `squall demo`: a small stack is made, two experiments are run on it, and it is taken away.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::connect::ConnectedEngine;
use super::load;
use super::one_run::{RunOptions, no_verdict};
use super::stack_guard::{self, StackGuard};
use super::stop::Signals;
use crate::command::cli;
use crate::command::shop::{ACTS, Act, DemoStack, NAME, Ports};
use crate::engine::Kind;
use crate::engine::docker::Docker;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::report::follow::{self, say};

/// A signal ended it.
#[derive(Debug, thiserror::Error)]
#[error("stopped by {0}")]
struct Stopped(&'static str);

/// How often an experiment is begun that comes to no verdict: just built, a machine may have other things to do.
const ATTEMPTS: usize = 3;

pub(super) async fn run(args: cli::Demo, state: StateDir) -> anyhow::Result<ExitCode> {
    if args.down {
        return down(&args, &state).await;
    }
    let mut signals = Signals::listen()?;
    let ports = Ports::free().context("there are no free ports from 8080 on for the demonstration")?;
    let site = site(&args, &state, ports).await?;
    site.refuse_if_taken().await?;
    let guard = StackGuard::start(guard_arguments(&site, &state)).await?;
    let played = match bring_up(&site, ports, &mut signals).await {
        Ok(()) if args.up => DemoStack::experiments(&state, ports).map(|_| Vec::new()),
        Ok(()) => play(&site, &state, ports, &mut signals).await,
        Err(e) => Err(e),
    };
    if (args.keep || args.up) && played.is_ok() {
        guard.shutdown().await;
        how_to_go_on(&site, &state, ports);
    } else {
        site.down(played.is_ok())
            .await
            .context("the stack is not wholly taken away; `squall demo --down` tries again")?;
        guard.shutdown().await;
        say("The stack is taken away; nothing of it is left.");
    }
    let as_expected = match played {
        Ok(verdicts) => verdicts.iter().zip(ACTS).all(|(verdict, act)| *verdict == act.expected),
        // As with `squall run`: who stops it learns nothing.
        Err(e) if e.is::<Stopped>() => return Ok(no_verdict(&e.to_string())),
        Err(e) => {
            complain!("error: {e:#}");
            false
        }
    };
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Docker where it answers, else plain processes, unless one is asked for.
async fn site(args: &cli::Demo, state: &StateDir, ports: Ports) -> anyhow::Result<DemoStack> {
    match args.engine {
        Some(Kind::Sim) => bail!("the demonstration is about real processes; `--engine docker` or `--engine local`"),
        Some(Kind::Local) => DemoStack::local(state, ports).await,
        Some(Kind::Docker) => Ok(DemoStack::docker(Docker::reach(args.docker.endpoint()?).await?)),
        None => match Docker::reach(args.docker.endpoint()?).await {
            Ok(docker) => Ok(DemoStack::docker(docker)),
            // Who names one means it.
            Err(e) if args.docker.is_named() => Err(e.into()),
            Err(e) => {
                say(&format!("No Docker here, so plain processes take the place of containers.\n  ({e})\n"));
                DemoStack::local(state, ports).await
            }
        },
    }
}

fn guard_arguments(site: &DemoStack, state: &StateDir) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--state".into(), state.root().into(), "stack".into(), "keep".into()];
    match site {
        DemoStack::Docker { docker, id } => {
            arguments.extend(["--demo".into(), id.into(), "--on".into(), stack_guard::engine(docker.as_ref()).into()]);
        }
        DemoStack::Local { file, .. } => arguments.push(file.into()),
    }
    arguments
}

async fn bring_up(site: &DemoStack, ports: Ports, signals: &mut Signals) -> anyhow::Result<()> {
    let kind = match site {
        DemoStack::Docker { .. } => "containers on Docker",
        DemoStack::Local { .. } => "processes on this machine",
    };
    say(&format!("A gateway, three shops in three zones and a store, as {kind} …"));
    tokio::select! {
        up = site.up(ports) => up?,
        name = signals.next() => bail!(Stopped(name)),
    }
    say(&format!("They are up: customers check out at http://127.0.0.1:{}/checkout", ports.gateway));
    Ok(())
}

/// Runs the experiments; what they came to, in their order.
async fn play(site: &DemoStack, state: &StateDir, ports: Ports, signals: &mut Signals) -> anyhow::Result<Vec<Verdict>> {
    let files = DemoStack::experiments(state, ports)?;
    let mut ends = Vec::new();
    for (n, (act, file)) in ACTS.iter().zip(&files).enumerate() {
        follow::tell(&format!("\n{} of {}  {}\n        {}\n", n + 1, ACTS.len(), act.words[0], act.words[1]));
        let mut end = (Verdict::NoVerdict, None);
        for attempt in 1..=ATTEMPTS {
            end = perform(file, site, state).await?;
            if let Some(name) = signals.come() {
                bail!(Stopped(name));
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
async fn perform(file: &Path, site: &DemoStack, state: &StateDir) -> anyhow::Result<(Verdict, Option<PathBuf>)> {
    let x = load::experiment(file)?.value;
    let connected = match site {
        DemoStack::Docker { docker, .. } => ConnectedEngine::Docker(Arc::clone(docker)),
        DemoStack::Local { local, .. } => ConnectedEngine::Local(Arc::clone(local)),
    };
    let options = RunOptions::default();
    let came = super::one_run::experiment(&x, &file.display().to_string(), &connected, state, &options).await?;
    let started = came.run.as_ref().and_then(|run| run.started.as_ref());
    Ok((came.verdict, started.map(|started| state.run_dir(&started.run))))
}

fn summary(ends: &[(Verdict, Option<PathBuf>)]) -> String {
    let line = |(act, (verdict, dir)): (&Act, &(Verdict, Option<PathBuf>))| {
        let name = act.file.trim_end_matches(".yaml");
        let surprise = if *verdict == act.expected { "as expected" } else { "not as expected" };
        // On a line of its own: who copies a path wants it whole.
        let report = dir.as_ref().map(|dir| format!("\n    {}", dir.join("report.html").display())).unwrap_or_default();
        format!("  {name:<15} {:<11} {surprise}{report}", verdict.words())
    };
    let lines: Vec<String> = ACTS.iter().zip(ends).map(line).collect();
    format!("What came of it:\n{}", lines.join("\n"))
}

fn how_to_go_on(site: &DemoStack, state: &StateDir, ports: Ports) {
    let options = match site {
        DemoStack::Docker { .. } => String::new(),
        DemoStack::Local { file, .. } => format!(" --state {} --stack {}", state.root().display(), file.display()),
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
        match Docker::reach(args.docker.endpoint()?).await {
            Ok(docker) => found |= DemoStack::docker(docker).down_all().await?,
            Err(e) if args.engine.is_some() || args.docker.is_named() => return Err(e.into()),
            Err(_) => {}
        }
    }
    if matches!(args.engine, None | Some(Kind::Local))
        && let Some(site) = DemoStack::earlier_local(state)?
    {
        found |= site.down_all().await?;
    }
    say(&if found { format!("{NAME} is taken away.") } else { format!("There is no {NAME} to take away.") });
    Ok(ExitCode::SUCCESS)
}
