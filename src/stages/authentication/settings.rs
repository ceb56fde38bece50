//! Authentication schemes, resolved: plain data. Equal settings share keys and caches, also from plan to plan.

use super::keys::KeyData;
use crate::{base::url::HttpUrl, net::tls::trust::TrustAnchors};
use jsonwebtoken::Algorithm;
use std::{fmt, sync::Arc, time::Duration};

/// What a route asks of its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationConfig {
    /// Tried in this order; the first that succeeds wins.
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

/// What callers show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SchemeKind {
    Jwt(Box<JwtSettings>),
    ApiKey(ApiKeySettings),
    Basic(BasicSettings),
    /// The certificate of the connection, which the listener verified.
    Certificate,
}

/// Where credentials stand in a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialLocations {
    pub header: String,
    pub query: Option<String>,
    pub cookie: Option<String>,
}

/// Signed tokens (RFC 7519).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JwtSettings {
    pub places: CredentialLocations,
    pub keys: KeySource,
    /// What a signature may be made with; a key decides which of these are its own.
    pub algorithms: Vec<Algorithm>,
    /// None: what discovery says, or any.
    pub issuer: Option<String>,
    /// Empty: any.
    pub audiences: Vec<String>,
    pub clock_skew: Duration,
    /// Empty: absent, `JWT` and `at+jwt`.
    pub token_types: Vec<String>,
}

/// Where the keys of tokens come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// From the configuration and the files it names.
    Fixed(Vec<KeyData>),
    Remote(RemoteKeys),
}

/// Keys that a provider publishes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteKeys {
    pub url: HttpUrl,
    /// The address is an OIDC authority, which says where its keys are.
    pub use_discovery: bool,
    pub trust: TrustAnchors,
    /// How often the keys are fetched anew.
    pub refresh: Duration,
    /// The shortest time from one fetch to the next, whatever callers send.
    pub min_refresh_interval: Duration,
}

/// Keys of callers, known by their hashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiKeySettings {
    pub places: CredentialLocations,
    pub keys: Vec<ApiKey>,
}

/// One key; an owner may have several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiKey {
    pub sha256: [u8; 32],
    pub owner: String,
    pub claims: Vec<(String, String)>,
}

/// Names and passwords.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BasicSettings {
    pub users: Vec<User>,
}

/// One user; the hash is bcrypt's or a PHC string of argon2.
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
