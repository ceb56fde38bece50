//! The client certificate of a connection (mutual TLS).

use super::identity::Identity;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::{Arc, OnceLock};

/// The fields of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The subject, `C=.., O=.., CN=..`, in the order of the certificate.
    pub subject: String,
    pub common_name: Option<String>,
    pub issuer: String,
    /// Pairs of hexadecimal digits, separated by colons.
    pub serial: String,
    /// Unix times.
    pub not_before: i64,
    pub not_after: i64,
    /// DNS names, in lowercase.
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    /// SHA-1 of the certificate in hexadecimal, as Windows and Azure identify certificates.
    pub sha1_thumbprint: String,
}

/// A client certificate that the listener has verified.
#[derive(Debug, Default)]
pub struct ClientCertificate {
    info: CertificateInfo,
    /// SHA-256 of the certificate, base64url (`x5t#S256`, RFC 8705).
    thumbprint: String,
    /// The certificate as a header value (RFC 9440 2.2); empty: not forwarded to backends.
    header_value: String,
    /// The certificate as it was presented, and its base64 form once a route sends that.
    der: Box<[u8]>,
    der_base64: OnceLock<Box<str>>,
    /// The identity of the certificate, created on first use and shared by all requests of the connection.
    identity: OnceLock<Arc<Identity>>,
}

impl ClientCertificate {
    /// `thumbprint` is the `x5t#S256` of RFC 8705; an empty `header_value` keeps the certificate from backends.
    pub fn new(info: CertificateInfo, thumbprint: String, header_value: String) -> ClientCertificate {
        ClientCertificate { info, thumbprint, header_value, ..ClientCertificate::default() }
    }

    /// The same with the certificate in DER.
    #[must_use]
    pub fn with_der(self, der: &[u8]) -> ClientCertificate {
        ClientCertificate { der: der.into(), ..self }
    }

    /// The certificate in DER, in base64.
    pub fn der_base64(&self) -> &str {
        self.der_base64.get_or_init(|| STANDARD.encode(&self.der).into())
    }

    /// The certificate as a header value; empty: not forwarded to backends.
    pub fn header_value(&self) -> &str {
        &self.header_value
    }

    /// SHA-256 of the certificate in base64url (`x5t#S256`, RFC 8705).
    pub fn sha256_thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// SHA-1 of the certificate in hexadecimal.
    pub fn sha1_thumbprint(&self) -> &str {
        &self.info.sha1_thumbprint
    }

    /// The subject, `C=.., O=.., CN=..`, in the order of the certificate.
    pub fn subject(&self) -> &str {
        &self.info.subject
    }

    /// The fields of the certificate.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// The identity that the named scheme derives from the certificate.
    pub fn identity(&self, scheme: &Arc<str>) -> Arc<Identity> {
        let identity = self.identity.get_or_init(|| Arc::new(self.claims(scheme)));
        if identity.scheme == *scheme { identity.clone() } else { Arc::new(self.claims(scheme)) }
    }

    fn claims(&self, scheme: &Arc<str>) -> Identity {
        let info = &self.info;
        let mut user = Identity::new(scheme.clone());
        user.add("sub", &info.subject);
        info.common_name.iter().for_each(|name| user.add("cn", name));
        user.add("iss", &info.issuer);
        user.add("serial", &info.serial);
        user.add("exp", &info.not_after.to_string());
        info.dns.iter().for_each(|name| user.add("dns", name));
        info.uris.iter().for_each(|uri| user.add("uri", uri));
        info.emails.iter().for_each(|email| user.add("email", email));
        user.add("x5t#S256", &self.thumbprint);
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_one_identity_for_all_requests() {
        let info = CertificateInfo {
            subject: "CN=robot".into(),
            common_name: Some("robot".into()),
            dns: vec!["a".into(), "b".into()],
            ..CertificateInfo::default()
        };
        let certificate = ClientCertificate::new(info, "t".into(), ":AA==:".into());
        let (first, second) = (Arc::<str>::from("machines"), Arc::<str>::from("others"));
        let user = certificate.identity(&first);
        assert_eq!((user.claim_value("sub"), user.claim_value("cn")), (Some("CN=robot"), Some("robot")));
        assert_eq!(user.claim_values("dns").collect::<Vec<_>>(), ["a", "b"]);
        assert!(Arc::ptr_eq(&user, &certificate.identity(&first)));
        assert_eq!(*certificate.identity(&second).scheme, *second);
    }
}
