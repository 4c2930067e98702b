//! Who gave an HTTP answer, as the answer itself tells.

use anyhow::{Context, anyhow};
use regex::Regex;
use reqwest::header::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::plain;

/// Where an answer tells who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnsweredBy {
    /// In this header.
    Header(String),
    /// At this place of a JSON body, written as a JSON pointer (RFC 6901) such as `/shop/name`.
    Json(String),
    /// In the body: the first group of this regular expression, or all that matches it.
    Matches(String),
}

/// Where it is told who has answered, ready to be read.
pub(super) enum By {
    Header(HeaderName),
    Json(String),
    Matches(Regex),
}

/// How much of who has answered is kept (characters): a name, not a page.
const MOST_NAME: usize = 100;

impl By {
    pub(super) fn new(told: &AnsweredBy) -> anyhow::Result<Self> {
        Ok(match told {
            AnsweredBy::Header(name) => Self::Header(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| anyhow!("`{name}` is not the name of a header"))?,
            ),
            AnsweredBy::Json(place) => Self::Json(place.clone()),
            AnsweredBy::Matches(pattern) => {
                Self::Matches(Regex::new(pattern).context("`answered-by: { matches }` is no pattern")?)
            }
        })
    }

    /// Nothing where the answer does not tell.
    pub(super) fn read(&self, headers: &HeaderMap, body: &str) -> Option<String> {
        let told = match self {
            Self::Header(name) => headers.get(name)?.to_str().ok()?.to_owned(),
            Self::Json(place) => plain(serde_json::from_str::<serde_json::Value>(body).ok()?.pointer(place)?),
            Self::Matches(pattern) => {
                let found = pattern.captures(body)?;
                found.get(1).or_else(|| found.get(0))?.as_str().to_owned()
            }
        };
        let told: String = told.trim().chars().take(MOST_NAME).collect();
        (!told.is_empty()).then_some(told)
    }
}
