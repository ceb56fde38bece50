//! Nonces for proofs (RFC 9449, section 8): the time of issue with its HMAC, so that nothing is stored.

use super::settings::PossessionSettings;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

/// How long a nonce is accepted, in seconds.
const NONCE_TTL_SECONDS: u64 = 300;
const MAC_BYTES: usize = 16;

/// Issues nonces and recognizes them.
#[derive(Debug)]
pub struct NonceSource(hmac::Key);

impl NonceSource {
    /// Nonces of the configured secret, or of a random one.
    pub fn new(settings: &PossessionSettings) -> NonceSource {
        let mut random = [0; 32];
        let key = match &settings.nonce_secret {
            Some(secret) => secret.reveal().as_bytes(),
            None => {
                // It fails only where the system has no random numbers, and then TLS does not work either.
                let _ = SystemRandom::new().fill(&mut random);
                &random[..]
            }
        };
        NonceSource(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A nonce that is issued at this Unix time.
    pub fn issue(&self, now: u64) -> String {
        let mut bytes = now.to_be_bytes().to_vec();
        bytes.extend_from_slice(&hmac::sign(&self.0, &now.to_be_bytes()).as_ref()[..MAC_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether it is a nonce of this source that has not expired.
    pub fn accepts(&self, nonce: &str, now: u64) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((time, mac)) = bytes.split_first_chunk::<8>() else { return false };
        let issued = u64::from_be_bytes(*time);
        let expected = hmac::sign(&self.0, time);
        let is_own = bool::from(subtle::ConstantTimeEq::ct_eq(&expected.as_ref()[..MAC_BYTES], mac));
        is_own && issued <= now && now - issued < NONCE_TTL_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn a_nonce_is_accepted_until_it_expires_by_every_gateway_with_the_secret() {
        let settings = PossessionSettings {
            nonce_secret: Some(Secret::new("a secret")),
            ..PossessionSettings::default()
        };
        let (first, second) = (NonceSource::new(&settings), NonceSource::new(&settings));
        let nonce = first.issue(1000);
        assert!(second.accepts(&nonce, 1000) && second.accepts(&nonce, 1299));
        assert!(!second.accepts(&nonce, 1300) && !second.accepts(&nonce, 999));
        let other = NonceSource::new(&PossessionSettings::default());
        assert!(!other.accepts(&nonce, 1000));
        for forged in ["", "AAAA", "AAAAAAAAA-gAAAAAAAAAAAAAAAAAAAAA", "!"] {
            assert!(!first.accepts(forged, 1000), "{forged}");
        }
    }
}
