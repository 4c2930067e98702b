//! Several machines: whether each can be reached, looked at, and has a helper.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Finding, Mark, bad, finding, good, helper, ownerless};
use crate::command::cli::{DockerArgs, Meant};
use crate::command::connect;
use crate::engine::docker::Docker;
use crate::engine::{Engine as _, Observe as _};
use crate::host::store::StateDir;
use crate::report::follow::words::count;

const WHAT: &str = "machine";

/// What is found of each, in the order in which they are named.
pub(super) async fn machines(meant: Meant, args: &DockerArgs, state: &StateDir) -> Vec<Finding> {
    let each = match connect::fleet::each(meant).await {
        Ok(each) => each,
        Err(e) => {
            return vec![bad(
                WHAT,
                format!("{e:#}"),
                "have the Swarm's manager answer, or name the machines one by one",
            )];
        }
    };
    let findings = each.into_iter().map(async |one| match one {
        Ok(docker) => of_one(docker, args, state).await,
        Err(why) => vec![bad(WHAT, why, "runs that name it are refused until it answers")],
    });
    join_all(findings).await.concat()
}

async fn of_one(docker: Docker, args: &DockerArgs, state: &StateDir) -> Vec<Finding> {
    let (it, name) = (docker.describe(), docker.machine().name.clone());
    let name = if name.is_empty() { it.address.clone() } else { name };
    let docker = Arc::new(docker);
    let all = match docker.observe().await {
        Ok(all) => all,
        Err(e) => return vec![bad(WHAT, format!("{name}: {e}"), "let this user list and inspect its containers")],
    };
    let helper = helper::helper(&docker, args, &mut []).await;
    let here = all.iter().filter(|i| i.elsewhere().is_none()).count();
    let found = format!(
        "{name}: {} at {}, {} seen; helper: {}",
        it.version,
        it.address,
        count(here, "container"),
        helper.found
    );
    let others = [super::locks(&docker, state).await, ownerless::ownerless(&docker).await];
    let others = others.into_iter().filter(|f| f.mark != Mark::Good);
    let others = others.map(|f| finding(f.mark, f.what, format!("{name}: {}", f.found), f.todo));
    let own =
        if helper.mark == Mark::Good { good(WHAT, found) } else { finding(helper.mark, WHAT, found, helper.todo) };
    [own].into_iter().chain(others).collect()
}
