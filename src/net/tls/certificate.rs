//! What stands in certificates (RFC 5280), and certificates with their keys.

use super::{provider, trust::certificates};
use crate::pipeline::client_certificate::{CertificateInfo, ClientCertificate};
use base64::{Engine, engine::general_purpose};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use tokio_rustls::rustls::{
    Error,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// A certificate and its key, as the files hold them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertifiedKeyPem {
    /// PEM: the certificate and those of the authorities in between.
    pub chain: Arc<[u8]>,
    /// PEM.
    pub key: Arc<[u8]>,
}

/// Which of the two files is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPairError {
    Chain(String),
    Key(String),
}

impl fmt::Debug for CertifiedKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Pair(...)")
    }
}

impl CertifiedKeyPem {
    /// Reads both, and sees that they belong together.
    pub fn read(&self) -> Result<CertifiedKey, KeyPairError> {
        let chain = certificates(&self.chain).map_err(|why| KeyPairError::Chain(why.to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            KeyPairError::Key("it holds no private key in PEM (PKCS#8, SEC1 or PKCS#1)".to_owned())
        })?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                KeyPairError::Key("it is not the key of the certificate".to_owned())
            }
            Error::InvalidCertificate(why) => {
                KeyPairError::Chain(format!("the certificate is not valid: {why:?}"))
            }
            other => KeyPairError::Key(other.to_string()),
        })
    }
}

/// What stands in a certificate; none when it cannot be read.
pub fn certificate_info(der: &[u8]) -> Option<CertificateInfo> {
    let (_, read) = X509Certificate::from_der(der).ok()?;
    let mut facts = CertificateInfo {
        subject: read.subject().to_string(),
        common_name: read
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned),
        issuer: read.issuer().to_string(),
        serial: read.raw_serial_as_string(),
        not_before: read.validity().not_before.timestamp(),
        not_after: read.validity().not_after.timestamp(),
        ..CertificateInfo::default()
    };
    let names = read.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => facts.dns.push(name.to_ascii_lowercase()),
            GeneralName::URI(uri) => facts.uris.push((*uri).to_owned()),
            GeneralName::RFC822Name(email) => facts.emails.push((*email).to_owned()),
            _ => {}
        }
    }
    Some(facts)
}

/// The certificate that a client showed, read once for its connection; `forward`: services are told of it.
pub(super) fn client_certificate(der: &[u8], forward: bool) -> ClientCertificate {
    let thumbprint = general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(der));
    let field = match forward {
        true => format!(":{}:", general_purpose::STANDARD.encode(der)),
        false => String::new(),
    };
    ClientCertificate::new(certificate_info(der).unwrap_or_default(), thumbprint, field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn made() -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(["A.example".to_owned(), "*.b.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "robot");
        params.subject_alt_names.push(SanType::URI("spiffe://c/robot".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("r@c.example".try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), key)
    }

    fn pair(certificate: &str, key: &str) -> CertifiedKeyPem {
        CertifiedKeyPem { chain: certificate.as_bytes().into(), key: key.as_bytes().into() }
    }

    #[test]
    fn names_and_times_are_read() {
        let (certificate, _) = made();
        let read = certificate_info(certificate.der()).unwrap();
        assert_eq!(read.dns, ["a.example", "*.b.example"]);
        assert_eq!((read.uris, read.emails), (vec!["spiffe://c/robot".into()], vec!["r@c.example".into()]));
        assert_eq!((read.common_name.as_deref(), read.not_after), (Some("robot"), 1_927_843_200));
        assert!(certificate_info(b"nonsense").is_none());
        let client = client_certificate(certificate.der(), true);
        assert!(client.header_value().starts_with(":MII") && client.header_value().ends_with(':'));
    }

    #[test]
    fn a_pair_belongs_together_or_says_which_file_is_wrong() {
        let (certificate, key) = made();
        assert!(pair(&certificate.pem(), &key.serialize_pem()).read().is_ok());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let wrong = |pair: CertifiedKeyPem| pair.read().map(|_| ()).unwrap_err();
        assert_eq!(
            wrong(pair(&certificate.pem(), &other)),
            KeyPairError::Key("it is not the key of the certificate".into())
        );
        assert!(
            matches!(wrong(pair(&certificate.pem(), "x")), KeyPairError::Key(why) if why.contains("no private key"))
        );
        assert!(matches!(wrong(pair("x", &other)), KeyPairError::Chain(_)));
        assert!(!format!("{:?}", pair("x", "secret")).contains("secret"));
    }
}
