//! How much may be targeted: limits that refuse, and the number that is picked.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Percent;

/// How many of the selected instances are targeted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick {
    /// That many.
    Count(usize),
    /// That share of them, rounded down.
    Share(Percent),
    /// Every one.
    All,
    /// Every instance of that many zones.
    Zones(usize),
    /// Every instance on that many nodes.
    Nodes(usize),
}

/// How much may be targeted. A plan that exceeds a limit is refused before anything is touched.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BlastRadius {
    /// At most so many instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<usize>,
    /// At most this share of every service that is targeted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_percent: Option<Percent>,
    /// At most so many zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_zones: Option<usize>,
    /// At most so many nodes: machines on which instances run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_nodes: Option<usize>,
    /// So many healthy instances of every service that is targeted are left running and untouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_healthy: Option<usize>,
    /// Instances with one of these labels (`key` or `key=value`) are never targeted, whatever the target says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protect: Vec<String>,
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Share(p) => write!(f, "{p}"),
            Self::All => f.write_str("all"),
            Self::Zones(n) => write!(f, "{n} zones"),
            Self::Nodes(n) => write!(f, "{n} nodes"),
        }
    }
}

impl Serialize for Pick {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self {
            Self::Count(n) => s.serialize_u64(*n as u64),
            Self::Share(p) => p.serialize(s),
            Self::All => s.serialize_str("all"),
            Self::Zones(n) | Self::Nodes(n) => {
                let mut map = s.serialize_map(Some(1))?;
                map.serialize_entry(if matches!(self, Self::Zones(_)) { "zones" } else { "nodes" }, n)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Pick {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct PickVisitor;
        impl<'de> Visitor<'de> for PickVisitor {
            type Value = Pick;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a percentage, `all`, `{ zones: 1 }` or `{ nodes: 1 }`")
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<Pick, E> {
                match usize::try_from(n) {
                    Ok(0) | Err(_) => Err(E::custom("`pick` must be at least 1")),
                    Ok(n) => Ok(Pick::Count(n)),
                }
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Pick, E> {
                match text.trim() {
                    "all" => Ok(Pick::All),
                    t if t.ends_with('%') => t.parse().map(Pick::Share).map_err(E::custom),
                    t => t
                        .parse()
                        .map_err(|_| {
                            E::custom(format!(
                                "`{t}` is not a number, a percentage, `all`, `{{ zones: 1 }}` or `{{ nodes: 1 }}`"
                            ))
                        })
                        .and_then(|n| self.visit_u64(n)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pick, A::Error> {
                #[derive(Deserialize)]
                #[serde(rename_all = "kebab-case")]
                enum Whole {
                    Zones(usize),
                    Nodes(usize),
                }
                match Whole::deserialize(serde::de::value::MapAccessDeserializer::new(map))? {
                    Whole::Zones(0) => Err(A::Error::custom("`zones` must be at least 1")),
                    Whole::Nodes(0) => Err(A::Error::custom("`nodes` must be at least 1")),
                    Whole::Zones(n) => Ok(Pick::Zones(n)),
                    Whole::Nodes(n) => Ok(Pick::Nodes(n)),
                }
            }
        }
        d.deserialize_any(PickVisitor)
    }
}

impl JsonSchema for Pick {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pick".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": r"^(all|\s*[0-9.]+\s*%)$" },
            {
                "type": "object",
                "properties": {
                    "zones": { "type": "integer", "minimum": 1 },
                    "nodes": { "type": "integer", "minimum": 1 },
                },
                // A second mapping would make a plain text the name of one of them.
                "x-exactly-one": ["zones", "nodes"],
                "additionalProperties": false,
            }
        ] })
    }
}
