//! Whether another process changed a target as a whole while a fault was on. Pure.

use std::collections::BTreeSet;

use crate::model::instance::Instance;

/// What another process did to an instance as a whole, while it is up: its name, its networks.
pub(super) fn moved(before: &Instance, now: &Instance) -> Option<String> {
    if now.name != before.name {
        return Some(format!("was renamed to {} by another process", now.name));
    }
    if !now.is_running() {
        return None;
    }
    let networks = |i: &Instance| i.addresses.iter().map(|a| a.network.clone()).collect::<BTreeSet<String>>();
    let (had, has) = (networks(before), networks(now));
    if let Some(left) = had.difference(&has).next() {
        return Some(format!("was disconnected from the network {left} by another process"));
    }
    has.difference(&had).next().map(|new| format!("was connected to the network {new} by another process"))
}
