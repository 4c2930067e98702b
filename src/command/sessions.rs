//! What helpers on an engine's host have left there, whichever machine their runs were started from: rolled back by a helper of the same
//! session, and taken away.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::connect::{fleet, kind};
use crate::command::cli::EngineArgs;
use crate::engine::docker::Docker;
use crate::engine::node::Node;
use crate::engine::node::protocol::LEASE;
use crate::engine::{EngineError, Helper, Kind};

/// What became of a run on the engine's host.
pub(super) struct Settled {
    /// Whether something of it is still there.
    pub(super) is_left: bool,
    /// A line for people.
    pub(super) text: String,
}

/// Settles what is on the host of the engine that is meant; nothing where there is no such engine.
pub(super) async fn on_host_of(args: &EngineArgs) -> Vec<Settled> {
    if kind(args) != Kind::Docker {
        return Vec::new();
    }
    let engines = match fleet::engines(&args.docker).await {
        Ok(engines) => engines,
        // Where there is no engine at all, there is no helper.
        Err(_) if args.docker.is_one() => return Vec::new(),
        Err(e) => return vec![Settled { is_left: true, text: format!("what helpers have left is not known: {e:#}") }],
    };
    let image = args.docker.helper_image.as_deref();
    let each = engines.iter().map(async |docker| match settle_all(docker, image).await {
        Ok(all) => all,
        Err(EngineError::Unreachable { .. }) => Vec::new(),
        Err(e) => vec![Settled { is_left: true, text: format!("what helpers have left is not known: {e}") }],
    });
    join_all(each).await.into_iter().flatten().collect()
}

/// Settles every session that no helper has: what became of their runs.
///
/// # Errors
/// Where the engine does not tell which there are.
pub(super) async fn settle_all(docker: &Arc<Docker>, image: Option<&str>) -> Result<Vec<Settled>, EngineError> {
    let mut lines = Vec::new();
    if let Err(e) = docker.remove_never_started().await {
        tracing::warn!("{e}");
    }
    let idle = async || Ok::<_, EngineError>(docker.sessions().await?.into_iter().filter(|session| !session.is_in_use));
    let mut left: Vec<_> = idle().await?.collect();
    if !left.is_empty() {
        // A run whose helper has just died starts another one: that one knows better.
        sleep(LEASE).await;
        let still: Vec<_> = idle().await?.collect();
        left.retain(|session| still.contains(session));
    }
    for session in left {
        match settle(docker, session.name.clone(), image).await {
            Ok(found) => lines.extend(found),
            Err(e) => {
                let text = format!("what a helper has left in the volume {} cannot be looked at: {e}", session.name);
                lines.push(Settled { is_left: true, text });
            }
        }
    }
    Ok(lines)
}

async fn settle(docker: &Arc<Docker>, session: String, image: Option<&str>) -> Result<Vec<Settled>, EngineError> {
    let image = Node::image(docker, image).await?;
    let node = Node::resume(Arc::clone(docker), &Helper { session: session.clone(), image });
    let found = node.recover().await;
    let is_settled = found.as_ref().is_ok_and(|all| all.iter().all(|found| !found.outstanding));
    if is_settled {
        node.end().await;
    } else {
        node.close().await;
    }
    let lines = found?.into_iter().filter_map(|found| {
        let run = &found.run;
        let alone = match found.alone {
            Some(alone) => alone,
            None if found.outstanding => "the helper could not roll it back".to_owned(),
            None => return None,
        };
        let what = if found.outstanding { "something" } else { "nothing" };
        let so = if found.outstanding { format!(" (the volume {session} has the record)") } else { String::new() };
        let text = format!("{run}: {what} is left on the engine's host, where {alone}{so}");
        Some(Settled { is_left: found.outstanding, text })
    });
    Ok(lines.collect())
}
