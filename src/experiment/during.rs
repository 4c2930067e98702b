//! What is expected while the fault is on, where it differs: each bound is another one, or none.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::contract::{Contract, MustFail, Share};
use super::hypothesis::{Expect, ValueBound};
use super::probe::{Class, Wanted, WantedBody};
use super::{Percent, Rate, Span, Text};
use crate::model::quantity::Many;

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
    /// It fails: `true`, or the share of the samples that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_fail: Option<MustFail>,
    /// The status of answers, or a list of those that are allowed (`http`; default: as the probe expects).
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub status: Many<u16>,
    /// The headers of answers, by name: `exists`, `absent`, or the text that one has (`http`).
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub header: IndexMap<String, Text>,
    /// The body of answers (`http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<WantedBody>,
    /// Places of the JSON body of answers: `exists`, `absent`, or what stands there (`http`).
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub json: IndexMap<String, Text>,
    /// An answer that is as it must be takes at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// How long it may take to turn to this after the injection; what is answered until then is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns_within: Option<Span>,
    /// After the fault it is back to steady state within so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_within: Option<Span>,
    /// The share of answers with a status from 200 to 299, such as `at least 90%` (`http`).
    #[serde(default, rename = "2xx", skip_serializing_if = "Option::is_none")]
    pub success_class: Option<Share>,
    /// The share of answers with a status from 300 to 399 (`http`).
    #[serde(default, rename = "3xx", skip_serializing_if = "Option::is_none")]
    pub redirections: Option<Share>,
    /// The share of answers with a status from 400 to 499 (`http`).
    #[serde(default, rename = "4xx", skip_serializing_if = "Option::is_none")]
    pub client_errors: Option<Share>,
    /// The share of answers with a status from 500 to 599, such as `at most 5%` (`http`).
    #[serde(default, rename = "5xx", skip_serializing_if = "Option::is_none")]
    pub server_errors: Option<Share>,
    /// The share of requests without an answer: refused, reset, timed out (`http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<Share>,
}

impl During {
    /// What is in force: this over `expect`, key by key. Of answers that are to be others, what is healthy says nothing: nothing is
    /// inherited where they fail, and no value where they are stated.
    #[must_use]
    pub fn over(&self, base: &Expect) -> Expect {
        let none = Expect::default();
        let base = if self.must_fail.is_some() { &none } else { base };
        let value = if self.answers().is_some() { None } else { base.value.as_ref() };
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
            value: merged(self.value.as_ref(), value),
        }
    }

    /// What it says of answers, if anything.
    #[must_use]
    pub fn answers(&self) -> Option<Wanted> {
        let wanted = Wanted {
            status: self.status.clone(),
            header: self.header.clone(),
            body: self.body.clone(),
            json: self.json.clone(),
        };
        (!wanted.is_empty()).then_some(wanted)
    }

    /// What answers are held against, apart from bounds.
    #[must_use]
    pub fn contract(&self) -> Contract {
        let shares = [
            (Class::Success, self.success_class),
            (Class::Redirection, self.redirections),
            (Class::ClientError, self.client_errors),
            (Class::ServerError, self.server_errors),
            (Class::NoAnswer, self.no_answer),
        ];
        Contract {
            must_fail: self.must_fail.map(|must| must.0),
            answers: self.answers().is_some(),
            within: self.within,
            turns_within: self.turns_within,
            shares: shares.into_iter().filter_map(|(class, share)| Some((class, share?))).collect(),
        }
    }

    /// The contract in words, for people who read a report; nothing where there is none.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let mut words = Vec::new();
        words.extend(self.must_fail.map(|must| match must.0.0 {
            1.0.. => "must fail".to_owned(),
            _ => format!("at least {} must fail", must.0),
        }));
        words.extend(self.answers().iter().flat_map(Wanted::words));
        words.extend(self.within.map(|span| format!("within {span}")));
        words.extend(self.contract().shares.into_iter().map(|(class, share)| format!("{} {share}", class.key())));
        words.extend(self.turns_within.map(|span| format!("turns within {span}")));
        words.extend(self.back_within.map(|span| format!("back within {span} after the fault")));
        (!words.is_empty()).then(|| words.join(", "))
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
