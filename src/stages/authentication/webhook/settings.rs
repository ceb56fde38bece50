//! `HmacSignature`, resolved.

use crate::base::secret::Secret;
use std::time::Duration;

/// Requests that are signed with a secret which sender and gateway share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebhookSettings {
    /// The name of the sender, which is the claim `sub`.
    pub sender: String,
    pub format: SignatureFormat,
    /// Any of them may have signed, so that secrets can be rotated.
    pub secrets: Vec<Secret>,
    /// Largest difference between the timestamp of the request and the clock.
    pub tolerance: Duration,
    /// How long a signature is remembered; zero: it may be used again.
    pub replay_window: Duration,
    pub max_body_bytes: usize,
}

/// How a sender signs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignatureFormat {
    pub header: String,
    pub layout: SignatureLayout,
    pub encoding: SignatureEncoding,
    pub hash: SignatureHash,
    pub timestamp: TimestampSource,
    pub id_header: Option<String>,
    pub content: Vec<ContentPart>,
    pub secret: SecretFormat,
}

/// Where the signatures are within the field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SignatureLayout {
    /// One signature behind a prefix.
    Single { prefix: String },
    /// Signatures behind a prefix, in a list; others are ignored.
    List { prefix: &'static str, separator: char },
    /// Parameters, of which those of this name are signatures: `t=1,v1=...`.
    Parameters { name: &'static str, separator: char },
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignatureEncoding {
    #[default]
    Hex,
    Base64,
}

/// The hash function of the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignatureHash {
    Sha1,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

/// Where the time of the signature is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TimestampSource {
    None,
    Header(String),
    /// A parameter of the signature field.
    Parameter(&'static str),
}

/// A part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentPart {
    Text(String),
    Body,
    Timestamp,
    Id,
    Method,
    /// The URL as the sender called it.
    Url,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretFormat {
    /// Its bytes are the key.
    Plain,
    /// `whsec_` and the key in base64, or base64 only.
    StandardWebhooks,
}
