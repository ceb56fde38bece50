//! Keys of subscriptions.

use crate::base::hex;
use ring::rand::{SecureRandom, SystemRandom};

/// A new key: 32 hexadecimal digits.
///
/// # Errors
/// The system provides no random bytes.
pub fn new_key() -> Result<String, String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system provides no random bytes".to_owned())?;
    Ok(hex::encode(&bytes))
}
