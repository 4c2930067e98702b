//! Whom we trust where something is asked or told over HTTPS, and who we say we are.

mod verify;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::client::WantsClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use verify::{Anybody, Trusting};

use crate::host::file;

/// Whom to trust beside the system's CAs, and who to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust<'a> {
    /// A file of certificates (PEM): of CAs, or a server's own.
    pub ca: Option<&'a str>,
    /// Files of a client's certificate, with those that lead to its CA, and of its key (PEM).
    pub identity: Option<(&'a str, &'a str)>,
    /// Whether any certificate will do.
    pub insecure: bool,
}

/// Trusts the CA files of this machine, those that are built in where it has none (an image from scratch), and what
/// `trust` names.
///
/// # Errors
/// Where a file cannot be read, or has not in it what it is for.
pub fn config(trust: &Trust<'_>) -> anyhow::Result<ClientConfig> {
    Ok(as_asked(trusting(trust, false)?))
}

/// Trusts the CAs that `trust` names and no other, or those of this machine where it names none, as `docker` does for its engine.
/// Connections may be kept.
///
/// # Errors
/// As [`config`].
pub fn of_an_engine(trust: &Trust<'_>) -> anyhow::Result<ClientConfig> {
    trusting(trust, trust.ca.is_some())
}

fn trusting(trust: &Trust<'_>, alone: bool) -> anyhow::Result<ClientConfig> {
    let provider = provider();
    let verifier: Arc<dyn ServerCertVerifier> = if trust.insecure {
        Arc::new(Anybody(Arc::clone(&provider)))
    } else {
        let given = trust.ca.map(certificates).transpose()?.unwrap_or_default();
        let mut roots = RootCertStore::empty();
        if !alone {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() && !alone {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for certificate in &given {
            let file = trust.ca.unwrap_or_default();
            roots.add(certificate.clone()).with_context(|| format!("cannot use a certificate in {file}"))?;
        }
        Arc::new(Trusting::new(roots, given, Arc::clone(&provider))?)
    };
    let builder = builder(provider)?.dangerous().with_custom_certificate_verifier(verifier);
    Ok(match trust.identity {
        Some((certificate, key)) => with_identity(builder, certificate, key)?,
        None => builder.with_no_client_auth(),
    })
}

/// Trusts nobody: for plain HTTP, where reading the CA files would only cost time.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn unused() -> anyhow::Result<ClientConfig> {
    Ok(as_asked(builder(provider())?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder(provider: Arc<CryptoProvider>) -> anyhow::Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().context("cannot set up TLS")
}

fn as_asked(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every sample meets what a new customer meets: a whole handshake.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &str,
    key: &str,
) -> anyhow::Result<ClientConfig> {
    let chain = certificates(certificate)?;
    let pem = pem(key)?;
    // What the parser says could quote the key.
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        anyhow::anyhow!("there is no private key in {key} that can be used: it is to be PEM, without a password")
    })?;
    builder
        .with_client_auth_cert(chain, private)
        .with_context(|| format!("the certificate in {certificate} and the key in {key} do not go together"))
}

/// No file of certificates is longer, in bytes: the CA files of a whole system have 300 KiB.
const LONGEST: u64 = 4 * 1024 * 1024;

fn pem(path: &str) -> anyhow::Result<Vec<u8>> {
    file::regular(Path::new(path), LONGEST).with_context(|| format!("cannot read {path}"))
}

fn certificates(path: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = pem(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.with_context(|| format!("cannot read the certificates in {path}"))?;
    ensure!(!all.is_empty(), "there is no certificate in {path}, which is to be a PEM file");
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_what_it_is_for_is_said() {
        let says = |trust: Trust, words: &[&str]| {
            let error = format!("{:#}", config(&trust).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        let (own, key) = ("tests/data/tls/self-signed.pem", "tests/data/tls/server.key");
        says(Trust { ca: Some("/dev/zero"), ..Trust::default() }, &["/dev/zero", "not a regular file"]);
        says(Trust { ca: Some(key), ..Trust::default() }, &[key, "no certificate"]);
        says(Trust { identity: Some((own, own)), ..Trust::default() }, &[own, "no private key"]);
        let others = "tests/data/tls/self-signed.key";
        says(
            Trust { identity: Some(("tests/data/tls/server.pem", others)), ..Trust::default() },
            &[others, "together"],
        );
        config(&Trust { identity: Some((own, others)), ..Trust::default() }).unwrap();
    }
}
