//! What a client proved when its connection began: the certificate that it holds the key of.

use super::identity::Identity;
use std::sync::{Arc, OnceLock};

/// What stands in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The name of its owner, `C=.., O=.., CN=..`, in the order of the certificate.
    pub subject: String,
    pub common_name: Option<String>,
    pub issuer: String,
    /// Hexadecimal digits in pairs, with colons.
    pub serial: String,
    /// Unix times.
    pub not_before: i64,
    pub not_after: i64,
    /// Names of hosts, in small letters.
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
}

/// The certificate of a client, verified by the listener.
#[derive(Debug, Default)]
pub struct ClientCertificate {
    facts: CertificateInfo,
    /// SHA-256 of the certificate, base64url (`x5t#S256`, RFC 8705).
    thumbprint: String,
    /// The certificate as a header field carries it (RFC 9440 2.2); empty: services are not told.
    header_value: String,
    /// Who that is, once somebody asked: the same for all requests of the connection.
    identity: OnceLock<Arc<Identity>>,
}

impl ClientCertificate {
    /// `thumbprint` is the `x5t#S256` of RFC 8705; an empty `header_value` keeps the certificate from backends.
    pub fn new(facts: CertificateInfo, thumbprint: String, header_value: String) -> ClientCertificate {
        ClientCertificate { facts, thumbprint, header_value, identity: OnceLock::new() }
    }

    /// The certificate as a header field carries it; empty: services are not told.
    pub fn header_value(&self) -> &str {
        &self.header_value
    }

    /// Who it is in the eyes of the scheme of that name.
    pub fn identity(&self, scheme: &Arc<str>) -> Arc<Identity> {
        let known = self.identity.get_or_init(|| Arc::new(self.claims(scheme)));
        if known.scheme == *scheme { known.clone() } else { Arc::new(self.claims(scheme)) }
    }

    fn claims(&self, scheme: &Arc<str>) -> Identity {
        let facts = &self.facts;
        let mut user = Identity::new(scheme.clone());
        user.add("sub", &facts.subject);
        facts.common_name.iter().for_each(|name| user.add("cn", name));
        user.add("iss", &facts.issuer);
        user.add("serial", &facts.serial);
        user.add("exp", &facts.not_after.to_string());
        facts.dns.iter().for_each(|name| user.add("dns", name));
        facts.uris.iter().for_each(|uri| user.add("uri", uri));
        facts.emails.iter().for_each(|email| user.add("email", email));
        user.add("x5t#S256", &self.thumbprint);
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_somebody_and_the_same_for_every_request() {
        let facts = CertificateInfo {
            subject: "CN=robot".into(),
            common_name: Some("robot".into()),
            dns: vec!["a".into(), "b".into()],
            ..CertificateInfo::default()
        };
        let certificate = ClientCertificate::new(facts, "t".into(), ":AA==:".into());
        let (one, other) = (Arc::<str>::from("machines"), Arc::<str>::from("others"));
        let user = certificate.identity(&one);
        assert_eq!((user.claim_value("sub"), user.claim_value("cn")), (Some("CN=robot"), Some("robot")));
        assert_eq!(user.claim_values("dns").collect::<Vec<_>>(), ["a", "b"]);
        assert!(Arc::ptr_eq(&user, &certificate.identity(&one)));
        assert_eq!(*certificate.identity(&other).scheme, *other);
    }
}
