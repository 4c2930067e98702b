//! Questions to the API of a monitoring system. It is an instrument of ours and not the system: where it does not answer,
//! or answers with an error, the question could not be asked.

use std::time::Duration;

use anyhow::anyhow;
use indexmap::IndexMap;
use reqwest::{Client, Request, Response, Url, redirect};
use serde_json::Value;
use tokio::time::timeout;

use super::ask::Ground;
use super::{Answer, Failure, failure, request};
use crate::experiment::quantity::Text;
use crate::tls;

/// How much of an answer is read (bytes): thousands of alerts.
const MOST_BODY: usize = 8 * 1024 * 1024;

/// One question to an API, ready to be asked again and again.
pub(super) struct Api {
    client: Client,
    request: Request,
    timeout: Duration,
    /// Whether an answer may be quoted: what it says of the question may have a secret in it.
    quotable: bool,
}

/// Where an API is, and how to be let in.
pub(super) struct Place<'a> {
    pub(super) url: &'a Text,
    pub(super) headers: &'a IndexMap<String, Text>,
    pub(super) ca: Option<&'a str>,
}

impl Api {
    /// A question at a path below the place, with its parameters.
    pub(super) fn new(
        place: &Place<'_>,
        path: &[&str],
        parameters: &[(&str, &Text)],
        ground: &Ground,
    ) -> anyhow::Result<Self> {
        let mut url = request::url(place.url, ground)?;
        below(&mut url, path).map_err(|()| anyhow!("`{}` has no path to ask at", place.url))?;
        let mut quotable = true;
        for (key, text) in parameters {
            let value = ground.text(text)?;
            quotable &= value == text.0;
            url.query_pairs_mut().append_pair(key, &value);
        }
        let tls = if url.scheme() == "https" { tls::config(place.ca)? } else { tls::unused()? };
        let client = request::client(tls, ground.timeout, |client| client.redirect(redirect::Policy::none()))?;
        let mut request = Request::new(reqwest::Method::GET, url);
        *request.headers_mut() = request::headers(place.headers, ground)?;
        Ok(Self { client, request, timeout: ground.timeout, quotable })
    }

    /// The answer as JSON.
    ///
    /// # Errors
    /// Why it could not be asked, in a few words.
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

/// A path below the one that a URL has: whoever serves may live under a prefix.
fn below(url: &mut Url, path: &[&str]) -> Result<(), ()> {
    url.set_query(None);
    url.path_segments_mut()?.pop_if_empty().extend(path);
    Ok(())
}

fn in_words(error: &reqwest::Error) -> String {
    match request::explain(error) {
        Answer::Failed(Failure(words)) | Answer::CouldNotAsk(words) => words,
        Answer::Good { .. } => "no answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
