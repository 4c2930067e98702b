//! Target and blast radius: limits that contradict each other, and selections that mean everything.

use super::{Found, Mistake, and};
use crate::experiment::{BlastRadius, Pick, Target};

pub(super) fn check(found: &mut Found<'_>) {
    let target = found.document.part::<Target>(&["target"]);
    let limits = found.document.part::<BlastRadius>(&["blast-radius"]);
    if let Some(target) = &target {
        selection(found, target);
    }
    if let Some(limits) = &limits {
        limits_alone(found, limits);
    }
    if let (Some(target), Some(limits)) = (&target, &limits) {
        together(found, target, limits);
    }
}

fn selection(found: &mut Found<'_>, target: &Target) {
    if target.selector().is_empty() {
        let at = found.document.key_at(&["target"]);
        found.add(
            Mistake::error(&at, "`target` selects everything")
                .help("say something: `service`, `zone`, `name`, `image` or `labels`"),
        );
    }
    for (key, text) in
        [("service", &target.service), ("zone", &target.zone), ("name", &target.name), ("image", &target.image)]
    {
        if text.as_ref().is_some_and(|t| t.trim().is_empty()) {
            let at = found.document.value_at(&["target", key]);
            found.add(Mistake::error(&at, format!("`target.{key}` is empty")));
        }
    }
    labels(found, &["target", "labels"], &target.labels);
    let at = found.document.value_at(&["target", "pick"]);
    match target.pick {
        Pick::Share(share) if share.0 == 0.0 => {
            found.add(Mistake::error(&at, "`pick: 0%` hits nobody"));
        }
        Pick::Zones(zones) if zones > 1 && target.zone.is_some() => {
            let zone = found.document.value_at(&["target", "zone"]);
            let at = found.document.key_at(&["target", "pick"]);
            found.add(
                Mistake::error(&at, format!("{zones} zones cannot be picked out of one"))
                    .also(&zone, "only this zone is selected"),
            );
        }
        _ => {}
    }
}

fn labels(found: &mut Found<'_>, path: &[&str], labels: &[String]) {
    for label in labels {
        if label.split('=').next().is_none_or(|key| key.trim().is_empty()) {
            let at = found.document.key_at(path);
            found.add(
                Mistake::error(&at, format!("`{}` has something that is not a label", path.join(".")))
                    .label("write `key` or `key=value`"),
            );
        }
    }
}

fn limits_alone(found: &mut Found<'_>, limits: &BlastRadius) {
    let none = limits.max_instances.is_none()
        && limits.max_percent.is_none()
        && limits.max_zones.is_none()
        && limits.min_healthy.is_none();
    if none {
        let at = found.document.key_at(&["blast-radius"]);
        let keys = ["max-instances", "max-percent", "max-zones", "min-healthy"];
        found.add(
            Mistake::error(&at, "`blast-radius` limits nothing").help(format!("give at least one of {}", and(keys))),
        );
    }
    let zeros = [
        ("max-instances", limits.max_instances == Some(0)),
        ("max-percent", limits.max_percent.is_some_and(|p| p.0 == 0.0)),
        ("max-zones", limits.max_zones == Some(0)),
    ];
    for (key, zero) in zeros {
        if zero {
            let at = found.document.value_at(&["blast-radius", key]);
            found.add(Mistake::error(&at, format!("`{key}` of zero allows nothing to be hit")));
        }
    }
    labels(found, &["blast-radius", "protect"], &limits.protect);
}

/// What is picked against what may be hit, as far as it is known before anybody looks at the fleet.
fn together(found: &mut Found<'_>, target: &Target, limits: &BlastRadius) {
    let over = match target.pick {
        Pick::Count(n) => {
            limits.max_instances.filter(|max| *max > 0 && n > *max).map(|max| ("max-instances", max.to_string()))
        }
        Pick::Zones(n) => match limits.max_instances.filter(|max| *max > 0 && n > *max) {
            Some(max) => Some(("max-instances", max.to_string())),
            None => limits.max_zones.filter(|max| *max > 0 && n > *max).map(|max| ("max-zones", max.to_string())),
        },
        Pick::Share(share) => {
            limits.max_percent.filter(|max| max.0 > 0.0 && share > *max).map(|max| ("max-percent", max.to_string()))
        }
        Pick::All => {
            limits.max_percent.filter(|max| max.0 > 0.0 && max.0 < 1.0).map(|max| ("max-percent", max.to_string()))
        }
    };
    if let Some((key, limit)) = over {
        let at = found.document.value_at(&["target", "pick"]);
        let limit_at = found.document.value_at(&["blast-radius", key]);
        found.add(
            Mistake::error(&at, format!("`pick: {}` can never be allowed by `{key}: {limit}`", target.pick))
                .also(&limit_at, "the limit")
                .help("a plan beyond a limit is refused, never cut down to it"),
        );
    }
}
