//! Whether a server's certificate is accepted.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Accepts what leads to a root, as everybody does; and a certificate that was given itself, though it calls itself a
/// CA's: `openssl req -x509` makes such for a server.
#[derive(Debug)]
pub(super) struct Trusting {
    roots: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Trusting {
    pub(super) fn new(
        roots: RootCertStore,
        given: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> anyhow::Result<Self> {
        let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self { roots: roots.build().context("cannot set up TLS")?, given })
    }
}

/// The one rule that a certificate may break which was given itself. It is looked at after the time of validity, and before
/// any issuer, who does not matter then; the handshake shows that the server has the key.
fn calls_itself_a_ca(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(why)) = error else { return false };
    why.0.to_string() == "CaUsedAsEndEntity"
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.roots.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(error) if calls_itself_a_ca(&error) && self.given.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}

/// Accepts every certificate whose key the server has.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::host::tls::{certificates, provider};

    /// What is said of a self-signed server's certificate that calls itself a CA's, so many years after 1970.
    fn verify(file: &str, ca: &str, name: &str, years: u64) -> Result<(), Error> {
        let given = certificates(ca).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in &given {
            roots.add(certificate.clone()).unwrap();
        }
        let trusting = Trusting::new(roots, given, provider()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_hours(24 * 365 * years));
        trusting.verify_server_cert(&certificates(file).unwrap()[0], &[], &name, &[], now).map(drop)
    }

    #[test]
    fn a_certificate_that_is_given_itself_is_accepted_and_only_that_one() {
        use CertificateError::{ExpiredContext, NotValidForNameContext, NotValidYetContext};
        let (own, ca) = ("tests/data/tls/self-signed.pem", "tests/data/tls/ca.pem");
        assert_eq!(verify(own, own, "localhost", 60), Ok(()));
        let wrong = |name, years| match verify(own, own, name, years) {
            Err(Error::InvalidCertificate(why)) => why,
            other => panic!("{name}, {years}: {other:?}"),
        };
        assert!(matches!(wrong("elsewhere", 60), NotValidForNameContext { .. }));
        assert!(matches!(wrong("localhost", 600), ExpiredContext { .. }));
        assert!(matches!(wrong("localhost", 10), NotValidYetContext { .. }));
        assert!(calls_itself_a_ca(&verify(own, ca, "localhost", 60).unwrap_err()), "another one is given");
        assert!(calls_itself_a_ca(&verify(ca, own, "localhost", 60).unwrap_err()), "another one answers");
    }
}
