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
    let named = match connect::fleet::named(meant).await {
        Ok(named) => named,
        Err(e) => {
            return vec![bad(
                WHAT,
                format!("{e:#}"),
                "have the Swarm's manager answer, or name the machines one by one",
            )];
        }
    };
    let each = named.into_iter().map(async |(name, endpoint)| {
        let address = endpoint.address.clone();
        match Docker::reach(endpoint).await {
            Ok(docker) => of_one(name, docker, args, state).await,
            Err(e) => {
                let name = name.unwrap_or(address);
                vec![bad(WHAT, format!("{name}: {e}"), "runs that name it are refused until it answers")]
            }
        }
    });
    join_all(each).await.concat()
}

async fn of_one(name: Option<String>, docker: Docker, args: &DockerArgs, state: &StateDir) -> Vec<Finding> {
    let it = docker.describe();
    let name = name.or(it.host).unwrap_or_else(|| it.address.clone());
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
