//! Keys of subscriptions.

use ring::rand::{SecureRandom, SystemRandom};
use std::fmt::Write;

/// A new key: 32 hexadecimal digits.
///
/// # Errors
/// The system provides no random bytes.
pub fn new_key() -> Result<String, String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system provides no random bytes".to_owned())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
