//! What healthy means: probes, and what is expected of their answers.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{During, Percent, Rate, Span};
use crate::experiment::probe::{self, Probe, with_probes};
use crate::text::units::exact;

/// One probe, how often it asks, and what is expected of its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CheckKeys", into = "CheckKeys")]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub rate: Rate,
    /// An answer that takes longer is a failure.
    pub timeout: Span,
    /// What is expected before and after the fault.
    pub expect: Expect,
    /// What is expected while the fault is on, where it differs.
    pub during: During,
}

impl Check {
    /// What is expected while the fault is on: `during` over `expect`, key by key.
    #[must_use]
    pub fn expect_during(&self) -> Expect {
        self.during.over(&self.expect)
    }

    /// The same, where the engine is asked about a service of these projects unless the probe names its own.
    #[must_use]
    pub fn within(mut self, projects: &[String]) -> Self {
        if let Probe::Engine(probe) = &mut self.probe
            && probe.project.is_empty()
        {
            probe.project = projects.to_vec();
        }
        self
    }

    /// The service that the engine is asked about, and of which projects, if it is the engine that is asked.
    #[must_use]
    pub fn asks_engine(&self) -> Option<(&str, &[String])> {
        match &self.probe {
            Probe::Engine(probe) => Some((&probe.service, &probe.project)),
            _ => None,
        }
    }
}

/// Makes of the table of probes the keys of a check: one for each probe, and those that every check has.
macro_rules! check_keys {
    ($($name:literal => $probe:ident($module:ident::$keys:ident): $about:literal,)+) => {
        /// One probe, how often it asks, and what is expected of its answers.
        #[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        #[schemars(rename = "Check", extend("x-exactly-one" = Probe::NAMES))]
        pub(crate) struct CheckKeys {
            $(
                #[doc = $about]
                #[serde(default, rename = $name, skip_serializing_if = "Option::is_none")]
                $module: Option<probe::$keys>,
            )+
            /// How often (default: 10/s for http and tcp, 1/s for the others).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            rate: Option<Rate>,
            /// An answer that takes longer is a failure (default: 1s for http and tcp, 5s for the others).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            timeout: Option<Span>,
            /// What is expected (default: success 100%).
            #[serde(default)]
            expect: Expect,
            /// What is expected while the fault is on; merged over `expect`, key by key.
            #[serde(default)]
            during: During,
        }

        impl CheckKeys {
            /// The probes that it has: one, if it is right.
            fn probes(&mut self) -> Vec<Probe> {
                let all = [$(self.$module.take().map(Probe::$probe)),+];
                all.into_iter().flatten().collect()
            }

            /// The same with a probe.
            fn with(mut self, probe: Probe) -> Self {
                match probe {
                    $(Probe::$probe(probe) => self.$module = Some(probe),)+
                }
                self
            }
        }
    };
}
with_probes!(check_keys);

impl TryFrom<CheckKeys> for Check {
    type Error = String;

    fn try_from(mut keys: CheckKeys) -> Result<Self, String> {
        let [probe] = <[Probe; 1]>::try_from(keys.probes()).map_err(|found| {
            format!("needs exactly one of {}; found {}", Probe::NAMES.map(|n| format!("`{n}`")).join(", "), found.len())
        })?;
        Ok(Self {
            rate: keys.rate.unwrap_or(probe.kind().pace().rate),
            timeout: keys.timeout.unwrap_or(probe.kind().pace().timeout),
            probe,
            expect: keys.expect.with_default(),
            during: keys.during,
        })
    }
}

impl From<Check> for CheckKeys {
    fn from(check: Check) -> Self {
        let (rate, timeout) = (Some(check.rate), Some(check.timeout));
        Self { rate, timeout, expect: check.expect, during: check.during, ..Self::default() }.with(check.probe)
    }
}

impl JsonSchema for Check {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        CheckKeys::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        CheckKeys::json_schema(generator)
    }
}

/// What is expected of a probe's answers in one phase. Each key has its natural direction: at least, or at most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// At least this share of the samples is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Percent>,
    /// Half of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<Span>,
    /// 75 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p75: Option<Span>,
    /// 90 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<Span>,
    /// 95 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<Span>,
    /// 99 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<Span>,
    /// 99.9 % of the answers take at most so long.
    #[serde(default, rename = "p99.9", skip_serializing_if = "Option::is_none")]
    pub p999: Option<Span>,
    /// Every answer takes at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Span>,
    /// The longest unbroken run of failures lasts at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_outage: Option<Span>,
    /// At least so many good answers per second, over the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// What the value in the answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueBound>,
}

impl Expect {
    /// Whether `success: 100%` is expected, since nothing else counts a sample that failed.
    #[must_use]
    pub fn implies_success(&self) -> bool {
        let counted = self.success.is_some() || self.max_outage.is_some() || self.rate.is_some();
        !counted && self.latencies().is_empty()
    }

    /// With what is expected where nothing is said.
    #[must_use]
    pub fn with_default(self) -> Self {
        let success = if self.implies_success() { Some(Percent(1.0)) } else { self.success };
        Self { success, ..self }
    }

    /// The latency bounds that are given, as quantile (0 to 1, where 1 is `max`), key and bound.
    #[must_use]
    pub fn latencies(&self) -> Vec<(f64, &'static str, Span)> {
        [
            (0.5, "p50", self.p50),
            (0.75, "p75", self.p75),
            (0.9, "p90", self.p90),
            (0.95, "p95", self.p95),
            (0.99, "p99", self.p99),
            (0.999, "p99.9", self.p999),
            (1.0, "max", self.max),
        ]
        .into_iter()
        .filter_map(|(q, key, bound)| bound.map(|b| (q, key, b)))
        .collect()
    }
}

/// What the value in an answer is: a number or a text to be equal to, or bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ValueBound {
    /// The value, read as a number, is at least this.
    pub at_least: Option<f64>,
    /// The value, read as a number, is at most this.
    pub at_most: Option<f64>,
    /// The value is this text (a number is compared as a number).
    pub equals: Option<String>,
    /// The value, as text, matches this regular expression.
    pub matches: Option<String>,
    /// Only a deviation that lasts longer than this counts; without it, the first one does.
    pub r#for: Option<Span>,
}

/// The long form of a value bound.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ValueKeys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matches: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#for: Option<Span>,
}

impl Serialize for ValueBound {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        ValueKeys {
            at_least: self.at_least,
            at_most: self.at_most,
            equals: self.equals.clone(),
            matches: self.matches.clone(),
            r#for: self.r#for,
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for ValueBound {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct BoundVisitor;
        impl<'de> Visitor<'de> for BoundVisitor {
            type Value = ValueBound;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, or `{ at-least, at-most, equals, matches, for }`")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<ValueBound, E> {
                Ok(ValueBound { equals: Some(v.to_owned()), ..ValueBound::default() })
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<ValueBound, E> {
                self.visit_str(&v.to_string())
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<ValueBound, E> {
                self.visit_str(&v.to_string())
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<ValueBound, E> {
                self.visit_str(&v.to_string())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ValueBound, A::Error> {
                let keys = ValueKeys::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(ValueBound {
                    at_least: keys.at_least,
                    at_most: keys.at_most,
                    equals: keys.equals,
                    matches: keys.matches,
                    r#for: keys.r#for,
                })
            }
        }
        d.deserialize_any(BoundVisitor)
    }
}

impl JsonSchema for ValueBound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ValueBound".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = generator.subschema_for::<ValueKeys>();
        json_schema!({ "anyOf": [{ "type": ["number", "string"] }, keys] })
    }
}

impl fmt::Display for ValueBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.equals.as_ref().map(|v| format!("= {v}")));
        parts.extend(self.at_least.map(|v| format!("≥ {v}")));
        parts.extend(self.at_most.map(|v| format!("≤ {v}")));
        parts.extend(self.matches.as_ref().map(|v| format!("matches {v}")));
        f.write_str(&parts.join(", "))?;
        match self.r#for {
            Some(span) => write!(f, ", or outside for at most {}", exact(span.0)),
            None => Ok(()),
        }
    }
}
