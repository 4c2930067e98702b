//! One of several machines: its engine, which is reached again whenever it is needed and was not there before. A run that is rolled back
//! must not wait for a machine that is gone.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::command::connect::ConnectedEngine;
use crate::engine::docker::Docker;
use crate::engine::node::Node;
use crate::engine::node::turns::Turns;
use crate::engine::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Lock, Member, Observe, Outcome, Ran, Tag,
};
use crate::model::instance::{Change, Command, Instance, InstanceId, Setting};
use crate::model::node::NodeAvailability;
use crate::record::journal::Recorder;

/// How long it may take to tell a node whether it is given tasks.
const TELLS: Duration = Duration::from_secs(5);

/// An engine that may have to be reached first.
pub(crate) struct MachineEngine {
    member: Member,
    /// One attempt at a time.
    reaching: Turns,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connected: Option<ConnectedEngine>,
    /// The lines of runs that its helper is told as soon as it is reached.
    untold: Vec<(String, String)>,
}

impl MachineEngine {
    /// One that answers.
    pub(super) fn reached(member: Member, connected: ConnectedEngine) -> Arc<Self> {
        let state = State { connected: Some(connected), ..State::default() };
        Arc::new(Self { member, reaching: Turns::default(), state: Mutex::new(state) })
    }

    /// One of an earlier run.
    pub(super) fn later(member: Member) -> Arc<Self> {
        Arc::new(Self { member, reaching: Turns::default(), state: Mutex::default() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.member.name
    }

    /// Its engine, if it has answered.
    pub(crate) fn connected(&self) -> Option<ConnectedEngine> {
        self.state().connected.clone()
    }

    /// Tries to reach it; what is asked of it later says why it cannot be.
    pub(super) async fn try_now(&self) {
        let _ = self.engine().await;
    }

    /// Sees that its helper has all that is recorded of a run, as soon as it is reached.
    pub(crate) async fn entrust(self: &Arc<Self>, rec: &Recorder) {
        let (run, machine) = (rec.run(), Arc::clone(self));
        rec.mirror(Box::new(move |line| machine.tell(&run, line)));
        if let Some(ConnectedEngine::Node(node)) = self.connected()
            && let Err(e) = node.hold(&rec.run()).await
        {
            complain!("warning: {}: {e}", self.member.name);
        }
    }

    fn tell(&self, run: &str, line: &str) {
        let mut state = self.state();
        match &state.connected {
            Some(ConnectedEngine::Node(node)) => node.tell(run, line),
            Some(_) => {}
            None => state.untold.push((run.to_owned(), line.to_owned())),
        }
    }

    async fn engine(&self) -> Result<Arc<dyn Engine>, EngineError> {
        let turn = self.reaching.next().await;
        match self.connected() {
            Some(connected) => Ok(connected.engine()),
            None => turn?.came_to(self.reach().await),
        }
    }

    /// Machines that were made of one image have engines with one id.
    fn is_the_same(&self, now: &Description) -> Result<(), EngineError> {
        match (&self.member.engine.host, &now.host) {
            (Some(was), Some(is)) if was != is => Err(EngineError::Unreachable {
                address: now.address.clone(),
                why: format!(
                    "another machine ({is}) answers there than the one of the run ({was}); try again where this address leads to \
                     that one, or, if it was renamed, when it has that name again"
                ),
            }),
            _ => Ok(()),
        }
    }

    async fn reach(&self) -> Result<Arc<dyn Engine>, EngineError> {
        let docker = Docker::from_description(&self.member.engine).await?;
        self.is_the_same(&docker.describe())?;
        // As it was called when the run began.
        let machine = crate::engine::docker::Machine { name: self.member.name.clone(), ..docker.machine().clone() };
        let docker = Arc::new(docker.with_machine(machine));
        let Some(helper) = &self.member.engine.helper else {
            let connected = ConnectedEngine::Docker(docker);
            self.state().connected = Some(connected.clone());
            return Ok(connected.engine());
        };
        let node = Arc::new(Node::resume(docker, helper));
        let runs = {
            let mut state = self.state();
            let mut runs = Vec::new();
            for (run, line) in std::mem::take(&mut state.untold) {
                node.tell(&run, &line);
                runs.push(run);
            }
            state.connected = Some(ConnectedEngine::Node(Arc::clone(&node)));
            runs.dedup();
            runs
        };
        for run in runs {
            node.hold(&run).await?;
        }
        Ok(node)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MachineEngine {
    fn describe(&self) -> Description {
        self.member.engine.clone()
    }

    fn acted_alone(&self) -> Option<String> {
        self.connected()?.engine().acted_alone()
    }

    fn acts_alone(&self) -> Option<String> {
        self.connected()?.engine().acts_alone()
    }
}

#[async_trait]
impl Observe for MachineEngine {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        self.engine().await?.observe().await
    }

    async fn glance(&self) -> Result<Vec<Instance>, EngineError> {
        self.engine().await?.glance().await
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        self.engine().await?.look(id).await
    }

    async fn node_availability(&self, node: &str) -> Result<Option<NodeAvailability>, EngineError> {
        self.engine().await?.node_availability(node).await
    }
}

#[async_trait]
impl Apply for MachineEngine {
    async fn prepare(&self, all: &[(InstanceId, Setting)]) {
        if let Ok(engine) = self.engine().await {
            engine.prepare(all).await;
        }
    }

    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let set = async { self.engine().await?.set(tag, id, to).await };
        // Where it does not, another manager can; its own is versioned, so that it does no harm when it comes late.
        if !matches!(to, Setting::Availability(_)) {
            return set.await;
        }
        let told = timeout(TELLS, set).await;
        told.unwrap_or_else(|_| Err(EngineError::TimedOut { attempt: format!("have {to}"), after: TELLS }))
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        self.engine().await?.can(all).await
    }

    async fn cannot_start(&self, instance: &InstanceId, command: &Command) -> Option<String> {
        match self.engine().await {
            Ok(engine) => engine.cannot_start(instance, command).await,
            Err(e) => Some(e.to_string()),
        }
    }

    async fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, EngineError> {
        self.engine().await?.addresses_of(host).await
    }

    fn by_hand(&self, change: &Change, to: &Setting) -> String {
        match self.connected() {
            Some(connected) => connected.engine().by_hand(change, to),
            None => {
                format!("set {} back to {to}, on {} ({})", change.name, self.member.name, self.member.engine.address)
            }
        }
    }
}

#[async_trait]
impl Lock for MachineEngine {
    fn marked_as(&self, service: &str) -> String {
        self.connected().map_or_else(|| service.to_owned(), |connected| connected.engine().marked_as(service))
    }

    async fn claim(&self, claim: &Claim) -> Result<(), EngineError> {
        self.engine().await?.claim(claim).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), EngineError> {
        self.engine().await?.release(claim).await
    }

    async fn claims(&self) -> Result<Vec<Claim>, EngineError> {
        self.engine().await?.claims().await
    }

    async fn claims_at(&self, id: &InstanceId) -> Result<Vec<Claim>, EngineError> {
        self.engine().await?.claims_at(id).await
    }
}

#[async_trait]
impl Execute for MachineEngine {
    async fn exec(&self, instance: &str, command: &[String], timeout: Duration) -> Result<Ran, EngineError> {
        self.engine().await?.exec(instance, command, timeout).await
    }

    async fn end_abandoned(&self) {
        if let Some(connected) = self.connected() {
            connected.engine().end_abandoned().await;
        }
    }
}
