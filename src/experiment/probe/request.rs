//! What every request over HTTP is made of: its URL, its headers, the client, and what a failure of these means.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use indexmap::IndexMap;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Url, retry};
use rustls::ClientConfig;

use super::ask::ProbeSetup;
use super::{Answer, failure, resolve};
use crate::model::quantity::Text;

/// Messages show what the file says; what a variable stands for may be secret.
pub(super) fn url(text: &Text, setup: &ProbeSetup) -> anyhow::Result<Url> {
    let url: Url = setup.text(text)?.trim().parse().map_err(|e| anyhow!("`{text}` is not a URL: {e}"))?;
    ensure!(matches!(url.scheme(), "http" | "https"), "`{text}` does not begin with http:// or https://");
    Ok(url)
}

pub(super) fn headers(given: &IndexMap<String, Text>, setup: &ProbeSetup) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| anyhow!("`{name}` is not the name of a header"))?;
        let mut value = HeaderValue::from_str(&setup.text(value)?)
            .map_err(|_| anyhow!("the value of the header `{name}` has characters that a header cannot have"))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// A client that tries nothing again and goes through no proxy.
pub(super) fn client(
    tls: ClientConfig,
    timeout: Duration,
    further: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> anyhow::Result<Client> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(resolve::Resolver { timeout }))
        .retry(retry::never())
        .no_proxy()
        .user_agent(concat!("squall/", env!("CARGO_PKG_VERSION")));
    further(client).build().map_err(|e| anyhow!("cannot set up the HTTP client: {}", e.without_url()))
}

/// What an error of the HTTP client means. Its own text has the URL in it, with all that is secret there.
pub(super) fn explain(error: &reqwest::Error) -> Answer {
    if error.is_dns() {
        return Answer::NotMeasured("cannot resolve the name".to_owned());
    }
    if error.is_redirect() {
        return failure::failed("too many redirects");
    }
    match error.source() {
        Some(cause) => failure::of(cause),
        None => failure::failed("no answer"),
    }
}
