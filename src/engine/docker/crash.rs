//! A crash: a signal to a container's main process from the host's kernel, past the engine.
//!
//! The process is held by a descriptor first, and only then shown to be the container's: a PID that went to somebody
//! else meanwhile is never targeted.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::models::ContainerState;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::container::{attempting, is_running, main_pid, name_of};
use super::{Docker, QUICK};
use crate::engine::here::native;
use crate::engine::{Ability, EngineError, Outcome};
use crate::host::process::Process;
use crate::model::instance::{InstanceId, Setting, Signal};

/// How often to look whether the engine has noticed.
const AGAIN: Duration = Duration::from_millis(5);

/// The longest pause between two such looks.
const LONGEST_POLL_INTERVAL: Duration = Duration::from_millis(80);

/// How long the engine may take to know of an end.
const UNSEEN: Duration = Duration::from_secs(1);

const NOT_SEEN: &str = "its process cannot be seen from here; run Squall on the engine's own host, or in a container with \
                        `--pid=host`, or use `via: engine`";

/// A container's main process, held, and shown to be its own.
#[derive(Debug)]
pub(super) struct Held {
    process: Process,
    state: ContainerState,
    /// The container's.
    name: String,
}

/// Those that are about to get a signal.
pub(super) type AllHeld = Mutex<HashMap<InstanceId, Held>>;

impl Docker {
    /// Whether this process could send such signals at all.
    pub(super) fn can_crash(&self) -> Ability {
        if !rustix::process::geteuid().is_root() {
            return Ability::No(
                "a crash (`via: host`) is a signal from the host's kernel: run as root, or use `via: engine`"
                    .to_owned(),
            );
        }
        if self.sight.looked.load(Ordering::Relaxed) && !self.sight.found.load(Ordering::Relaxed) {
            return Ability::No(format!("a crash (`via: host`) is a signal to the container's process: {NOT_SEEN}"));
        }
        Ability::Yes
    }

    /// Takes hold of the main processes of these containers, all at once, so that signals to them can follow one another with
    /// nothing in between. Whoever cannot be held is left to the signal itself, which tells why.
    pub(super) async fn hold_all(&self, ids: &[InstanceId], to: &Setting) {
        let found = join_all(ids.iter().map(|id| self.hold(id, to))).await;
        let found = ids.iter().zip(found).filter_map(|(id, held)| Some((id.clone(), held.ok()?.ok()?)));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = found.collect();
    }

    /// Sends the signal, and after SIGKILL waits until the engine has noticed the end.
    pub(super) async fn crash(&self, id: &InstanceId, to: &Setting, signal: Signal) -> Result<Outcome, EngineError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Held { process, state, name } = match held.filter(|held| held.process.is_alive()) {
            Some(held) => held,
            None => match self.hold(id, to).await? {
                Ok(held) => held,
                Err(outcome) => return Ok(outcome),
            },
        };
        let refused = |why: io::Error| EngineError::Refused { attempt: attempting(&name, to), why: why.to_string() };
        process.signal(native(signal)).map_err(refused)?;
        if state.paused == Some(true) {
            // A frozen process of cgroup v1 receives its signals when it is thawed.
            let thawed = Setting::Paused(false);
            self.unpause(id, &thawed).await?;
        }
        if signal == Signal::SigKill {
            process.ended_within(QUICK).await.map_err(refused)?;
            self.notices(id, to, &state).await?;
        }
        Ok(Outcome::Done)
    }

    /// Takes hold of a container's main process; what came of it where there is none to be held.
    async fn hold(&self, id: &InstanceId, to: &Setting) -> Result<Result<Held, Outcome>, EngineError> {
        let deadline = Instant::now() + QUICK;
        // A process that has just ended is out of sight a little before the engine knows.
        let unseen = Instant::now() + UNSEEN;
        loop {
            let Some(before) = self.now(id, to).await? else { return Ok(Err(Outcome::Gone)) };
            let name = name_of(&before, id);
            if Instant::now() >= deadline {
                return Err(EngineError::TimedOut { attempt: attempting(&name, to), after: QUICK });
            }
            let refused = |why: String| EngineError::Refused { attempt: attempting(&name, to), why };
            let state = before.state.unwrap_or_default();
            let Some(pid) = main_pid(&state).filter(|_| is_running(&state)) else { return Ok(Err(Outcome::Already)) };
            let process = Process::open(pid).map_err(|e| refused(e.to_string()))?;
            let process = process.filter(|p| p.is_of_container(&id.0));

            // Now that it is held: is it still the container's main process, of the same life?
            let Some(after) = self.now(id, to).await? else { return Ok(Err(Outcome::Gone)) };
            let same = after.state.as_ref().is_some_and(|s| s.pid == state.pid && s.started_at == state.started_at);
            match process {
                Some(process) if same => return Ok(Ok(Held { process, state, name })),
                _ if same && Instant::now() >= unseen => return Err(refused(NOT_SEEN.to_owned())),
                // It ended or was restarted while it was looked at.
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Waits until the engine no longer tells the life that has ended.
    pub(super) async fn notices(
        &self,
        id: &InstanceId,
        to: &Setting,
        ended: &ContainerState,
    ) -> Result<(), EngineError> {
        let deadline = Instant::now() + QUICK;
        let mut pause = AGAIN;
        while let Some(now) = self.now(id, to).await? {
            let state = now.state.clone().unwrap_or_default();
            if !is_running(&state) || state.pid != ended.pid || state.started_at != ended.started_at {
                break;
            }
            if Instant::now() >= deadline {
                let attempt = format!("see the end of {}, which was killed", name_of(&now, id));
                return Err(EngineError::TimedOut { attempt, after: QUICK });
            }
            // Each time later: where many end at once, their engine has enough to do.
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_POLL_INTERVAL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::fake::Fake;
    use crate::engine::{Apply as _, Tag};
    use crate::model::instance::{Kill, Via};

    /// So long that no control group of the machine that runs this has it in its path.
    const ID: &str = "5db0e1c94f7a2386";
    const CRASH: Setting = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host });

    fn container(pid: u32, started: &str) -> (u16, String) {
        let state = serde_json::json!({ "Status": "running", "Running": true, "Pid": pid, "StartedAt": started });
        (200, serde_json::json!({ "Id": ID, "Name": "/shop-1", "State": state }).to_string())
    }

    fn tag() -> Tag {
        Tag { run: "r".to_owned(), change: 0 }
    }

    /// The engine tells a PID that belongs to another process by now.
    #[tokio::test]
    async fn a_stranger_with_the_containers_pid_is_not_targeted() {
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = stranger.id();
        let fake = Fake::new(move |_, _| container(pid, "t1")).await;
        let error = fake.docker.set(&tag(), &InstanceId(ID.to_owned()), &CRASH).await.unwrap_err();
        let lives = Process::open(pid).unwrap().is_some_and(|p| p.is_alive());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert!(lives, "a stranger was killed");
        assert!(error.to_string().contains("shop-1") && error.to_string().contains("via: engine"), "{error}");
        if rustix::process::geteuid().is_root() {
            assert!(matches!(fake.docker.can_crash(), Ability::No(why) if why.contains("--pid=host")));
        }
    }

    /// A real one of the machine that runs this, in a control group whose path has `/`.
    fn sleeper() -> std::process::Child {
        std::process::Command::new("sleep").arg("60").spawn().unwrap()
    }

    /// Whoever is held already is signalled before anything more is asked, so that all of a zone go down together.
    #[tokio::test]
    async fn who_is_held_is_targeted_at_once() {
        let mut main = sleeper();
        let pid = main.id();
        let fake = Fake::new(move |n, _| match n {
            0 | 1 => container(pid, "t1"),
            _ => (404, r#"{"message":"no such container"}"#.to_owned()),
        })
        .await;
        let id = InstanceId("/".to_owned());
        fake.docker.prepare(&[(id.clone(), CRASH)]).await;
        let looks = fake.asked().len();
        let lives = Process::open(pid).unwrap().is_some_and(|p| p.is_alive());
        let outcome = fake.docker.set(&tag(), &id, &CRASH).await;
        main.kill().unwrap();
        let ended = main.wait().unwrap();
        assert!(lives, "nothing is targeted by being held");
        assert_eq!(outcome.unwrap(), Outcome::Done);
        assert_eq!((looks, fake.asked().len()), (2, 3), "one more request, whether the engine has noticed");
        assert!(!ended.success());
    }

    /// Where the held process ends before it is targeted, its container is looked at again, as if it had not been held.
    #[tokio::test]
    async fn who_ends_while_it_is_held_is_looked_at_again() {
        let (mut earlier, mut later) = (sleeper(), sleeper());
        let (first, second) = (earlier.id(), later.id());
        let fake = Fake::new(move |n, _| match n {
            0 | 1 => container(first, "t1"),
            2 | 3 => container(second, "t2"),
            _ => (404, r#"{"message":"no such container"}"#.to_owned()),
        })
        .await;
        let id = InstanceId("/".to_owned());
        fake.docker.prepare(&[(id.clone(), CRASH)]).await;
        earlier.kill().unwrap();
        earlier.wait().unwrap();
        let outcome = fake.docker.set(&tag(), &id, &CRASH).await;
        let lives = Process::open(second).unwrap().is_some_and(|p| p.is_alive());
        later.kill().unwrap();
        later.wait().unwrap();
        assert_eq!(outcome.unwrap(), Outcome::Done);
        assert!(!lives, "the container's process of now was meant");
    }

    /// The container is restarted while its process is being looked at: the old life's process is not targeted, even where
    /// it looks like the container's.
    #[tokio::test]
    async fn a_process_of_another_life_is_not_targeted() {
        let mut earlier = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = earlier.id();
        let fake = Fake::new(move |n, _| match n {
            0 => container(pid, "t1"),
            1 => container(pid, "t2"),
            _ => (404, r#"{"message":"no such container"}"#.to_owned()),
        })
        .await;
        // Every control group file contains "/", so this id passes that check.
        let outcome = fake.docker.set(&tag(), &InstanceId("/".to_owned()), &CRASH).await;
        let lives = Process::open(pid).unwrap().is_some_and(|p| p.is_alive());
        earlier.kill().unwrap();
        earlier.wait().unwrap();
        assert!(lives, "a process of an earlier life was killed");
        assert_eq!(outcome.unwrap(), Outcome::Gone);
    }
}
