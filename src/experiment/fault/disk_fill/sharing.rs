//! Whose disk a filling would fill beside its target's: refused, or a reserve is kept for them. Pure.

use std::collections::BTreeSet;

use super::super::{Context, LEFT_OVER};
use crate::model::disk::sharing::Common;
use crate::model::disk::{DiskLocation, Fill};
use crate::model::instance::{Aspect, Instance, InstanceId, Setting};
use crate::text::units::few;

/// For whom a reserve is kept: those that would run out of space, too.
pub(super) fn reserved_for(place: &DiskLocation, i: &Instance, context: &Context<'_>) -> Vec<String> {
    let neighbors = neighbors(place, i, context.fleet, |id| context.targets.contains(id));
    neighbors.into_iter().map(|n| n.name.to_owned()).collect()
}

/// Refuses a disk that is filled already, or whose files are another instance's as well.
pub(in crate::experiment::fault) fn may_be_filled(
    to: &Setting,
    i: &Instance,
    context: &Context<'_>,
) -> Result<(), String> {
    let Setting::Filled(fill) = to else { return Ok(()) };
    if let Some(Setting::Mark(Aspect::Disk, Some(_))) = i.settings.get(&Aspect::Disk) {
        return Err(format!("the disk of {} is filled already, {LEFT_OVER}", i.name));
    }
    let neighbors = neighbors(&fill.place, i, context.fleet, |id| context.targets.contains(id));
    no_files_in_common(fill, i, &neighbors)
}

/// Whether a planned filling still spares those that are no targets of the same fault: where it keeps no reserve for others, there
/// are none.
///
/// # Errors
/// If there are some by now: who, in a sentence.
pub fn spares_others(
    to: &Setting,
    i: &Instance,
    fleet: &[Instance],
    is_target: impl Fn(&InstanceId) -> bool,
) -> Result<(), String> {
    let Setting::Filled(fill) = to else { return Ok(()) };
    let neighbors = neighbors(&fill.place, i, fleet, is_target);
    no_files_in_common(fill, i, &neighbors)?;
    let names: BTreeSet<&str> = neighbors.iter().map(|n| n.name).collect();
    if names.is_empty() || !fill.shared_with.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} would run out of space, too: by now it writes to the file system of {} that {} has at {}",
        list(&names),
        fill.place.path,
        i.name,
        fill.place.mount.path
    ))
}

fn list(names: &BTreeSet<&str>) -> String {
    few(&names.iter().collect::<Vec<_>>(), 4)
}

struct Neighbor<'a> {
    name: &'a str,
    common: Common,
}

/// Running instances that can write to what is filled, apart from targets with which it shares no more than the space.
fn neighbors<'a>(
    place: &DiskLocation,
    i: &'a Instance,
    fleet: &'a [Instance],
    is_target: impl Fn(&InstanceId) -> bool,
) -> Vec<Neighbor<'a>> {
    let mount = &place.mount;
    // Of one that is not described, it is not known what it writes to.
    let common = |other: &Instance| mount.most_common(&other.mounts).or(other.unanswered().map(|_| Common::FileSystem));
    let is_there = |other: &Instance| other.id != i.id && !other.is_on_another_node_than(i);
    let others = fleet.iter().filter(|other| is_there(other) && other.is_running());
    let seen = others.filter_map(|other| {
        let common = common(other)?;
        let spared = common == Common::Directory || !is_target(&other.id);
        spared.then_some(Neighbor { name: &other.name, common })
    });
    let now = i.mounts.iter().find(|m| m.path == mount.path).into_iter();
    let unseen = now.flat_map(|m| &m.outsiders).map(|o| Neighbor { name: &o.name, common: o.common });
    seen.chain(unseen).collect()
}

/// What lies in the very files of another instance targets it whatever is left: twice the same, if it is a target as well.
fn no_files_in_common(fill: &Fill, i: &Instance, neighbors: &[Neighbor<'_>]) -> Result<(), String> {
    let names: BTreeSet<&str> = neighbors.iter().filter(|n| n.common == Common::Directory).map(|n| n.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mount = &fill.place.mount;
    let source = mount.source.as_deref().map(|source| format!(" ({source})")).unwrap_or_default();
    Err(format!(
        "{} shares the files of {}{source} with {}: `disk-fill` would affect all of them; choose a target that has them alone",
        i.name,
        mount.path,
        list(&names)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::disk::sharing::{Location, Outsider};
    use crate::model::disk::{Goal, Mount, MountKind};
    use crate::model::instance::Trait;

    fn mount(kind: MountKind, device: &str, directory: &str) -> Mount {
        let location = Location { device: device.to_owned(), directory: Some(directory.to_owned()) };
        let source = Some(format!("/host/{device}{directory}"));
        Mount { location: Some(location), ..Mount::new("/data", kind, source, false) }
    }

    fn instance(name: &str, mounts: Vec<Mount>) -> Instance {
        Instance {
            mounts,
            settings: [(Aspect::Running, Setting::Running(true))].into(),
            ..Instance::new(name, name, name)
        }
    }

    fn filled(i: &Instance) -> Setting {
        let place = DiskLocation { path: "/data".to_owned(), mount: i.mounts[0].clone(), filesystem: None };
        Setting::Filled(Box::new(Fill { place, goal: Goal::To(1.0), rate: None, shared_with: Vec::new() }))
    }

    /// For whom a reserve is kept when this instance is filled.
    fn beside(i: &Instance, fleet: &[Instance], targets: &[InstanceId]) -> Result<Vec<String>, String> {
        let context = Context { fleet, targets, ..Context::default() };
        let to = filled(i);
        may_be_filled(&to, i, &context)?;
        let Setting::Filled(fill) = to else { panic!("{to:?}") };
        Ok(reserved_for(&fill.place, i, &context))
    }

    /// For whom a reserve is kept when `db` is filled beside `other`, which is a target, too, or is not.
    fn reserved(other: Instance, is_target: bool) -> Result<Vec<String>, String> {
        let db = instance("db", vec![mount(MountKind::Bind, "7:0", "/a")]);
        let targets = if is_target { vec![other.id.clone()] } else { Vec::new() };
        beside(&db, &[db.clone(), other], &targets)
    }

    #[test]
    fn a_reserve_is_kept_for_whoever_writes_to_the_same_file_system() {
        let other = |kind, device, directory| instance("web", vec![mount(kind, device, directory)]);
        let kept = |other, is_target| reserved(other, is_target).unwrap();
        assert_eq!(kept(other(MountKind::Bind, "7:0", "/b"), false), ["web"], "another directory of one disk");
        assert_eq!(kept(other(MountKind::Root, "7:0", "/engine"), false), ["web"], "its root");
        assert!(kept(other(MountKind::Bind, "7:0", "/b"), true).is_empty(), "it is a target itself");
        assert!(kept(other(MountKind::Bind, "7:1", "/a"), false).is_empty(), "another disk");
        let mut stopped = other(MountKind::Bind, "7:0", "/b");
        stopped.settings.insert(Aspect::Running, Setting::Running(false));
        assert!(kept(stopped, false).is_empty(), "it writes nothing");
        let mut mute = instance("web", Vec::new());
        mute.traits.insert(Trait::Unanswered("no answer".to_owned()));
        assert_eq!(kept(mute, false), ["web"], "nobody knows what it writes to");
    }

    #[test]
    fn the_files_of_another_instance_are_not_filled() {
        for is_target in [false, true] {
            let link = Mount { source: Some("/link".to_owned()), ..mount(MountKind::Bind, "7:0", "/a") };
            let why = reserved(instance("web", vec![link]), is_target).unwrap_err();
            assert!(why.contains("db shares the files of /data (/host/7:0/a) with web"), "{why}");
        }
    }

    #[test]
    fn who_is_out_of_sight_is_spared_as_well() {
        let with = |common| {
            let outsiders = vec![Outsider { name: "prod".to_owned(), common }];
            let db = instance("db", vec![Mount { outsiders, ..mount(MountKind::Volume, "7:0", "/v") }]);
            beside(&db, std::slice::from_ref(&db), &[])
        };
        assert_eq!(with(Common::FileSystem).unwrap(), ["prod"]);
        assert!(with(Common::Directory).unwrap_err().contains("with prod"));
    }

    #[test]
    fn who_has_come_since_the_plan_stops_the_injection() {
        let db = instance("db", vec![mount(MountKind::Bind, "7:0", "/a")]);
        let web = instance("web", vec![mount(MountKind::Bind, "7:0", "/b")]);
        let fleet = [db.clone(), web];
        let why = spares_others(&filled(&db), &db, &fleet, |_| false).unwrap_err();
        assert!(why.contains("web would run out of space, too"), "{why}");
        let Setting::Filled(fill) = filled(&db) else { panic!("a filling") };
        let keeps = Setting::Filled(Box::new(Fill { shared_with: vec!["other".to_owned()], ..*fill }));
        spares_others(&keeps, &db, &fleet, |_| false).expect("a reserve is kept anyway");
    }
}
