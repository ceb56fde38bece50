//! Reading certificates (RFC 5280) and certificates with their private keys.

use super::{crypto::provider, trust::certificates};
use crate::pipeline::client_certificate::{CertificateInfo, ClientCertificate};
use base64::{
    Engine,
    engine::general_purpose::{self, STANDARD},
};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use tokio_rustls::rustls::{
    Error,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// A certificate chain and its private key, as PEM files.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertifiedKeyPem {
    /// PEM: the certificate, followed by its intermediate certificates.
    pub chain: Arc<[u8]>,
    /// PEM.
    pub key: Arc<[u8]>,
}

/// Which of the two files is invalid, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPairError {
    Chain(String),
    Key(String),
}

impl fmt::Debug for CertifiedKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("CertifiedKeyPem(...)")
    }
}

impl CertifiedKeyPem {
    /// Parses both and checks that the key belongs to the certificate.
    pub fn read(&self) -> Result<CertifiedKey, KeyPairError> {
        let chain = certificates(&self.chain).map_err(|why| KeyPairError::Chain(why.to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            KeyPairError::Key("it contains no private key in PEM (PKCS#8, SEC1 or PKCS#1)".to_owned())
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

/// The subject, names and validity of a certificate; `None` when it cannot be parsed.
pub fn certificate_info(der: &[u8]) -> Option<CertificateInfo> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let mut info = CertificateInfo {
        subject: parsed.subject().to_string(),
        common_name: parsed
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned),
        issuer: parsed.issuer().to_string(),
        serial: parsed.raw_serial_as_string(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        sha1_thumbprint: Sha1::digest(der).iter().map(|byte| format!("{byte:02X}")).collect(),
        ..CertificateInfo::default()
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => info.dns.push(name.to_ascii_lowercase()),
            GeneralName::URI(uri) => info.uris.push((*uri).to_owned()),
            GeneralName::RFC822Name(email) => info.emails.push((*email).to_owned()),
            _ => {}
        }
    }
    Some(info)
}

/// The public key of a certificate as PEM; `None` when it cannot be parsed.
pub fn public_key_pem(der: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let text = STANDARD.encode(parsed.public_key().raw);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
}

/// The first second, as Unix time, in which a certificate is not valid any more; 0 when it cannot be parsed.
pub(super) fn expiry(der: &[u8]) -> i64 {
    X509Certificate::from_der(der).map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp() + 1)
}

/// The certificate presented by a client, parsed once per connection; `forward`: its header value is sent to backends.
pub(super) fn client_certificate(der: &[u8], forward: bool) -> ClientCertificate {
    let thumbprint = general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(der));
    let field = match forward {
        true => format!(":{}:", general_purpose::STANDARD.encode(der)),
        false => String::new(),
    };
    ClientCertificate::new(certificate_info(der).unwrap_or_default(), thumbprint, field).with_der(der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate_and_key() -> (rcgen::Certificate, KeyPair) {
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
    fn names_and_validity_are_read() {
        let (certificate, _) = certificate_and_key();
        let parsed = certificate_info(certificate.der()).unwrap();
        assert_eq!(parsed.dns, ["a.example", "*.b.example"]);
        assert_eq!(
            (parsed.uris, parsed.emails),
            (vec!["spiffe://c/robot".into()], vec!["r@c.example".into()])
        );
        assert_eq!((parsed.common_name.as_deref(), parsed.not_after), (Some("robot"), 1_927_843_200));
        assert!(certificate_info(b"nonsense").is_none());
        let (certificate, key) = certificate_and_key();
        let pem = public_key_pem(certificate.der()).unwrap();
        assert_eq!(pem.lines().collect::<String>(), key.public_key_pem().lines().collect::<String>());
        let client = client_certificate(certificate.der(), true);
        assert!(client.header_value().starts_with(":MII") && client.header_value().ends_with(':'));
    }

    #[test]
    fn a_key_must_belong_to_its_certificate() {
        let (certificate, key) = certificate_and_key();
        assert!(pair(&certificate.pem(), &key.serialize_pem()).read().is_ok());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let error_of = |pair: CertifiedKeyPem| pair.read().map(|_| ()).unwrap_err();
        assert_eq!(
            error_of(pair(&certificate.pem(), &other)),
            KeyPairError::Key("it is not the key of the certificate".into())
        );
        assert!(
            matches!(error_of(pair(&certificate.pem(), "x")), KeyPairError::Key(why) if why.contains("no private key"))
        );
        assert!(matches!(error_of(pair("x", &other)), KeyPairError::Chain(_)));
        assert!(!format!("{:?}", pair("x", "secret")).contains("secret"));
    }
}
