//! An HTTP request: a new connection for each, no redirects, no retries, no proxy, unless told otherwise.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use indexmap::IndexMap;
use regex::Regex;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Request, Response, StatusCode, redirect};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::answered_by::{AnsweredBy, By};
use super::ask::{Ask, ProbeSetup};
use super::value::ValueAt;
use super::wanted::{self, Criteria, Wanted};
use super::{Answer, Pace, ProbeKind, Reply, Simulated, failure, keys, request, socket};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::experiment::document::pattern::{regex, telling};
use crate::host::tls::{self, Trust};
use crate::model::quantity::{Many, Text};

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
    /// The status that is expected, or a list of those that are (default: any 2xx).
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub status: Many<u16>,
    /// A text that the answer's body contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<Text>,
    /// A regular expression that the answer's body matches. Its first group, if any, is the probe's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// Places of the answer's JSON body (JSON pointers such as `/shop/open`): `exists`, `absent`, or what stands there.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub json: IndexMap<String, Text>,
    /// What else the answer is, by names of your choice, which say what failed.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub assert: IndexMap<String, Wanted>,
    /// Where the probe's value is in the answer's body, instead of in a group of `matches`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueAt>,
    /// Who has answered, as the answer itself tells: an instance by name or id, or a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// A file of certificates (PEM) to trust beside the system's: of CAs, or the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A file of our own certificate and those that lead to its CA (PEM), for servers that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// A file of the private key to `cert` (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether any certificate of the server's will do (default no). Every report says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// A unix socket of this machine to connect to, whatever host and port the URL names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<Text>,
    /// Whether redirects are followed (default no).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// Whether connections are used again (default no: a kept connection hides what a new customer meets).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_alive: bool,
}

impl Http {
    fn method(&self) -> anyhow::Result<Method> {
        let name = self.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
        Method::from_bytes(name.as_bytes()).map_err(|_| anyhow!("`{name}` is not an HTTP method"))
    }

    /// How it is called when `contains` is not met: in the words of the file, for its variables may be secret.
    fn lacks(&self) -> String {
        let text = self.contains.as_ref().map(|text| failure::short(&text.0)).unwrap_or_default();
        format!("body lacks \"{text}\"")
    }
}

impl ProbeKind for Http {
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>> {
        let url = request::url(&self.url, setup)?;
        let needs_tls = url.scheme() == "https" || self.follow;
        let mut request = Request::new(self.method()?, url);
        *request.headers_mut() = request::headers(&self.headers, setup)?;
        if let Some(body) = &self.body {
            *request.body_mut() = Some(setup.text(body)?.into());
        }
        let matches = self.matches.as_deref().map(Regex::new).transpose().context("`matches` is no pattern")?;
        let contains = self.contains.as_ref().map(|text| setup.text(text)).transpose()?;
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.as_str(), key.as_str())),
            (None, None) => None,
            _ => bail!("`cert` and `key` go together"),
        };
        let trust = Trust { ca: self.ca.as_deref(), identity, insecure: self.insecure };
        let socket = self.socket.as_ref().map(|socket| socket::path(socket, setup)).transpose()?;
        let tls = if needs_tls { tls::config(&trust)? } else { tls::unused()? };
        let client = request::client(tls, setup.timeout, |client| {
            let client = match socket {
                Some(path) => client.unix_socket(path),
                None => client,
            };
            client
                .redirect(if self.follow { redirect::Policy::limited(10) } else { redirect::Policy::none() })
                .pool_max_idle_per_host(if self.keep_alive { usize::MAX } else { 0 })
        })?;
        let by = self.answered_by.as_ref().map(By::new).transpose()?;
        let json = Wanted { json: self.json.clone(), ..Wanted::default() }.prepare(setup)?;
        let named = |(name, wanted): (&String, &Wanted)| Ok((name.clone(), wanted.prepare(setup)?));
        let expected = Expected {
            status: self.status.0.clone(),
            contains,
            matches,
            json,
            named: self.assert.iter().map(named).collect::<anyhow::Result<_>>()?,
            value: self.value.clone(),
            by,
            lacks: self.lacks(),
            during: setup.during.map(|wanted| wanted.prepare(setup)).transpose()?,
        };
        Ok(Box::new(PreparedHttp { client, request, expected, timeout: setup.timeout }))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        let key = |key: &'static str| [own, &[key]].concat();
        let answered_by = |key: &'static str| [own, &["answered-by", key]].concat();
        keys::url(found, &key("url"), &self.url);
        if self.method.as_ref().is_some_and(|m| reqwest::Method::from_bytes(m.as_bytes()).is_err()) {
            let at = found.document.value_at(&key("method"));
            found.add(Mistake::error(&at, "this is not an HTTP method"));
        }
        keys::headers(found, own, &self.headers);
        wanted::statuses(found, own, &self.status);
        wanted::places(found, &key("json"), &self.json);
        for (name, wanted) in &self.assert {
            wanted.check(found, &[own, &["assert", name]].concat());
        }
        if let Some(pattern) = &self.matches {
            regex(found, &key("matches"), pattern);
        }
        if self.contains.as_ref().is_some_and(|text| text.0.is_empty()) {
            let at = found.document.value_at(&key("contains"));
            found.add(
                Mistake::error(&at, "every body contains the empty text").label("a text that only a good answer has"),
            );
        }
        match &self.answered_by {
            Some(AnsweredBy::Matches(pattern)) => {
                let help = r"it tells no instances apart: name who answers in a group, such as `from (\S+)`";
                telling(found, &answered_by("matches"), pattern, help);
            }
            Some(AnsweredBy::Header(header)) if reqwest::header::HeaderName::from_bytes(header.as_bytes()).is_err() => {
                let at = found.document.value_at(&answered_by("header"));
                found.add(Mistake::error(&at, "this cannot be the name of a header"));
            }
            Some(AnsweredBy::Json(place)) => keys::pointer(found, &answered_by("json"), place),
            _ => {}
        }
        if let Some(at) = &self.value {
            keys::pointer(found, &[own, &["value", "json"]].concat(), &at.json);
        }
        for (given, lacks, other) in
            [("cert", "key", (&self.cert, &self.key)), ("key", "cert", (&self.key, &self.cert))]
        {
            if let (Some(_), None) = other {
                let at = found.document.key_at(&key(given));
                found.add(Mistake::error(&at, format!("`{given}` says nothing without `{lacks}`")));
            }
        }
        if self.insecure {
            let at = found.document.key_at(&key("insecure"));
            let help = "give the server's certificate, or its CA's, as `ca`; if it is to stay so, every report says it";
            let mistake =
                Mistake::warning(&at, "any certificate is accepted: an impostor's answers count as the system's");
            found.add(mistake.help(help));
        }
    }

    fn pace(&self) -> Pace {
        Pace::TEN_A_SECOND
    }

    fn silence_is_failure(&self) -> bool {
        true
    }

    fn caveat(&self) -> Option<&'static str> {
        self.insecure.then_some(
            "it accepts any certificate (`insecure`), so that an impostor's answers would count as the system's",
        )
    }

    fn address(&self) -> Option<&str> {
        self.url.0.split_once("://")?.1.split(['/', '?', '#']).next()
    }

    fn words(&self) -> String {
        format!("{} {}", self.method.as_deref().unwrap_or("GET"), self.url)
    }

    fn simulated(&self) -> Simulated<'_> {
        Simulated::Service { reads: self.value.is_some(), tells: self.answered_by.is_some() }
    }
}

struct PreparedHttp {
    client: Client,
    request: Request,
    expected: Expected,
    timeout: Duration,
}

struct Expected {
    status: Vec<u16>,
    contains: Option<String>,
    matches: Option<Regex>,
    json: Criteria,
    named: Vec<(String, Criteria)>,
    value: Option<ValueAt>,
    by: Option<By>,
    lacks: String,
    /// What the answer is to be while the fault is on.
    during: Option<Criteria>,
}

#[async_trait]
impl Ask for PreparedHttp {
    async fn ask(&self) -> Answer {
        self.reply().await.answer
    }

    async fn reply(&self) -> Reply {
        match timeout(self.timeout, self.exchange()).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(answer)) => self.expected.alike(answer),
            Err(_) => self.expected.alike(failure::timeout()),
        }
    }
}

impl PreparedHttp {
    /// The reply, or what became of the request if there was none.
    async fn exchange(&self) -> Result<Reply, Answer> {
        let request = self.request.try_clone();
        let request = request.ok_or_else(|| Answer::NotMeasured("the request cannot be repeated".to_owned()))?;
        let response = self.client.execute(request).await.map_err(|error| request::explain(&error))?;
        self.expected.judge(response).await
    }
}

impl Expected {
    /// Where there was no whole answer: it fails whatever was expected, or could not be measured.
    fn alike(&self, answer: Answer) -> Reply {
        Reply { degraded: self.during.is_some().then(|| answer.clone()), ..answer.into() }
    }

    fn is_status(&self, status: StatusCode) -> bool {
        if self.status.is_empty() { status.is_success() } else { self.status.contains(&status.as_u16()) }
    }

    /// Reads the whole answer (up to a bound), so that latency is that of the whole.
    async fn judge(&self, mut response: Response) -> Result<Reply, Answer> {
        let status = response.status();
        if !self.is_status(status) && self.during.is_none() {
            return Ok(Reply { status: Some(status.as_u16()), ..failure::failed(words_for(status)).into() });
        }
        let headers = response.headers().clone();
        let (mut body, mut length) = (Vec::new(), 0);
        while length < MOST_BODY
            && let Some(chunk) = response.chunk().await.map_err(|error| request::explain(&error))?
        {
            length += chunk.len();
            if self.reads_body() {
                body.extend_from_slice(&chunk);
            }
        }
        let body = String::from_utf8_lossy(&body);
        let healthy = if self.is_status(status) {
            self.judge_body(status, &headers, &body)
        } else {
            failure::failed(words_for(status))
        };
        let degraded = self.during.as_ref().map(|criteria| self.degraded(criteria, status, &headers, &body));
        Ok(Reply { answer: healthy, degraded, status: Some(status.as_u16()) })
    }

    fn reads_body(&self) -> bool {
        let told_inside = matches!(self.by, Some(By::Json(_) | By::Matches(_)));
        let texts = self.contains.is_some() || self.matches.is_some() || self.value.is_some() || told_inside;
        let criteria = self.named.iter().map(|(_, criteria)| criteria).chain(&self.during).chain([&self.json]);
        texts || criteria.into_iter().any(Criteria::reads_body)
    }

    /// As it stands under what `during` says, with the status that is expected anyway unless another is said.
    fn degraded(&self, criteria: &Criteria, status: StatusCode, headers: &HeaderMap, body: &str) -> Answer {
        if criteria.status.is_empty() && !self.is_status(status) {
            return failure::failed(words_for(status));
        }
        match criteria.unmet(status, headers, body) {
            Some(why) => failure::failed(why),
            None => Answer::Good {
                value: self.value.as_ref().and_then(|at| at.read("body", body).ok()),
                by: self.by.as_ref().and_then(|by| by.read(headers, body)),
            },
        }
    }

    fn judge_body(&self, status: StatusCode, headers: &HeaderMap, body: &str) -> Answer {
        if self.contains.as_deref().is_some_and(|text| !body.contains(text)) {
            return failure::failed(self.lacks.clone());
        }
        let by = self.by.as_ref().and_then(|by| by.read(headers, body));
        let mut value = None;
        if let Some(pattern) = &self.matches {
            let Some(found) = pattern.captures(body) else { return failure::failed("body does not match") };
            // The first group, or the whole match where there is none.
            value = found.get(1).or_else(|| found.get(0)).map(|m| m.as_str().to_owned());
        }
        if let Some(why) = self.json.unmet(status, headers, body) {
            return failure::failed(why);
        }
        for (name, criteria) in &self.named {
            if let Some(why) = criteria.unmet(status, headers, body) {
                return failure::failed(format!("{name}: {why}"));
            }
        }
        match self.value.as_ref().map(|at| at.read("body", body)) {
            Some(Ok(read)) => Answer::Good { value: Some(read), by },
            Some(Err(why)) => failure::failed(failure::short(&why)),
            None => Answer::Good { value, by },
        }
    }
}

fn words_for(status: StatusCode) -> String {
    format!("status {}", status.as_u16())
}
