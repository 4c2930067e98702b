//! Several runs in a row: what a gate and a game day have in common. The stack that they run on, the engine that is reached anew
//! for each run, what ends them early, and the end of all. It knows neither which experiments come, nor what happens between them.
//!
//! A schedule has none: each of its runs is a gate in a process of its own, so that a
//! daemon that dies leaves it alone.

use super::connect::pin;
use super::connect::reach;
use super::halt;
use super::one_run::{self, RunOptions, not_begun};
use super::run_stack::{self, RunStack};
use super::stop::Stop;
use crate::command::cli::EngineArgs;
use crate::experiment::Experiment;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::occasions::gate::{Attempt, Entry};
use crate::record::event::Reason;
use crate::record::state::RunState;
use crate::report::follow::{self, Output};
use crate::report::series;
use crate::run::recover::may_come_late;

/// Why nothing further begins after a signal.
const SIGNAL: &str = "stopped by a signal";

/// Several runs in a row, on one engine and one stack.
pub(super) struct Suite {
    engine: EngineArgs,
    state: StateDir,
    /// How each of them is run.
    options: RunOptions,
    stack: Option<RunStack>,
    stop: Stop,
}

impl Suite {
    /// Brings the stack up, if one is named; from then on signals end the suite.
    ///
    /// # Errors
    /// What it comes to where the stack does not come up, which says nothing about any hypothesis; people have been told.
    pub(super) async fn begin(
        engine: &EngineArgs,
        first: Option<&Experiment>,
        state: &StateDir,
        options: RunOptions,
    ) -> Result<Self, Attempt> {
        let (mut engine, state) = (engine.clone(), state.clone());
        pin(&mut engine).map_err(|e| not_begun(Verdict::NoVerdict, e.to_string()))?;
        let stack = RunStack::up(&mut engine, first, &state).await.map_err(|e| {
            let (verdict, why) = (run_stack::not_up(&e), format!("{e:#}"));
            Attempt { verdict, why, run: None }
        })?;
        match Stop::listen() {
            Ok(stop) => {
                let options = RunOptions { stopped: stop.flag(), ..options };
                Ok(Self { engine, state, options, stack, stop })
            }
            Err(e) => {
                let left =
                    run_stack::down(stack).await.map(|why| Attempt { verdict: Verdict::LeftBehind, why, run: None });
                Err(left.unwrap_or_else(|| not_begun(Verdict::NoVerdict, format!("{e:#}"))))
            }
        }
    }

    /// The project of Compose that was brought up for it, if one was.
    pub(super) fn project(&self) -> Option<&str> {
        self.engine.project.as_deref()
    }

    /// Runs an experiment: what came of it. An engine that does not answer is no verdict.
    ///
    /// # Errors
    /// Where it cannot even begin; nothing has been touched then.
    pub(super) async fn attempt(
        &self,
        x: &Experiment,
        file: &str,
        seed: Option<u64>,
        id: Option<String>,
    ) -> anyhow::Result<Attempt> {
        let x = &run_stack::at_home(&self.engine, x);
        let options = RunOptions { seed, id, ..self.options.clone() };
        match reach(&self.engine, Some(x), &self.state).await {
            Ok(connected) => {
                let came = one_run::experiment(x, file, &connected, &self.state, &options).await;
                let settled = |run: &RunState| run.is_settled() && !may_come_late(run);
                let run = came.as_ref().ok().and_then(|came| came.run.as_deref());
                connected.close(run.is_none_or(settled)).await;
                came
            }
            Err(e) => Ok(cannot_begin(&e)),
        }
    }

    /// Why a person wants nothing further to begin, as could be seen during this run; `None` if none does.
    pub(super) fn ended_in(&self, attempt: &Attempt) -> Option<String> {
        let reason = attempt.run.as_ref().and_then(|run| run.finished.as_ref()).map(|f| f.reason);
        match reason {
            _ if self.stop.asked() => Some(SIGNAL.to_owned()),
            Some(Reason::Interrupted | Reason::Halted) => Some(attempt.why.clone()),
            _ => None,
        }
    }

    /// Waits until a signal or `squall halt` ends it: which. For what goes on between the runs.
    pub(super) async fn ended(&self) -> String {
        tokio::select! {
            biased;
            () = self.stop.wait() => SIGNAL.to_owned(),
            note = halt::halted(&self.state) => format!("halted: {note}"),
        }
    }

    /// Takes the stack away. What was done before comes back; in its place, where the stack could not be taken away, why not, which
    /// people have been told.
    ///
    /// # Errors
    /// That of what was done.
    pub(super) async fn end<T>(self, done: anyhow::Result<T>) -> anyhow::Result<Result<T, String>> {
        match (run_stack::down(self.stack).await, done) {
            (None, done) => done.map(Ok),
            (Some(why), Ok(_)) => Ok(Err(why)),
            (Some(why), Err(e)) => {
                complain!("error: {e:#}");
                Ok(Err(why))
            }
        }
    }
}

/// A run among others that could not begin: it has no verdict, and people are told why.
pub(super) fn cannot_begin(e: &anyhow::Error) -> Attempt {
    not_begun(Verdict::NoVerdict, format!("{e:#}"))
}

/// Shows what all of them came to.
pub(super) fn show(entries: &[Entry]) {
    follow::tell(&format!("\n{}", series::table(entries, Output::stdout().width())));
}
