//! Where an instance's zone is read from: a label, the network it is on, or the engine that holds it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::glob::glob;

/// The label that names an instance's zone unless the experiment says otherwise.
pub const LABEL: &str = "squall.zone";

/// Where an instance's zone is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Zones {
    /// From the value of this label.
    Label(String),
    /// From the name of the network that it is on, of those with such a name (`*` stands for any text). Who is on several
    /// of them, such as a gateway before all zones, is in none.
    Network(String),
    /// From the engine's name: everything that it holds is in one zone.
    Engine(Whole),
}

/// Nothing more needs to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Whole {}

impl Default for Zones {
    fn default() -> Self {
        Self::Label(LABEL.to_owned())
    }
}

impl Zones {
    /// The zone of an instance with these labels, its own and those of its machine, on these networks, on a machine with this name.
    #[must_use]
    pub fn of<'a>(
        &self,
        (own, machine): (&BTreeMap<String, String>, &BTreeMap<String, String>),
        networks: impl Iterator<Item = &'a str>,
        engine: &str,
    ) -> Option<String> {
        match self {
            Self::Label(key) => own.get(key).or_else(|| machine.get(key)).cloned(),
            Self::Network(pattern) => {
                let mut on: BTreeSet<&str> = networks.filter(|name| glob(pattern, name)).collect();
                on.pop_first().filter(|_| on.is_empty()).map(str::to_owned)
            }
            Self::Engine(_) => Some(engine.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_label_a_network_or_the_engine() {
        let labels = BTreeMap::from([(LABEL.to_owned(), "a".to_owned()), ("rack".to_owned(), "r1".to_owned())]);
        let machine = BTreeMap::from([("rack".to_owned(), "r9".to_owned()), ("row".to_owned(), "w1".to_owned())]);
        let of = |zones: &Zones, on: &[&str]| zones.of((&labels, &machine), on.iter().copied(), "host-1");
        assert_eq!(of(&Zones::default(), &[]).as_deref(), Some("a"));
        assert_eq!(of(&Zones::Label("rack".to_owned()), &[]).as_deref(), Some("r1"));
        assert_eq!(
            of(&Zones::Label("row".to_owned()), &[]).as_deref(),
            Some("w1"),
            "what holds for all of its machine"
        );
        assert_eq!(of(&Zones::Label("floor".to_owned()), &[]), None);
        let network = Zones::Network("zone-*".to_owned());
        assert_eq!(of(&network, &["front", "zone-b"]).as_deref(), Some("zone-b"));
        assert_eq!(of(&network, &["zone-b", "zone-b"]).as_deref(), Some("zone-b"), "two addresses on one network");
        assert_eq!(of(&network, &["zone-a", "zone-b"]), None, "it is on both sides of any cut");
        assert_eq!(of(&network, &["front"]), None);
        assert_eq!(of(&Zones::Engine(Whole {}), &["front"]).as_deref(), Some("host-1"));
    }
}
