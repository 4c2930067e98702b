//! One process of a stack: started in a session of its own, found again, ended with all its children.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::records::{Life, ProcessSpec, Record};
use crate::engine::EngineError;
use crate::host::process::{self, Process};

/// The variable by which the processes of an instance, children included, are found: the stack's address and the name.
const MARK: &str = "SQUALL_PROCESS";
/// How long a killed process may take to end.
const KILLED: Duration = Duration::from_secs(5);
/// How long a process may take until its port answers.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process without a port is watched before it counts as started.
const SETTLED: Duration = Duration::from_millis(150);
/// So much of its output is shown when it does not start (bytes).
const TAIL: usize = 600;

/// Where a process belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessIdentity<'a> {
    /// The stack's state file.
    pub(super) address: &'a Path,
    /// The stack's name.
    pub(super) stack: &'a str,
    /// The instance's name.
    pub(super) name: &'a str,
}

impl ProcessIdentity<'_> {
    fn mark(&self) -> String {
        format!("{}#{}", self.address.display(), self.name)
    }

    /// The instance's main process, if it is alive.
    pub(super) fn main(&self, record: &Record) -> Option<(Process, Life)> {
        if let Some(life) = record.life
            && let Some(held) = hold(life)
        {
            return Some((held, life));
        }
        if !record.starting {
            return None;
        }
        // Whoever started it died before he could write down which one it is. The one that starts it leads its session.
        self.members()
            .into_iter()
            .filter_map(|held| {
                let stat = process::stat(held.pid())?;
                (stat.session != held.pid() && held.is_alive())
                    .then_some((Life { pid: held.pid(), started: stat.start_ticks }, held))
            })
            .min_by_key(|(life, _)| life.started)
            .map(|(life, held)| (held, life))
    }

    /// The instance's processes: the main one and its children, or what it left behind.
    pub(super) fn members(&self) -> Vec<Process> {
        process::with_variable(MARK, &self.mark())
    }

    /// Kills what is left of the instance.
    pub(super) async fn sweep(&self) -> Result<(), EngineError> {
        process::kill_with_variable(MARK, &self.mark(), KILLED)
            .await
            .map(drop)
            .map_err(|e| self.refused("end what is left of", &e))
    }

    /// Starts it. `squall` is the program that does, by `squall stack spawn`: so it is no child of this process and outlives it.
    pub(super) async fn spawn(&self, squall: &Path, spec: &ProcessSpec) -> Result<Life, EngineError> {
        // In a namespace of its own no other process can.
        if let (Some(port), None) = (spec.port, &spec.slot)
            && answers(spec, port).await
        {
            return Err(self.refused("start", &format!("something else listens on port {port} already")));
        }
        let slot = spec.slot.as_ref().map(serde_json::to_string).transpose().map_err(|e| self.refused("start", &e))?;
        let output = tokio::process::Command::new(squall)
            .args(["stack", "spawn", "--log"])
            .arg(&spec.log)
            .args(slot.iter().flat_map(|slot| ["--slot", slot.as_str()]))
            .arg("--")
            .args(&spec.command)
            .envs(&spec.environment)
            .envs(spec.port.map(|port| ("PORT", port.to_string())))
            .env("SQUALL_STACK", self.stack)
            .env("SQUALL_INSTANCE", self.name)
            .env(MARK, self.mark())
            .env_remove(crate::engine::here::MARK)
            .current_dir(&spec.directory)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|e| self.refused("start", &format!("{}: {e}", squall.display())))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(pid) = said.trim().parse::<u32>().ok().filter(|_| output.status.success()) else {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(self.refused("start", &why.trim().trim_start_matches("error: ")));
        };
        match process::start_ticks(pid) {
            Some(started) => Ok(Life { pid, started }),
            None => Err(self.refused("start", &ended_at_once(&spec.log))),
        }
    }

    /// Waits until its port answers, or for a moment where it has none.
    pub(super) async fn ready(&self, spec: &ProcessSpec, life: Life) -> Result<(), EngineError> {
        let deadline = Instant::now() + if spec.port.is_some() { READY_TIMEOUT } else { SETTLED };
        loop {
            if hold(life).is_none() {
                return Err(self.refused("start", &ended_at_once(&spec.log)));
            }
            match spec.port {
                Some(port) if answers(spec, port).await => return Ok(()),
                None if Instant::now() > deadline => return Ok(()),
                Some(port) if Instant::now() > deadline => {
                    let limit = humantime::format_duration(READY_TIMEOUT);
                    let at = spec.slot.as_ref().map_or_else(String::new, |slot| {
                        format!(
                            " of {} (does it listen there? `{{address}}` in its command stands for it)",
                            slot.address
                        )
                    });
                    let why = format!("port {port}{at} does not answer after {limit}; {}", tail(&spec.log));
                    return Err(self.refused("start", &why));
                }
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Signals the main process, waits for its end, and ends what is left of the instance then. Whether it has ended.
    pub(super) async fn end(&self, main: &Process, signal: Signal, limit: Duration) -> Result<bool, EngineError> {
        main.signal(signal).map_err(|e| self.refused("signal", &e))?;
        if signal != Signal::KILL && process::stat(main.pid()).is_some_and(|stat| stat.state == 'T') {
            // What is frozen does not get it before it goes on.
            main.signal(Signal::CONT).map_err(|e| self.refused("continue", &e))?;
        }
        let limit = if signal == Signal::KILL { KILLED } else { limit };
        if !main.ended_within(limit).await.map_err(|e| self.refused("watch", &e))? {
            return Ok(false);
        }
        self.sweep().await?;
        Ok(true)
    }

    pub(super) fn refused(&self, verb: &str, why: &dyn std::fmt::Display) -> EngineError {
        EngineError::Refused { attempt: format!("{verb} {}", self.name), why: why.to_string() }
    }
}

/// The process of a life; nothing where that life is over.
fn hold(life: Life) -> Option<Process> {
    let held = Process::open(life.pid).ok()??;
    // The number's owner is known only now that the descriptor is held.
    (process::start_ticks(life.pid) == Some(life.started) && held.is_alive()).then_some(held)
}

/// Whether something listens on a port where the instance shall be reached.
async fn answers(spec: &ProcessSpec, port: u16) -> bool {
    let connects = |address: IpAddr| async move {
        matches!(timeout(Duration::from_millis(200), TcpStream::connect((address, port))).await, Ok(Ok(_)))
    };
    match &spec.slot {
        Some(slot) => connects(slot.address.into()).await,
        None => connects(Ipv4Addr::LOCALHOST.into()).await || connects(Ipv6Addr::LOCALHOST.into()).await,
    }
}

fn ended_at_once(log: &Path) -> String {
    format!("it ended at once; {}", tail(log))
}

/// The end of a log, as the end of a sentence.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]);
    match text.trim() {
        "" => "it printed nothing".to_owned(),
        text => format!("its output ends:\n  {}", text.replace('\n', "\n  ")),
    }
}
