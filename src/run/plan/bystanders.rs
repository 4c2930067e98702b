//! Instances that would be targeted without being targets, because they share something with one: refused by name. Pure.

use std::collections::BTreeSet;

use crate::experiment::fault::spares_others;
use crate::model::instance::sharing::{Reach, Resource, Share, Side};
use crate::model::instance::{Change, CommandLocation, Instance, InstanceId, Setting, Trait};
use crate::model::network::{Peer, Peers};
use crate::run::target::unanswered::not_known;
use crate::run::target::{Refusal, list};

/// Whether these changes, of the fleet as it is now, targeted their instances alone. `all` are all changes of the run: who is a
/// target of the same fault as a change is no bystander of it.
///
/// # Errors
/// The first change that would affect an instance which is no target, with the names of those.
pub fn none_is_targeted(changes: &[Change], all: &[Change], fleet: &[Instance]) -> Result<(), Refusal> {
    for change in changes {
        let Some(instance) = fleet.iter().find(|i| i.id == change.instance) else { continue };
        let with_it: BTreeSet<&InstanceId> =
            all.iter().filter(|c| c.fault == change.fault).map(|c| &c.instance).collect();
        for reach in change.to.reaches() {
            let targeted: BTreeSet<&Share> = instance
                .shares
                .iter()
                .filter(|share| reach.meets(share))
                .filter(|share| !(go_together(reach, &change.to) && with_it.contains(&share.with)))
                .collect();
            if let Some(first) = targeted.first() {
                let names: BTreeSet<&str> = targeted.iter().map(|s| s.name.as_str()).collect();
                return Err(Refusal::limits(told(instance, &change.to, (reach, first), &list(&names))));
            }
        }
        spares_others(&change.to, instance, fleet, |id| with_it.contains(id)).map_err(Refusal::limits)?;
    }
    Ok(())
}

/// Whether those are known that these changes would reach, of instances that the engine does not tell of: peers of a
/// disturbance of traffic, and who might share something with a target.
///
/// # Errors
/// The first that is not.
pub(super) fn all_are_known(changes: &[Change], fleet: &[Instance]) -> Result<(), Refusal> {
    let unknown = || fleet.iter().filter_map(|i| Some((i, i.unanswered()?)));
    for change in changes {
        let peers = peers(&change.to);
        if let Some((i, why)) = unknown().find(|(i, _)| peers.contains(i.name.as_str())) {
            return Err(not_known(i, why, &format!("it is a peer of {}", change.name)));
        }
        let shares = |i: &Instance| i.id != change.instance && i.traits.contains(&Trait::SharesUnknown);
        // Whose network it uses, the list of the engine tells.
        if change.to.reaches().iter().any(|reach| reach.what() != Resource::Network)
            && let Some((i, why)) = unknown().find(|(i, _)| shares(i))
        {
            return Err(not_known(i, why, &format!("it may share something with {}", change.name)));
        }
    }
    Ok(())
}

/// The instances that a disturbance of traffic names as peers.
fn peers(to: &Setting) -> BTreeSet<&str> {
    let named =
        to.traffic().into_iter().filter_map(|t| if let Peers::These(all) = &t.peers { Some(all) } else { None });
    named
        .flatten()
        .filter_map(|p| if let Peer::Instance { name, .. } = p { Some(name.as_str()) } else { None })
        .collect()
}

/// Whether those that share this may be targets of the same fault: each then counts for every limit, and is rolled back.
fn go_together(reach: Reach, to: &Setting) -> bool {
    match reach {
        // One that is back before its lender has ended would stay in what the lender leaves.
        Reach::Ends(_) => !matches!(to, Setting::Restarted { .. }),
        Reach::Borrowers(_) | Reach::Everyone(Resource::Cgroup) => true,
        // It would lie on the same thing twice.
        Reach::Everyone(_) => false,
    }
}

fn told(instance: &Instance, to: &Setting, (reach, share): (Reach, &Share), names: &str) -> String {
    let name = &instance.name;
    let why = match reach {
        Reach::Ends(what) => {
            format!("{names} would lose the {what} of {name}, which {name} lends, when {name} is {to}")
        }
        Reach::Borrowers(what) => {
            format!("{names} would be affected, too, in the {what} of {name}, when {name} is {to}")
        }
        Reach::Everyone(what) if what == Resource::Cgroup && share.side == Side::Lender => {
            format!("{names} would be affected, too, whose {what} {name} is in, when {name} is {to}")
        }
        Reach::Everyone(what) => format!("{name} shares its {what} with {names}: this would affect all of them"),
    };
    let do_this = match (reach, to) {
        (Reach::Ends(_), Setting::Restarted { .. }) => "use `stop` or `kill` with all of them as targets of one fault",
        _ if go_together(reach, to) => {
            "make all of them targets of one fault, so that each counts for every limit and is rolled back"
        }
        _ => "choose a target that shares nothing",
    };
    format!("{why}; {do_this}")
}

/// What people should know of a command that runs in an instance which shares something.
pub(super) fn of_a_command(to: &Setting, instance: &Instance) -> Option<String> {
    let Setting::Ran(command) = to else { return None };
    let reached = instance.shares.iter().filter(|s| s.runs && s.what != Resource::Cgroup);
    let reached: BTreeSet<(Resource, &str)> = reached.map(|s| (s.what, s.name.as_str())).collect();
    let what: BTreeSet<String> = reached.iter().map(|(what, _)| what.to_string()).collect();
    let names: BTreeSet<&str> = reached.iter().map(|(_, name)| *name).collect();
    (command.place == CommandLocation::Target && !reached.is_empty()).then(|| {
        let what = what.into_iter().collect::<Vec<_>>().join(" and ");
        format!("{} shares its {what} with {}, which its command can reach", instance.name, list(&names))
    })
}

#[cfg(test)]
mod tests;
