//! A Docker Engine by way of a helper on its own host: Squall in a container there, started through the engine's API, which sees the
//! containers' processes and may do what takes root. What needs its host is asked of the helper; all else of the engine itself.
//!
//! The stream to it is the only way to it: no port, and no credentials beyond the engine's own. With the stream's end, or after five
//! seconds without a word, the helper rolls back alone what it holds. What it does then is not known here: a node is told every line of
//! a run's journal, and how that is used is the business of `squall node`.

mod link;
pub mod protocol;
mod session;
pub(crate) mod turns;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::protocol::{Answer, Call, Found};
use self::session::Session;
use super::docker::Docker;
use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Helper, Lock, Observe, Outcome, Ran, Tag,
};
use crate::model::instance::{Change, Command, Instance, InstanceId, Setting};
use crate::model::node::NodeAvailability;

/// The repository of the helper's image.
pub const IMAGE: &str = "squall-node";

/// A Docker Engine with a helper on its host.
#[derive(Debug)]
pub struct Node {
    docker: Arc<Docker>,
    session: Arc<Session>,
}

impl Node {
    /// Begins a session: the helper is started now, so that what keeps it from that is known before anything is planned.
    ///
    /// # Errors
    /// Where the engine refuses, or the helper does not begin.
    pub async fn begin(docker: Arc<Docker>, image: Option<&str>) -> Result<Self, EngineError> {
        let image = Self::image(&docker, image).await?;
        let session = format!("{IMAGE}-{:016x}", rand::random::<u64>());
        let node = Self::of(docker, Helper { session, image }, true);
        match node.session.link().await {
            Ok(_) => Ok(node),
            Err(e) => {
                node.end().await;
                Err(e)
            }
        }
    }

    /// Goes on with a session of another process, such as a run that is dead. A helper is started as soon as it is needed.
    #[must_use]
    pub fn resume(docker: Arc<Docker>, helper: &Helper) -> Self {
        Self::of(docker, helper.clone(), false)
    }

    fn of(docker: Arc<Docker>, helper: Helper, began: bool) -> Self {
        Self { session: Arc::new(Session::new(Arc::clone(&docker), helper, began)), docker }
    }

    /// The image that a helper is made from, unless another one is named.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn image(docker: &Docker, named: Option<&str>) -> Result<String, EngineError> {
        if let Some(image) = named {
            return Ok(image.to_owned());
        }
        let own = docker.own_image(IMAGE).await?;
        // Those of older programs are of use to none; one that is in use stays.
        let _ = docker.remove_images_of(IMAGE, Some(&own)).await;
        Ok(own)
    }

    /// The engine itself.
    #[must_use]
    pub fn docker(&self) -> &Arc<Docker> {
        &self.docker
    }

    /// What its helpers have in common.
    #[must_use]
    pub fn helper(&self) -> &Helper {
        &self.session.helper
    }

    /// Tells the node all that is recorded of a run, from now on line by line. Nothing of that run can be made so there before it is
    /// told its rollback.
    pub fn tell(&self, run: &str, line: &str) {
        self.session.tell(run, line);
    }

    /// Sees that the node has all that was told of a run so far.
    ///
    /// # Errors
    /// Where it cannot be had there.
    pub async fn hold(&self, run: &str) -> Result<(), EngineError> {
        self.session.take_care_of(run);
        self.session.link().await.map(drop)
    }

    /// Has dead runs of this session rolled back there: what was left, and what was done.
    ///
    /// # Errors
    /// Where the helper does not answer.
    pub async fn recover(&self) -> Result<Vec<Found>, EngineError> {
        match self.ask(Call::Recover).await? {
            Answer::Alone(found) => Ok(found),
            other => Err(self.session.confused(&other)),
        }
    }

    /// Lets the helper go: it rolls back what is left of what it holds.
    pub async fn close(&self) {
        self.session.close().await;
    }

    /// The same where all runs of the session are settled: its volume goes, too.
    pub async fn end(&self) {
        self.session.end().await;
    }

    async fn ask(&self, call: Call) -> Result<Answer, EngineError> {
        let link = self.session.link().await?;
        link.begin(call).answer().await.map_err(|why| self.session.lost(&why))?
    }
}

impl Engine for Node {
    fn describe(&self) -> Description {
        let helper = self.helper().clone();
        Description { helper: Some(helper), ..self.docker.describe() }
    }

    fn acted_alone(&self) -> Option<String> {
        let all: Vec<String> = self.session.alone().into_iter().filter_map(|found| found.alone).collect();
        (!all.is_empty()).then(|| format!("the helper on the engine's host acted alone: {}", all.join("; ")))
    }

    fn acts_alone(&self) -> Option<String> {
        let lease = humantime::format_duration(protocol::LEASE);
        let text = format!(
            "the helper on the engine's host has not been heard of for {lease}, after which it rolls back alone"
        );
        self.session.is_unheard().then_some(text)
    }
}

#[async_trait]
impl Observe for Node {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        match self.ask(Call::Observe).await? {
            Answer::Instances(all) => Ok(all.into_iter().map(Instance::from).collect()),
            other => Err(self.session.confused(&other)),
        }
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        match self.ask(Call::Look(id.clone())).await? {
            Answer::Instance(seen) => Ok(seen.map(|seen| Instance::from(*seen))),
            other => Err(self.session.confused(&other)),
        }
    }

    /// Nothing of it needs the engine's host.
    async fn glance(&self) -> Result<Vec<Instance>, EngineError> {
        self.docker.glance().await
    }

    async fn node_availability(&self, node: &str) -> Result<Option<NodeAvailability>, EngineError> {
        self.docker.node_availability(node).await
    }
}

#[async_trait]
impl Apply for Node {
    async fn prepare(&self, all: &[(InstanceId, Setting)]) {
        // What it does not find, `set` finds for itself.
        let _ = self.ask(Call::Prepare(all.to_vec())).await;
    }

    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        // Commands of the user's have their variables from here.
        if matches!(to, Setting::Ran(_)) {
            return self.docker.set(tag, id, to).await;
        }
        match self.ask(Call::Set { tag: tag.clone(), id: id.clone(), to: Box::new(to.clone()) }).await? {
            Answer::Outcome(outcome) => Ok(outcome),
            other => Err(self.session.confused(&other)),
        }
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        let is_command = |to: &Setting| matches!(to, Setting::Ran(_));
        let there: Vec<_> = all.iter().filter(|(_, to)| !is_command(to)).cloned().collect();
        let mut there = match self.ask(Call::Can(there)).await? {
            Answer::Abilities(abilities) => abilities.into_iter(),
            other => return Err(self.session.confused(&other)),
        };
        let each = all.iter().map(
            |(instance, to)| {
                if is_command(to) { Some(self.docker.ability(instance, to)) } else { there.next() }
            },
        );
        each.collect::<Option<Vec<_>>>().ok_or_else(|| self.session.lost("it leaves a question open"))
    }

    async fn cannot_start(&self, instance: &InstanceId, command: &Command) -> Option<String> {
        self.docker.cannot_start(instance, command).await
    }

    async fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, EngineError> {
        match self.ask(Call::AddressesOf(host.to_owned())).await? {
            Answer::Addresses(addresses) => Ok(addresses),
            other => Err(self.session.confused(&other)),
        }
    }

    fn by_hand(&self, change: &Change, to: &Setting) -> String {
        self.docker.by_hand(change, to)
    }
}

#[async_trait]
impl Lock for Node {
    fn marked_as(&self, service: &str) -> String {
        self.docker.marked_as(service)
    }

    async fn claim(&self, claim: &Claim) -> Result<(), EngineError> {
        self.docker.claim(claim).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), EngineError> {
        self.docker.release(claim).await
    }

    async fn claims(&self) -> Result<Vec<Claim>, EngineError> {
        self.docker.claims().await
    }
}

#[async_trait]
impl Execute for Node {
    async fn exec(&self, instance: &str, command: &[String], timeout: Duration) -> Result<Ran, EngineError> {
        let call = Call::Exec { instance: instance.to_owned(), command: command.to_vec(), timeout };
        match self.ask(call).await? {
            Answer::Ran(ran) => Ok(ran),
            other => Err(self.session.confused(&other)),
        }
    }

    async fn end_abandoned(&self) {
        let _ = self.ask(Call::EndAbandoned).await;
    }
}
