//! A world in a map: for rehearsing an experiment, and for tests in paused time.
//!
//! It is unkind where Docker is unkind: an effect may come long after the process that asked for it has died, a
//! restarted instance has lost its pause, a killed one may start by itself, a target may vanish. It follows tokio's
//! clock, and it is gone with its process: nothing real is ever touched.

mod prober;
mod rehearsal;
mod traffic;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use prober::SimProber;
use world::World;

use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, FROM_EXPERIMENT, Kind, Lock, NOTHING_LIES_THERE,
    ONLY_A_MARK, Observe, Outcome, Ran, Tag,
};
use crate::experiment::Experiment;
use crate::experiment::stack::Stack;
use crate::model::instance::{Change, Instance, InstanceId, Setting};

/// How long the sim takes for a change, and when within that time its effect comes.
const CHANGE: Duration = Duration::from_millis(10);

/// Decides what goes wrong at each call: from its number, and from what is asked.
type FailureInjector = Box<dyn FnMut(usize, &str) -> InjectedFailure + Send>;

/// A simulated engine.
pub struct Sim {
    /// What the world was made from.
    from: String,
    world: Mutex<World>,
    failure: Mutex<FailureInjector>,
    calls: Mutex<usize>,
    crashed: Notify,
}

/// What goes wrong at a call.
#[derive(Debug, Clone)]
pub enum InjectedFailure {
    /// Nothing.
    None,
    /// The caller dies before the call has any effect.
    CrashBefore,
    /// The caller dies when the effect is there, before it hears of it.
    CrashAfter,
    /// The caller dies, and the effect comes so much later.
    CrashDelayed(Duration),
    /// The engine takes so much longer, and the effect comes at the end of that.
    Slow(Duration),
    /// The effect comes at once, and the engine answers so much later.
    SlowAnswer(Duration),
    /// The engine does not answer in its time, and the effect comes so much later.
    Unanswered(Duration),
    /// The engine answers with an error and does nothing.
    Fail,
    /// Something happens to an instance just before the call.
    Meanwhile(InstanceId, ExternalAction),
}

/// What others do to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternalAction {
    /// It is removed.
    Remove,
    /// It is restarted.
    Restart,
    /// It is killed.
    Kill,
    /// It is thawed.
    Unpause,
    /// It is frozen.
    Pause,
    /// It gets another name.
    Rename,
    /// It leaves its networks.
    Disconnect,
    /// What disturbs its traffic is removed.
    Flush,
    /// Its limits are as they were configured.
    ResetLimits,
}

impl Sim {
    /// The world of a stack file.
    #[must_use]
    pub fn of_stack(stack: &Stack) -> Arc<Self> {
        Arc::new(Self::new(stack, format!("the stack `{}`", stack.name)))
    }

    fn new(stack: &Stack, from: String) -> Self {
        Self {
            from,
            world: Mutex::new(World::of_stack(stack)),
            failure: Mutex::new(Box::new(|_, _| InjectedFailure::None)),
            calls: Mutex::new(0),
            crashed: Notify::new(),
        }
    }

    /// A world with nothing in it.
    #[must_use]
    pub fn nowhere() -> Arc<Self> {
        Self::of_stack(&Stack {
            version: 1,
            name: "nowhere".to_owned(),
            network: None,
            services: indexmap::IndexMap::new(),
        })
    }

    /// A plausible world for an experiment without a stack: three instances of the target's service in three zones.
    #[must_use]
    pub fn of_experiment(x: &Experiment) -> Arc<Self> {
        Arc::new(Self::new(&rehearsal::stack_for(x), FROM_EXPERIMENT.to_owned()))
    }

    /// From now on, `failure` decides what goes wrong at each call; calls are numbered from 0.
    pub fn fail_calls(&self, failure: impl FnMut(usize, &str) -> InjectedFailure + Send + 'static) {
        *hold(&self.calls) = 0;
        *hold(&self.failure) = Box::new(failure);
    }

    /// How many calls there were since the last [`Sim::fail_calls`].
    #[must_use]
    pub fn calls(&self) -> usize {
        *hold(&self.calls)
    }

    /// Returns when a caller has died.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Every instance as it is now, without a call being counted.
    #[must_use]
    pub fn peek(&self) -> Vec<Instance> {
        self.world().fleet()
    }

    /// The marks that commands have left on instances (`touch X` sets one, `rm X` removes it).
    #[must_use]
    pub fn marks(&self) -> Vec<String> {
        self.world().marks()
    }

    /// Lets others do something to an instance.
    pub fn act_on(&self, id: &InstanceId, what: ExternalAction) {
        self.world().act_on(id, what);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = hold(&self.world);
        world.settle(Instant::now());
        world
    }

    /// Counts a call and lets its trouble happen; a caller that dies never comes back from this.
    async fn call(
        &self,
        what: &str,
        effect: impl FnOnce(&mut World),
        late: Option<(&InstanceId, &Setting)>,
    ) -> Result<(), EngineError> {
        let failure = {
            let mut calls = hold(&self.calls);
            *calls += 1;
            (hold(&self.failure))(*calls - 1, what)
        };
        match failure {
            InjectedFailure::None => effect(&mut self.world()),
            InjectedFailure::Slow(longer) => {
                tokio::time::sleep(longer).await;
                effect(&mut self.world());
            }
            InjectedFailure::SlowAnswer(later) => {
                effect(&mut self.world());
                tokio::time::sleep(later).await;
            }
            InjectedFailure::Meanwhile(id, meddling) => {
                self.act_on(&id, meddling);
                effect(&mut self.world());
            }
            InjectedFailure::Unanswered(after) => {
                if let Some((id, setting)) = late {
                    self.world().later(Instant::now() + after, id.clone(), setting.clone());
                }
                return Err(EngineError::TimedOut { attempt: what.to_owned(), after: Duration::ZERO });
            }
            InjectedFailure::Fail => {
                return Err(EngineError::Refused {
                    attempt: what.to_owned(),
                    why: "the sim was told to refuse".to_owned(),
                });
            }
            InjectedFailure::CrashBefore => return self.die().await,
            InjectedFailure::CrashAfter => {
                effect(&mut self.world());
                return self.die().await;
            }
            InjectedFailure::CrashDelayed(after) => {
                if let Some((id, setting)) = late {
                    self.world().later(Instant::now() + after, id.clone(), setting.clone());
                }
                return self.die().await;
            }
        }
        Ok(())
    }

    async fn die(&self) -> Result<(), EngineError> {
        self.crashed.notify_one();
        std::future::pending().await
    }
}

impl Engine for Sim {
    fn describe(&self) -> Description {
        Description::of(Kind::Sim, self.from.as_str(), env!("CARGO_PKG_VERSION"))
    }
}

#[async_trait]
impl Observe for Sim {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        self.call("observe", |_| {}, None).await?;
        Ok(self.world().fleet())
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        self.call("look", |_| {}, None).await?;
        Ok(self.world().get(id))
    }
}

impl Sim {
    /// What shows here when it is set. Of what is momentary there is nothing to show: no connection lasts longer than a request,
    /// a signal finds no process beside the main one, and a command does nothing but end.
    #[must_use]
    pub fn ability(&self, instance: &Instance, to: &Setting) -> Ability {
        match to {
            Setting::Availability(_) if !instance.settings.contains_key(&to.aspect()) => {
                Ability::No("its node has no orchestrator (`orchestrator` of its service)".to_owned())
            }
            Setting::Mark(_, Some(_)) => Ability::No(ONLY_A_MARK.to_owned()),
            Setting::Mark(aspect, None) if aspect.laid().is_none() => Ability::No(NOTHING_LIES_THERE.to_owned()),
            Setting::Running(_)
            | Setting::Killed(_)
            | Setting::Stopped { .. }
            | Setting::Restarted { .. }
            | Setting::Paused(_)
            | Setting::Network(_)
            | Setting::Mark(_, None)
            | Setting::Limit(_)
            | Setting::Filled(_)
            | Setting::Freed(_)
            | Setting::ReadOnly(_)
            | Setting::Stressor(_)
            | Setting::Signalled(_)
            | Setting::ConnectionsReset(_)
            | Setting::RestartPolicy(_)
            | Setting::Isolated(_)
            | Setting::Availability(_)
            | Setting::Ran(_) => Ability::Yes,
        }
    }
}

#[async_trait]
impl Apply for Sim {
    async fn set(&self, _: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        tokio::time::sleep(CHANGE / 2).await;
        let mut outcome = Ok(Outcome::Gone);
        self.call(&format!("set {id} {to}"), |world| outcome = world.set(id, to), Some((id, to))).await?;
        tokio::time::sleep(CHANGE / 2).await;
        outcome.map_err(|why| EngineError::Refused { attempt: format!("set {id} {to}"), why })
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        Ok(all.iter().map(|(instance, to)| self.ability(instance, to)).collect())
    }

    fn by_hand(&self, change: &Change, _: &Setting) -> String {
        format!("# nothing: {} is simulated", change.name)
    }
}

#[async_trait]
impl Execute for Sim {
    async fn exec(&self, _: &str, _: &[String], _: Duration) -> Result<Ran, EngineError> {
        Ok(Ran { status: 0, stdout: String::new(), stderr: String::new() })
    }
}

#[async_trait]
impl Lock for Sim {
    async fn claim(&self, claim: &Claim) -> Result<(), EngineError> {
        let mut taken = None;
        self.call("claim", |world| taken = world.claim(claim), None).await?;
        taken.map_or(Ok(()), |other| Err(EngineError::Claimed(Box::new(other))))
    }

    async fn release(&self, claim: &Claim) -> Result<(), EngineError> {
        self.call("release", |world| world.release(claim), None).await
    }

    async fn claims(&self) -> Result<Vec<Claim>, EngineError> {
        Ok(self.world().claims())
    }
}

fn hold<T: ?Sized>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
