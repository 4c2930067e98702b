//! `squall stack`: local processes from a stack file, for experiments without an engine.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use tabled::builder::Builder;
use tabled::settings::Style;
use tokio::signal::unix::{SignalKind, signal};

use super::brought_up::Note;
use super::guard::patiently;
use super::stack_guard::Starter;
use super::{brought_up, compose, load};
use crate::command::cli;
use crate::command::shop;
use crate::engine::Description;
use crate::engine::docker::Docker;
use crate::engine::local::{Local, Status};
use crate::host::net::switch::{self, NetworkSlot};
use crate::host::store::{StateDir, private_file};
use crate::host::worker;
use crate::model::exit;
use crate::report::follow::{self, say};
use crate::text::units::count;

pub(super) async fn run(args: cli::Stack, state: StateDir) -> anyhow::Result<ExitCode> {
    let (verb, file) = match args {
        cli::Stack::Up { file } => (Verb::Up, file),
        cli::Stack::Down { file } => (Verb::Down, file),
        cli::Stack::Status { file } => (Verb::Status, file),
        cli::Stack::Spawn { log, slot, command } => return spawn(&log, slot.as_deref(), &command),
        cli::Stack::Keep { file, demo, project, on } => {
            let kept = Kept { file: file.as_deref(), demo: demo.as_deref(), project: project.as_deref() };
            return keep(&kept, on.as_deref(), &state).await;
        }
    };
    let read = match verb {
        Verb::Up => load::stack(&file),
        // What is up is in the state: of the file the name counts, and variables may be set no more.
        Verb::Down | Verb::Status => load::stack_without_variables(&file),
    };
    let stack = match read {
        Ok(reading) => Local::of(&state, &file, &reading.value)?,
        Err(trouble) => {
            follow::complain_styled(&trouble.to_string());
            return Ok(ExitCode::from(exit::INVALID));
        }
    };
    match verb {
        Verb::Up => up(&stack).await,
        Verb::Status => status(&stack),
        Verb::Down => {
            say(&format!("{} ended; nothing of the stack is left", count(stack.down().await?, "process")));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What people do with a whole stack.
enum Verb {
    Up,
    Down,
    Status,
}

async fn up(stack: &Local) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let started = tokio::select! {
        // A stack that does not come up as its file says is a mistake of the file, not of an engine.
        started = stack.up() => started.map_err(|e| anyhow::anyhow!("{e}"))?,
        _ = interrupt.recv() => return interrupted(stack).await,
        _ = terminate.recv() => return interrupted(stack).await,
        _ = hangup.recv() => return interrupted(stack).await,
    };
    // Who brings it up by hand wants it to stay.
    brought_up::shall_stay(stack.directory());
    say(&format!("{} started", count(started.len(), "process")));
    status(stack)
}

async fn interrupted(stack: &Local) -> anyhow::Result<ExitCode> {
    stack.down().await?;
    anyhow::bail!("interrupted; the stack is taken down again");
}

fn status(stack: &Local) -> anyhow::Result<ExitCode> {
    let all = stack.status()?;
    if all.is_empty() {
        say("the stack is not up");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Builder::default();
    // Where no instance has an address of its own, there is nothing to say about it.
    let has_addresses = all.iter().any(|status| !status.instance.addresses.is_empty());
    let row = |mut cells: Vec<String>| {
        if !has_addresses {
            cells.remove(3);
        }
        cells
    };
    table.push_record(row(["INSTANCE", "ZONE", "STATE", "ADDRESS", "PORT", "PID", "LOG"].map(str::to_owned).to_vec()));
    for Status { instance, pid, port, log } in all {
        let state = match (instance.is_running(), instance.is_up()) {
            (true, true) => "running",
            (true, false) => "paused",
            (false, _) => "not running",
        };
        table.push_record(row(vec![
            instance.name,
            instance.zone.unwrap_or_default(),
            state.to_owned(),
            instance.addresses.first().map(|a| a.ip.to_string()).unwrap_or_default(),
            port.map(|p| p.to_string()).unwrap_or_default(),
            pid.map(|p| p.to_string()).unwrap_or_default(),
            log.display().to_string(),
        ]));
    }
    say(&table.build().with(Style::blank()).to_string());
    Ok(ExitCode::SUCCESS)
}

/// Starts one process in a session of its own, and in a network namespace of its own where it has a slot, and ends: so the
/// process is a child of the machine's first process, and the namespace its own.
fn spawn(log: &Path, slot: Option<&str>, command: &[String]) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    rustix::process::setsid().context("cannot begin a session")?;
    let open = || private_file().append(true).open(log);
    let log = open().with_context(|| format!("cannot write {}", log.display()))?;
    if let Some(slot) = slot {
        let slot: NetworkSlot = serde_json::from_str(slot).context("the network slot is wrong")?;
        switch::join(&slot).with_context(|| format!("cannot join the stack's network as {}", slot.address))?;
    }
    let (program, arguments) = command.split_first().context("the command is empty")?;
    let child = Command::new(program)
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    say(&child.id().to_string());
    Ok(ExitCode::SUCCESS)
}

/// What a stack's guard takes away: one of these.
struct Kept<'a> {
    /// The stack of a file.
    file: Option<&'a Path>,
    /// The containers of a demonstration.
    demo: Option<&'a str>,
    /// A project of Compose.
    project: Option<&'a str>,
}

/// Waits for the starter's end and takes away what he had.
async fn keep(kept: &Kept<'_>, on: Option<&Description>, state: &StateDir) -> anyhow::Result<ExitCode> {
    let (local, mut starter) = worker::stand(|| {
        let local = kept.file.map(|file| Local::open(state, file)).transpose()?;
        anyhow::Ok((local, Starter::hold()?))
    })?;
    if starter.is_gone().await {
        let of_project = || kept.project.map(|project| brought_up::directory(state, project));
        let noted = local.as_ref().map(|local| local.directory().to_owned()).or_else(of_project);
        let note = noted.map(|dir| Note::charge(&dir)).transpose()?.flatten();
        // The engine may be starting again just now.
        patiently(|| take_away(local.as_ref(), kept, on)).await?;
        brought_up::over(note.as_ref());
    }
    Ok(ExitCode::SUCCESS)
}

async fn take_away(local: Option<&Local>, kept: &Kept<'_>, on: Option<&Description>) -> anyhow::Result<()> {
    if let Some(local) = local {
        local.down().await?;
    }
    // What was brought up is on the engine that was meant then, whichever context is current by now.
    let Some(on) = on else { return Ok(()) };
    if let Some(project) = kept.project {
        compose::take_away(&Docker::from_description(on).await?, project).await?;
    }
    if let Some(id) = kept.demo {
        let docker = Docker::from_description(on).await?;
        docker.remove_labelled(&format!("{}={id}", shop::LABEL), false).await?;
        docker.remove_images_of(shop::NAME, None).await?;
    }
    Ok(())
}
