//! Sealed texts: encrypted and authenticated, with keys that rotate.
//!
//! A sealed text is base64url of a version, the ID of the key, a nonce, and the ciphertext of AES-256-GCM. What it is for is
//! authenticated too, so that a text for one purpose is not accepted for another.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
    rand::{SecureRandom, SystemRandom},
};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// Seals with the first key and opens with all.
#[derive(Debug)]
pub struct Sealer {
    keys: Vec<SealingKey>,
}

#[derive(Debug)]
struct SealingKey {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
}

/// An opened text.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenedText {
    pub content: Vec<u8>,
    /// Whether the first key sealed it.
    pub is_current: bool,
}

impl Sealer {
    /// A sealer with these keys, or with a random one of this process.
    pub fn new<'k>(keys: impl Iterator<Item = &'k [u8]>) -> Sealer {
        let mut keys: Vec<SealingKey> = keys.filter_map(SealingKey::derive).collect();
        if keys.is_empty() {
            let mut random = [0; 32];
            // It fails only where the system has no random numbers, and then TLS does not work either.
            if SystemRandom::new().fill(&mut random).is_ok() {
                keys.extend(SealingKey::derive(&random));
            }
        }
        Sealer { keys }
    }

    /// Seals a text for a purpose; `None` if there are no random numbers.
    pub fn seal(&self, purpose: &str, content: &[u8]) -> Option<String> {
        let key = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = content.to_vec();
        let aad = Aad::from(purpose.as_bytes());
        key.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        let text = [&[VERSION], &key.id[..], &nonce[..], &sealed].concat();
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    /// Opens a text that was sealed for this purpose; `None` for every other text.
    pub fn open(&self, purpose: &str, text: &[u8]) -> Option<OpenedText> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let header = bytes.get(..HEADER_BYTES)?;
        let id = &header[1..=KEY_ID_BYTES];
        let index = self.keys.iter().position(|key| key.id == id).filter(|_| header[0] == VERSION)?;
        let nonce = Nonce::try_assume_unique_for_key(&header[1 + KEY_ID_BYTES..]).ok()?;
        let aad = Aad::from(purpose.as_bytes());
        let length = self.keys[index].key.open_in_place(nonce, aad, &mut bytes[HEADER_BYTES..]).ok()?.len();
        bytes.drain(..HEADER_BYTES);
        bytes.truncate(length);
        Some(OpenedText { content: bytes, is_current: index == 0 })
    }
}

impl SealingKey {
    fn derive(secret: &[u8]) -> Option<SealingKey> {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"margay sessions").extract(secret);
        let expanded = extracted.expand(&[b"cookie"], &AES_256_GCM).ok()?;
        let digest = Sha256::digest([b"key id".as_slice(), secret].concat());
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        Some(SealingKey { id, key: LessSafeKey::new(UnboundKey::from(expanded)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &[&str]) -> Sealer {
        Sealer::new(keys.iter().map(|key| key.as_bytes()))
    }

    #[test]
    fn a_text_is_opened_for_its_purpose_with_old_and_new_keys() {
        let old = sealer(&["old"]);
        let text = old.seal("session", b"content").unwrap();
        let rotated = sealer(&["new", "old"]);
        let opened = |is_current| Some(OpenedText { content: b"content".to_vec(), is_current });
        assert_eq!(old.open("session", text.as_bytes()), opened(true));
        assert_eq!(rotated.open("session", text.as_bytes()), opened(false));
        assert_eq!(rotated.open("login", text.as_bytes()), None);
        assert_eq!(sealer(&["new"]).open("session", text.as_bytes()), None);
        assert_ne!(old.seal("session", b"content"), Some(text));
    }

    #[test]
    fn every_changed_or_truncated_text_is_refused() {
        let sealer = sealer(&["key"]);
        let text = sealer.seal("session", b"some content").unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(sealer.open("session", &changed), None, "{at}");
            assert_eq!(sealer.open("session", &text.as_bytes()[..at]), None, "{at}");
        }
        assert_eq!(sealer.open("session", (text + "A").as_bytes()), None);
        let (random, other) = (Sealer::new([].into_iter()), Sealer::new([].into_iter()));
        let text = random.seal("session", b"x").unwrap();
        assert!(random.open("session", text.as_bytes()).is_some());
        assert_eq!(other.open("session", text.as_bytes()), None, "another process");
    }
}
