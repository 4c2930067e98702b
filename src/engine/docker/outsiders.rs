//! Containers that are not seen otherwise, since one project is all that is, and write to the disks of those that are.

use std::sync::atomic::Ordering;

use super::Docker;
use super::container::Found;
use crate::engine::machine::disk;
use crate::host::mounts::MachineRoot;
use crate::model::disk::Mount;
use crate::model::disk::sharing::Outsider;

impl Docker {
    /// Tells each mount of those that are seen which others write to its file system.
    pub(super) async fn share_disks(&self, all: &mut [Found]) {
        let outside = all.iter_mut().filter(|f| f.instance.is_none() && f.sharer.runs);
        let mut others: Vec<(String, Option<u32>, Vec<Mount>)> =
            outside.map(|f| (f.sharer.name.clone(), f.pid, std::mem::take(&mut f.mounts))).collect();
        if others.is_empty() {
            return;
        }
        // What cannot be looked at may lie on any disk.
        if self.sight.found.load(Ordering::Relaxed) {
            let (unlocated, root) = (others.clone(), self.host.root());
            let located = tokio::task::spawn_blocking(move || located(root, others)).await;
            others = located.unwrap_or(unlocated);
        }
        for mount in all.iter_mut().filter_map(|f| f.instance.as_mut()).flat_map(|i| &mut i.mounts) {
            let mut outsiders: Vec<Outsider> = others
                .iter()
                .filter_map(|(name, _, theirs)| {
                    Some(Outsider { name: name.clone(), common: mount.most_common(theirs)? })
                })
                .collect();
            outsiders.sort();
            mount.outsiders = outsiders;
        }
    }
}

fn located(
    root: MachineRoot,
    mut all: Vec<(String, Option<u32>, Vec<Mount>)>,
) -> Vec<(String, Option<u32>, Vec<Mount>)> {
    for (name, pid, mounts) in &mut all {
        if let Err(why) = disk::locate(root, *pid, mounts) {
            tracing::debug!(name, %why, "its mounts cannot be looked at");
        }
    }
    all
}
