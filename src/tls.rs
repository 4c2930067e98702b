//! Whom we trust where something is asked or told over HTTPS.

use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the CA files of this machine, those that are built in where it has none (an image from scratch), and the
/// certificates in `ca` (PEM).
///
/// # Errors
/// Where `ca` cannot be read or has no certificate.
pub fn config(ca: Option<&str>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(file) = ca {
        let read = || -> Result<Vec<CertificateDer>, _> { CertificateDer::pem_file_iter(file)?.collect() };
        let certificates = read().with_context(|| format!("cannot read the CA certificates in {file}"))?;
        ensure!(!certificates.is_empty(), "there is no certificate in {file}; `ca` names a PEM file");
        for certificate in certificates {
            roots.add(certificate).with_context(|| format!("cannot use a certificate in {file}"))?;
        }
    }
    with_roots(roots)
}

/// Trusts nobody: for plain HTTP, where reading the CA files would only cost time.
///
/// # Errors
/// Where TLS cannot be set up.
pub fn unused() -> anyhow::Result<ClientConfig> {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> anyhow::Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every question meets what a new customer meets: a whole handshake.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
