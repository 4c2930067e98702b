//! Which ports are meant: these, or all but these.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::traffic::Port;
use crate::model::network::Ports;

/// Ports that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PortChoice {
    /// These; none given: every one, and protocols without ports.
    #[schemars(extend("x-one" = true))]
    These(Vec<Port>),
    /// All but these.
    AllBut(AllBut),
}

/// Ports that are not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AllBut {
    /// All ports but these, each `22` or `8000-8099`; a single one needs no list.
    #[schemars(extend("x-one" = true))]
    pub except: Vec<Port>,
}

impl Default for PortChoice {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl PortChoice {
    /// Whether nothing is said, which means every port.
    #[must_use]
    pub fn is_every_one(&self) -> bool {
        *self == Self::default()
    }

    /// The ranges that are meant; none: every port.
    #[must_use]
    pub fn ranges(&self) -> Vec<Ports> {
        match self {
            Self::These(ports) => ports.iter().map(|p| p.0).collect(),
            Self::AllBut(AllBut { except }) => {
                let mut except: Vec<Ports> = except.iter().map(|p| p.0).collect();
                except.sort_unstable();
                let (mut between, mut next) = (Vec::new(), 1_u32);
                for Ports { first, last } in except {
                    between.push((next, u32::from(first)));
                    next = next.max(u32::from(last) + 1);
                }
                between.push((next, 65_536));
                let range = |(first, end): (u32, u32)| {
                    let last = u16::try_from(end.checked_sub(1)?).ok()?;
                    Some(Ports { first: u16::try_from(first).ok()?, last }).filter(|range| range.first <= range.last)
                };
                between.into_iter().filter_map(range).collect()
            }
        }
    }
}

impl<'de> Deserialize<'de> for PortChoice {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Choice)
    }
}

struct Choice;

impl<'de> Visitor<'de> for Choice {
    type Value = PortChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ports, or `except` with ports")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<PortChoice, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(PortChoice::These)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PortChoice, A::Error> {
        AllBut::deserialize(MapAccessDeserializer::new(map)).map(PortChoice::AllBut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_some_ports_are_the_ranges_between_them() {
        for (except, want) in [
            (&["22"][..], &["1-21", "23-65535"][..]),
            (&["1-1023", "65535"], &["1024-65534"]),
            (&["8000-8099", "22", "8050-8200"], &["1-21", "23-7999", "8201-65535"]),
        ] {
            let choice: PortChoice = serde_json::from_value(serde_json::json!({ "except": except })).unwrap();
            let ranges: Vec<String> = choice.ranges().iter().map(ToString::to_string).collect();
            assert_eq!(ranges, want, "{except:?}");
            assert!(!choice.is_every_one());
        }
        let these: PortChoice = serde_json::from_value(serde_json::json!(["22"])).unwrap();
        assert_eq!(these.ranges().len(), 1);
    }
}
