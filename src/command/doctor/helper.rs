//! Whether a helper does what takes root on the engine's host, tried.

use std::sync::Arc;
use std::time::Instant;

use super::{Finding, Mark, good, note};
use crate::command::cli::{DockerArgs, HelperChoice};
use crate::engine::Observe as _;
use crate::engine::docker::Docker;
use crate::engine::node::Node;
use crate::text::units::span;

const WHAT: &str = "helper";

/// What a process would need itself, if there were no helper.
const INSTEAD: [&str; 5] = ["user", "capabilities", "PID namespace", "namespaces", "network faults"];

/// Starts one, where a run would, and asks it for what it sees.
pub(super) async fn helper(docker: &Docker, args: &DockerArgs) -> Finding {
    let is_needed = match (args.helper, docker.is_on_its_host().await) {
        (HelperChoice::Never, _) => return good(WHAT, "none, as was said (`--helper never`)"),
        (HelperChoice::Auto, Ok(is_here)) => !is_here,
        (HelperChoice::Always, _) | (HelperChoice::Auto, Err(_)) => true,
    };
    if !is_needed {
        return good(WHAT, "not needed: this process can do itself what takes root on the engine's host");
    }
    let began = Instant::now();
    let node = Node::begin(Arc::new(docker.clone()), args.helper_image.as_deref()).await;
    let seen = match &node {
        Ok(node) => node.observe().await.map(drop),
        Err(e) => Err(e.clone()),
    };
    let took = began.elapsed();
    if let Ok(node) = node {
        node.end().await;
    }
    match seen {
        Ok(()) => {
            good(WHAT, format!("yes: it was there in {}, and does what takes root on the engine's host", span(took)))
        }
        Err(e) => note(
            WHAT,
            e.to_string(),
            "what takes root on the engine's host is refused; faults of the engine's own work",
        ),
    }
}

/// What a process lacks that a helper has in its place needs nothing done about it.
pub(super) fn in_its_place(findings: &mut [Finding]) {
    let lacks = |f: &&mut Finding| f.mark == Mark::Note && INSTEAD.contains(&f.what);
    for finding in findings.iter_mut().filter(lacks) {
        finding.mark = Mark::Good;
        "nothing: the helper has it".clone_into(&mut finding.todo);
    }
}
