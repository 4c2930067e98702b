//! Instances whose state is not known: the engine lists them, and tells no more. They count as what would be worst.
//! Pure.

use super::{Refusal, counting_limit, protected_by, replica_group};
use crate::experiment::selector::Selector;
use crate::experiment::{BlastRadius, Injection};
use crate::model::instance::{Instance, Trait};

/// Whether every instance that could be a target is known.
///
/// # Errors
/// Where one is not.
pub(super) fn could_be_a_target(radius: &BlastRadius, selector: &Selector, fleet: &[Instance]) -> Result<(), Refusal> {
    let may =
        |i: &&Instance| selector.matches(i) && protected_by(radius, i).is_none() && !i.traits.contains(&Trait::Ours);
    match fleet.iter().filter(may).find_map(|i| Some((i, i.unanswered()?))) {
        Some((i, why)) => Err(not_known(i, why, "it could be a target")),
        None => Ok(()),
    }
}

/// Whether every instance is known that counts for the limits of the services that are targeted.
///
/// # Errors
/// Where one is not.
pub(super) fn counts(radius: &BlastRadius, fleet: &[Instance], targeted: &[&Instance]) -> Result<(), Refusal> {
    let Some(limit) = counting_limit(radius) else { return Ok(()) };
    let counts = |i: &&Instance| targeted.iter().any(|h| replica_group(h) == replica_group(i));
    match fleet.iter().filter(counts).find_map(|i| Some((i, i.unanswered()?))) {
        Some((i, why)) => Err(not_known(i, why, &format!("it counts for `{limit}` of `{}`", i.service))),
        None => Ok(()),
    }
}

/// A refusal because of an instance that is not known.
pub(crate) fn not_known(i: &Instance, why: &str, because: &str) -> Refusal {
    Refusal::limits(format!(
        "the engine does not tell how {} is ({why}), and {because}; see `docker inspect {}`, and remove it if it hangs",
        i.name, i.name
    ))
}

/// What people should know of those that none of this concerns.
#[must_use]
pub(crate) fn warning(faults: &[Injection], fleet: &[Instance]) -> Option<String> {
    let meant = |i: &Instance| faults.iter().any(|f| f.target.selector().matches(i));
    let unknown: Vec<(&Instance, &str)> =
        fleet.iter().filter(|i| !meant(i)).filter_map(|i| Some((i, i.unanswered()?))).collect();
    let (first, why) = unknown.first()?;
    let name = &first.name;
    Some(match unknown.len() {
        1 => format!("the engine does not tell how {name} is ({why}); it is left out"),
        n => format!("the engine does not tell how {name} and {} more are ({why}); they are left out", n - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Aspect, Setting};

    /// Two of `shop` of which one is not told of, and one of `store`.
    fn fleet() -> Vec<Instance> {
        let mut fleet = [("shop-1", "shop"), ("shop-2", "shop"), ("store-1", "store")]
            .map(|(n, s)| Instance::new(n, n, s))
            .to_vec();
        for i in &mut fleet {
            i.settings.insert(Aspect::Running, Setting::Running(true));
        }
        fleet[1].traits.insert(Trait::Unanswered("no answer within 2s".to_owned()));
        fleet
    }

    fn service(name: &str) -> Selector {
        Selector { service: Some(name.to_owned()), ..Selector::default() }
    }

    #[test]
    fn one_that_could_be_a_target_is_known_or_the_run_is_refused() {
        let radius = BlastRadius::default();
        let why = could_be_a_target(&radius, &service("shop"), &fleet()).unwrap_err().text;
        assert!(why.contains("does not tell how shop-2 is (no answer within 2s), and it could be a target"), "{why}");
        could_be_a_target(&radius, &service("store"), &fleet()).expect("it cannot be meant");
    }

    #[test]
    fn one_that_counts_for_a_limit_is_known_or_the_run_is_refused() {
        let fleet = fleet();
        let min = BlastRadius { min_healthy: Some(1), ..BlastRadius::default() };
        let why = counts(&min, &fleet, &[&fleet[0]]).unwrap_err().text;
        assert!(why.contains("it counts for `min-healthy` of `shop`"), "{why}");
        counts(&min, &fleet, &[&fleet[2]]).expect("it is of another service");
        counts(&BlastRadius::default(), &fleet, &[&fleet[0]]).expect("nothing counts it");
    }
}
