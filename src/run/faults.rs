//! The faults of the list, each in its own time: injected when it is due, proven, held, and taken back when its time is over.
//!
//! They are one future, which is dropped where the run stops: what is on then is taken back by `revert`, as after a crash.

use std::future::pending;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, sleep_until};

use super::ended::Ended;
use super::hold::{lasting, still_on};
use super::inject::{inject, prove};
use super::revert::{What, revert, revert_one_by_one};
use super::{Task, World, staged};
use crate::event::{Actor, Reason};
use crate::instance::{Change, Instance};
use crate::journal::Recorder;
use crate::state::RunState;

/// How long a change that is being made when the hypothesis breaks is waited for.
const SETTLE: Duration = Duration::from_millis(500);

/// How often it is looked whether it is made.
const OFTEN: Duration = Duration::from_millis(1);

/// All faults of a run, from the beginning of the fault phase on.
pub(super) struct Faults<'a> {
    task: &'a Task<'a>,
    world: &'a World,
    rec: &'a Recorder,
    /// The plan.
    changes: &'a [Change],
    /// Everybody who is hit.
    hit: &'a [Instance],
    /// When the phase began.
    begin: Instant,
    /// Nothing more is injected.
    stopped: AtomicBool,
    /// No fault is amended while one is taken back.
    amending: RwLock<()>,
}

impl<'a> Faults<'a> {
    /// The phase begins now.
    pub(super) fn new(
        task: &'a Task<'a>,
        world: &'a World,
        rec: &'a Recorder,
        changes: &'a [Change],
        hit: &'a [Instance],
    ) -> Self {
        let (stopped, amending) = (AtomicBool::new(false), RwLock::new(()));
        Self { task, world, rec, changes, hit, begin: Instant::now(), stopped, amending }
    }

    /// Ends with the phase.
    ///
    /// # Errors
    /// Where one of them does not come on, does not last to its end, or cannot be taken back.
    pub(super) async fn in_their_time(&self) -> Result<(), Ended> {
        let phase = self.task.experiment.timing.duration;
        let faults = self.task.experiment.faults();
        try_join_all(faults.iter().enumerate().map(|(n, fault)| self.one(n, fault.span(phase)))).await?;
        sleep_until(self.begin + phase.0).await;
        Ok(())
    }

    async fn one(&self, fault: usize, on: Range<Duration>) -> Result<(), Ended> {
        let (engine, rec, x) = (self.world.engine.as_ref(), self.rec, self.task.experiment);
        let changes: Vec<Change> = self.changes.iter().filter(|c| c.fault == fault).cloned().collect();
        let end = self.begin + on.end;
        if !on.start.is_zero() {
            sleep_until(self.begin + on.start).await;
        }
        if self.stopped.load(Ordering::Relaxed) {
            return pending().await;
        }
        inject(engine, rec, self.task.run, &x.blast_radius, &changes).await?;
        prove(engine, rec, &changes, end).await?;
        sleep_until(end).await;
        if on.end < x.timing.duration.0 { self.take_back(fault).await } else { Ok(()) }
    }

    /// The time of one fault is over, and that of others is not.
    async fn take_back(&self, fault: usize) -> Result<(), Ended> {
        let engine = self.world.engine.as_ref();
        let _turn = self.amending.read().await;
        still_on(engine, self.rec, self.hit, What::Fault(fault)).await?;
        if let Some((instances, every)) = staged(self.task.experiment, self.rec, fault) {
            // Where the run stops meanwhile, this is dropped, and what is left comes back at once.
            revert_one_by_one(engine, self.rec, None, What::Fault(fault), (&instances, every)).await;
        }
        revert(engine, self.rec, Actor::Runner, What::Fault(fault)).await;
        match self.rec.read(|s| still_there(s, fault)) {
            None => Ok(()),
            Some(name) => Err(Ended {
                why: Reason::EngineFailed,
                text: format!("when the time of fault {} was over, it could not be taken back from {name}", fault + 1),
            }),
        }
    }

    /// The run stops: nothing more is injected. A call on its way cannot be stopped: the way back is certain when it ends, or
    /// when its effect is seen.
    pub(super) async fn settle(&self, faults: impl Future<Output = Result<(), Ended>>) {
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
                sleep(OFTEN).await;
            }
        };
        tokio::select! {
            _ = faults => {}
            () = made => {}
            _ = prove(self.world.engine.as_ref(), self.rec, &changes, self.begin) => {}
            () = sleep(SETTLE) => {}
        }
    }

    /// Never returns as long as those that should be on are.
    pub(super) async fn lasting(&self) -> Ended {
        lasting(self.task, self.world, self.rec, (self.changes, self.hit), &self.amending).await
    }
}

/// The first instance on which something of a fault is left.
fn still_there(state: &RunState, fault: usize) -> Option<String> {
    let differs = |name: &String| state.restored.iter().any(|(n, differences)| n == name && !differences.is_empty());
    let mut changes = state.changes.iter().filter(|c| c.change.fault == fault);
    let left = changes.find(|c| c.stuck.is_some() || differs(&c.change.name))?;
    Some(left.change.name.clone())
}
