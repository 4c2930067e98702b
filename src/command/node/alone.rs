//! What a helper does that hears no more of its runner: it rolls back what is left of every run of its session that no other process is
//! at, and waits for an engine that is down.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::replica;
use crate::command::unlock::this_process;
use crate::engine::Engine;
use crate::engine::docker::Docker;
use crate::engine::fleet::{Fleet, Machine};
use crate::engine::node::protocol::LEASE;
use crate::record::journal::{Recorder, salvage};
use crate::run::locks::of_another;
use crate::run::recover;

/// How long an engine that is down is waited for, and how often it is tried.
const ENGINE: Duration = Duration::from_mins(10);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a helper serves no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The runner has closed the stream, or is dead.
    Stream,
    /// It is silent, whatever the stream is.
    Silence,
    /// A run has come to its deadline.
    Deadline,
    /// The engine, or a person, ends the helper.
    Terminated,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream => f.write_str("the stream to the runner ended"),
            Self::Silence => write!(f, "the runner had said nothing for {}", humantime::format_duration(LEASE)),
            Self::Deadline => f.write_str("the run went on past its deadline"),
            Self::Terminated => f.write_str("the helper was told to end"),
        }
    }
}

/// Rolls back what is left of the runs of a session. An engine that is down is waited for until `told` comes: it may be that one which
/// waits for the end of this process.
pub(super) async fn all(session: &Path, docker: &Docker, ended: Ended, told: impl Future<Output = ()>) {
    tokio::pin!(told);
    let end = Instant::now() + ENGINE;
    loop {
        let left = replica::all(session).unwrap_or_default();
        let left: Vec<_> = left.into_iter().filter(|(_, found)| found.is_unfinished).collect();
        join_all(left.iter().map(|(path, _)| roll_back_alone(path, docker, ended))).await;
        let is_left = replica::all(session).is_ok_and(|all| all.iter().any(|(_, found)| found.outstanding));
        // What an engine refuses is for others; one that is down may come back.
        if !is_left || Instant::now() >= end || docker.details().await.is_ok() {
            return;
        }
        let comes_back = async {
            while Instant::now() < end && docker.details().await.is_err() {
                sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::select! {
            () = comes_back => {}
            () = &mut told => return,
        }
    }
}

/// Who has a service by now that a run had: what is seen there is that one's. An engine that is down says nothing, and what is left
/// is rolled back by the kernel.
pub(super) async fn taken_by_another(journal: &Path, docker: &Docker) -> Option<String> {
    let had = salvage(journal).ok()?.claimed;
    let other = of_another(docker, &had.first()?.run, &had).await.ok()??;
    Some(format!("the service `{}` is locked by {other}", other.service))
}

/// Rolls back what a run has left on this node, if no other process is at it, and no other run has its service.
pub(super) async fn roll_back_alone(journal: &Path, docker: &Docker, ended: Ended) {
    if let Some(why) = taken_by_another(journal, docker).await {
        complain!("{why}");
        return;
    }
    match Recorder::resume(journal) {
        Ok(rec) => {
            let node = rec.read(|s| replica::node(journal, s).map(str::to_owned));
            let engine: Arc<dyn Engine> = Arc::new(docker.clone());
            // Among several machines its instances are called otherwise.
            let engine = match &node {
                Some(name) => Arc::new(Fleet::of(vec![Machine { name: name.clone(), engine }])),
                None => engine,
            };
            recover::alone(&rec, engine.as_ref(), node.as_deref(), this_process(), ended.to_string()).await;
        }
        Err(e) => complain!("{e}"),
    }
}
