//! What runs have left at containers with no run to roll it back: its state directory is lost, or lies on another machine. It is
//! named, with what a person can type, and never touched: that no run owns it can be seen, but not proven.

use std::collections::BTreeSet;

use super::{Finding, good, note};
use crate::engine::docker::Docker;
use crate::engine::{Apply as _, EngineError, Lock as _, Observe as _};
use crate::model::instance::{Change, Instance, InstanceId, Setting};

const WHAT: &str = "left at containers";

/// Looks for it. A run removes its lock after its rollback, so that what is there before and after there was no lock is no run's.
pub(super) async fn ownerless(docker: &Docker) -> Finding {
    match found(docker).await {
        Ok(found) if found.is_empty() => good(WHAT, "nothing without a run that owns it"),
        Ok(found) => note(
            WHAT,
            found.join("\n"),
            "`squall recover --state DIR` with the state directory of the run that left it, if there is one; else by hand",
        ),
        Err(e) => note(WHAT, e.to_string(), ""),
    }
}

/// What is left, each in a line.
async fn found(docker: &Docker) -> Result<Vec<String>, EngineError> {
    let look = async || -> Result<_, EngineError> { Ok((docker.observe().await?, locked(docker).await?)) };
    let first = look().await?;
    // Mostly there is nothing, and no second look is needed.
    if left(&first, &first).is_empty() {
        return Ok(Vec::new());
    }
    let second = look().await?;
    let lines = left(&first, &second)
        .into_iter()
        .map(|(instance, mark)| {
            let change = Change::restoring(instance, Setting::Mark(mark.aspect(), None));
            format!("{}: {mark}; by hand: {}", instance.name, docker.by_hand(&change, &change.to))
        })
        .collect();
    Ok(lines)
}

/// The services whose locks are taken.
async fn locked(docker: &Docker) -> Result<BTreeSet<String>, EngineError> {
    Ok(docker.claims().await?.into_iter().map(|claim| claim.service).collect())
}

/// Each instance that has the same mark twice, and no lock on its service either time. Pure.
fn left<'a>(
    (before, locked_before): &(Vec<Instance>, BTreeSet<String>),
    (after, locked_after): &'a (Vec<Instance>, BTreeSet<String>),
) -> Vec<(&'a Instance, &'a Setting)> {
    let is_locked = |i: &Instance| locked_before.contains(&i.service) || locked_after.contains(&i.service);
    let was_there = |id: &InstanceId, mark: &Setting| {
        before.iter().any(|i| i.id == *id && i.settings.get(&mark.aspect()) == Some(mark))
    };
    let marks =
        |i: &'a Instance| i.settings.values().filter(|s| matches!(s, Setting::Mark(_, Some(_)))).map(move |s| (i, s));
    after.iter().filter(|i| !is_locked(i)).flat_map(marks).filter(|(i, mark)| was_there(&i.id, mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::Aspect;

    #[test]
    fn what_is_there_twice_without_a_lock_is_no_runs() {
        let look = |mark: Option<&str>, locked: &[&str]| {
            let mut one = Instance::new("a", "shop-1", "shop");
            one.settings.insert(Aspect::Network, Setting::Mark(Aspect::Network, mark.map(str::to_owned)));
            (vec![one], locked.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<String>>())
        };
        let found = |first, second| left(&first, &second).len();
        assert_eq!(found(look(Some("x"), &[]), look(Some("x"), &["store"])), 1);
        assert_eq!(found(look(Some("x"), &["shop"]), look(Some("x"), &[])), 0, "its run was there");
        assert_eq!(found(look(Some("x"), &[]), look(Some("x"), &["shop"])), 0, "its run has come");
        assert_eq!(found(look(Some("x"), &[]), look(None, &[])), 0, "it is rolled back");
        assert_eq!(found(look(Some("x"), &[]), look(Some("y"), &[])), 0, "it is another one");
        assert_eq!(found(look(None, &[]), look(None, &[])), 0);
    }
}
