//! The faults of the list, each in its own time: injected when it is due, verified, and rolled back when its time is over.
//!
//! The time of the phase stands still meanwhile ([`turns`]), so that a slow engine makes the run longer and no fault shorter, and
//! faults that do not overlap by their file never do. A turn is a future, which is dropped where the run stops: what is on then
//! is rolled back by `rollback`, as after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::RwLock;
use tokio::time::sleep;

use super::ended::Ended;
use super::hold::{lasting, still_on};
use super::inject::{inject, prove};
use super::rollback::{roll_back, roll_back_one_by_one};
use super::scope::Scope;
use super::{RunContext, RunSpec, staged};
use crate::experiment::{Injection, Span};
use crate::model::instance::{Change, Instance};
use crate::record::event::{Actor, Reason};
use crate::record::journal::Recorder;
use crate::record::state::RunState;

/// How long a change that is being made when the hypothesis breaks is waited for.
const SETTLE: Duration = Duration::from_millis(500);

/// How often it is looked whether it is made.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// What is to be done at a moment of the fault phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Turn {
    /// When, by the time of the phase.
    pub(super) at: Duration,
    /// The faults whose time is over, while the phase goes on.
    pub(super) over: Vec<usize>,
    /// The faults that are due.
    pub(super) due: Vec<usize>,
}

/// All turns of a fault phase, in their order. Pure.
pub(super) fn turns(faults: &[Injection], phase: Span) -> Vec<Turn> {
    let mut turns: BTreeMap<Duration, Turn> = BTreeMap::new();
    for (fault, injection) in faults.iter().enumerate() {
        let on = injection.span(phase);
        turns.entry(on.start).or_default().due.push(fault);
        if on.end < phase.0 {
            turns.entry(on.end).or_default().over.push(fault);
        }
    }
    turns.into_iter().map(|(at, turn)| Turn { at, ..turn }).collect()
}

/// All faults of a run, from the beginning of the fault phase on.
pub(super) struct Faults<'a> {
    spec: &'a RunSpec<'a>,
    context: &'a RunContext,
    rec: &'a Recorder,
    /// The plan.
    changes: &'a [Change],
    /// Everybody who is targeted.
    targeted: &'a [Instance],
    /// Nothing more is injected.
    stopped: AtomicBool,
    /// The faults whose time is over, and that are rolled back.
    over: Mutex<BTreeSet<usize>>,
    /// No fault is amended while one is rolled back.
    amending: RwLock<()>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(
        spec: &'a RunSpec<'a>,
        context: &'a RunContext,
        rec: &'a Recorder,
        changes: &'a [Change],
        targeted: &'a [Instance],
    ) -> Self {
        let (stopped, amending) = (AtomicBool::new(false), RwLock::new(()));
        Self { spec, context, rec, changes, targeted, stopped, over: Mutex::default(), amending }
    }

    /// A turn of the phase: rolls back the faults whose time is over, then injects those that are due, and verifies them.
    ///
    /// # Errors
    /// Where one of them does not come on, did not last to its end, or cannot be rolled back.
    pub(super) async fn turn(&self, turn: &Turn) -> Result<(), Ended> {
        try_join_all(turn.over.iter().map(|fault| self.roll_back(*fault))).await?;
        self.over.lock().unwrap_or_else(PoisonError::into_inner).extend(&turn.over);
        if self.stopped.load(Ordering::Relaxed) {
            return pending().await;
        }
        try_join_all(turn.due.iter().map(|fault| self.bring_on(*fault))).await?;
        Ok(())
    }

    async fn bring_on(&self, fault: usize) -> Result<(), Ended> {
        let (engine, rec, x) = (self.context.engine.as_ref(), self.rec, self.spec.experiment);
        let changes: Vec<Change> = self.changes.iter().filter(|c| c.fault == fault).cloned().collect();
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(injection) = x.faults().into_iter().nth(fault) else { return Ok(()) };
        let made = inject(engine, rec, self.spec.run, (&x.blast_radius, &injection), &changes, &over).await?;
        prove(engine, rec, &made).await?;
        Ok(())
    }

    /// The time of one fault is over, and that of others is not.
    async fn roll_back(&self, fault: usize) -> Result<(), Ended> {
        let engine = self.context.engine.as_ref();
        let _turn = self.amending.read().await;
        still_on(engine, self.rec, self.targeted, Scope::Fault(fault)).await?;
        if let Some((instances, every)) = staged(self.spec.experiment, self.rec, fault) {
            // Where the run stops meanwhile, this is dropped, and what is left comes back at once.
            roll_back_one_by_one(engine, self.rec, None, Scope::Fault(fault), (&instances, every)).await;
        }
        roll_back(engine, self.rec, Actor::Runner, Scope::Fault(fault)).await;
        match self.rec.read(|s| still_there(s, fault)) {
            None => Ok(()),
            Some(name) => Err(Ended {
                why: Reason::EngineFailed,
                text: format!("when the time of fault {} was over, it could not be rolled back from {name}", fault + 1),
            }),
        }
    }

    /// The run stops in a turn: nothing more is injected. A call on its way cannot be stopped: the rollback is certain when it ends, or
    /// when its effect is seen.
    pub(super) async fn settle(&self, turn: impl Future<Output = Result<(), Ended>>) {
        self.stopped.store(true, Ordering::Relaxed);
        let on_their_way = |s: &RunState| {
            let begun = s.changes.iter().filter(|c| c.injecting.is_some());
            begun.filter(|c| c.injected.is_none() && c.inject_error.is_none()).map(|c| c.change.clone()).collect()
        };
        let changes: Vec<Change> = self.rec.read(on_their_way);
        if changes.is_empty() {
            return;
        }
        let made = async {
            while !self.rec.read(on_their_way).is_empty() {
                sleep(POLL_INTERVAL).await;
            }
        };
        let seen = async {
            // What only an answer tells is not there before it.
            if !changes.iter().all(|c| c.to.is_seen()) {
                pending::<()>().await;
            }
            let _ = prove(self.context.engine.as_ref(), self.rec, &changes).await;
        };
        tokio::select! {
            _ = turn => {}
            () = made => {}
            () = seen => {}
            () = sleep(SETTLE) => {}
        }
    }

    /// Never returns as long as those that should be on are.
    pub(super) async fn lasting(&self) -> Ended {
        lasting(self.spec, self.context, self.rec, (self.changes, self.targeted), &self.amending).await
    }
}

/// The first instance on which something of a fault is left.
fn still_there(state: &RunState, fault: usize) -> Option<String> {
    let differs = |name: &String| state.restored.iter().any(|r| r.instance == *name && r.differs());
    let mut changes = state.changes.iter().filter(|c| c.change.fault == fault);
    let left = changes.find(|c| c.stuck.is_some() || differs(&c.change.name))?;
    Some(left.change.name.clone())
}
