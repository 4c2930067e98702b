//! Whether a helper does what takes root on the engine's host, tried.

use std::sync::Arc;
use std::time::Instant;

use super::{Finding, Mark, good, note};
use crate::command::cli::{DockerArgs, HelperChoice};
use crate::command::connect::wants_helper;
use crate::engine::Observe as _;
use crate::engine::docker::Docker;
use crate::engine::node::Node;
use crate::text::units::span;

const WHAT: &str = "helper";

/// What a process would need itself, if there were no helper.
const INSTEAD: [&str; 5] = ["user", "capabilities", "PID namespace", "namespaces", "network faults"];

/// Starts one, where a run would, and asks it for what it sees. What it has in the place of this process needs nothing done about it.
pub(super) async fn helper(docker: &Docker, args: &DockerArgs, others: &mut [Finding]) -> Finding {
    if args.helper == HelperChoice::Never {
        return good(WHAT, "none, as was said (`--helper never`)");
    }
    if !wants_helper(docker, args.helper).await.unwrap_or(true) {
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
            in_its_place(others);
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
fn in_its_place(findings: &mut [Finding]) {
    let lacks = |f: &&mut Finding| f.mark == Mark::Note && INSTEAD.contains(&f.what);
    for finding in findings.iter_mut().filter(lacks) {
        finding.mark = Mark::Good;
        "nothing: the helper has it".clone_into(&mut finding.todo);
    }
}
