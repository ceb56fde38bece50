//! Tags of endpoints as clients receive them.

use crate::pipeline::affinity::EndpointTag;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use subtle::ConstantTimeEq;

/// Bytes that show that a tag was issued with the key.
const CHECK_BYTES: usize = 6;
/// The length of a tag as a text: a multiple of 4, so that no bit of the last character is unused.
const TEXT_CHARS: usize = (EndpointTag::BYTES + CHECK_BYTES) * 4 / 3;

/// The key of the tags of a route.
#[derive(Clone, Debug)]
pub struct AffinityKey(hmac::Key);

impl AffinityKey {
    /// The key of this secret.
    pub fn new(secret: &[u8]) -> AffinityKey {
        AffinityKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A random key.
    pub fn random() -> AffinityKey {
        let mut secret = [0; 32];
        if SystemRandom::new().fill(&mut secret).is_err() {
            // The system has no randomness: tags are still different in each process.
            secret.fill_with(|| fastrand::u8(..));
        }
        AffinityKey::new(&secret)
    }

    /// The tag of the endpoint with this address.
    pub fn tag(&self, address: &str) -> EndpointTag {
        EndpointTag(self.hash(b"endpoint", address.as_bytes()))
    }

    /// The tag as a text, of characters that need no encoding in URLs and cookies.
    pub fn encode(&self, tag: EndpointTag) -> String {
        let check: [u8; CHECK_BYTES] = self.hash(b"tag", &tag.0);
        URL_SAFE_NO_PAD.encode([&tag.0[..], &check].concat())
    }

    /// The tag of a text; `None`: it was not issued with this key.
    pub fn decode(&self, text: &[u8]) -> Option<EndpointTag> {
        if text.len() != TEXT_CHARS {
            return None;
        }
        let mut bytes = [0; EndpointTag::BYTES + CHECK_BYTES];
        URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (tag, check) = bytes.split_first_chunk()?;
        let expected: [u8; CHECK_BYTES] = self.hash(b"tag", tag);
        bool::from(expected.ct_eq(check)).then_some(EndpointTag(*tag))
    }

    /// The first bytes of the keyed hash for a purpose.
    fn hash<const N: usize>(&self, purpose: &[u8], value: &[u8]) -> [u8; N] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(&[0]);
        context.update(value);
        let mut bytes = [0; N];
        bytes.copy_from_slice(&context.sign().as_ref()[..N]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_accepted_with_its_key_only_and_unchanged_only() {
        let (key, other) = (AffinityKey::new(b"one"), AffinityKey::new(b"two"));
        let tag = key.tag("10.0.0.1:80");
        let text = key.encode(tag);
        assert_eq!(text.len(), TEXT_CHARS);
        assert_eq!(key.decode(text.as_bytes()), Some(tag));
        assert_eq!(other.decode(text.as_bytes()), None);
        assert_ne!(tag, key.tag("10.0.0.2:80"));
        assert_ne!(tag, other.tag("10.0.0.1:80"));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.decode(&changed), None, "{at}");
        }
        for invalid in [&b""[..], b"x", &text.as_bytes()[1..], &[0xff; TEXT_CHARS]] {
            assert_eq!(key.decode(invalid), None);
        }
    }
}
