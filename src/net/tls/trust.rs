//! Trust anchors: which certificate authorities are trusted.

use super::{
    crypto::provider,
    pins::{CertificatePins, PinnedVerifier},
};
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrustAnchors {
    /// The system's.
    #[default]
    System,
    /// Only these, as PEM.
    Custom(Arc<[u8]>),
    /// Only pinned certificates.
    Pinned(Arc<CertificatePins>),
    /// Accepts any certificate: a man in the middle can read and change the traffic.
    DangerousAcceptAny,
}

/// The system's trust anchors, read once. The first use blocks on file reads.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut store = RootCertStore::empty();
    match rustls_native_certs::load_native_certs() {
        Ok(found) => drop(store.add_parsable_certificates(found)),
        Err(error) => log::error!("the system's CA certificates cannot be read: {error}"),
    }
    if store.is_empty() {
        log::warn!(
            "the system has no CA certificates: only certificates of configured authorities are trusted"
        );
    }
    Arc::new(store)
});

impl TrustAnchors {
    /// The root certificates; an error when the PEM is invalid.
    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        match self {
            TrustAnchors::Custom(pem) => parse_authorities(pem).map(Arc::new),
            TrustAnchors::Pinned(pins) => match &**pins {
                CertificatePins::Thumbprints(_) => Ok(Arc::new(RootCertStore::empty())),
                CertificatePins::Names { authorities: Some(pem), .. } => parse_authorities(pem).map(Arc::new),
                CertificatePins::Names { authorities: None, .. } => Ok(SYSTEM_ROOTS.clone()),
            },
            TrustAnchors::System | TrustAnchors::DangerousAcceptAny => Ok(SYSTEM_ROOTS.clone()),
        }
    }
}

/// Parses the certificate authorities of a PEM text.
pub fn parse_authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(store)
}

/// The certificates of a PEM text; an error when it contains none, or an invalid one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let parsed = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match parsed {
        Ok(parsed) if !parsed.is_empty() => Ok(parsed),
        Ok(_) => Err("it contains no certificate"),
        Err(_) => Err("it is not PEM"),
    }
}

/// A client configuration with these trust anchors.
pub(in crate::net) fn client_config(
    trust: &TrustAnchors,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(match trust {
        TrustAnchors::DangerousAcceptAny => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification))
        }
        TrustAnchors::Pinned(pins) => {
            let verifier = PinnedVerifier::new(pins, trust.roots()?);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        TrustAnchors::System | TrustAnchors::Custom(_) => builder.with_root_certificates(trust.roots()?),
    })
}

/// Accepts any certificate, even one that cannot be parsed; the signatures prove nothing then.
#[derive(Debug)]
struct NoVerification;

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_certificates_is_rejected() {
        assert_eq!(certificates(b"nonsense").unwrap_err(), "it contains no certificate");
        assert!(TrustAnchors::Custom(Arc::from(&b"nonsense"[..])).roots().is_err());
    }
}
