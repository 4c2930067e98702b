//! Messages on their way: tried again where that helps, given up in less than a minute, and no secret in any error.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, Request, Response, StatusCode, Url, redirect, retry};
use rustix::fs::OFlags;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::post::{Lookup, Post, filled};
use super::{Message, Recipient, json, pagerduty, slack, webhook};
use crate::experiment::Text;
use crate::host::command;
use crate::host::tls::{self, Trust};
use crate::model::quantity::Absent;

/// How often and how long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// At most so often.
    pub attempts: u32,
    /// How long an attempt may take.
    pub attempt: Duration,
    /// How long to wait before the second attempt; twice as long before each further one.
    pub pause: Duration,
    /// How long all of it may take, pauses included.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            attempt: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            total: Duration::from_secs(50),
        }
    }
}

/// How it went with a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Who: the kind, and of a URL the host. No secret.
    pub recipient: String,
    /// How often it was tried; 0 where it could not even be tried.
    pub attempts: u32,
    /// Why the message has not arrived, and what to do.
    pub error: Option<String>,
}

/// Tells all of them at the same time. It takes as long as the slowest, and never longer than `retries` allows.
pub async fn all(
    recipients: &[Recipient],
    message: &Message,
    retries: RetryPolicy,
    lookup: impl Fn(&str) -> Result<String, Absent> + Sync,
) -> Vec<Sent> {
    join_all(recipients.iter().map(|recipient| one(recipient, message, retries, &lookup))).await
}

async fn one(recipient: &Recipient, message: &Message, retries: RetryPolicy, lookup: Lookup<'_>) -> Sent {
    let (kind, post) = match recipient {
        Recipient::Slack(url) => ("slack", slack::post(url, message, lookup)),
        Recipient::PagerDuty(to) => ("pagerduty", pagerduty::post(to, message, lookup)),
        Recipient::Webhook(to) => ("webhook", webhook::post(to, message, lookup)),
        Recipient::Command(argv) => return run(argv, message, retries, lookup).await,
        Recipient::File(path) => return append(path, message, retries, lookup).await,
    };
    let request = post.and_then(|post| request(&post).map(|request| (request, tls::config(&Trust::default()))));
    let (request, tls) = match request {
        Ok((request, Ok(tls))) => (request, tls),
        Ok((_, Err(error))) => return untried(kind, format!("{error:#}")),
        Err(why) => return untried(kind, why),
    };
    let recipient = format!("{kind} {}", request.url().host_str().unwrap_or_default());
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .user_agent(concat!("squall/", env!("CARGO_PKG_VERSION")))
        .build();
    match client {
        Ok(client) => {
            let (attempts, error) = deliver(&client, &request, retries).await;
            Sent { recipient, attempts, error }
        }
        Err(error) => untried(&recipient, format!("cannot set up the HTTP client: {}", error.without_url())),
    }
}

fn untried(recipient: &str, why: String) -> Sent {
    Sent { recipient: recipient.to_owned(), attempts: 0, error: Some(why) }
}

/// The request; what is wrong with its URL is said without the URL.
fn request(post: &Post) -> Result<Request, String> {
    let url = Url::parse(&post.url)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()))
        .ok_or("its URL is none: it begins with `https://` or `http://`")?;
    let mut request = Request::new(Method::POST, url);
    let headers = post.headers.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in headers.chain([("content-type", "application/json")]) {
        let value = value.parse().map_err(|_| format!("the header `{name}` cannot be sent"))?;
        request.headers_mut().insert(name, value);
    }
    *request.body_mut() = Some(post.body.clone().into());
    Ok(request)
}

/// Why an attempt has failed, and whether another one may help.
struct Failure {
    why: String,
    again: bool,
    /// How long to wait, where the other side says so.
    after: Option<Duration>,
}

/// Tries until it has arrived, or another attempt would not help: how often, and why it has not arrived.
async fn deliver(client: &Client, request: &Request, retries: RetryPolicy) -> (u32, Option<String>) {
    let deadline = Instant::now() + retries.total;
    let mut pause = retries.pause;
    for attempt in 1.. {
        let left = deadline.saturating_duration_since(Instant::now());
        let Err(failure) = exchange(client, request, retries.attempt.min(left)).await else { return (attempt, None) };
        if !failure.again || attempt >= retries.attempts {
            return (attempt, Some(failure.why));
        }
        let wait = failure.after.unwrap_or_default().max(pause);
        if Instant::now() + wait >= deadline {
            let why = format!("{}; it would have had to wait {} for the next attempt", failure.why, in_words(wait));
            return (attempt, Some(why));
        }
        sleep(wait).await;
        pause *= 2;
    }
    (retries.attempts, None)
}

fn in_words(span: Duration) -> String {
    humantime::format_duration(Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))).to_string()
}

async fn exchange(client: &Client, request: &Request, limit: Duration) -> Result<(), Failure> {
    let failed = |why: String| Failure { why, again: true, after: None };
    let request = request.try_clone().ok_or_else(|| failed("the request cannot be repeated".to_owned()))?;
    match timeout(limit, client.execute(request)).await {
        Err(_) => Err(failed(format!("no answer within {}", in_words(limit)))),
        Ok(Err(error)) => Err(failed(explain(&error))),
        Ok(Ok(response)) => judge(&response),
    }
}

fn judge(response: &Response) -> Result<(), Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let hint = match status.as_u16() {
        401 | 403 => ": is the key right?",
        404 | 410 => ": is the URL still right?",
        300..=399 => ": name the URL that it leads to",
        _ => "",
    };
    let after = response.headers().get(RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?, SystemTime::now()));
    Err(Failure { why: format!("the answer was status {}{hint}", status.as_u16()), again, after })
}

/// How long `Retry-After` says to wait: seconds, or until a date.
fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    SystemTime::from(date.timestamp()).duration_since(now).ok()
}

/// What an error of the HTTP client means. Its own text has the URL in it; the deepest beneath it has not.
fn explain(error: &reqwest::Error) -> String {
    let mut deepest = error.source();
    while let Some(below) = deepest.and_then(std::error::Error::source) {
        deepest = Some(below);
    }
    let why = deepest.map_or_else(|| "no answer".to_owned(), ToString::to_string);
    if error.is_connect() { format!("cannot connect: {why}") } else { why }
}

/// Once: nobody knows what a second start of somebody's program would do.
async fn run(argv: &[Text], message: &Message, retries: RetryPolicy, lookup: Lookup<'_>) -> Sent {
    let recipient = format!("command {}", argv.first().map(|program| program.0.as_str()).unwrap_or_default());
    let argv: Vec<String> = match argv.iter().map(|part| filled(part, lookup)).collect() {
        Ok(argv) => argv,
        Err(why) => return untried(&recipient, why),
    };
    let limit = retries.total;
    let error = match command::run_with(&argv, &[], json::line(message).as_bytes(), limit).await {
        Ok(Some(output)) if output.status == 0 => None,
        Ok(Some(output)) => Some(format!("it ended with exit status {}", output.status)),
        Ok(None) => Some(format!("it had not ended after {}, and was killed", in_words(limit))),
        Err(error) => return untried(&recipient, format!("it cannot be started: {error}")),
    };
    Sent { recipient, attempts: 1, error }
}

async fn append(path: &Text, message: &Message, retries: RetryPolicy, lookup: Lookup<'_>) -> Sent {
    let recipient = format!("file {path}");
    let file = match filled(path, lookup) {
        Ok(file) => file,
        Err(why) => return untried(&recipient, why),
    };
    let line = format!("{}\n", json::line(message));
    let write = async {
        let mut options = OpenOptions::new();
        // A pipe that is not read is an error, not a place to wait.
        options.append(true).create(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let mut file = options.open(file).await?;
        file.write_all(line.as_bytes()).await?;
        file.flush().await
    };
    let error = match timeout(retries.total, write).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("it cannot be written: {error}")),
        Err(_) => Some(format!("it was not written within {}", in_words(retries.total))),
    };
    Sent { recipient, attempts: 1, error }
}

#[cfg(test)]
mod tests;
