//! Making a setting of an instance so. Every way first looks, so that what is already so is left alone.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::Local;
use super::private;
use super::process::ProcessIdentity;
use super::records::{self, Life, Locked, Record, Records};
use crate::engine::{EngineError, Outcome, Tag, here};
use crate::host::process::{Process, stat};
use crate::model::instance::{InstanceId, Kill, Setting};

/// How long the kernel may take to stop or continue all processes of an instance.
const FROZEN: Duration = Duration::from_secs(3);
/// How long a signal that may be trapped is given before it counts as trapped.
const MAYBE_TRAPPED: Duration = Duration::from_millis(200);

pub(super) const NO_POLICY: &str = "plain processes are not restarted";

/// Why nothing is done to the machine of plain processes.
pub(super) const NO_NODE: &str = "plain processes run on the machine that Squall runs on itself";

impl Local {
    pub(super) async fn make_so(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let records = records::read(&self.dir)?;
        let Some((records, record)) = records.as_ref().and_then(|r| Some((r, r.processes.get(&id.0)?))) else {
            return match to {
                // What it undoes was done outside of the stack, which may be down by now.
                Setting::Ran(command) => here::run_here(tag, id, command).await,
                _ => Ok(Outcome::Gone),
            };
        };
        let identity = self.identity(records, &id.0);
        match to {
            Setting::Running(true) => self.start(&id.0).await,
            Setting::Running(false) => end(identity, record, Signal::KILL, MAYBE_TRAPPED).await,
            Setting::Killed(Kill { signal, .. }) => end(identity, record, here::native(*signal), MAYBE_TRAPPED).await,
            Setting::Stopped { timeout } => stop(identity, record, *timeout).await,
            Setting::Restarted { timeout } => {
                stop(identity, record, *timeout).await?;
                // Somebody else may have been quicker: it is another process than before all the same.
                self.start(&id.0).await.map(|o| if o == Outcome::Gone { o } else { Outcome::Done })
            }
            Setting::Paused(on) => freeze(identity, record, *on).await,
            Setting::Mark(aspect, mark) if let Some(why) = super::not_marked(*aspect, mark.as_deref()) => {
                Err(EngineError::Refused { attempt: format!("have {} {to}", id.0), why })
            }
            Setting::Network(_) | Setting::Mark(..) | Setting::ConnectionsReset(_) => {
                self.set_traffic(tag, records, (&id.0, record), to).await
            }
            Setting::Limit(_) | Setting::Stressor(_) | Setting::Signalled(_) => {
                Err(identity.refused("limit", &super::NO_GROUP))
            }
            Setting::RestartPolicy(_) => {
                Err(EngineError::Refused { attempt: format!("have {} {to}", id.0), why: NO_POLICY.to_owned() })
            }
            Setting::Isolated(_) | Setting::Availability(_) => {
                Err(EngineError::Refused { attempt: format!("have {} {to}", id.0), why: NO_NODE.to_owned() })
            }
            Setting::Filled(_) | Setting::Freed(_) | Setting::ReadOnly(_) => {
                Err(identity.refused("change the disk of", &super::NO_DISK))
            }
            Setting::Ran(command) => here::run_here(tag, id, command).await,
        }
    }

    /// Starts an instance's process where it does not run, and waits until it answers.
    pub(super) async fn start(&self, name: &str) -> Result<Outcome, EngineError> {
        let Some(started) = self.launch(name).await? else { return Ok(Outcome::Gone) };
        let (records, life, outcome) = started;
        self.identity(&records, name).ready(&records.processes[name].spec, life).await?;
        Ok(outcome)
    }

    /// Starts an instance's process where it does not run, and its network where that is not there. The lock is held from looking to having written it down, so
    /// that two who do this at once start one process.
    pub(super) async fn launch(&self, name: &str) -> Result<Option<(Records, Life, Outcome)>, EngineError> {
        let Some(locked) = Locked::take(&self.dir).await? else { return Ok(None) };
        let Some(mut records) = locked.read()? else { return Ok(None) };
        let Some(record) = records.processes.get(name) else { return Ok(None) };
        let spec = record.spec.clone();
        let identity = self.identity(&records, name);
        let (life, outcome) = if let Some((_, life)) = identity.main(record) {
            if record.life == Some(life) {
                return Ok(Some((records, life, Outcome::Already)));
            }
            (life, Outcome::Already)
        } else {
            identity.sweep().await?;
            if let Some(slot) = &spec.slot {
                private::make(slot)?;
            }
            // Written down before it is done: a process that finds this looks for one that is not recorded.
            records.processes[name].starting = true;
            locked.write(&records)?;
            let started = self.identity(&records, name).spawn(self.host.program(), &spec).await;
            if started.is_err() {
                records.processes[name].starting = false;
                locked.write(&records)?;
            }
            (started?, Outcome::Done)
        };
        records.processes[name].life = Some(life);
        records.processes[name].starting = false;
        locked.write(&records)?;
        Ok(Some((records, life, outcome)))
    }
}

async fn end(
    identity: ProcessIdentity<'_>,
    record: &Record,
    signal: Signal,
    limit: Duration,
) -> Result<Outcome, EngineError> {
    let Some((main, _)) = identity.main(record) else { return Ok(Outcome::Already) };
    let ended = identity.end(&main, signal, limit).await?;
    if !ended && signal == Signal::KILL {
        return Err(identity.refused("end", &format!("process {} was killed and does not end", main.pid())));
    }
    Ok(Outcome::Done)
}

async fn stop(identity: ProcessIdentity<'_>, record: &Record, limit: Duration) -> Result<Outcome, EngineError> {
    let Some((main, _)) = identity.main(record) else { return Ok(Outcome::Already) };
    if identity.end(&main, Signal::TERM, limit).await? {
        return Ok(Outcome::Done);
    }
    end(identity, record, Signal::KILL, limit).await
}

/// Stops or continues every process of an instance, and sees that it is so: children may be born meanwhile.
async fn freeze(identity: ProcessIdentity<'_>, record: &Record, on: bool) -> Result<Outcome, EngineError> {
    let verb = if on { "pause" } else { "continue" };
    let Some((main, _)) = identity.main(record) else {
        return if on { Err(identity.refused(verb, &"it is not running")) } else { Ok(Outcome::Already) };
    };
    let signal = if on { Signal::STOP } else { Signal::CONT };
    let deadline = Instant::now() + FROZEN;
    let mut outcome = Outcome::Already;
    loop {
        let mut members = identity.members();
        if members.iter().all(|held| held.pid() != main.pid()) {
            members.extend(Process::open(main.pid()).ok().flatten()); // it has cleared its environment
        }
        let differs = |held: &Process| stat(held.pid()).is_some_and(|s| (s.state == 'T') != on) && held.is_alive();
        let others: Vec<Process> = members.into_iter().filter(differs).collect();
        if others.is_empty() {
            return Ok(outcome);
        }
        outcome = Outcome::Done;
        if Instant::now() > deadline {
            let pids: Vec<String> = others.iter().map(|held| held.pid().to_string()).collect();
            let why = format!("the kernel does not do it to process {}", pids.join(", "));
            return Err(identity.refused(verb, &why));
        }
        for held in others {
            held.signal(signal).map_err(|e| identity.refused(verb, &e))?;
        }
        sleep(Duration::from_millis(1)).await;
    }
}
