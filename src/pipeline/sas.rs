//! Shared access signatures, as IoT hubs use them: `SharedAccessSignature sr=...&sig=...&se=...[&skn=...]`. Pure: the time
//! and the keys are parameters.

use crate::base::percent::{percent_decoded, percent_encoded};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use std::fmt;

/// The scheme in `Authorization`.
pub const SCHEME: &str = "SharedAccessSignature";
/// How long an expired token is still accepted, because clocks differ.
pub const GRACE_SECONDS: u64 = 300;
/// How far in the future a token may expire.
pub const MAX_LIFETIME_SECONDS: u64 = 366 * 24 * 3600;
/// The sizes of a key.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=128;
/// Longest token that is parsed.
const MAX_TOKEN_BYTES: usize = 4096;

/// A key; `Debug` prints nothing of it.
#[derive(Clone)]
pub struct SasKey {
    bytes: Box<[u8]>,
    key: hmac::Key,
}

impl SasKey {
    /// A key from its Base64 form; `None` unless it has 32 to 128 bytes.
    pub fn parse(text: &str) -> Option<SasKey> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        KEY_BYTES.contains(&bytes.len()).then(|| SasKey::new(&bytes))
    }

    fn new(bytes: &[u8]) -> SasKey {
        SasKey { bytes: bytes.into(), key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    /// The key of one agent of a group: HMAC-SHA256 of its id under the key of the group.
    pub fn derive(&self, id: &str) -> SasKey {
        SasKey::new(hmac::sign(&self.key, id.as_bytes()).as_ref())
    }

    /// The Base64 form of the key.
    pub fn reveal(&self) -> String {
        STANDARD.encode(&self.bytes)
    }
}

impl PartialEq for SasKey {
    fn eq(&self, other: &SasKey) -> bool {
        bool::from(subtle::ConstantTimeEq::ct_eq(&*self.bytes, &*other.bytes))
    }
}

impl Eq for SasKey {}

impl fmt::Debug for SasKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SasKey(...)")
    }
}

/// The reason why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SasError {
    /// Not a token, or one without `sr`, `sig` or `se`.
    Malformed,
    /// The token has expired, or expires too far in the future.
    Expired,
}

/// A parsed token. Its signature is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SasToken {
    /// What is signed: `sr` and `se` as written.
    signed: String,
    signature: Vec<u8>,
    /// The decoded resource: `host[/path]`.
    pub resource: String,
    /// When the token expires, in seconds since 1970.
    pub expires_at: u64,
    /// The name of the policy whose key signed the token; `None`: the key of the agent.
    pub policy: Option<String>,
}

impl SasToken {
    /// Parses a token that is valid at `now` (seconds since 1970).
    pub fn parse(text: &str, now: u64) -> Result<SasToken, SasError> {
        let fields = Fields::parse(text).ok_or(SasError::Malformed)?;
        let (Some(sr), Some(se), Some(sig)) = (fields.sr, fields.se, fields.sig) else {
            return Err(SasError::Malformed);
        };
        let signature = STANDARD.decode(percent_decoded(sig.as_bytes(), false)).ok();
        let resource = decoded(sr).filter(|resource| !resource.is_empty());
        let expires_at = Some(se).filter(|se| se.bytes().all(|byte| byte.is_ascii_digit()));
        let token = SasToken {
            signed: format!("{sr}\n{se}"),
            signature: signature.ok_or(SasError::Malformed)?,
            resource: resource.ok_or(SasError::Malformed)?,
            expires_at: expires_at.and_then(|se| se.parse().ok()).ok_or(SasError::Malformed)?,
            policy: match fields.skn.filter(|name| !name.is_empty()) {
                Some(name) => Some(decoded(name).ok_or(SasError::Malformed)?),
                None => None,
            },
        };
        let is_valid = token.expires_at.saturating_add(GRACE_SECONDS) >= now
            && token.expires_at <= now.saturating_add(MAX_LIFETIME_SECONDS);
        if is_valid { Ok(token) } else { Err(SasError::Expired) }
    }

    /// Whether one of the keys signed the token. Every key is tried, each comparison takes constant time.
    pub fn is_signed_by<'k>(&self, keys: impl IntoIterator<Item = &'k SasKey>) -> bool {
        let verify = |key: &SasKey| hmac::verify(&key.key, self.signed.as_bytes(), &self.signature).is_ok();
        keys.into_iter().fold(false, |found, key| verify(key) | found)
    }

    /// Whether the resource contains `path` (`/devices/ID`) on one of the hosts: the path of the resource is a prefix of it,
    /// by whole segments. Hosts are compared without regard to case.
    pub fn covers<'h>(&self, hosts: impl IntoIterator<Item = &'h str>, path: &str) -> bool {
        let (host, prefix) = match self.resource.split_once('/') {
            Some((host, prefix)) => (host, prefix.trim_end_matches('/')),
            None => (self.resource.as_str(), ""),
        };
        let rest = path.strip_prefix('/').unwrap_or(path).strip_prefix(prefix);
        let is_prefix =
            rest.is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'));
        is_prefix && hosts.into_iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    /// The device that the resource names, with its module: `/devices/ID[/modules/ID]`.
    pub fn device(&self) -> Option<&str> {
        let (_, path) = self.resource.split_once('/')?;
        path.strip_prefix("devices/")
    }
}

/// The fields of a token as written, each at most once; unknown fields are ignored.
#[derive(Default)]
struct Fields<'t> {
    sr: Option<&'t str>,
    sig: Option<&'t str>,
    se: Option<&'t str>,
    skn: Option<&'t str>,
}

impl<'t> Fields<'t> {
    fn parse(text: &'t str) -> Option<Fields<'t>> {
        let text = text.trim();
        let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
        if text.len() > MAX_TOKEN_BYTES || !scheme.eq_ignore_ascii_case(SCHEME) || !rest.starts_with(' ') {
            return None;
        }
        let mut fields = Fields::default();
        for pair in rest.trim().split('&') {
            let (name, value) = pair.split_once('=')?;
            let field = match name {
                "sr" => &mut fields.sr,
                "sig" => &mut fields.sig,
                "se" => &mut fields.se,
                "skn" => &mut fields.skn,
                _ => continue,
            };
            if field.replace(value).is_some() {
                return None;
            }
        }
        Some(fields)
    }
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(percent_decoded(text.as_bytes(), false).into_owned()).ok()
}

/// A token for a resource (`host/devices/ID`), signed with this key.
pub fn sign(key: &SasKey, resource: &str, expires_at: u64, policy: Option<&str>) -> String {
    let sr = percent_encoded(resource);
    let signature = hmac::sign(&key.key, format!("{sr}\n{expires_at}").as_bytes());
    let sig = percent_encoded(&STANDARD.encode(signature.as_ref()));
    let skn = policy.map(|policy| format!("&skn={}", percent_encoded(policy))).unwrap_or_default();
    format!("{SCHEME} sr={sr}&sig={sig}&se={expires_at}{skn}")
}

#[cfg(test)]
#[path = "sas_tests.rs"]
mod tests;
