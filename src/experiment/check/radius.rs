//! Target and blast radius: limits that contradict each other, and selections that mean everything.

use super::{Found, Mistake, and, dotted};
use crate::experiment::fault::{Fault, Whole};
use crate::experiment::{BlastRadius, Pick, Target};

/// `targets` are the paths of every fault's target.
pub(super) fn check(found: &mut Found<'_>, targets: &[Vec<&str>]) {
    let limits = found.document.part::<BlastRadius>(&["blast-radius"]);
    if let Some(limits) = &limits {
        limits_alone(found, limits);
    }
    for path in targets {
        let Some(target) = found.document.part::<Target>(path) else { continue };
        let beside = [&path[..path.len().saturating_sub(1)], &["fault"]].concat();
        let fault = found.document.part::<Fault>(&beside);
        selection(found, path, &target, fault.as_ref());
        if let (Some(limits), Some(pick)) = (&limits, target.pick) {
            together(found, path, pick, limits);
        }
    }
}

fn selection(found: &mut Found<'_>, path: &[&str], target: &Target, fault: Option<&Fault>) {
    let key = |key: &'static str| [path, &[key]].concat();
    let (whole, name) = fault.map_or((None, ""), |f| (f.disturb().whole(), f.name()));
    // Some of all zones or nodes there are is a selection, too.
    let some = match target.pick {
        Some(Pick::Zones(_)) => whole == Some(Whole::Zone),
        Some(Pick::Nodes(_)) => whole == Some(Whole::Node),
        _ => false,
    };
    if target.selector().is_empty() && !some {
        let at = found.document.key_at(path);
        found.add(
            Mistake::error(&at, format!("`{}` selects everything", dotted(path)))
                .help("say something: `service`, `node`, `zone`, `name`, `image` or `labels`"),
        );
    }
    for (key, text) in
        [("service", &target.service), ("node", &target.node), ("zone", &target.zone), ("image", &target.image)]
    {
        if text.as_ref().is_some_and(|t| t.trim().is_empty()) {
            let path = [path, &[key]].concat();
            let at = found.document.value_at(&path);
            found.add(Mistake::error(&at, format!("`{}` is empty", dotted(&path))));
        }
    }
    labels(found, &key("labels"), &target.labels);
    super::projects(found, path);
    super::texts(found, &key("name"));
    let at = found.document.value_at(&key("pick"));
    match target.pick {
        Some(pick) if whole.is_some_and(|whole| leaves_a_part(whole, pick)) => {
            let n = if let Pick::Count(n) | Pick::Zones(n) | Pick::Nodes(n) = pick { n } else { 1 };
            let one = if whole == Some(Whole::Node) { "node" } else { "zone" };
            found.add(Mistake::error(&at, format!("`pick: {pick}` would leave something of a {one} running")).help(
                format!("`{name}` targets whole {one}s: `pick: {{ {one}s: {n} }}`, or `pick: all` of those selected"),
            ));
        }
        Some(Pick::Share(share)) if share.0 == 0.0 => {
            found.add(Mistake::error(&at, "`pick: 0%` targets no instance"));
        }
        Some(Pick::Nodes(nodes)) if nodes > 1 && target.node.is_some() => {
            let node = found.document.value_at(&key("node"));
            let at = found.document.key_at(&key("pick"));
            found.add(
                Mistake::error(&at, format!("{nodes} nodes cannot be picked out of one"))
                    .also(&node, "only this node is selected"),
            );
        }
        Some(Pick::Zones(zones)) if zones > 1 && target.zone.is_some() => {
            let zone = found.document.value_at(&key("zone"));
            let at = found.document.key_at(&key("pick"));
            found.add(
                Mistake::error(&at, format!("{zones} zones cannot be picked out of one"))
                    .also(&zone, "only this zone is selected"),
            );
        }
        _ => {}
    }
}

/// Whether what is picked may leave something running of what is to be out as a whole. A node lies in one zone, and a zone may be on
/// several nodes.
fn leaves_a_part(whole: Whole, pick: Pick) -> bool {
    match pick {
        Pick::All => false,
        Pick::Zones(_) => whole == Whole::Node,
        Pick::Nodes(_) => whole == Whole::Zone,
        Pick::Count(_) | Pick::Share(_) => true,
    }
}

fn labels(found: &mut Found<'_>, path: &[&str], labels: &[String]) {
    for label in labels {
        if label.split('=').next().is_none_or(|key| key.trim().is_empty()) {
            let at = found.document.key_at(path);
            found.add(
                Mistake::error(&at, format!("`{}` has something that is not a label", dotted(path)))
                    .label("write `key` or `key=value`"),
            );
        }
    }
}

fn limits_alone(found: &mut Found<'_>, limits: &BlastRadius) {
    let none = limits.max_instances.is_none()
        && limits.max_percent.is_none()
        && limits.max_zones.is_none()
        && limits.max_nodes.is_none()
        && limits.min_healthy.is_none();
    if none {
        let at = found.document.key_at(&["blast-radius"]);
        let keys = ["max-instances", "max-percent", "max-zones", "max-nodes", "min-healthy"];
        found.add(
            Mistake::error(&at, "`blast-radius` limits nothing").help(format!("give at least one of {}", and(keys))),
        );
    }
    let zeros = [
        ("max-instances", limits.max_instances == Some(0)),
        ("max-percent", limits.max_percent.is_some_and(|p| p.0 == 0.0)),
        ("max-zones", limits.max_zones == Some(0)),
        ("max-nodes", limits.max_nodes == Some(0)),
    ];
    for (key, zero) in zeros {
        if zero {
            let at = found.document.value_at(&["blast-radius", key]);
            found.add(Mistake::error(&at, format!("`{key}` of zero allows nothing to be targeted")));
        }
    }
    let protect = ["blast-radius", "protect"];
    labels(found, &protect, &limits.protect);
    if let Some(label) = limits.protect.iter().find(|label| label.contains('*')) {
        let at = found.document.key_at(&protect);
        found.add(
            Mistake::error(
                &at,
                format!("`protect: {label}` would protect no instance: `*` stands for itself in a label"),
            )
            .help("write `key` for every value of a label, or `key=value`"),
        );
    }
}

/// What is picked against what may be targeted, as far as it is known before anybody looks at the fleet.
fn together(found: &mut Found<'_>, path: &[&str], pick: Pick, limits: &BlastRadius) {
    let over = match pick {
        Pick::Count(n) => {
            limits.max_instances.filter(|max| *max > 0 && n > *max).map(|max| ("max-instances", max.to_string()))
        }
        Pick::Zones(n) | Pick::Nodes(n) => {
            let (key, limit) = match pick {
                Pick::Nodes(_) => ("max-nodes", limits.max_nodes),
                _ => ("max-zones", limits.max_zones),
            };
            let exceeded = |limit: Option<usize>| limit.filter(|max| *max > 0 && n > *max);
            match exceeded(limits.max_instances) {
                Some(max) => Some(("max-instances", max.to_string())),
                None => exceeded(limit).map(|max| (key, max.to_string())),
            }
        }
        Pick::Share(share) => {
            limits.max_percent.filter(|max| max.0 > 0.0 && share > *max).map(|max| ("max-percent", max.to_string()))
        }
        Pick::All => {
            limits.max_percent.filter(|max| max.0 > 0.0 && max.0 < 1.0).map(|max| ("max-percent", max.to_string()))
        }
    };
    if let Some((key, limit)) = over {
        let at = found.document.value_at(&[path, &["pick"]].concat());
        let limit_at = found.document.value_at(&["blast-radius", key]);
        found.add(
            Mistake::error(&at, format!("`pick: {pick}` can never be allowed by `{key}: {limit}`"))
                .also(&limit_at, "the limit")
                .help("a plan beyond a limit is refused, never cut down to it"),
        );
    }
}
