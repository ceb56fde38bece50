//! Whose certificates are believed.

use super::provider;
use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrustAnchors {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those of these authorities only: PEM text.
    Custom(Arc<[u8]>),
    /// Everybody's: whoever answers can read and change what is sent.
    DangerousAcceptAny,
}

/// What the system trusts, read once; whoever is first must be one who may wait for files.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut store = RootCertStore::empty();
    match rustls_native_certs::load_native_certs() {
        Ok(found) => drop(store.add_parsable_certificates(found)),
        Err(error) => log::error!("the certificates that the system trusts cannot be read: {error}"),
    }
    if store.is_empty() {
        log::warn!(
            "the system trusts no certificates: no certificate will be believed without an authority of its own"
        );
    }
    Arc::new(store)
});

impl TrustAnchors {
    /// The authorities; an error when the text holds what is no certificate.
    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        let TrustAnchors::Custom(pem) = self else { return Ok(SYSTEM_ROOTS.clone()) };
        parse_authorities(pem).map(Arc::new)
    }
}

/// The authorities of a PEM text, as those who check certificates want them.
pub fn parse_authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(store)
}

/// The certificates of a PEM text; an error when there is none, or one that cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("it holds no certificate"),
        Err(_) => Err("it is not PEM"),
    }
}

/// The beginning of a client's configuration that believes those.
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
        _ => builder.with_root_certificates(trust.roots()?),
    })
}

/// Believes everything, also certificates too old or too odd to be read; nothing is proved by the signature then.
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
    fn a_text_without_certificates_is_no_authority() {
        assert_eq!(certificates(b"nonsense").unwrap_err(), "it holds no certificate");
        assert!(TrustAnchors::Custom(Arc::from(&b"nonsense"[..])).roots().is_err());
    }
}
