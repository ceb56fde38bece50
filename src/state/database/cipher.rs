//! Encryption of stored entities: a dump of the database without the key file contains no secret.

use crate::base::data_directory::DataDirectory;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

/// The name of the key file in the data directory.
pub(super) const KEY_FILE_NAME: &str = "margay.key";
const KEY_BYTES: usize = 32;

/// Encrypts with the key of the process.
pub struct Cipher {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Cipher {
    /// Reads the key; the first start makes it.
    ///
    /// # Errors
    /// A sentence: the file cannot be read or written, or is damaged.
    pub fn open(directory: &DataDirectory) -> Result<Cipher, String> {
        let place = directory.path().join(KEY_FILE_NAME);
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", place.display());
        let random = SystemRandom::new();
        let bytes = match directory.read(KEY_FILE_NAME, 1024).map_err(|error| failed(&error))? {
            Some(bytes) if bytes.len() == KEY_BYTES => bytes,
            Some(_) => return Err(failed(&"the key file is damaged: restore it from a backup")),
            None => {
                let mut bytes = vec![0; KEY_BYTES];
                random.fill(&mut bytes).map_err(|_| "the system provides no random bytes".to_owned())?;
                directory.write(KEY_FILE_NAME, &bytes).map_err(|error| failed(&error))?;
                bytes
            }
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| failed(&"invalid key"))?;
        Ok(Cipher { key: LessSafeKey::new(key), random })
    }

    /// The encrypted text; `place` is authenticated, so that a value cannot be moved to another entity.
    pub fn seal(&self, place: &str, text: &str) -> Result<String, String> {
        let failed = || "an entity cannot be encrypted".to_owned();
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed())?;
        let mut bytes = text.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, Aad::from(place), &mut bytes).map_err(|_| failed())?;
        Ok(BASE64.encode([&nonce[..], &bytes].concat()))
    }

    /// The text of an encrypted one; `None`: it was encrypted with another key, or changed.
    pub fn unseal(&self, place: &str, sealed: &str) -> Option<String> {
        let mut bytes = BASE64.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key.open_in_place(nonce, Aad::from(place), sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_in_its_place_with_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path());
        let first = Cipher::open(&directory).unwrap();
        let sealed = first.seal("Subscriptions/a", "a secret").unwrap();
        assert!(!sealed.contains("secret"));
        let again = Cipher::open(&directory).unwrap();
        assert_eq!(again.unseal("Subscriptions/a", &sealed).as_deref(), Some("a secret"));
        assert_eq!(again.unseal("Subscriptions/b", &sealed), None);
        let other = tempfile::tempdir().unwrap();
        let other = Cipher::open(&DataDirectory::new(other.path())).unwrap();
        assert_eq!(other.unseal("Subscriptions/a", &sealed), None);
    }
}
