//! The way to an engine: a socket of this machine, TCP, TLS over it, or a socket of another machine that `ssh` forwards.

use std::time::Duration;

use anyhow::Context as _;
use bollard::BollardRequest;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::endpoint::Endpoint;
use super::failure;
use crate::engine::Tls;
use crate::host::forward::{Forward, Remote};
use crate::host::tls::{self, Trust};

/// The client's own bound, above every bound that is set for a call (a stop may be given hours).
const NO_BOUND: Duration = Duration::from_hours(7 * 24);

/// How many connections over TLS are kept for the next calls, and how long: as many as are made at once, and so shortly that hardly one
/// is dead when it is used.
const KEPT: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(5);

/// How long a connection may take to be made, and how soon one whose other end is gone is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(10);

/// The client of an endpoint; nothing is sent yet. For another machine's socket also what forwards it, as long as it is kept.
pub(super) async fn open(endpoint: &Endpoint) -> Result<(bollard::Docker, Option<Forward>), String> {
    let (address, bound, version) = (&endpoint.address, NO_BOUND.as_secs(), bollard::API_DEFAULT_VERSION);
    if address.starts_with("ssh://") {
        let forward = Forward::open(Remote::read(address)?).await.map_err(|e| e.to_string())?;
        let socket = forward.socket().display().to_string();
        let made = bollard::Docker::connect_with_unix(&socket, bound, version);
        return Ok((made.map_err(|e| failure::unreachable(&e))?, Some(forward)));
    }
    let made = match (&endpoint.tls, address.split_once("://")) {
        (_, Some(("unix", _))) => bollard::Docker::connect_with_unix(address, bound, version),
        (_, None) if address.starts_with('/') => bollard::Docker::connect_with_unix(address, bound, version),
        (Some(tls), Some(("tcp" | "https", place))) => {
            return Ok((over_tls(tls, place).map_err(|e| format!("{e:#}"))?, None));
        }
        (None, Some(("tcp" | "http", _))) => bollard::Docker::connect_with_http(address, bound, version),
        _ => {
            return Err("an engine is reached by unix://, tcp:// and ssh://; for TLS set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or \
                        name a context that has it"
                .to_owned());
        }
    };
    Ok((made.map_err(|e| failure::unreachable(&e))?, None))
}

/// A client that speaks TLS and keeps its connections: a handshake for each call would be most of the time.
fn over_tls(tls: &Tls, place: &str) -> anyhow::Result<bollard::Docker> {
    // What is there and cannot be read is not the same as nothing: another CA would be trusted, or no name be given.
    let file = |name: &str| -> anyhow::Result<Option<String>> {
        let path = tls.directory.join(name);
        let is_there = path.try_exists().with_context(|| format!("cannot look at {}", path.display()))?;
        Ok(is_there.then(|| path.display().to_string()))
    };
    if tls.verify && !tls.directory.is_dir() {
        anyhow::bail!("there is no directory {} with the files for TLS", tls.directory.display());
    }
    let (ca, certificate, key) = (file("ca.pem")?, file("cert.pem")?, file("key.pem")?);
    let identity = match (&certificate, &key) {
        (Some(certificate), Some(key)) => Some((certificate.as_str(), key.as_str())),
        (None, None) => None,
        _ => anyhow::bail!("only one of cert.pem and key.pem is in {}", tls.directory.display()),
    };
    let config = tls::of_an_engine(&Trust { ca: ca.as_deref(), identity, insecure: !tls.verify })?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(CONNECT_TIMEOUT));
    http.set_tcp_user_timeout(Some(SILENCE));
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().wrap_connector(http);
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_max_idle_per_host(KEPT).pool_idle_timeout(KEPT_FOR).pool_timer(TokioTimer::new());
    let client = client.build(connector);
    let transport = move |request: BollardRequest| {
        let client = client.clone();
        async move { client.request(request).await.map_err(bollard::errors::Error::from) }
    };
    let (bound, version) = (NO_BOUND.as_secs(), bollard::API_DEFAULT_VERSION);
    Ok(bollard::Docker::connect_with_custom_transport(transport, Some(format!("https://{place}")), bound, version)?)
}
