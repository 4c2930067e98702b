//! What an HTTP answer is to be: its status, its headers, its body. Pure: whatever was answered is held against it.

use anyhow::Context;
use indexmap::IndexMap;
use regex::Regex;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::ProbeSetup;
use super::value::plain;
use super::{failure, keys};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::experiment::document::pattern::{matches_anything, regex};
use crate::experiment::document::tree::Kind;
use crate::model::quantity::{Many, Text};

/// What an answer is to be: all that is stated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wanted {
    /// Its status: one of these.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub status: Many<u16>,
    /// Its headers, by name: `exists`, `absent`, or the text that one has.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub header: IndexMap<String, Text>,
    /// Its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<WantedBody>,
    /// Places of its JSON body (JSON pointers such as `/shop/open`): `exists`, `absent`, or what stands there.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub json: IndexMap<String, Text>,
}

/// What a body is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WantedBody {
    /// A text that it contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<Text>,
    /// A regular expression that it matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
}

/// There is one, whatever it is.
const EXISTS: &str = "exists";
/// There is none.
const ABSENT: &str = "absent";

impl Wanted {
    /// Whether it says anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// In words, as the file has them: its variables may be secret.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let status: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        if !status.is_empty() {
            words.push(format!("status {}", status.join(" or ")));
        }
        words.extend(self.header.iter().map(|(name, text)| format!("header {name}{}", is(text))));
        if let Some(body) = &self.body {
            words.extend(body.contains.as_ref().map(|text| format!("body contains \"{}\"", failure::short(&text.0))));
            words.extend(body.matches.as_ref().map(|pattern| format!("body matches {}", failure::short(pattern))));
        }
        words.extend(self.json.iter().map(|(place, text)| format!("{place}{}", is(text))));
        words
    }

    /// Adds what is wrong with it, and what no answer could fail to be. `path` is where its keys stand.
    pub(crate) fn check(&self, found: &mut Found<'_>, path: &[&str]) {
        if self.is_empty() {
            let at = found.document.key_at(path);
            let help = "give `status`, `header`, `body` or `json`, or leave it out";
            found.add(Mistake::error(&at, "this can never fail: nothing is asserted").help(help));
        }
        statuses(found, path, &self.status);
        for name in self.header.keys() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                let at = found.document.key_at(&[path, &["header", name]].concat());
                found.add(Mistake::error(&at, "this cannot be the name of a header"));
            }
        }
        self.check_body(found, &[path, &["body"]].concat());
        places(found, &[path, &["json"]].concat(), &self.json);
    }

    fn check_body(&self, found: &mut Found<'_>, path: &[&str]) {
        let Some(body) = &self.body else { return };
        if *body == WantedBody::default() {
            let at = found.document.key_at(path);
            let help = "give `contains` or `matches`, or leave it out";
            found.add(Mistake::error(&at, "`body` can never fail: every body is one").help(help));
        }
        if body.contains.as_ref().is_some_and(|text| text.0.is_empty()) {
            let at = found.document.value_at(&[path, &["contains"]].concat());
            let help = "give a text that only such an answer has";
            found.add(Mistake::error(&at, "`contains` can never fail: every body contains the empty text").help(help));
        }
        if let Some(pattern) = &body.matches {
            let at = [path, &["matches"]].concat();
            regex(found, &at, pattern);
            if Regex::new(pattern).is_ok_and(|pattern| matches_anything(&pattern)) {
                let at = found.document.value_at(&at);
                let help = "match what only such an answer has";
                found.add(Mistake::error(&at, "`matches` can never fail: the pattern matches every body").help(help));
            }
        }
    }

    pub(super) fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Criteria> {
        let body = self.body.clone().unwrap_or_default();
        let header = self.header.iter().map(|(name, text)| {
            let parsed =
                HeaderName::from_bytes(name.as_bytes()).with_context(|| format!("`{name}` names no header"))?;
            Ok((parsed, setup.text(text)?, name.clone()))
        });
        Ok(Criteria {
            status: self.status.0.clone(),
            header: header.collect::<anyhow::Result<_>>()?,
            contains: body.contains.as_ref().map(|text| setup.text(text)).transpose()?,
            matches: body.matches.as_deref().map(Regex::new).transpose().context("`matches` is no pattern")?,
            json: self
                .json
                .iter()
                .map(|(at, text)| Ok((at.clone(), setup.text(text)?)))
                .collect::<anyhow::Result<_>>()?,
            lacks: lacks(body.contains.as_ref()),
        })
    }
}

/// Statuses that there are.
pub(super) fn statuses(found: &mut Found<'_>, path: &[&str], statuses: &[u16]) {
    let path = [path, &["status"]].concat();
    let Some(wrong) = statuses.iter().position(|s| !(100..600).contains(s)) else { return };
    let item = found.document.entry(&path).and_then(|entry| match &entry.value.kind {
        Kind::List(items) => items.get(wrong).map(|item| item.at.clone()),
        _ => None,
    });
    let at = item.unwrap_or_else(|| found.document.value_at(&path));
    found.add(Mistake::error(&at, "this is not an HTTP status").label("100 to 599"));
}

/// Places of a JSON text, each a pointer.
pub(super) fn places(found: &mut Found<'_>, path: &[&str], json: &IndexMap<String, Text>) {
    for place in json.keys() {
        keys::place(found, &[path, &[place]].concat(), place);
    }
}

fn is(text: &Text) -> String {
    match text.0.as_str() {
        EXISTS | ABSENT => format!(" {text}"),
        other => format!(" = {}", failure::short(other)),
    }
}

/// How it is called that a body lacks a text: in the words of the file, for its variables may be secret.
fn lacks(text: Option<&Text>) -> String {
    format!("body lacks \"{}\"", text.map(|text| failure::short(&text.0)).unwrap_or_default())
}

/// [`Wanted`], ready to be held against answers.
#[derive(Debug, Default)]
pub(super) struct Criteria {
    pub(super) status: Vec<u16>,
    header: Vec<(HeaderName, String, String)>,
    contains: Option<String>,
    matches: Option<Regex>,
    json: Vec<(String, String)>,
    lacks: String,
}

impl Criteria {
    pub(super) fn reads_body(&self) -> bool {
        self.contains.is_some() || self.matches.is_some() || !self.json.is_empty()
    }

    /// The first that is not met, in a few words that hold nothing of the answer but its status.
    pub(super) fn unmet(&self, status: StatusCode, headers: &HeaderMap, body: &str) -> Option<String> {
        if !self.status.is_empty() && !self.status.contains(&status.as_u16()) {
            return Some(format!("status {}", status.as_u16()));
        }
        for (name, text, shown) in &self.header {
            // One that cannot be read as text is there, and equal to none.
            let got = headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}").trim().to_owned());
            if let Some(why) = differs(text, got.as_deref()) {
                return Some(format!("header {shown} {why}"));
            }
        }
        if self.contains.as_deref().is_some_and(|text| !body.contains(text)) {
            return Some(self.lacks.clone());
        }
        if self.matches.as_ref().is_some_and(|pattern| !pattern.is_match(body)) {
            return Some("body does not match".to_owned());
        }
        if self.json.is_empty() {
            return None;
        }
        let Ok(all) = serde_json::from_str::<Value>(body) else { return Some("body is not JSON".to_owned()) };
        let mut unmet = self.json.iter().filter_map(|(place, text)| {
            let got = all.pointer(place).map(plain);
            differs(text, got.as_deref()).map(|why| format!("{place} {why}"))
        });
        unmet.next()
    }
}

/// How what is there differs from what is wanted; numbers are compared as numbers.
#[expect(clippy::float_cmp, reason = "equal is what was asked for")]
fn differs(wanted: &str, got: Option<&str>) -> Option<&'static str> {
    match (wanted, got) {
        (ABSENT, Some(_)) => Some("is there"),
        (ABSENT, None) | (EXISTS, Some(_)) => None,
        (_, None) => Some("is absent"),
        (wanted, Some(got)) => {
            let same = match (wanted.trim().parse::<f64>(), got.parse::<f64>()) {
                (Ok(wanted), Ok(got)) => wanted == got,
                _ => wanted == got,
            };
            (!same).then_some("is another")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_wish_is_held_against_the_answer() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "30".parse().unwrap());
        let body = r#"{"open": false, "stock": 3.0, "why": null}"#;
        let unmet = |criteria: Criteria| criteria.unmet(StatusCode::SERVICE_UNAVAILABLE, &headers, body);
        let status = |all: &[u16]| unmet(Criteria { status: all.to_vec(), ..Criteria::default() });
        assert_eq!((status(&[200, 503]), status(&[200])), (None, Some("status 503".to_owned())));
        let header = |name: &'static str, text: &str| {
            let header = vec![(HeaderName::from_static(name), text.to_owned(), name.to_owned())];
            unmet(Criteria { header, ..Criteria::default() })
        };
        assert_eq!(header("retry-after", "exists"), None);
        assert_eq!(header("retry-after", "30"), None);
        assert_eq!(header("retry-after", "31").unwrap(), "header retry-after is another");
        assert_eq!(header("retry-after", "absent").unwrap(), "header retry-after is there");
        assert_eq!(header("x-mode", "exists").unwrap(), "header x-mode is absent");
        assert_eq!(header("x-mode", "absent"), None);
        let json = |place: &str, text: &str| {
            unmet(Criteria { json: vec![(place.to_owned(), text.to_owned())], ..Criteria::default() })
        };
        assert_eq!((json("/open", "false"), json("/stock", "3"), json("/why", "null")), (None, None, None));
        assert_eq!(json("/open", "true").unwrap(), "/open is another");
        assert_eq!(json("/shut", "exists").unwrap(), "/shut is absent");
    }
}
