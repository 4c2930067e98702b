//! No command is started in a container while it is being frozen: what starts it would be frozen half-way with the engine's lock on the
//! container in its hands, and no call about that container, an unpause neither, would ever be answered (runc 1.1, cgroup v1 and v2).
//! Those that are being started are waited for, and new ones wait until it is frozen; the engine then refuses them.
//!
//! Others may start commands there all the same (`docker exec`, health checks): then the kernel's freezer is thawed past the engine.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Docker, QUICK};
use crate::engine::{EngineError, Outcome};
use crate::host::Host;
use crate::host::cgroup::Version;
use crate::host::process;
use crate::model::instance::{InstanceId, Setting};

/// How long an engine that is well takes to thaw a container, and more.
const THAWS: Duration = Duration::from_secs(4);

/// How often it is helped along.
const TIMES: usize = 4;

/// The door of each container, by its id: those who start a command in it pass through, who freezes it closes it.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<HashMap<String, Arc<RwLock<()>>>>);

impl Doors {
    fn of(&self, container: &str) -> Arc<RwLock<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(container.to_owned()).or_default().clone()
    }

    /// Waits until it is not being frozen. It is not, as long as what is returned is held.
    pub(super) async fn enter(&self, container: &str) -> OwnedRwLockReadGuard<()> {
        self.of(container).read_owned().await
    }

    /// Lets no further command be started there, as long as what is returned is held.
    async fn close(&self, container: &str) -> OwnedRwLockWriteGuard<()> {
        self.of(container).write_owned().await
    }
}

impl Docker {
    /// Freezes a container in which no command is being started.
    pub(super) async fn pause(&self, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let _closed = self.doors.close(&id.0).await;
        self.all_start(&id.0).await;
        self.attempt(id, to, QUICK, self.api.pause_container(&id.0)).await
    }

    /// Thaws a container, past an engine that does not get to it, or that holds a frozen one for stopped, as Podman does after a kill.
    /// What waited behind a command may block it again, so that it may take several times.
    pub(super) async fn unpause(&self, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let mut asked = self.ask_to_thaw(id, to).await;
        if matches!(asked, Err(EngineError::Unreachable { .. })) {
            // Its processes go on at once; an engine that is up again still holds it for frozen, and is asked then.
            freeze_there(&self.host, id, false).await;
            return asked;
        }
        // Podman refuses what it holds for stopped, and frozen it must not stay.
        let is_refused = self.podman.is_none() && matches!(asked, Err(EngineError::Refused { .. }));
        if is_refused && freeze_there(&self.host, id, true).await {
            asked = self.ask_again_to_thaw(id, to).await;
        }
        for _ in 0..TIMES {
            let is_blocked = match &asked {
                Err(EngineError::TimedOut { .. }) => true,
                Err(EngineError::Refused { .. }) => self.podman.is_some(),
                _ => false,
            };
            if !is_blocked || !freeze_there(&self.host, id, false).await {
                return asked;
            }
            tracing::warn!(container = %id, "the engine did not thaw it; its control group is thawed");
            match self.inspect(&id.0).await {
                Ok(None) => return Ok(Outcome::Gone),
                // What blocked the engine is over. It still holds it for frozen, and thaws only what is.
                Ok(Some(now)) if now.state.as_ref().is_some_and(|s| s.paused == Some(true)) => {
                    freeze_there(&self.host, id, true).await;
                    asked = self.ask_again_to_thaw(id, to).await;
                }
                Ok(Some(_)) => return Ok(Outcome::Done),
                Err(_) => {}
            }
        }
        asked
    }

    /// The same of one that was frozen past the engine for that: it stays so only until the engine has thawed it.
    async fn ask_again_to_thaw(&self, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let asked = self.ask_to_thaw(id, to).await;
        if !matches!(asked, Ok(Outcome::Done)) {
            freeze_there(&self.host, id, false).await;
        }
        asked
    }

    async fn ask_to_thaw(&self, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        self.attempt(id, to, THAWS, self.api.unpause_container(&id.0)).await
    }
}

/// Freezes or thaws the control group of a container whose processes can be seen here; whether that was done.
async fn freeze_there(host: &Arc<Host>, id: &InstanceId, frozen: bool) -> bool {
    let (host, id) = (Arc::clone(host), id.0.clone());
    tokio::task::spawn_blocking(move || freeze(&host, &id, frozen).is_ok()).await.unwrap_or(false)
}

fn freeze(host: &Host, id: &str, frozen: bool) -> io::Result<()> {
    // A load of Squall stands in no more of its groups than it is about.
    let freezers = process::of_container(id).into_iter().filter_map(|p| host.cgroups().of(&p, id).ok()?.freezer());
    let freezer = freezers.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
    match freezer.version {
        Version::V1 => freezer.write("freezer.state", if frozen { "FROZEN" } else { "THAWED" }),
        Version::V2 => freezer.write("cgroup.freeze", if frozen { "1" } else { "0" }),
    }
}
