//! A number from Prometheus, or whatever speaks its HTTP API.

use anyhow::Context as _;
use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{Ask, ProbeSetup, Sightings};
use super::monitor::{Api, ApiAddress};
use super::{Answer, Pace, ProbeKind, Simulated, failure, keys};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::quantity::Text;

/// Ask Prometheus; the result is the probe's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Promql {
    /// Where it is: `http://` or `https://`, without `/api/v1`.
    pub url: Text,
    /// An expression that comes to one number: a scalar, or a single series.
    pub query: Text,
    /// The value where there is no result, or none that is a number (default: that is a failure).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<f64>,
    /// Request headers, such as `Authorization`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, Text>,
    /// A file of CA certificates (PEM) to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl ProbeKind for Promql {
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>> {
        let place = ApiAddress { url: &self.url, headers: &self.headers, ca: self.ca.as_deref() };
        let api = Api::new(&place, &["api", "v1", "query"], &[("query", &self.query)], setup)
            .context("cannot ask Prometheus")?;
        Ok(Box::new(PreparedPromql { api, empty: self.empty, results: Sightings::default() }))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::url(found, &[own, &["url"]].concat(), &self.url);
        keys::headers(found, own, &self.headers);
        if self.query.0.trim().is_empty() {
            let at = found.document.value_at(&[own, &["query"]].concat());
            found.add(Mistake::error(&at, "the query is empty").label("write for example `sum(up{job=\"shop\"})`"));
        }
    }

    fn pace(&self) -> Pace {
        Pace::ONE_A_SECOND
    }

    fn silence_is_failure(&self) -> bool {
        false
    }

    fn address(&self) -> Option<&str> {
        None
    }

    fn words(&self) -> String {
        self.query.to_string()
    }

    fn simulated(&self) -> Simulated<'_> {
        Simulated::Value(None)
    }
}

struct PreparedPromql {
    api: Api,
    empty: Option<f64>,
    /// Of numbers; an answer without one, for which `empty` stands in, is none.
    results: Sightings,
}

#[async_trait]
impl Ask for PreparedPromql {
    async fn ask(&self) -> Answer {
        match self.api.ask().await.and_then(|answer| read(&answer)) {
            Ok(Some(number)) if !number.is_nan() => {
                self.results.note(true);
                value(number)
            }
            Ok(nothing) => match (self.empty, nothing) {
                (Some(empty), _) => {
                    self.results.note(false);
                    value(empty)
                }
                (None, None) => failure::failed("the query has no result"),
                (None, Some(_)) => failure::failed("the result is NaN"),
            },
            Err(why) => Answer::NotMeasured(why),
        }
    }

    fn without_evidence(&self) -> Option<String> {
        self.results.never().then(|| {
            "never had a result, and every value of it was that of `empty`: look whether its query is right; a series that begins \
             with its first event can be given a value before that, such as `… or 0 * sum(SERIES_THAT_IS_ALWAYS_THERE)`"
                .to_owned()
        })
    }
}

fn value(number: f64) -> Answer {
    Answer::Good { value: Some(number.to_string()), by: None }
}

/// The number in an answer; nothing where the result is empty.
///
/// # Errors
/// Where it is not one number: the query is wrong, and that says nothing about the system.
fn read(answer: &Value) -> Result<Option<f64>, String> {
    let (kind, result) = (&answer["data"]["resultType"], &answer["data"]["result"]);
    let sample = match (kind.as_str(), result.as_array().map(Vec::as_slice)) {
        (Some("scalar"), _) => result,
        (Some("vector"), Some([])) => return Ok(None),
        (Some("vector"), Some([one])) => &one["value"],
        (Some("vector"), Some(many)) => {
            return Err(format!("{} series and not one: narrow the query, or use sum()", many.len()));
        }
        (Some("matrix"), _) => return Err("a range and not a number: use rate() or avg_over_time()".to_owned()),
        (Some("string"), _) => return Err("the result is a text and not a number".to_owned()),
        _ => return Err("the answer is not one of Prometheus' API".to_owned()),
    };
    let number = sample[1].as_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| "the result is a histogram and not a number".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(kind: &str, result: &Value) -> Result<Option<f64>, String> {
        read(&json!({ "status": "success", "data": { "resultType": kind, "result": result } }))
    }

    #[test]
    fn one_number_is_read() {
        assert_eq!(result("scalar", &json!([1.5, "42"])), Ok(Some(42.0)));
        assert_eq!(result("vector", &json!([{ "metric": {}, "value": [1.5, "0.25"] }])), Ok(Some(0.25)));
        assert_eq!(result("vector", &json!([{ "metric": {}, "value": [1.5, "+Inf"] }])), Ok(Some(f64::INFINITY)));
        assert!(result("vector", &json!([{ "metric": {}, "value": [1.5, "NaN"] }])).unwrap().unwrap().is_nan());
        assert_eq!(result("vector", &json!([])), Ok(None));
    }

    #[test]
    fn what_is_not_one_number_is_a_wrong_query() {
        let series = json!({ "metric": {}, "value": [1.5, "1"] });
        assert!(result("vector", &json!([series, series])).unwrap_err().starts_with("2 series"));
        assert!(result("matrix", &json!([])).unwrap_err().contains("range"));
        assert!(result("string", &json!([1.5, "hello"])).unwrap_err().contains("text"));
        assert!(
            result("vector", &json!([{ "metric": {}, "histogram": [1.5, {}] }])).unwrap_err().contains("histogram")
        );
        assert!(read(&json!({ "hello": "world" })).unwrap_err().contains("API"));
    }
}
