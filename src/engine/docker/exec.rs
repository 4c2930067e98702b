//! Commands: inside a container, or here for one.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::container::attempting;
use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::here::{MARK, end_earlier, judge, run_here, variable_in_use};
use crate::engine::{EngineError, Outcome, Ran, Tag, fill_command};
use crate::host::command::OUTPUT_LIMIT;
use crate::host::process::Process;
use crate::model::instance::{Command, CommandLocation, InstanceId, Setting};

/// How long the engine may take to start a command whose client has hung up.
const STARTS: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The same while one is waited for to be started.
const START_POLL_INTERVAL: Duration = Duration::from_millis(5);

impl Docker {
    /// Runs the command of a change, after ending what still runs of an earlier one.
    pub(super) async fn run_command(
        &self,
        tag: &Tag,
        id: &InstanceId,
        command: &Command,
    ) -> Result<Outcome, EngineError> {
        if command.place == CommandLocation::Here {
            return run_here(tag, id, command).await;
        }
        let to = Setting::Ran(command.clone());
        let Some(instance) = self.now(id, &to).await?.and_then(|c| self.instance(c)) else { return Ok(Outcome::Gone) };
        // Another one stands in for it, and nothing runs in this one any more.
        if instance.is_over() {
            return Ok(Outcome::Gone);
        }
        end_earlier(tag).await?;
        let argv = fill_command(command, variable_in_use)?;
        let env = vec![format!("{MARK}={tag}")];
        // Messages are to hold the template of the command, never the values of its variables.
        let attempt = || attempting(&instance.name, &to);
        let ran = match self.run_in(&id.0, &argv, env, command.timeout).await {
            Ok((ran, Began::Yes)) => ran,
            Ok((ran, Began::No)) => {
                let why = format!("{} (is the program in the container?)", ran.stdout.trim());
                return Err(EngineError::NotBegun { attempt: attempt(), why });
            }
            Err((error, began)) => {
                end_earlier(tag).await?;
                return match error {
                    EngineError::Refused { .. } if self.now(id, &to).await?.is_none() => Ok(Outcome::Gone),
                    EngineError::Refused { why, .. } if began == Began::No => {
                        Err(EngineError::NotBegun { attempt: attempt(), why })
                    }
                    EngineError::Refused { why, .. } => Err(EngineError::Refused { attempt: attempt(), why }),
                    EngineError::TimedOut { after, .. } => Err(EngineError::TimedOut { attempt: attempt(), after }),
                    other => Err(other),
                };
            }
        };
        judge(attempt(), ran.status, &ran.stdout, &ran.stderr)
    }

    /// Runs a command in a container, and tells whether anything of it ever ran. After `timeout` it is killed with all that it
    /// has started, where its process can be seen from here.
    pub(super) async fn run_in(
        &self,
        container: &str,
        argv: &[String],
        env: Vec<String>,
        timeout: Duration,
    ) -> Result<(Ran, Began), (EngineError, Began)> {
        let program = argv.first().map_or("nothing", String::as_str);
        let error = |f: Failure| f.error(&self.endpoint.address, || format!("run `{program}` in {container}"));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(env),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let made = within(QUICK, self.api.create_exec(container, options)).await;
        let exec = made.map_err(|failure| (error(failure), Began::No))?.id;
        let made = within(QUICK, self.api.inspect_exec(&exec)).await.map_err(|f| (error(f), Began::No))?;
        let container = made.container_id.unwrap_or_else(|| container.to_owned());
        {
            let _inside = self.doors.enter(&container).await;
            // Who asks may go away at any `await` from here on.
            self.begun().insert(exec.clone(), container);
        }
        let output = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let started = self.api.start_exec(&exec, None::<StartExecOptions>).await?;
            if let StartExecResults::Attached { mut output, .. } = started {
                while let Some(chunk) = output.next().await {
                    match chunk? {
                        LogOutput::StdErr { message } => keep(&mut stderr, &message),
                        LogOutput::StdOut { message } | LogOutput::Console { message } => keep(&mut stdout, &message),
                        LogOutput::StdIn { .. } => {}
                    }
                }
            }
            Ok((stdout, stderr))
        };
        let ended = within(timeout, output).await;
        let refused = matches!(ended, Err(Failure::Refused(_) | Failure::Missing(_)));
        let seen = if refused { within(QUICK, self.api.inspect_exec(&exec)).await.ok() } else { None };
        let over = ended.is_ok() || seen.as_ref().is_some_and(|seen| !runs(seen)) || self.end(&exec).await;
        if over {
            self.begun().remove(&exec);
        }
        match ended {
            Ok((stdout, stderr)) => {
                let ended = within(QUICK, self.api.inspect_exec(&exec)).await.map_err(|f| (error(f), Began::Yes))?;
                let began = self.began(&ended);
                let status = ended.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                Ok((Ran { status, stdout: text(stdout), stderr: text(stderr) }, began))
            }
            Err(failure) => Err((error(failure), seen.as_ref().map_or(Began::Yes, |seen| self.began(seen)))),
        }
    }

    /// A command that the runtime could not start (its program is not there, say) never had a process. Podman tells of no process once
    /// a command has ended, whatever it was.
    fn began(&self, ended: &ExecInspectResponse) -> Began {
        let never = self.podman.is_none() && ended.running != Some(true) && ended.pid.unwrap_or(0) == 0;
        if never && ended.exit_code != Some(0) { Began::No } else { Began::Yes }
    }

    /// Waits until the engine has started a command, or will not, but not for ever.
    async fn starts(&self, exec: &str) {
        let end = Instant::now() + STARTS;
        while let Ok(seen) = within(QUICK, self.api.inspect_exec(exec)).await
            && seen.pid.is_none_or(|pid| pid == 0)
            && seen.exit_code.is_none()
            && Instant::now() < end
        {
            sleep(START_POLL_INTERVAL).await;
        }
    }

    /// Waits until every command that was begun in a container is started, also those whose asker has gone away.
    pub(super) async fn all_start(&self, container: &str) {
        let of = |(exec, place): (&String, &String)| (place == container).then(|| exec.clone());
        let begun: Vec<String> = self.begun().iter().filter_map(of).collect();
        join_all(begun.iter().map(|exec| self.starts(exec))).await;
    }

    /// Each with its container.
    fn begun(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every command that was begun and whose end is not waited for any more.
    pub(super) async fn end_begun(&self) {
        let abandoned: Vec<String> = self.begun().drain().map(|(exec, _)| exec).collect();
        join_all(abandoned.iter().map(|exec| self.end(exec))).await;
    }

    /// Kills what an exec has started, and says whether it is known to be over. The engine has no call for that, so it goes by
    /// the process itself. It may only be on its way: the engine goes on with starting it when its client has hung up, and
    /// says that it is running before it has a process.
    async fn end(&self, exec: &str) -> bool {
        let give_up = Instant::now() + STARTS;
        loop {
            let Ok(seen) = within(QUICK, self.api.inspect_exec(exec)).await else { return false };
            if !runs(&seen) && seen.exit_code.is_some() {
                return true;
            }
            if let Some(process) = process_of(&seen)
                // Looked at once more: what is held now is what the engine means.
                && within(QUICK, self.api.inspect_exec(exec)).await.is_ok_and(|again| runs(&again) && again.pid == seen.pid)
            {
                return process
                    .kill_group()
                    .inspect_err(|why| tracing::warn!(%why, "a command whose asker has gone away runs on"))
                    .is_ok();
            }
            if Instant::now() >= give_up {
                return false;
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

fn runs(exec: &ExecInspectResponse) -> bool {
    exec.running == Some(true)
}

/// The process of an exec that runs, where it can be seen from here; none while the engine is still starting it.
fn process_of(exec: &ExecInspectResponse) -> Option<Process> {
    let pid = exec.pid.filter(|_| runs(exec)).and_then(|pid| u32::try_from(pid).ok())?;
    let process = Process::open(pid).ok()??;
    exec.container_id.as_deref().is_some_and(|id| process.is_of_container(id)).then_some(process)
}

/// Whether anything of a command ever ran. Where that is not known, it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    Yes,
    No,
}

fn keep(kept: &mut Vec<u8>, message: &[u8]) {
    let room = OUTPUT_LIMIT - kept.len();
    kept.extend_from_slice(&message[..message.len().min(room)]);
}
