//! An HTTP request: a new connection for each, no redirects, no retries, no proxy, unless told otherwise.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use async_trait::async_trait;
use indexmap::IndexMap;
use regex::Regex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Response, StatusCode, Url, redirect, retry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ask::{Ask, Ground};
use super::{Answer, failure, resolve, tls};
use crate::experiment::quantity::Text;

/// How much of an answer's body is read (bytes).
const MOST_BODY: usize = 1024 * 1024;

/// Ask over HTTP. The short form is the URL alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-short" = "url"))]
pub struct Http {
    /// `http://` or `https://`.
    pub url: Text,
    /// The method (default GET).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, Text>,
    /// Request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Text>,
    /// The status that is expected (default: any 2xx).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A text that the answer's body contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<Text>,
    /// A regular expression that the answer's body matches. Its first group, if any, is the probe's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// A file of CA certificates (PEM) to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Whether redirects are followed (default no).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// Whether connections are used again (default no: a kept connection hides what a new customer meets).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_alive: bool,
}

impl Http {
    pub(super) fn prepare(&self, ground: &Ground) -> anyhow::Result<Box<dyn Ask>> {
        // Messages show what the file says; what a variable stands for may be secret.
        let url: Url =
            ground.text(&self.url)?.trim().parse().map_err(|e| anyhow!("`{}` is not a URL: {e}", self.url))?;
        ensure!(matches!(url.scheme(), "http" | "https"), "`{}` does not begin with http:// or https://", self.url);
        let needs_tls = url.scheme() == "https" || self.follow;
        let mut request = Request::new(self.method()?, url);
        *request.headers_mut() = self.headers(ground)?;
        if let Some(body) = &self.body {
            *request.body_mut() = Some(ground.text(body)?.into());
        }
        let matches = self.matches.as_deref().map(Regex::new).transpose().context("`matches` is no pattern")?;
        let contains = self.contains.as_ref().map(|text| ground.text(text)).transpose()?;
        let client = Client::builder()
            .tls_backend_preconfigured(if needs_tls { tls::config(self.ca.as_deref())? } else { tls::unused()? })
            .dns_resolver(Arc::new(resolve::Resolver { timeout: ground.timeout }))
            .redirect(if self.follow { redirect::Policy::limited(10) } else { redirect::Policy::none() })
            .pool_max_idle_per_host(if self.keep_alive { usize::MAX } else { 0 })
            .retry(retry::never())
            .no_proxy()
            .user_agent(concat!("squall/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| anyhow!("cannot set up the HTTP client: {}", e.without_url()))?;
        let expected = Expected { status: self.status, contains, matches, lacks: self.lacks() };
        Ok(Box::new(Ready { client, request, expected, timeout: ground.timeout }))
    }

    fn method(&self) -> anyhow::Result<Method> {
        let name = self.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
        Method::from_bytes(name.as_bytes()).map_err(|_| anyhow!("`{name}` is not an HTTP method"))
    }

    fn headers(&self, ground: &Ground) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let parsed =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| anyhow!("`{name}` is not the name of a header"))?;
            let mut value = HeaderValue::from_str(&ground.text(value)?)
                .map_err(|_| anyhow!("the value of the header `{name}` has characters that a header cannot have"))?;
            value.set_sensitive(true);
            headers.append(parsed, value);
        }
        Ok(headers)
    }

    /// How it is called when `contains` is not met: in the words of the file, for its variables may be secret.
    fn lacks(&self) -> String {
        let text = self.contains.as_ref().map(|text| failure::short(&text.0)).unwrap_or_default();
        format!("body lacks \"{text}\"")
    }
}

struct Ready {
    client: Client,
    request: Request,
    expected: Expected,
    timeout: Duration,
}

struct Expected {
    status: Option<u16>,
    contains: Option<String>,
    matches: Option<Regex>,
    lacks: String,
}

#[async_trait]
impl Ask for Ready {
    async fn ask(&self) -> Answer {
        timeout(self.timeout, self.exchange()).await.unwrap_or_else(|_| failure::timeout())
    }
}

impl Ready {
    async fn exchange(&self) -> Answer {
        let Some(request) = self.request.try_clone() else {
            return Answer::CouldNotAsk("the request cannot be repeated".to_owned());
        };
        let answer = match self.client.execute(request).await {
            Ok(response) => self.expected.judge(response).await,
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| explain(&error))
    }
}

impl Expected {
    /// Reads the whole answer (up to a bound), so that latency is that of the whole.
    async fn judge(&self, mut response: Response) -> reqwest::Result<Answer> {
        let status = response.status();
        if !self.status.map_or(status.is_success(), |wanted| status == wanted) {
            return Ok(failure::failed(words_for(status)));
        }
        let keep = self.contains.is_some() || self.matches.is_some();
        let (mut body, mut length) = (Vec::new(), 0);
        while length < MOST_BODY
            && let Some(chunk) = response.chunk().await?
        {
            length += chunk.len();
            if keep {
                body.extend_from_slice(&chunk);
            }
        }
        Ok(self.judge_body(&String::from_utf8_lossy(&body)))
    }

    fn judge_body(&self, body: &str) -> Answer {
        if self.contains.as_deref().is_some_and(|text| !body.contains(text)) {
            return failure::failed(self.lacks.clone());
        }
        let Some(pattern) = &self.matches else { return Answer::Good { value: None } };
        match pattern.captures(body) {
            // The first group, or the whole match where there is none.
            Some(found) => {
                let value = found.get(1).or_else(|| found.get(0)).map(|m| m.as_str().to_owned());
                Answer::Good { value }
            }
            None => failure::failed("body does not match"),
        }
    }
}

fn words_for(status: StatusCode) -> String {
    format!("status {}", status.as_u16())
}

/// What an error of the HTTP client means. Its own text has the URL in it, with all that is secret there.
fn explain(error: &reqwest::Error) -> Answer {
    if error.is_dns() {
        return Answer::CouldNotAsk("cannot resolve the name".to_owned());
    }
    if error.is_redirect() {
        return failure::failed("too many redirects");
    }
    match error.source() {
        Some(cause) => failure::of(cause),
        None => failure::failed("no answer"),
    }
}
