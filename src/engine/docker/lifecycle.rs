//! Starting, stopping, killing, restarting and pausing containers. Every one of them may be repeated at will.

use std::sync::PoisonError;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerUpdateBody, RestartPolicyNameEnum};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use tokio::time::Instant;

use super::container::{attempting, is_replaced, is_running, is_so, name_of, short};
use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::{EngineError, Outcome};
use crate::model::instance::{InstanceId, RestartPolicy, Setting, Signal};

/// How long a stop or restart may take beyond the time that the container has for it.
const MARGIN: Duration = Duration::from_secs(10);

/// How often to look again while the engine is about to restart a container.
const AGAIN: Duration = Duration::from_millis(20);

impl Docker {
    /// Makes a call that sets `to`. Where the engine refuses, what counts is how the container is now.
    pub(super) async fn attempt(
        &self,
        id: &InstanceId,
        to: &Setting,
        limit: Duration,
        call: impl Future<Output = Result<(), bollard::errors::Error>>,
    ) -> Result<Outcome, EngineError> {
        let failure = match within(limit, call).await {
            Ok(()) => return Ok(Outcome::Done),
            Err(failure) => failure,
        };
        let mut name = short(id);
        if let Failure::Missing(_) | Failure::Refused(_) = failure {
            match self.inspect(&id.0).await {
                Ok(None) => return Ok(Outcome::Gone),
                Ok(Some(now)) if is_so(to, &now) => return Ok(Outcome::Already),
                Ok(Some(now)) => name = name_of(&now, id),
                // The first failure is the one to tell.
                Err(_) => {}
            }
        }
        Err(failure.error(&self.endpoint.address, || attempting(&name, to)))
    }

    /// Thaws what is to be ended, as Docker does by itself. Podman refuses, or worse: where control groups are of version 1, one that was
    /// killed stays frozen, and Podman holds it for stopped. Returns the life that is to end, of Podman's containers alone.
    async fn before_its_end(&self, id: &InstanceId, to: &Setting) -> Result<Option<ContainerState>, EngineError> {
        if self.podman.is_none() {
            return Ok(None);
        }
        let state = self.now(id, to).await?.and_then(|now| now.state);
        if state.as_ref().is_some_and(|state| state.paused == Some(true)) {
            Box::pin(self.unpause(id, &Setting::Paused(false))).await?;
        }
        Ok(state)
    }

    /// Starts it, thaws it, or waits for the engine that is about to restart it. One that has ended and that an orchestrator
    /// replaces is gone: started again, it would run beside the one that stands in for it.
    pub(super) async fn start(&self, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let deadline = Instant::now() + QUICK;
        let mut outcome = Outcome::Already;
        loop {
            let Some(now) = self.now(id, to).await? else { return Ok(Outcome::Gone) };
            let state = now.state.clone().unwrap_or_default();
            if Instant::now() >= deadline {
                return Err(EngineError::TimedOut { attempt: attempting(&name_of(&now, id), to), after: QUICK });
            }
            if state.paused == Some(true) {
                let thawed = Setting::Paused(false);
                outcome = self.unpause(id, &thawed).await?;
            } else if is_running(&state) {
                return Ok(outcome);
            } else if state.restarting == Some(true) {
                tokio::time::sleep(AGAIN).await;
            } else if is_replaced(&now) {
                return Ok(Outcome::Gone);
            } else {
                let call = self.api.start_container(&id.0, None::<StartContainerOptions>);
                return self.attempt(id, to, QUICK, call).await;
            }
        }
    }

    pub(super) async fn stop(&self, id: &InstanceId, to: &Setting, t: Duration) -> Result<Outcome, EngineError> {
        match self.now(id, to).await? {
            None => Ok(Outcome::Gone),
            Some(now) if is_so(to, &now) => Ok(Outcome::Already),
            Some(_) => {
                let options = StopContainerOptionsBuilder::new().t(whole_seconds(t)).build();
                self.before_its_end(id, to).await?;
                self.attempt(id, to, t.saturating_add(MARGIN), self.api.stop_container(&id.0, Some(options))).await
            }
        }
    }

    pub(super) async fn restart(&self, id: &InstanceId, to: &Setting, t: Duration) -> Result<Outcome, EngineError> {
        let options = RestartContainerOptionsBuilder::new().t(whole_seconds(t)).build();
        self.before_its_end(id, to).await?;
        self.attempt(id, to, t.saturating_add(MARGIN), self.api.restart_container(&id.0, Some(options))).await
    }

    /// Has the engine do something else when the main process ends by itself. It may run or not.
    pub(super) async fn set_restart_policy(
        &self,
        id: &InstanceId,
        to: &Setting,
        policy: RestartPolicy,
    ) -> Result<Outcome, EngineError> {
        match self.now(id, to).await? {
            None => Ok(Outcome::Gone),
            Some(now) if is_so(to, &now) => Ok(Outcome::Already),
            Some(_) => {
                let (name, most) = match policy {
                    RestartPolicy::Never => (RestartPolicyNameEnum::NO, 0),
                    RestartPolicy::OnFailure { most } => (RestartPolicyNameEnum::ON_FAILURE, most),
                    RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
                    RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, 0),
                };
                let policy =
                    bollard::models::RestartPolicy { name: Some(name), maximum_retry_count: Some(most.into()) };
                let update = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
                self.attempt(id, to, QUICK, self.api.update_container(&id.0, update)).await
            }
        }
    }

    /// Sends a signal as an operator does. After SIGKILL the engine answers when the process has ended.
    pub(super) async fn kill(&self, id: &InstanceId, to: &Setting, signal: Signal) -> Result<Outcome, EngineError> {
        let options = KillContainerOptionsBuilder::new().signal(signal.name()).build();
        let life = self.before_its_end(id, to).await?;
        let outcome = self.attempt(id, to, QUICK, self.api.kill_container(&id.0, Some(options))).await?;
        // Podman may answer while it tells that the container runs.
        if let (Some(life), Signal::SigKill, Outcome::Done) = (life, signal, outcome) {
            self.notices(id, to, &life).await?;
        }
        Ok(outcome)
    }

    /// How the container is, before `to` is set.
    pub(super) async fn now(
        &self,
        id: &InstanceId,
        to: &Setting,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        self.inspect(&id.0).await.map_err(|f| f.error(&self.endpoint.address, || attempting(&short(id), to)))
    }

    /// The same as it was last seen, if the engine is down and `to` may be a rollback: the kernel needs no engine for it, and says itself
    /// whether the process is still that container's.
    pub(super) async fn now_or_last(
        &self,
        id: &InstanceId,
        to: &Setting,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let may_be_rollback =
            matches!(to, Setting::Mark(_, None) | Setting::Limit(_) | Setting::Freed(_) | Setting::ReadOnly(_));
        match self.now(id, to).await {
            Err(error @ EngineError::Unreachable { .. }) if may_be_rollback => self.last(id).map(Some).ok_or(error),
            now => now,
        }
    }

    /// A container as it was when it was last seen running.
    pub(super) fn last(&self, id: &InstanceId) -> Option<ContainerInspectResponse> {
        self.sight.last.lock().unwrap_or_else(PoisonError::into_inner).get(&id.0).cloned()
    }
}

/// The engine counts in seconds; a part of one is given as a whole one.
fn whole_seconds(t: Duration) -> i32 {
    let seconds = t.as_secs().saturating_add(u64::from(t.subsec_nanos() > 0));
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::fake::Fake;
    use crate::engine::{Apply as _, Tag};

    #[test]
    fn a_part_of_a_second_is_given_as_a_whole_one() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(10)), 10);
        assert_eq!(whole_seconds(Duration::MAX), i32::MAX);
    }

    fn refusing(
        status: u16,
        message: &str,
        state: &serde_json::Value,
    ) -> impl Fn(usize, &str) -> (u16, String) + use<> {
        let refusal = (status, serde_json::json!({ "message": message }).to_string());
        let container = serde_json::json!({ "Id": "abc", "Name": "/shop-1", "State": state }).to_string();
        move |_, request| {
            if request.starts_with("GET") { (200, container.clone()) } else { refusal.clone() }
        }
    }

    async fn set(fake: &Fake, to: &Setting) -> Result<Outcome, EngineError> {
        fake.docker.set(&Tag { run: "r".to_owned(), change: 0 }, &InstanceId("abc".to_owned()), to).await
    }

    #[tokio::test]
    async fn whatever_the_refusal_what_counts_is_how_it_is() {
        let paused = serde_json::json!({ "Running": true, "Paused": true });
        for (status, message) in [(409, "already paused"), (500, "who knows")] {
            let fake = Fake::new(refusing(status, message, &paused)).await;
            assert_eq!(set(&fake, &Setting::Paused(true)).await.unwrap(), Outcome::Already);
            let error = set(&fake, &Setting::Paused(false)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("cannot unpause shop-1: {message}"));
        }
    }

    /// A start answers "not found" too when a network of the container is missing.
    #[tokio::test]
    async fn not_found_is_not_always_gone() {
        let down = serde_json::json!({ "Running": false });
        let fake = Fake::new(refusing(404, "network front not found", &down)).await;
        let error = set(&fake, &Setting::Running(true)).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start shop-1: network front not found");
        assert_eq!(fake.asked().last().map(String::as_str), Some("GET /containers/abc/json"));
    }

    #[test]
    fn about_to_restart_is_neither_running_nor_down() {
        let now: ContainerInspectResponse =
            serde_json::from_value(serde_json::json!({ "State": { "Running": true, "Restarting": true } })).unwrap();
        assert!(!is_so(&Setting::Running(true), &now));
        assert!(!is_so(&Setting::Running(false), &now));
    }
}
