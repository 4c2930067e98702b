//! The contract of degradation: how a service answers while the fault is on, and that it fails where it must. Pure.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::probe::{Answer, Class, Failure, Reply};
use super::{Percent, Span};

/// What a probe's answers are held against while the fault is on, instead of what is healthy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contract {
    /// This share of the samples fails.
    pub must_fail: Option<Percent>,
    /// Whether it is stated what an answer is to be, which the probe itself knows.
    pub answers: bool,
    /// An answer that is as it must be takes at most so long.
    pub within: Option<Span>,
    /// Samples of so long after the injection are not judged: the system may take this time to turn.
    pub turns_within: Option<Span>,
    /// Shares of classes of answers.
    pub shares: Vec<(Class, Share)>,
}

impl Contract {
    /// Whether nothing but bounds is stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an answer that is good while the system is healthy may break it. Such answers say nothing where it is not certain that
    /// the fault was on.
    #[must_use]
    pub fn replaces_health(&self) -> bool {
        self.must_fail.is_some() || self.answers || self.within.is_some() || self.turns_within.is_some()
    }

    /// How long the system may take to turn.
    #[must_use]
    pub fn lead(&self) -> Duration {
        self.turns_within.map_or(Duration::ZERO, |span| span.0)
    }

    /// A reply as it stands under the contract: good is what was promised. What could not be measured never is.
    #[must_use]
    pub fn judged(&self, reply: &Reply, latency: Duration) -> Answer {
        let failed = |words: String| Answer::Failed(Failure(words));
        let answer = match (&reply.answer, self.must_fail, self.answers) {
            (Answer::NotMeasured(why), ..) => return Answer::NotMeasured(why.clone()),
            (Answer::Failed(_), Some(_), _) => Answer::Good { value: None, by: None },
            (Answer::Good { .. }, Some(_), _) => match reply.status {
                Some(status) => return failed(format!("answered with status {status}")),
                None => return failed("answered".to_owned()),
            },
            // Who cannot tell has not measured it.
            (_, None, true) => reply
                .degraded
                .clone()
                .unwrap_or_else(|| Answer::NotMeasured("the probe does not tell what was answered".to_owned())),
            (answer, None, false) => answer.clone(),
        };
        match (answer, self.within) {
            (Answer::Good { .. }, Some(bound)) if latency > bound.0 => failed(format!("slower than {bound}")),
            (answer, _) => answer,
        }
    }
}

/// That a probe fails while the fault is on: `true`, or the share of its samples that does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MustFail(pub Percent);

impl Serialize for MustFail {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for MustFail {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct MustFailVisitor;
        impl Visitor<'_> for MustFailVisitor {
            type Value = MustFail;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, or a share such as `95%`")
            }
            fn visit_bool<E: Error>(self, must: bool) -> Result<MustFail, E> {
                // What need not fail at all is refused by what reads files: it says nothing.
                Ok(MustFail(Percent(f64::from(u8::from(must)))))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<MustFail, E> {
                match text.trim() {
                    "true" => self.visit_bool(true),
                    "false" => self.visit_bool(false),
                    share => Percent::deserialize(share.into_deserializer()).map(MustFail),
                }
            }
        }
        d.deserialize_any(MustFailVisitor)
    }
}

impl JsonSchema for MustFail {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "MustFail".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let share = generator.subschema_for::<Percent>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, share] })
    }
}

/// How many of the samples are answered in some way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// No more than this.
    AtMost(Percent),
    /// No less than this.
    AtLeast(Percent),
}

impl Share {
    /// The share of the samples that must be as it says.
    #[must_use]
    pub fn keep(self) -> f64 {
        match self {
            Self::AtMost(share) => 1.0 - share.0,
            Self::AtLeast(share) => share.0,
        }
    }

    /// The bound, as reports show it.
    #[must_use]
    pub fn bound(self) -> String {
        match self {
            Self::AtMost(share) => format!("≤ {share}"),
            Self::AtLeast(share) => format!("≥ {share}"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(share) => write!(f, "at most {share}"),
            Self::AtLeast(share) => write!(f, "at least {share}"),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(share) = text.strip_prefix("at most") {
            return share.parse().map(Self::AtMost);
        }
        if let Some(share) = text.strip_prefix("at least") {
            return share.parse().map(Self::AtLeast);
        }
        Err(format!("`{text}` is not a share; write for example `at most 5%` or `at least 90%`"))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*at (most|least)\s*[0-9.]+\s*%$|\$\{",
            "description": "a share with its direction, such as `at most 5%`",
            "examples": ["at most 5%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Answer = Answer::Good { value: None, by: None };
    const SOON: Duration = Duration::from_millis(20);

    fn failed(words: &str) -> Answer {
        Answer::Failed(Failure(words.to_owned()))
    }

    #[test]
    fn failing_is_proven_by_failures_of_the_service_alone() {
        let must = Contract { must_fail: Some(Percent(1.0)), ..Contract::default() };
        assert_eq!(must.judged(&failed("connection refused").into(), SOON), GOOD);
        let ours = Answer::NotMeasured("no route from here".to_owned());
        assert_eq!(must.judged(&ours.clone().into(), SOON), ours, "what could not be asked proves no failure");
        assert_eq!(must.judged(&GOOD.into(), SOON), failed("answered"));
        let status = Reply { status: Some(200), ..GOOD.into() };
        assert_eq!(must.judged(&status, SOON), failed("answered with status 200"));
        let fast = Contract { within: Some(Span(SOON)), ..must };
        assert_eq!(fast.judged(&failed("timeout").into(), SOON), GOOD);
        assert_eq!(fast.judged(&failed("timeout").into(), SOON * 2), failed("slower than 20ms"));
    }

    #[test]
    fn an_answer_that_is_not_told_is_not_measured() {
        let contract = Contract { answers: true, ..Contract::default() };
        let reply = Reply { degraded: Some(GOOD), ..failed("status 503").into() };
        assert_eq!(contract.judged(&reply, SOON), GOOD);
        assert!(
            matches!(contract.judged(&GOOD.into(), SOON), Answer::NotMeasured(_)),
            "a good answer is no proof of it"
        );
    }

    #[test]
    fn a_share_reads_and_prints_alike() {
        for text in ["at most 5%", "at least 99.5%"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        assert!(
            "5%".parse::<Share>().unwrap_err().contains("at most 5%"),
            "a share without a direction says too little"
        );
        assert!("at most 101%".parse::<Share>().is_err());
    }

    #[test]
    fn must_fail_reads_true_and_shares_and_comes_back_from_a_journal() {
        for (text, share) in [("true", 1.0), ("\"95%\"", 0.95), ("\"true\"", 1.0), ("false", 0.0)] {
            let must: MustFail = serde_json::from_str(text).unwrap();
            assert!((must.0.0 - share).abs() < 1e-9, "{text}");
            assert_eq!(serde_json::from_str::<MustFail>(&serde_json::to_string(&must).unwrap()).unwrap(), must);
        }
    }
}
