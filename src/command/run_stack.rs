//! A stack that is up for one `squall run`, and taken away when that is over, however it ends: local processes from a stack
//! file of Squall's, or containers from a compose file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use super::brought_up::{self, Note};
use super::compose::{self, Project};
use super::connect::{ConnectedEngine, kind, reach};
use super::orphans;
use super::stack_guard::StackGuard;
use crate::command::cli::EngineArgs;
use crate::engine::local::Local;
use crate::engine::{Engine as _, Kind, StillThere};
use crate::experiment::Experiment;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;

pub(super) enum RunStack {
    Local {
        local: Arc<Local>,
        guard: Box<StackGuard>,
        /// As long as it is held, this process is in charge.
        note: Option<Note>,
    },
    Compose(Box<Project>),
}

/// Means the stack that the experiments themselves name, where the command line names neither one nor an engine of another kind.
///
/// From then on each of them says what it really runs on, so that its journal does, too.
///
/// # Errors
/// Where they do not all name the same.
pub(super) fn named<'a>(args: &mut EngineArgs, xs: impl IntoIterator<Item = &'a mut Experiment>) -> anyhow::Result<()> {
    let mut xs: Vec<&mut Experiment> = xs.into_iter().collect();
    mean(args, &xs)?;
    if args.engine.is_some_and(Kind::is_simulated) && args.stack.is_none() {
        // Each is rehearsed in a world of its own: that of the stack that it names, if it names one.
        for x in &mut xs {
            x.project.clear();
        }
        return Ok(());
    }
    for x in &mut xs {
        match (kind(args), &args.stack) {
            (Kind::Docker, Some(file)) if x.project.is_empty() => x.project.extend(compose::name_of(file)),
            (Kind::Docker, _) => {}
            // Elsewhere everything is of one stack.
            (Kind::Local | Kind::Sim, _) => x.project.clear(),
        }
        x.stack = args.stack.as_ref().map(|file| file.display().to_string());
    }
    Ok(())
}

fn mean(args: &mut EngineArgs, xs: &[&mut Experiment]) -> anyhow::Result<()> {
    if args.stack.is_some() || args.engine.is_some_and(Kind::is_simulated) {
        return Ok(());
    }
    let [first, others @ ..] = xs else { return Ok(()) };
    let place = |x: &Experiment| x.stack.as_ref().map(|file| Path::new(file).canonicalize().unwrap_or(file.into()));
    if let Some(other) = others.iter().find(|x| place(x) != place(first)) {
        let on =
            |x: &Experiment| x.stack.clone().map_or("whatever runs".to_owned(), |file| format!("the stack {file}"));
        bail!(
            "`{}` is to run on {}, and `{}` on {}: one call has one stack, so run them apart, or name one with --stack",
            first.name,
            on(first),
            other.name,
            on(other)
        );
    }
    let stack = first.stack.as_ref().map(PathBuf::from);
    let kind = |file: &PathBuf| if compose::is_compose(file) { Kind::Docker } else { Kind::Local };
    args.stack = stack.filter(|file| args.engine.is_none_or(|named| named == kind(file)));
    Ok(())
}

/// An experiment as it runs on a stack of its own, if there is one: that is its project then, and all that is seen.
pub(super) fn at_home(args: &EngineArgs, x: &Experiment) -> Experiment {
    let mut x = x.clone();
    if let Some(project) = &args.project {
        x.project = vec![project.clone()];
    }
    x
}

/// Tells that a stack did not come up, and what that means: nothing about any hypothesis, but something may be left.
pub(super) fn not_up(why: &anyhow::Error) -> Verdict {
    let verdict = if why.is::<StillThere>() { Verdict::LeftBehind } else { Verdict::NoVerdict };
    complain!("{}: {why:#}", verdict.words());
    verdict
}

/// Takes a stack away, where there is one. Where that fails people are told, and it is left behind: why.
pub(super) async fn down(stack: Option<RunStack>) -> Option<String> {
    let why = format!("the stack could not be taken away: {:#}", stack?.down().await.err()?);
    complain!("rollback incomplete: {why}");
    Some(why)
}

impl RunStack {
    /// Starts the stack that is named, if one is. A stack of processes that is up already belongs to
    /// somebody else and stays; a project of Compose is always one of its own, and the only thing that is seen of the engine
    /// from then on.
    ///
    /// # Errors
    /// Where it does not come up; then nothing of it is left.
    pub(super) async fn up(
        args: &mut EngineArgs,
        x: Option<&Experiment>,
        state: &StateDir,
    ) -> anyhow::Result<Option<Self>> {
        let Some(file) = args.stack.clone() else { return Ok(None) };
        // What a dead run has left up is in the way: it has ports.
        for (name, result) in orphans::take_all_away(state).await {
            match result {
                Ok(()) => complain!("recovered: the stack {name}, which a dead run had brought up, is taken away"),
                Err(e) => complain!("warning: {e:#}"),
            }
        }
        if kind(args) == Kind::Docker && compose::is_compose(&file) {
            let project = Project::up(&file, args.docker.endpoint()?, state).await?;
            args.project = Some(project.name().to_owned());
            return Ok(Some(Self::Compose(Box::new(project))));
        }
        // Each experiment says so: an engine that does not answer is no mistake of the command line.
        let Ok(ConnectedEngine::Local(local)) = reach(args, x, state).await else { return Ok(None) };
        if !local.status()?.is_empty() {
            return Ok(None);
        }
        let stack = brought_up::Stack { engine: local.describe(), project: None };
        let note = Note::write(local.directory(), &stack)?;
        let words: [OsString; 5] = ["--state".into(), state.root().into(), "stack".into(), "keep".into(), file.into()];
        let guard = StackGuard::start(words).await.inspect_err(|_| brought_up::over(note.as_ref()))?;
        let started = match local.up().await {
            Ok(started) => started,
            Err(e) => {
                // Where something is still there, the guard goes on trying: its starter's end of the line goes with this.
                if !e.is::<StillThere>() {
                    brought_up::over(note.as_ref());
                    guard.shutdown().await;
                }
                return Err(e);
            }
        };
        // Of two that start it at the same moment, it belongs to who has started its first process.
        if local.status()?.first().is_some_and(|first| !started.contains(&first.instance.name)) {
            brought_up::over(note.as_ref());
            guard.shutdown().await;
            return Ok(None);
        }
        Ok(Some(Self::Local { local, guard: Box::new(guard), note }))
    }

    /// Takes it away.
    async fn down(self) -> anyhow::Result<()> {
        match self {
            Self::Compose(project) => project.down().await,
            Self::Local { local, guard, note } => {
                local.down().await?;
                brought_up::over(note.as_ref());
                // Before anybody can start the same stack again: a guard that comes late would take that one away.
                guard.shutdown().await;
                Ok(())
            }
        }
    }
}
