//! Authentication schemes, resolved: plain data. Equal settings share keys and caches, also from plan to plan.

use super::{issuer::IssuerPattern, keys::KeyData};
use crate::{base::url::HttpUrl, net::tls::trust::TrustAnchors};
use jsonwebtoken::Algorithm;
use std::{fmt, sync::Arc, time::Duration};

/// The authentication of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationConfig {
    /// Tried in this order; the first success decides.
    pub schemes: Vec<Arc<SchemeConfig>>,
    /// No challenge in a 401, as Ocelot.
    pub ocelot: bool,
}

/// One of `AuthenticationSchemes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemeConfig {
    pub name: String,
    pub kind: SchemeKind,
}

/// The kind of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SchemeKind {
    Jwt(Box<JwtSettings>),
    ApiKey(ApiKeySettings),
    Basic(BasicSettings),
    /// The certificate of the connection, which the listener verified.
    Certificate,
}

/// Where credentials are in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CredentialLocations {
    pub header: String,
    pub query: Option<String>,
    /// Whether the query parameter is sent to the backend.
    pub keeps_query: bool,
    pub cookie: Option<String>,
}

/// Signed tokens (RFC 7519).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JwtSettings {
    pub locations: CredentialLocations,
    pub keys: KeySource,
    /// Allowed signature algorithms; each key allows only those of its type.
    pub algorithms: Vec<Algorithm>,
    /// Empty: the issuer from discovery, or any.
    pub issuers: Vec<IssuerPattern>,
    /// Keys that a token without `kid` is tried with.
    pub max_keys_tried: usize,
    /// Empty: any.
    pub audiences: Vec<String>,
    pub clock_skew: Duration,
    /// Empty: absent, `JWT` and `at+jwt`.
    pub token_types: Vec<String>,
    /// Whether a token needs `exp`.
    pub requires_expiry: bool,
    /// Whether the signature is checked before the claims, which is more expensive for invalid tokens.
    pub verifies_signature_first: bool,
}

/// The source of signing keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// From the configuration and its files.
    Fixed(Vec<KeyData>),
    Remote(RemoteKeys),
}

/// A JWKS that a provider publishes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteKeys {
    pub url: HttpUrl,
    /// `url` is an OIDC authority; its discovery document contains the URL of the keys.
    pub use_discovery: bool,
    /// Whether the discovery document must name the authority as its issuer; otherwise the scheme has its own issuers.
    pub requires_own_issuer: bool,
    pub trust: TrustAnchors,
    /// The interval at which the keys are fetched again.
    pub refresh: Duration,
    /// The shortest time between two fetches, also for tokens with unknown keys.
    pub min_refresh_interval: Duration,
}

/// API keys, stored as hashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiKeySettings {
    pub locations: CredentialLocations,
    pub keys: Vec<ApiKey>,
}

/// One key; an owner may have several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiKey {
    pub sha256: [u8; 32],
    pub owner: String,
    pub claims: Vec<(String, String)>,
}

/// User names and passwords.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BasicSettings {
    pub users: Vec<User>,
    /// Longest delay of the response to a wrong password.
    pub max_failure_delay: Duration,
}

/// One user; the hash is a bcrypt hash or an argon2 PHC string.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct User {
    pub name: String,
    pub hash: String,
    pub claims: Vec<(String, String)>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
