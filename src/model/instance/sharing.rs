//! What instances use together: namespaces and control groups, who lends one and who borrows it. Pure.
//!
//! An engine tells what each instance declares to borrow ([`Borrowed`]); [`link`] makes of that what each one shares, with
//! whom ([`Share`]), by identity: also over several steps, and for both sides.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Instance, InstanceId};

/// What instances can use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// A network namespace: interfaces, addresses, ports, connections.
    #[strum(to_string = "network")]
    Network,
    /// A PID namespace: it ends with the main process of the lender.
    #[strum(to_string = "PID namespace")]
    Processes,
    /// An IPC namespace, with its `/dev/shm`.
    #[strum(to_string = "IPC namespace")]
    Ipc,
    /// A control group: who is below another one is limited and frozen with it.
    #[strum(to_string = "control group")]
    Cgroup,
}

/// What an instance declares to use of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Borrowed {
    /// Which instance borrows.
    pub by: InstanceId,
    /// What it borrows.
    pub what: Resource,
    /// From which instance: its id, the beginning of it, or its name.
    pub from: String,
}

/// Which side of a shared resource the other instance is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The other instance uses this one's: it loses it when this one ends.
    Borrower,
    /// This instance uses the other one's.
    Lender,
    /// Both use that of a third one.
    Neighbor,
}

/// One resource that an instance shares with another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// What they use together.
    pub what: Resource,
    /// What the other instance is for this one.
    pub side: Side,
    /// The other instance.
    pub with: InstanceId,
    /// Its name, for people.
    pub name: String,
    /// Whether the other instance has a main process to lose.
    pub runs: bool,
}

/// An instance as far as sharing needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// Its identity.
    pub id: InstanceId,
    /// Its name.
    pub name: String,
    /// Whether it has a main process to lose, or is about to have one again.
    pub runs: bool,
}

/// What each instance shares, with whom, from what all of them declare to borrow.
#[must_use]
pub fn link(all: &[Sharer], borrowed: &[Borrowed]) -> BTreeMap<InstanceId, BTreeSet<Share>> {
    let mut shares: BTreeMap<InstanceId, BTreeSet<Share>> = BTreeMap::new();
    for what in [Resource::Network, Resource::Processes, Resource::Ipc, Resource::Cgroup] {
        let mut lenders: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for b in borrowed.iter().filter(|b| b.what == what) {
            let by = all.iter().position(|s| s.id == b.by);
            if let (Some(by), Some(from)) = (by, meant(all, &b.from)) {
                lenders.entry(by).or_default().insert(from);
            }
        }
        let above: BTreeMap<usize, BTreeSet<usize>> =
            lenders.keys().map(|&one| (one, all_above(one, &lenders))).collect();
        let involved: BTreeSet<usize> =
            above.iter().flat_map(|(one, above)| above.iter().chain([one])).copied().collect();
        let of = |one: usize| above.get(&one).cloned().unwrap_or_default();
        for (&one, &other) in involved.iter().flat_map(|one| involved.iter().map(move |other| (one, other))) {
            let side = if one == other {
                continue;
            } else if of(other).contains(&one) {
                Side::Borrower
            } else if of(one).contains(&other) {
                Side::Lender
            } else if what != Resource::Cgroup && !of(one).is_disjoint(&of(other)) {
                Side::Neighbor
            } else {
                continue;
            };
            let Sharer { id, name, runs } = all[other].clone();
            shares.entry(all[one].id.clone()).or_default().insert(Share { what, side, with: id, name, runs });
        }
    }
    shares
}

/// The instance that is told by its id, its name, or the beginning of its id.
fn meant(all: &[Sharer], told: &str) -> Option<usize> {
    let by = |is: &dyn Fn(&Sharer) -> bool| all.iter().position(is);
    by(&|s| s.id.0 == told)
        .or_else(|| by(&|s| s.name == told))
        .or_else(|| by(&|s| told.len() >= 12 && s.id.0.starts_with(told)))
}

/// From which instances one borrows, also over others.
fn all_above(one: usize, lenders: &BTreeMap<usize, BTreeSet<usize>>) -> BTreeSet<usize> {
    let mut above = BTreeSet::new();
    let mut next = vec![one];
    while let Some(at) = next.pop() {
        for &lender in lenders.get(&at).into_iter().flatten() {
            // Whatever an engine tells: no instance lends to itself.
            if lender != one && above.insert(lender) {
                next.push(lender);
            }
        }
    }
    above
}

/// How a setting reaches those that share with its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It takes this away from those that borrow it: the instance ends.
    Ends(Resource),
    /// It is on those, too, that borrow this.
    Borrowers(Resource),
    /// It is on all that share this, lender or borrower.
    Everyone(Resource),
}

impl Reach {
    /// What is shared.
    #[must_use]
    pub fn what(self) -> Resource {
        match self {
            Self::Ends(what) | Self::Borrowers(what) | Self::Everyone(what) => what,
        }
    }

    /// Whether it reaches the other instance of a share.
    #[must_use]
    pub fn meets(self, share: &Share) -> bool {
        let side = matches!(self, Self::Everyone(_)) || share.side == Side::Borrower;
        share.runs && share.what == self.what() && side
    }
}

impl Instance {
    /// Of how many of these it borrows something: those have to be there before it.
    #[must_use]
    pub fn lenders_among<'a>(&self, others: impl Iterator<Item = &'a InstanceId>) -> usize {
        let lenders: BTreeSet<&InstanceId> =
            self.shares.iter().filter(|s| s.side == Side::Lender).map(|s| &s.with).collect();
        others.filter(|id| lenders.contains(id)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::Side::{Borrower, Lender};
    use super::*;

    fn fleet(names: &[&str]) -> Vec<Sharer> {
        let id = |name: &str| InstanceId(format!("{name}-0123456789abcdef"));
        names.iter().map(|name| Sharer { id: id(name), name: (*name).to_owned(), runs: true }).collect()
    }

    fn borrowed(all: &[Sharer], by: &str, what: Resource, from: &str) -> Borrowed {
        let by = all.iter().find(|s| s.name == by).unwrap().id.clone();
        Borrowed { by, what, from: from.to_owned() }
    }

    fn sides(shares: &BTreeMap<InstanceId, BTreeSet<Share>>, of: &str) -> Vec<(String, Side)> {
        let of = shares.iter().find(|(id, _)| id.0.starts_with(of)).map(|(_, shares)| shares);
        of.into_iter().flatten().map(|s| (s.name.clone(), s.side)).collect()
    }

    fn named(all: &[(&str, Side)]) -> Vec<(String, Side)> {
        all.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect()
    }

    #[test]
    fn both_sides_know_each_other_over_any_number_of_steps() {
        let all = fleet(&["app", "proxy", "log", "other"]);
        let told = [
            borrowed(&all, "proxy", Resource::Network, "app-0123456789abcdef"),
            borrowed(&all, "log", Resource::Network, "proxy"),
        ];
        let shares = link(&all, &told);
        let sorted = |of: &str| {
            let mut found = sides(&shares, of);
            found.sort();
            found
        };
        assert_eq!(sorted("app"), named(&[("log", Borrower), ("proxy", Borrower)]));
        assert_eq!(sorted("proxy"), named(&[("app", Lender), ("log", Borrower)]));
        assert_eq!(sorted("log"), named(&[("app", Lender), ("proxy", Lender)]));
        assert_eq!(sorted("other"), []);
    }

    #[test]
    fn two_borrowers_of_one_are_neighbors_but_not_below_a_control_group() {
        let all = fleet(&["app", "one", "two"]);
        for (what, neighbors) in
            [(Resource::Network, 1), (Resource::Processes, 1), (Resource::Ipc, 1), (Resource::Cgroup, 0)]
        {
            let told = ["one", "two"].map(|by| borrowed(&all, by, what, "app-01234567"));
            let shares = link(&all, &told);
            let beside = sides(&shares, "one").into_iter().filter(|(_, side)| *side == Side::Neighbor).count();
            assert_eq!((beside, sides(&shares, "app").len()), (neighbors, 2), "{what}");
        }
    }

    #[test]
    fn a_lender_that_is_missing_or_is_the_borrower_shares_nothing() {
        let all = fleet(&["app", "one"]);
        let told = [borrowed(&all, "one", Resource::Network, "gone"), borrowed(&all, "app", Resource::Network, "app")];
        assert!(link(&all, &told).is_empty());
        let round = [borrowed(&all, "one", Resource::Ipc, "app"), borrowed(&all, "app", Resource::Ipc, "one")];
        assert_eq!(link(&all, &round).len(), 2, "an engine that tells a circle stops nothing");
    }
}
