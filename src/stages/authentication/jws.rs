//! Signatures of tokens other than access tokens: responses and tokens of a provider that are verified in the background.

use super::keys::{KeySet, NoKey};
use crate::base::compact_jws::TokenParts;
use jsonwebtoken::Algorithm;
use serde_json::Value;

/// Keys that a token without `kid` is tried with.
const MAX_KEYS_TRIED: usize = 8;

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsError {
    /// No key has its `kid`; a refresh may bring it.
    UnknownKey,
    Invalid(&'static str),
}

/// Verifies the signature of a token with published keys.
///
/// # Errors
///
/// Why it is not accepted.
pub fn verify(parts: &TokenParts, set: &KeySet) -> Result<(), JwsError> {
    let header = &parts.header;
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse::<Algorithm>().ok());
    let algorithm = algorithm.ok_or(JwsError::Invalid("its algorithm is not supported"))?;
    if header.get("crit").is_some() {
        return Err(JwsError::Invalid("it requires an unsupported extension (`crit`)"));
    }
    if ["jwk", "jku", "x5u"].iter().any(|name| header.get(name).is_some()) {
        return Err(JwsError::Invalid("it contains its own key"));
    }
    let kid = header.get("kid").and_then(Value::as_str);
    let candidates = set.select(kid, algorithm, MAX_KEYS_TRIED).map_err(|why| match why {
        NoKey::Unknown => JwsError::UnknownKey,
        NoKey::Algorithm => JwsError::Invalid("its algorithm does not match its key"),
    })?;
    match candidates.verify(parts.message, parts.signature) {
        true => Ok(()),
        false => Err(JwsError::Invalid("its signature is invalid")),
    }
}
