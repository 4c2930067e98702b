//! The helpers of a run on an engine's host, one after the other: each is told what the one before it held, and all keep it in one
//! volume. Knows no instance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::IMAGE;
use super::link::{Link, Waiting};
use super::protocol::{Answer, Call, Found, Hello, PROTOCOL, ToNode};
use super::turns::Turns;
use crate::engine::docker::{Attached, Docker};
use crate::engine::{Engine as _, EngineError, Helper};

/// How long its container may take to be gone once the stream has ended.
const GONE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) docker: Arc<Docker>,
    /// Its name, which is that of the volume, and the image of its helpers.
    pub(super) helper: Helper,
    /// Whether this process has begun it.
    began: bool,
    starting: Turns,
    state: Mutex<State>,
    /// Starts and tellings that go on though the one who needed them has gone away.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    /// The last helper was not heard of any more, and no other one has taken its place.
    is_unheard: bool,
    container: Option<String>,
    /// The journals of runs that the helper holds.
    held: BTreeMap<String, Held>,
    /// What helpers did alone, and that was not told yet.
    alone: Vec<Found>,
}

#[derive(Debug, Default)]
struct Held {
    journal: String,
    /// Whether the helper of now is told of it, and whether it has said that it holds it; whether one before it was told.
    told: bool,
    ready: bool,
    before: bool,
}

impl Session {
    pub(super) fn new(docker: Arc<Docker>, helper: Helper, began: bool) -> Self {
        let (starting, state, tasks) = (Turns::default(), Mutex::default(), Mutex::default());
        Self { docker, helper, began, starting, state, tasks }
    }

    /// Tells the helper a line of a run's journal.
    pub(super) fn tell(&self, run: &str, line: &str) {
        let mut state = self.state();
        if let Some(link) = state.link.as_ref().filter(|_| state.held.get(run).is_some_and(|held| held.told)) {
            link.say(ToNode::Line { run: run.to_owned(), line: line.to_owned() });
        }
        state.held.entry(run.to_owned()).or_default().journal += line;
    }

    /// Has this run held, also where nothing was told of it yet.
    pub(super) fn take_care_of(&self, run: &str) {
        self.state().held.entry(run.to_owned()).or_default();
    }

    /// What helpers did alone since this was last asked.
    pub(super) fn alone(&self) -> Vec<Found> {
        std::mem::take(&mut self.state().alone)
    }

    /// Whether its helper was not heard of for so long that it rolls back alone, and no other one has told what it did.
    pub(super) fn is_unheard(&self) -> bool {
        let state = self.state();
        state.is_unheard || state.link.as_ref().is_some_and(|link| link.is_silent())
    }

    /// The stream to a helper that holds what it has to: a new helper where the last one is lost. Who asks for it may go away: a helper
    /// that was told half of what it has to know would refuse the rest.
    pub(super) async fn link(self: &Arc<Self>) -> Result<Arc<Link>, EngineError> {
        let is_ready = |state: &State| state.held.values().all(|held| held.ready);
        let ready = {
            let state = self.state();
            state.link.clone().filter(|link| link.lost().is_none() && is_ready(&state))
        };
        if let Some(link) = ready {
            return Ok(link);
        }
        let (sender, receiver) = oneshot::channel();
        let session = Arc::clone(self);
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                let _ = sender.send(session.linked().await);
            });
        }
        receiver.await.unwrap_or_else(|_| Err(self.lost("it could not be started")))
    }

    async fn linked(&self) -> Result<Arc<Link>, EngineError> {
        let turn = self.starting.next().await?;
        let living = self.state().link.clone().filter(|link| link.lost().is_none());
        let link = match living {
            Some(link) => link,
            None => turn.came_to(self.start().await)?,
        };
        for (run, waiting) in self.holds(&link) {
            let answer = waiting.answer().await.map_err(|why| self.lost(&why)).flatten();
            let failed = match answer {
                Ok(Answer::Done) => {
                    self.is_held(&run, Vec::new());
                    continue;
                }
                Ok(Answer::Alone(found)) => {
                    self.is_held(&run, found);
                    continue;
                }
                Ok(other) => self.confused(&other),
                Err(e) => e,
            };
            // This one, and those after it, are told anew.
            let mut state = self.state();
            state.held.range_mut(run..).for_each(|(_, held)| held.told = false);
            return Err(failed);
        }
        Ok(link)
    }

    /// A helper holds a run; what an earlier one did with it.
    fn is_held(&self, run: &str, alone: Vec<Found>) {
        let mut state = self.state();
        state.alone.extend(alone);
        if let Some(held) = state.held.get_mut(run) {
            held.ready = true;
        }
    }

    /// Asks a helper to hold each run that it does not hold yet: under the same lock as what is told, so that each line is either in the
    /// journal so far or comes after it.
    fn holds(&self, link: &Arc<Link>) -> Vec<(String, Waiting)> {
        let mut state = self.state();
        let unknown = state.held.iter_mut().filter(|(_, held)| !held.told);
        let asked = unknown.map(|(run, held)| {
            held.told = true;
            let known = held.before || !self.began;
            let call = Call::Hold { run: run.clone(), journal: held.journal.clone(), known };
            (run.clone(), link.begin(call))
        });
        asked.collect()
    }

    async fn start(&self) -> Result<Arc<Link>, EngineError> {
        {
            let mut state = self.state();
            for held in state.held.values_mut() {
                (held.before, held.told, held.ready) = (held.before || held.told, false, false);
            }
            state.is_unheard |= state.link.take().is_some_and(|link| link.is_silent());
        }
        let (container, link) = match self.open(&self.helper.image).await {
            // An older program's image may be gone, or of no use to this one.
            Err(e) if !self.began => match self.docker.own_image(IMAGE).await {
                Ok(own) if own != self.helper.image => self.open(&own).await?,
                _ => return Err(e),
            },
            opened => opened?,
        };
        let mut state = self.state();
        state.link = Some(Arc::clone(&link));
        state.is_unheard = false;
        state.container = Some(container);
        Ok(link)
    }

    /// Starts a helper from an image: its container, and the stream to it.
    async fn open(&self, image: &str) -> Result<(String, Arc<Link>), EngineError> {
        let Attached { container, output, input } = self.docker.start_helper(image, &self.helper.session).await?;
        let opened = async {
            let (link, hello) = Link::open(output, input).await?;
            self.fits(&hello, image, &container)?;
            match link.begin(Call::View(self.docker.view())).answer().await? {
                Ok(_) => Ok(link),
                Err(e) => Err(e.to_string()),
            }
        };
        match opened.await {
            Ok(link) => Ok((container, Arc::new(link))),
            Err(why) => {
                let _ = self.docker.remove_container(&container).await;
                Err(self.lost(&format!("{why}; `--helper never` does without it")))
            }
        }
    }

    /// Whether a helper is one that this program understands, on the node that is meant; why not.
    fn fits(&self, hello: &Hello, image: &str, container: &str) -> Result<(), String> {
        let own = env!("CARGO_PKG_VERSION");
        if hello.protocol != PROTOCOL || hello.version != own {
            return Err(format!(
                "the image {image} has squall {}, and this is squall {own}: name one of this version with `--helper-image`",
                hello.version
            ));
        }
        // It sees itself where the engine that it reaches is the one that has started it.
        if hello.container.as_deref() == Some(container) {
            return Ok(());
        }
        let described = self.docker.describe();
        if described.id.is_none() || described.id != hello.engine {
            return Err(format!(
                "the socket that it has leads to another engine than {}, as far as can be told",
                described.address
            ));
        }
        Ok(())
    }

    /// Lets the helper go: it rolls back what is left of what it holds.
    pub(super) async fn close(&self) {
        let link = self.state().link.take();
        if let Some(link) = link {
            link.close().await;
        }
    }

    /// The same where all runs of the session are settled: its volume goes, too.
    pub(super) async fn end(&self) {
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
        if let Err(why) = self.docker.remove_session(&self.helper.session).await {
            tracing::warn!("the helper's volume stays: {why}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost(&self, why: &str) -> EngineError {
        let address = self.docker.describe().address;
        EngineError::Unreachable { address, why: format!("the helper on its host: {why}") }
    }

    pub(super) fn confused(&self, answer: &Answer) -> EngineError {
        tracing::error!(?answer, "an answer to something else");
        self.lost("it answers something else than what it was asked")
    }
}
