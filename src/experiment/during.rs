//! What is expected while the fault is on, where it differs: each bound is another one, or none.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hypothesis::{Expect, ValueBound};
use super::{Percent, Rate, Span};

/// What stands in the place of a bound.
#[derive(Debug, Clone, PartialEq)]
pub enum Instead<T> {
    /// None: it is not judged.
    Off,
    /// Another one.
    Bound(T),
}

/// What switches a bound off.
const OFF: &str = "off";

impl<T> From<T> for Instead<T> {
    fn from(bound: T) -> Self {
        Self::Bound(bound)
    }
}

impl<T: Serialize> Serialize for Instead<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => s.serialize_str(OFF),
            Self::Bound(bound) => bound.serialize(s),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Instead<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct InsteadVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InsteadVisitor<T> {
            type Value = Instead<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bound, or `off`")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Instead<T>, E> {
                if v.trim() == OFF {
                    Ok(Instead::Off)
                } else {
                    T::deserialize(v.into_deserializer()).map(Instead::Bound)
                }
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Instead<T>, E> {
                T::deserialize(v.into_deserializer()).map(Instead::Bound)
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Instead<T>, E> {
                T::deserialize(v.into_deserializer()).map(Instead::Bound)
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Instead<T>, E> {
                T::deserialize(v.into_deserializer()).map(Instead::Bound)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instead<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Instead::Bound)
            }
        }
        d.deserialize_any(InsteadVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Instead<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrOff", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bound = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [bound, { "type": "string", "const": OFF }] })
    }
}

/// What is expected while the fault is on, where it differs from `expect`: each key is another bound, or `off`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct During {
    /// At least this share of the samples is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Instead<Percent>>,
    /// Half of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<Instead<Span>>,
    /// 75 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p75: Option<Instead<Span>>,
    /// 90 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<Instead<Span>>,
    /// 95 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<Instead<Span>>,
    /// 99 % of the answers take at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<Instead<Span>>,
    /// 99.9 % of the answers take at most so long.
    #[serde(default, rename = "p99.9", skip_serializing_if = "Option::is_none")]
    pub p999: Option<Instead<Span>>,
    /// Every answer takes at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Instead<Span>>,
    /// The longest unbroken run of failures lasts at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_outage: Option<Instead<Span>>,
    /// At least so many good answers per second, over the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Instead<Rate>>,
    /// What the value in the answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Instead<ValueBound>>,
}

impl During {
    /// What is in force: this over `expect`, key by key.
    #[must_use]
    pub fn over(&self, base: &Expect) -> Expect {
        Expect {
            success: merged(self.success.as_ref(), base.success.as_ref()),
            p50: merged(self.p50.as_ref(), base.p50.as_ref()),
            p75: merged(self.p75.as_ref(), base.p75.as_ref()),
            p90: merged(self.p90.as_ref(), base.p90.as_ref()),
            p95: merged(self.p95.as_ref(), base.p95.as_ref()),
            p99: merged(self.p99.as_ref(), base.p99.as_ref()),
            p999: merged(self.p999.as_ref(), base.p999.as_ref()),
            max: merged(self.max.as_ref(), base.max.as_ref()),
            max_outage: merged(self.max_outage.as_ref(), base.max_outage.as_ref()),
            rate: merged(self.rate.as_ref(), base.rate.as_ref()),
            value: merged(self.value.as_ref(), base.value.as_ref()),
        }
    }

    /// The bounds that it states itself.
    #[must_use]
    pub fn stated(&self) -> Expect {
        self.over(&Expect::default())
    }
}

fn merged<T: Clone>(instead: Option<&Instead<T>>, base: Option<&T>) -> Option<T> {
    match instead {
        Some(Instead::Off) => None,
        Some(Instead::Bound(bound)) => Some(bound.clone()),
        None => base.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_inherited_replaced_or_switched_off() {
        let expect: Expect = serde_json::from_str(r#"{"success":"99%","p95":"300ms","value":3}"#).unwrap();
        let during: During = serde_json::from_str(r#"{"p95":"off","value":{"at-least":2}}"#).unwrap();
        let force = during.over(&expect);
        assert_eq!((force.success, force.p95), (expect.success, None));
        assert_eq!(force.value.and_then(|v| v.at_least), Some(2.0));
        let text = serde_json::to_string(&during).unwrap();
        assert_eq!(serde_json::from_str::<During>(&text).unwrap(), during, "{text}");
    }
}
