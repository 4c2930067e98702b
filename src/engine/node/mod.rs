//! A Docker Engine by way of a helper on its own host: Squall in a container there, started through the engine's API, which sees the
//! containers' processes and may do what takes root. What needs its host is asked of the helper; all else of the engine itself.
//!
//! The stream to it is the only way to it: no port, and no credentials beyond the engine's own. With the stream's end, or after five
//! seconds without a word, the helper rolls back alone what it holds. What it does then is not known here: a node is told every line of
//! a run's journal, and how that is used is the business of `squall node`.

mod link;
pub mod protocol;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};

use self::link::Link;
use self::protocol::{Answer, Call, Found, Hello, PROTOCOL, ToNode};
use super::docker::Docker;
use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Helper, Lock, Observe, Outcome, Ran, Tag,
};
use crate::model::instance::{Change, Command, Instance, InstanceId, Setting};

/// The repository of the helper's image.
pub const IMAGE: &str = "squall-node";

/// How long a helper may take from its start to its first word.
const FIRST_WORD: Duration = Duration::from_secs(20);

/// How long its container may take to be gone once the stream has ended.
const GONE: Duration = Duration::from_secs(5);

/// A Docker Engine with a helper on its host.
#[derive(Debug)]
pub struct Node {
    docker: Arc<Docker>,
    image: String,
    /// The name of the session, under which all helpers of a run keep what they hold.
    session: String,
    /// Whether this process has begun the session.
    began: bool,
    starting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    container: Option<String>,
    /// The journals of runs that the helper holds.
    held: BTreeMap<String, Held>,
    /// What helpers did alone, and that was not told yet.
    alone: Vec<Found>,
}

#[derive(Debug, Default)]
struct Held {
    journal: String,
    /// Whether the helper of now has it, and whether one before it had.
    told: bool,
    before: bool,
}

impl Node {
    /// Begins a session: the helper is started now, so that what keeps it from that is known before anything is planned.
    ///
    /// # Errors
    /// Where the engine refuses, or the helper does not begin.
    pub async fn begin(docker: Arc<Docker>, image: Option<&str>) -> Result<Self, EngineError> {
        let image = Self::image(&docker, image).await?;
        let session = format!("{IMAGE}-{:016x}", rand::random::<u64>());
        let node = Self::of(docker, image, session, true);
        match node.link().await {
            Ok(_) => Ok(node),
            Err(e) => {
                node.end().await;
                Err(e)
            }
        }
    }

    /// Goes on with a session of another process, such as a run that is dead. A helper is started as soon as it is needed.
    ///
    #[must_use]
    pub fn resume(docker: Arc<Docker>, helper: &Helper) -> Self {
        Self::of(docker, helper.image.clone(), helper.session.clone(), false)
    }

    /// The image that a helper is made from, unless another one is named.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn image(docker: &Docker, named: Option<&str>) -> Result<String, EngineError> {
        match named {
            Some(image) => Ok(image.to_owned()),
            None => docker.own_image(IMAGE).await,
        }
    }

    fn of(docker: Arc<Docker>, image: String, session: String, began: bool) -> Self {
        Self { docker, image, session, began, starting: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    /// The engine itself.
    #[must_use]
    pub fn docker(&self) -> &Arc<Docker> {
        &self.docker
    }

    /// Tells the node all that is recorded of a run, from now on line by line. Nothing of that run can be made so there before it is
    /// told its rollback.
    pub fn tell(&self, run: &str, line: &str) {
        let mut state = self.state();
        if let Some(link) = state.link.as_ref().filter(|_| state.held.get(run).is_some_and(|held| held.told)) {
            link.say(ToNode::Line { run: run.to_owned(), line: line.to_owned() });
        }
        state.held.entry(run.to_owned()).or_default().journal += line;
    }

    /// Sees that the node has all that was told of a run so far.
    ///
    /// # Errors
    /// Where it cannot be had there.
    pub async fn hold(&self, run: &str) -> Result<(), EngineError> {
        self.state().held.entry(run.to_owned()).or_default();
        self.link().await.map(drop)
    }

    /// Has dead runs of this session rolled back there: what was left, and what was done.
    ///
    /// # Errors
    /// Where the helper does not answer.
    pub async fn recover(&self) -> Result<Vec<Found>, EngineError> {
        match self.ask(Call::Recover).await? {
            Answer::Alone(found) => Ok(found),
            other => Err(self.confused(&other)),
        }
    }

    /// Lets the helper go: it rolls back what is left of what it holds.
    pub async fn close(&self) {
        let link = self.state().link.take();
        if let Some(link) = link {
            link.close().await;
        }
    }

    /// The same where all runs of the session are settled: its volume goes, too.
    pub async fn end(&self) {
        self.close().await;
        let container = self.state().container.take();
        let end = Instant::now() + GONE;
        while let Some(container) = &container
            && Instant::now() < end
            // An engine that does not answer says nothing about it.
            && matches!(self.docker.exists(container).await, Ok(true))
        {
            sleep(Duration::from_millis(20)).await;
        }
        if let Err(why) = self.docker.remove_session(&self.session).await {
            tracing::warn!("the helper's volume stays: {why}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, why: &str) -> EngineError {
        let address = self.docker.describe().address;
        EngineError::Unreachable { address, why: format!("the helper on its host: {why}") }
    }

    fn confused(&self, answer: &Answer) -> EngineError {
        tracing::error!(?answer, "an answer to something else");
        self.lost("it answers something else than what it was asked")
    }

    /// The stream to a helper that holds what it has to: a new helper where the last one is lost.
    async fn link(&self) -> Result<Arc<Link>, EngineError> {
        let _turn = self.starting.lock().await;
        let living = self.state().link.clone().filter(|link| link.lost().is_none());
        let link = match living {
            Some(link) => link,
            None => self.start().await?,
        };
        // Under the same lock as what is told, so that each line is either in the journal so far or comes after it.
        let open: Vec<(String, Call)> = {
            let mut state = self.state();
            let unknown = state.held.iter_mut().filter(|(_, held)| !held.told);
            let open = unknown.map(|(run, held)| {
                held.told = true;
                let known = held.before || !self.began;
                (run.clone(), Call::Hold { run: run.clone(), journal: held.journal.clone(), known })
            });
            open.collect()
        };
        for (run, call) in open {
            let failed = |e: EngineError| {
                self.state().held.entry(run.clone()).and_modify(|held| held.told = false);
                e
            };
            match link.ask(call).await.map_err(|why| failed(self.lost(&why)))?.map_err(failed)? {
                Answer::Alone(found) => self.state().alone.extend(found),
                Answer::Done => {}
                other => return Err(self.confused(&other)),
            }
        }
        Ok(link)
    }

    async fn start(&self) -> Result<Arc<Link>, EngineError> {
        {
            let mut state = self.state();
            for held in state.held.values_mut() {
                (held.before, held.told) = (held.before || held.told, false);
            }
            state.link = None;
        }
        let attached = self.docker.start_helper(&self.image, &self.session).await?;
        let container = attached.container;
        let opened = timeout(FIRST_WORD, Link::open(attached.output, attached.input)).await;
        let opened = opened.map_err(|_| "it has said nothing since its start".to_owned()).and_then(|opened| opened);
        let (link, hello) = match opened.and_then(|(link, hello)| self.fits(&hello).map(|()| (link, hello))) {
            Ok(opened) => opened,
            Err(why) => {
                let _ = self.docker.remove_container(&container).await;
                return Err(self.lost(&format!("{why}; `--helper never` does without it")));
            }
        };
        tracing::debug!(host = hello.host, container, "a helper");
        let link = Arc::new(link);
        link.say(ToNode::View(self.docker.view()));
        let mut state = self.state();
        state.link = Some(Arc::clone(&link));
        state.container = Some(container);
        Ok(link)
    }

    /// Whether a helper is one that this program understands, on the node that is meant; why not.
    fn fits(&self, hello: &Hello) -> Result<(), String> {
        let own = env!("CARGO_PKG_VERSION");
        if hello.protocol != PROTOCOL || hello.version != own {
            let image = &self.image;
            return Err(format!(
                "the image {image} has squall {}, and this is squall {own}: `docker rmi {image}` has it made anew",
                hello.version
            ));
        }
        let described = self.docker.describe();
        if let (Some(meant), Some(found)) = (&described.id, &hello.engine)
            && meant != found
        {
            return Err(format!(
                "the socket that it has leads to another engine ({found}) than {} ({meant})",
                described.address
            ));
        }
        Ok(())
    }

    async fn ask(&self, call: Call) -> Result<Answer, EngineError> {
        let link = self.link().await?;
        link.ask(call).await.map_err(|why| self.lost(&why))?
    }
}

impl Engine for Node {
    fn describe(&self) -> Description {
        let helper = Helper { session: self.session.clone(), image: self.image.clone() };
        Description { helper: Some(helper), ..self.docker.describe() }
    }

    fn news(&self) -> Vec<String> {
        let alone = std::mem::take(&mut self.state().alone);
        alone
            .into_iter()
            .filter_map(|found| Some(format!("the helper on the engine's host acted alone: {}", found.alone?)))
            .collect()
    }
}

#[async_trait]
impl Observe for Node {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        match self.ask(Call::Observe).await? {
            Answer::Instances(all) => Ok(all.into_iter().map(Instance::from).collect()),
            other => Err(self.confused(&other)),
        }
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        match self.ask(Call::Look(id.clone())).await? {
            Answer::Instance(seen) => Ok(seen.map(|seen| Instance::from(*seen))),
            other => Err(self.confused(&other)),
        }
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
            other => Err(self.confused(&other)),
        }
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        let is_command = |to: &Setting| matches!(to, Setting::Ran(_));
        let there: Vec<_> = all.iter().filter(|(_, to)| !is_command(to)).cloned().collect();
        let mut there = match self.ask(Call::Can(there)).await? {
            Answer::Abilities(abilities) => abilities.into_iter(),
            other => return Err(self.confused(&other)),
        };
        let each = all.iter().map(
            |(instance, to)| {
                if is_command(to) { Some(self.docker.ability(instance, to)) } else { there.next() }
            },
        );
        each.collect::<Option<Vec<_>>>().ok_or_else(|| self.lost("it leaves a question open"))
    }

    async fn cannot_start(&self, instance: &InstanceId, command: &Command) -> Option<String> {
        self.docker.cannot_start(instance, command).await
    }

    async fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, EngineError> {
        match self.ask(Call::AddressesOf(host.to_owned())).await? {
            Answer::Addresses(addresses) => Ok(addresses),
            other => Err(self.confused(&other)),
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
            other => Err(self.confused(&other)),
        }
    }

    async fn end_abandoned(&self) {
        let _ = self.ask(Call::EndAbandoned).await;
    }
}
