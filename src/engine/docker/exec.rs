//! Commands: inside a container, or here for one.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use futures_util::StreamExt as _;
use rustix::process::Signal as Native;

use super::failure::{Failure, within};
use super::lifecycle::attempting;
use super::{Docker, QUICK};
use crate::engine::here::{MARK, end_earlier, judge, run_here, variable};
use crate::engine::{EngineError, Outcome, Ran, Tag, fill_command};
use crate::host::command::OUTPUT_LIMIT;
use crate::host::process::Process;
use crate::instance::{Command, InstanceId, Place, Setting};

impl Docker {
    /// Runs the command of a change, after ending what still runs of an earlier one.
    pub(super) async fn run_command(
        &self,
        tag: &Tag,
        id: &InstanceId,
        command: &Command,
    ) -> Result<Outcome, EngineError> {
        if command.place == Place::Here {
            return run_here(tag, id, command).await;
        }
        let to = Setting::Ran(command.clone());
        let Some(instance) = self.now(id, &to).await?.and_then(|c| self.instance(c)) else { return Ok(Outcome::Gone) };
        end_earlier(tag).await?;
        let argv = fill_command(command, variable)?;
        let env = vec![format!("{MARK}={tag}")];
        let ran = match self.run_in(&id.0, &argv, env, command.timeout).await {
            Ok(ran) => ran,
            Err(error) => {
                end_earlier(tag).await?;
                // The message is to hold the template of the command, never the values of its variables.
                return match error {
                    EngineError::Refused { why, .. } if self.now(id, &to).await?.is_some() => {
                        Err(EngineError::Refused { attempt: attempting(&instance.name, &to), why })
                    }
                    EngineError::Refused { .. } => Ok(Outcome::Gone),
                    EngineError::TimedOut { after, .. } => {
                        Err(EngineError::TimedOut { attempt: attempting(&instance.name, &to), after })
                    }
                    other => Err(other),
                };
            }
        };
        judge(attempting(&instance.name, &to), ran.status, &ran.stdout, &ran.stderr)
    }

    /// Runs a command in a container. After `timeout` it is killed, where its process can be seen from here.
    pub(super) async fn run_in(
        &self,
        container: &str,
        argv: &[String],
        env: Vec<String>,
        timeout: Duration,
    ) -> Result<Ran, EngineError> {
        let program = argv.first().map_or("nothing", String::as_str);
        let error = |f: Failure| f.error(&self.address, || format!("run `{program}` in {container}"));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(env),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = within(QUICK, self.api.create_exec(container, options)).await.map_err(error)?.id;
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
        match within(timeout, output).await {
            Ok((stdout, stderr)) => {
                let ended = within(QUICK, self.api.inspect_exec(&exec)).await.map_err(error)?;
                let status = ended.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                Ok(Ran { status, stdout: text(stdout), stderr: text(stderr) })
            }
            Err(failure) => {
                self.end(&exec).await;
                Err(error(failure))
            }
        }
    }

    /// Kills what an exec has started. The engine has no call for that, so it goes by the process itself.
    async fn end(&self, exec: &str) {
        let look =
            || async { within(QUICK, self.api.inspect_exec(exec)).await.ok().filter(|e| e.running == Some(true)) };
        let pid = |e: &ExecInspectResponse| e.pid.and_then(|pid| u32::try_from(pid).ok());
        let Some(seen) = look().await else { return };
        let Some(process) = pid(&seen).and_then(|pid| Process::open(pid).ok().flatten()) else { return };
        let is_its = seen.container_id.as_deref().is_some_and(|id| process.is_in_cgroup_of(id));
        if is_its
            && look().await.is_some_and(|again| pid(&again) == pid(&seen))
            && let Err(why) = process.signal(Native::KILL)
        {
            tracing::warn!(%why, "a command that took too long runs on");
        }
    }
}

fn keep(kept: &mut Vec<u8>, message: &[u8]) {
    let room = OUTPUT_LIMIT - kept.len();
    kept.extend_from_slice(&message[..message.len().min(room)]);
}
