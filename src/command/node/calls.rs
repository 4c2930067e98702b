//! What a runner asks of a node, made on the node's engine; and the runs that it has in care. Knows no stream.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::alone::{Ended, roll_back_alone, taken_by_another};
use super::replica::{self, Permit, Replica};
use crate::engine::docker::Docker;
use crate::engine::node::protocol::{Answer, Call};
use crate::engine::{Ability, Apply as _, EngineError, Execute as _, Lock as _, Observe as _, Outcome, Tag};
use crate::model::instance::Setting;

/// What a runner has told of its runs. A call that changes something waits until what was said before it is written.
#[derive(Default)]
pub(super) struct InCare {
    pub(super) held: BTreeMap<String, Replica>,
    /// Lines of runs that are just being taken into care.
    pub(super) early: BTreeMap<String, Vec<String>>,
}

impl InCare {
    /// Writes a line of a run down.
    pub(super) fn line(&mut self, run: &str, line: String) {
        match (self.early.get_mut(run), self.held.get_mut(run)) {
            (Some(early), _) => early.push(line),
            (None, Some(replica)) => replica.add(&line),
            (None, None) => {}
        }
    }
}

/// What every call needs.
#[derive(Clone)]
pub(super) struct Calls {
    docker: Arc<RwLock<Arc<Docker>>>,
    pub(super) session: PathBuf,
    pub(super) runs: Arc<Mutex<InCare>>,
}

impl Calls {
    pub(super) fn new(docker: Docker, session: PathBuf) -> Self {
        Self { docker: Arc::new(RwLock::new(Arc::new(docker))), session, runs: Arc::default() }
    }

    /// The node's engine, as the runner sees it.
    pub(super) fn docker(&self) -> Arc<Docker> {
        Arc::clone(&self.docker.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Those of the engine; and where the call is about a run that is not held here.
    pub(super) async fn answer(&self, call: Call) -> Result<Answer, EngineError> {
        let docker = self.docker();
        Ok(match call {
            Call::View(view) => {
                let docker = Arc::new(Docker::clone(&docker).with_view(view).await?);
                *self.docker.write().unwrap_or_else(PoisonError::into_inner) = docker;
                Answer::Done
            }
            Call::Hold { run, journal, known } => self.hold(run, &journal, known).await?,
            Call::Recover => self.recover().await?,
            Call::Observe => Answer::Instances(docker.observe().await?.into_iter().map(Into::into).collect()),
            Call::Look(id) => Answer::Instance(docker.look(&id).await?.map(|seen| Box::new(seen.into()))),
            Call::Prepare(all) => {
                docker.prepare(&all).await;
                Answer::Done
            }
            Call::Set { tag, id, to } => Answer::Outcome(match self.permit(&tag, &to).await? {
                Permit::Granted => docker.set(&tag, &id, &to).await?,
                Permit::Over => Outcome::Already,
            }),
            Call::Can(all) => {
                let abilities = all.iter().map(|(instance, to)| docker.ability(instance, to));
                Answer::Abilities(abilities.collect::<Vec<Ability>>())
            }
            Call::AddressesOf(host) => Answer::Addresses(docker.addresses_of(&host).await?),
            Call::Exec { instance, command, timeout } => Answer::Ran(docker.exec(&instance, &command, timeout).await?),
            Call::EndAbandoned => {
                docker.end_abandoned().await;
                Answer::Done
            }
        })
    }

    async fn permit(&self, tag: &Tag, to: &Setting) -> Result<Permit, EngineError> {
        let runs = self.runs.lock().await;
        let none = || Err(format!("the node holds no run {}", tag.run));
        let permit = runs.held.get(&tag.run).map_or_else(none, |replica| replica.permit(tag.change, to));
        permit.map_err(|why| refused(format!("make change {tag}"), why))
    }

    async fn hold(&self, run: String, journal: &str, known: bool) -> Result<Answer, EngineError> {
        // Its own lock would keep it out.
        self.runs.lock().await.held.remove(&run);
        // Where its record is gone and its locks are not, it was no other process that has settled it.
        let is_locked = || async { self.docker().claims().await.is_ok_and(|all| all.iter().any(|c| c.run == run)) };
        let known = known && !is_locked().await;
        let taken = Replica::take(&self.session, &run, journal, known).await;
        let mut runs = self.runs.lock().await;
        let early = runs.early.remove(&run).unwrap_or_default();
        let taken = taken.map_err(|e| refused(format!("hold the run {run} on the node"), format!("{e:#}")));
        let (mut replica, found) = taken?;
        for line in early {
            replica.add(&line);
        }
        let on = replica.on();
        runs.held.insert(run, replica);
        drop(runs);
        let docker = self.docker();
        for kept in join_all(on.iter().map(|(id, to)| docker.keep(id, to))).await {
            // What is not kept ends by itself, and is seen to have ended.
            let _ = kept.inspect_err(|why| complain!("{why}"));
        }
        Ok(found.map_or(Answer::Done, |found| Answer::Alone(vec![found])))
    }

    /// Rolls back what helpers of this session have left, which are dead. What is of a service that another run has by now is left alone:
    /// what is seen there is that run's.
    async fn recover(&self) -> Result<Answer, EngineError> {
        let (docker, attempt) = (self.docker(), || "look for what helpers have left".to_owned());
        let all = || replica::all(&self.session).map_err(|e| refused(attempt(), e.to_string()));
        let mut kept = Vec::new();
        for (path, found) in all()?.into_iter().filter(|(_, found)| found.outstanding) {
            match taken_by_another(&path, &docker).await {
                Some(why) => kept.push((found.run, why)),
                None => roll_back_alone(&path, &docker, Ended::Stream).await,
            }
        }
        let mut found: Vec<_> = all()?.into_iter().map(|(_, found)| found).collect();
        for (run, why) in kept {
            found.iter_mut().filter(|found| found.run == run).for_each(|found| found.alone = Some(why.clone()));
        }
        Ok(Answer::Alone(found))
    }
}

fn refused(attempt: String, why: String) -> EngineError {
    EngineError::Refused { attempt, why }
}
