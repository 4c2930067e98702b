//! Requests to the API of a monitoring system. It is an instrument of Squall's and not the system: where it does not answer,
//! or answers with an error, it could not be measured.

use std::time::Duration;

use anyhow::anyhow;
use indexmap::IndexMap;
use reqwest::{Client, Request, Response, Url, redirect};
use serde_json::Value;
use tokio::time::timeout;

use super::ask::ProbeSetup;
use super::{Answer, Failure, failure, request};
use crate::host::tls::{self, Trust};
use crate::model::quantity::Text;

/// How much of an answer is read (bytes): thousands of alerts.
const MOST_BODY: usize = 8 * 1024 * 1024;

/// One request to an API, ready to be asked again and again.
pub(super) struct Api {
    client: Client,
    request: Request,
    timeout: Duration,
    /// Whether an answer may be quoted: what it says of the request may have a secret in it.
    quotable: bool,
}

/// Where an API is, and how to be let in.
pub(super) struct ApiAddress<'a> {
    pub(super) url: &'a Text,
    pub(super) headers: &'a IndexMap<String, Text>,
    pub(super) ca: Option<&'a str>,
}

impl Api {
    /// A request at a path below the place, with its parameters.
    pub(super) fn new(
        api: &ApiAddress<'_>,
        path: &[&str],
        parameters: &[(&str, &Text)],
        setup: &ProbeSetup,
    ) -> anyhow::Result<Self> {
        let mut url = request::url(api.url, setup)?;
        below(&mut url, path).map_err(|()| anyhow!("`{}` has no path to ask at", api.url))?;
        let mut quotable = true;
        for (key, text) in parameters {
            let value = setup.text(text)?;
            quotable &= value == text.0;
            url.query_pairs_mut().append_pair(key, &value);
        }
        let trust = Trust { ca: api.ca, ..Trust::default() };
        let tls = if url.scheme() == "https" { tls::config(&trust)? } else { tls::unused()? };
        let client = request::client(tls, setup.timeout, |client| client.redirect(redirect::Policy::none()))?;
        let mut request = Request::new(reqwest::Method::GET, url);
        *request.headers_mut() = request::headers(api.headers, setup)?;
        Ok(Self { client, request, timeout: setup.timeout, quotable })
    }

    /// The answer as JSON.
    ///
    /// # Errors
    /// Why it could not be measured, in a few words.
    pub(super) async fn ask(&self) -> Result<Value, String> {
        let exchange = async {
            let request = self.request.try_clone().ok_or("the request cannot be repeated")?;
            let response = self.client.execute(request).await.map_err(|e| in_words(&e))?;
            self.read(response).await
        };
        timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn read(&self, mut response: Response) -> Result<Value, String> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| in_words(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BODY {
                return Err("the answer is larger than 8 MiB".to_owned());
            }
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        if let Some(doubt) = answer.as_ref().filter(|_| status.is_success()).and_then(|a| doubt(a, self.quotable)) {
            return Err(doubt);
        }
        if !status.is_success() {
            let said = answer.as_ref().filter(|_| self.quotable).and_then(complaint);
            let status = status.as_u16();
            return Err(said.map_or(format!("status {status}"), |said| format!("status {status}: {said}")));
        }
        answer.ok_or_else(|| "the answer is no JSON".to_owned())
    }
}

/// The error in an answer of Prometheus (`error`) or Alertmanager (a text).
fn complaint(answer: &Value) -> Option<String> {
    let text = answer["error"].as_str().or(answer["message"].as_str()).or(answer.as_str())?;
    Some(failure::short(text.trim_start_matches("invalid parameter \"query\": ")))
}

/// Why an answer may lack a part of what was asked about: a warning (Prometheus, Mimir, and Thanos where a store did not
/// answer), or `isPartial` (`VictoriaMetrics`). What is computed from a part is no measurement. `infos` are advice about
/// the query and are left alone.
fn doubt(answer: &Value, quotable: bool) -> Option<String> {
    if answer["isPartial"] == Value::Bool(true) {
        return Some("the answer is partial".to_owned());
    }
    let first = answer["warnings"].as_array()?.first()?;
    let said = first.as_str().filter(|_| quotable).map(failure::short);
    Some(said.map_or("the answer has a warning".to_owned(), |said| format!("the answer has a warning: {said}")))
}

/// A path below the one that a URL has: a server may live under a prefix.
fn below(url: &mut Url, path: &[&str]) -> Result<(), ()> {
    url.set_query(None);
    url.path_segments_mut()?.pop_if_empty().extend(path);
    Ok(())
}

fn in_words(error: &reqwest::Error) -> String {
    match request::explain(error) {
        Answer::Failed(Failure(words)) | Answer::NotMeasured(words) => words,
        Answer::Good { .. } => "no answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_a_doubt_and_advice_is_not() {
        let answer = |more: &str| serde_json::from_str::<Value>(&format!("{{\"status\": \"success\"{more}}}")).unwrap();
        let partial = answer(r#", "warnings": ["no store matched", "another"]"#);
        assert_eq!(doubt(&partial, true).unwrap(), "the answer has a warning: no store matched");
        assert_eq!(doubt(&partial, false).unwrap(), "the answer has a warning", "it may quote a secret");
        assert_eq!(doubt(&answer(r#", "isPartial": true"#), true).unwrap(), "the answer is partial");
        for sound in
            ["", r#", "warnings": []"#, r#", "warnings": null"#, r#", "infos": ["x"]"#, r#", "isPartial": false"#]
        {
            assert_eq!(doubt(&answer(sound), true), None, "{sound}");
        }
        assert_eq!(doubt(&serde_json::json!([]), true), None, "Alertmanager answers with a list");
    }

    #[test]
    fn a_prefix_stays() {
        for (at, expected) in [
            ("http://p:9090", "http://p:9090/api/v1/query"),
            ("http://p:9090/", "http://p:9090/api/v1/query"),
            ("https://p/monitoring/prometheus", "https://p/monitoring/prometheus/api/v1/query"),
            ("http://p/m/?old=1", "http://p/m/api/v1/query"),
        ] {
            let mut url: Url = at.parse().unwrap();
            below(&mut url, &["api", "v1", "query"]).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }
}
