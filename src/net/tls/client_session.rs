//! TLS sessions of clients with certificates. A resumed session is not verified again, so its ticket contains the time at
//! which the certificate expires, and is refused from then on; the client continues with a full handshake.

use super::certificate::expiry;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        ProducesTickets,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

/// Size of the expiry in front of the session in a ticket.
const EXPIRY_BYTES: usize = size_of::<i64>();

/// Verification and tickets of one connection.
pub struct ClientSession {
    verifier: Arc<dyn ClientCertVerifier>,
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// The earliest expiry of the presented chain, as Unix time; `i64::MAX`: no certificate.
    expires_at: AtomicI64,
}

impl ClientSession {
    /// A session whose certificate is verified by `verifier`; `tickets` encrypts its tickets.
    pub fn new(
        verifier: Arc<dyn ClientCertVerifier>,
        tickets: Option<Arc<dyn ProducesTickets>>,
    ) -> ClientSession {
        ClientSession { verifier, tickets, expires_at: AtomicI64::new(i64::MAX) }
    }

    /// Seconds until the certificate expires; `None`: there is none.
    pub fn remaining_seconds(&self) -> Option<u64> {
        let expires_at = self.expires_at.load(Relaxed);
        (expires_at < i64::MAX).then(|| u64::try_from(expires_at - unix_time()).unwrap_or(0))
    }
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ClientSession")
    }
}

fn unix_time() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64)
}

impl ProducesTickets for ClientSession {
    fn enabled(&self) -> bool {
        self.tickets.as_ref().is_some_and(|tickets| tickets.enabled())
    }

    fn lifetime(&self) -> u32 {
        let lifetime = self.tickets.as_ref().map_or(0, |tickets| tickets.lifetime());
        let remaining = self.remaining_seconds().and_then(|seconds| u32::try_from(seconds).ok());
        remaining.map_or(lifetime, |remaining| lifetime.min(remaining))
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let expires_at = self.expires_at.load(Relaxed).to_be_bytes();
        self.tickets.as_ref()?.encrypt(&[&expires_at, plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.tickets.as_ref()?.decrypt(cipher)?;
        let (expires_at, session) = plain.split_first_chunk::<EXPIRY_BYTES>()?;
        let expires_at = i64::from_be_bytes(*expires_at);
        if expires_at <= unix_time() {
            return None;
        }
        self.expires_at.store(expires_at, Relaxed);
        Some(session.to_vec())
    }
}

impl ClientCertVerifier for ClientSession {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(certificate, intermediates, now)?;
        let chain = std::iter::once(certificate).chain(intermediates);
        self.expires_at.store(chain.map(|der| expiry(der)).min().unwrap_or(0), Relaxed);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_rustls::rustls::{crypto::ring, server::WebPkiClientVerifier};

    fn session(tickets: &Arc<dyn ProducesTickets>, expires_at: i64) -> ClientSession {
        let session = ClientSession::new(WebPkiClientVerifier::no_client_auth(), Some(tickets.clone()));
        session.expires_at.store(expires_at, Relaxed);
        session
    }

    #[test]
    fn a_ticket_does_not_outlive_the_certificate() {
        let tickets = ring::Ticketer::new().unwrap();
        let valid = session(&tickets, unix_time() + 100);
        assert!((90..=100).contains(&valid.lifetime()), "{}", valid.lifetime());
        let resuming = session(&tickets, i64::MAX);
        assert_eq!(resuming.decrypt(&valid.encrypt(b"state").unwrap()).as_deref(), Some(&b"state"[..]));
        assert!(resuming.lifetime() <= 100, "a ticket of the resumed session keeps the expiry");
        let expired = session(&tickets, unix_time());
        assert_eq!(resuming.decrypt(&expired.encrypt(b"state").unwrap()), None);
        let anonymous = session(&tickets, i64::MAX);
        assert_eq!((anonymous.lifetime(), anonymous.remaining_seconds()), (tickets.lifetime(), None));
    }
}
