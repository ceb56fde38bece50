//! Pinned certificates of servers: accepted by their thumbprint, or by their name and the thumbprint of their issuer.

use super::crypto::provider;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time};

/// The SHA-1 or SHA-256 hash of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(Box<[u8]>);

impl Thumbprint {
    /// Parses 40 or 64 hexadecimal digits; spaces, colons and case are ignored.
    pub fn parse(text: &str) -> Option<Thumbprint> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        matches!(digits.len(), 40 | 64).then_some(Thumbprint(bytes))
    }

    fn is_of(&self, der: &[u8]) -> bool {
        match self.0.len() {
            20 => *self.0 == *Sha1::digest(der),
            _ => *self.0 == *Sha256::digest(der),
        }
    }
}

/// Which certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificatePins {
    /// Those with one of these thumbprints.
    Thumbprints(Box<[Thumbprint]>),
    /// Those with one of these common or DNS names, issued by a certificate with one of the thumbprints of the name; without
    /// thumbprints, by a trusted authority.
    Names {
        names: BTreeMap<Box<str>, Box<[Thumbprint]>>,
        /// The trusted authorities as PEM; `None`: those of the system.
        authorities: Option<Arc<[u8]>>,
    },
}

/// Accepts pinned certificates.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    pins: Arc<CertificatePins>,
    roots: Arc<RootCertStore>,
    /// The trusted authorities that the configuration contains.
    authorities: Vec<CertificateDer<'static>>,
}

impl PinnedVerifier {
    /// `roots` are those of the authorities.
    pub fn new(pins: &Arc<CertificatePins>, roots: Arc<RootCertStore>) -> PinnedVerifier {
        let authorities = match &**pins {
            CertificatePins::Names { authorities: Some(pem), .. } => {
                CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
            }
            _ => Vec::new(),
        };
        PinnedVerifier { pins: pins.clone(), roots, authorities }
    }

    fn verify_name(
        &self,
        names: &BTreeMap<Box<str>, Box<[Thumbprint]>>,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let own = names_of(certificate);
        let mut refused = Error::InvalidCertificate(CertificateError::NotValidForName);
        for (_, issuers) in
            names.iter().filter(|(name, _)| own.iter().any(|own| own.eq_ignore_ascii_case(name)))
        {
            match self.verify_issuer(issuers, certificate, chain, now) {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn verify_issuer(
        &self,
        issuers: &[Thumbprint],
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let is_pinned = |der: &CertificateDer<'_>| issuers.iter().any(|issuer| issuer.is_of(der));
        if is_pinned(certificate) && is_self_signed(certificate) {
            return Ok(());
        }
        let mut roots = RootCertStore::empty();
        for issuer in chain.iter().chain(&self.authorities).filter(|der| is_pinned(der)) {
            roots.add(issuer.clone().into_owned())?;
        }
        let roots = if issuers.is_empty() { &self.roots } else { &roots };
        let algorithms = provider().signature_verification_algorithms;
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, now, algorithms.all)
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check_dates(certificate, now)?;
        match &*self.pins {
            CertificatePins::Thumbprints(all) if all.iter().any(|pin| pin.is_of(certificate)) => {}
            CertificatePins::Thumbprints(_) => {
                return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
            }
            CertificatePins::Names { names, .. } => self.verify_name(names, certificate, chain, now)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The validity dates count for pinned certificates as well.
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |error| Error::InvalidCertificate(error);
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| bad(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    match now {
        Some(now) if now < parsed.validity().not_before => Err(bad(CertificateError::NotValidYet)),
        Some(now) if now > parsed.validity().not_after => Err(bad(CertificateError::Expired)),
        Some(_) => Ok(()),
        None => Err(bad(CertificateError::BadEncoding)),
    }
}

/// The common names and DNS names of a certificate.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let mut names: Vec<String> = common.map(str::to_owned).collect();
    let alternative = parsed.subject_alternative_name().ok().flatten();
    for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            names.push((*name).to_owned());
        }
    }
    names
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.subject() == parsed.issuer())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// A leaf and the authority that issued it.
    fn chain() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut authority = params("authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (key, leaf_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let authority = authority.self_signed(&key).unwrap();
        let leaf = params("node1.cluster").signed_by(&leaf_key, &authority, &key).unwrap();
        (leaf.der().clone(), authority.der().clone())
    }

    fn sha1(der: &[u8]) -> String {
        Sha1::digest(der).iter().map(|byte| format!("{byte:02X} ")).collect()
    }

    fn sha256(der: &[u8]) -> String {
        Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn is_accepted(
        pins: CertificatePins,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let verifier = PinnedVerifier::new(&Arc::new(pins), Arc::new(RootCertStore::empty()));
        let name = ServerName::try_from("other.example").unwrap();
        verifier.verify_server_cert(leaf, chain, &name, &[], now).is_ok()
    }

    fn names(name: &str, thumbprints: &[String]) -> CertificatePins {
        let thumbprints = thumbprints.iter().map(|text| Thumbprint::parse(text).unwrap()).collect();
        CertificatePins::Names { names: BTreeMap::from([(name.into(), thumbprints)]), authorities: None }
    }

    #[test]
    fn a_thumbprint_accepts_its_certificate_only_and_within_its_dates() {
        let ((leaf, authority), now) = (chain(), UnixTime::now());
        for text in [sha1(&leaf), sha256(&leaf)] {
            let pins = || CertificatePins::Thumbprints([Thumbprint::parse(&text).unwrap()].into());
            assert!(is_accepted(pins(), &leaf, &[], now));
            assert!(!is_accepted(pins(), &authority, &[], now));
            let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(200_000_000_000));
            assert!(!is_accepted(pins(), &leaf, &[], late), "expired");
        }
        assert!(Thumbprint::parse("AB12").is_none() && Thumbprint::parse(&"z".repeat(40)).is_none());
    }

    #[test]
    fn a_name_accepts_certificates_that_the_pinned_issuer_signed() {
        let ((leaf, authority), now) = (chain(), UnixTime::now());
        let (other_leaf, other_authority) = chain();
        let issuer = [sha256(&authority)];
        let sent = [authority.clone()];
        assert!(is_accepted(names("node1.cluster", &issuer), &leaf, &sent, now));
        assert!(!is_accepted(names("other", &issuer), &leaf, &sent, now), "another name");
        assert!(!is_accepted(names("node1.cluster", &issuer), &other_leaf, &[other_authority], now));
        assert!(
            !is_accepted(names("node1.cluster", &issuer), &other_leaf, &sent, now),
            "the issuer did not sign it"
        );
        assert!(
            !is_accepted(names("node1.cluster", &[]), &leaf, &sent, now),
            "no trusted authority issued it"
        );
    }
}
