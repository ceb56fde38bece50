//! Authentication schemes, resolved: plain data. Equal settings share keys and caches, also from plan to plan.

pub use super::{
    credential_location::CredentialLocations,
    external::settings::{AuthorizerProtocol, DecisionCacheSettings, ExternalSettings},
    introspection::settings::{IntrospectionEndpoint, IntrospectionSettings},
    possession::settings::{PossessionMode, PossessionSettings},
    remote_keys::RemoteKeys,
    session::settings::{AudienceGrant, SameSite, SessionSettings},
    webhook::settings::WebhookSettings,
};

use super::{issuer::IssuerPattern, keys::KeyData};
use jsonwebtoken::Algorithm;
use std::{fmt, sync::Arc, time::Duration};

/// The authentication of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationConfig {
    /// Tried in this order; the first success decides.
    pub schemes: Vec<Arc<SchemeConfig>>,
    /// No challenge in a 401, as Ocelot.
    pub ocelot: bool,
    /// The audience of the tokens that backends get from sessions.
    pub token_audience: Option<String>,
}

impl AuthenticationConfig {
    /// The fields of requests that only a scheme may set.
    pub fn reserved_fields(&self) -> impl Iterator<Item = &str> {
        self.schemes
            .iter()
            .flat_map(|scheme| match &scheme.kind {
                SchemeKind::External(external) => external.response_headers.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }
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
    Introspection(Box<IntrospectionSettings>),
    /// In addition to the other schemes of a route.
    External(Box<ExternalSettings>),
    Hmac(Box<WebhookSettings>),
    /// Sign-in sessions of browsers.
    OpenIdConnect(Box<SessionSettings>),
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
    pub possession: PossessionSettings,
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
