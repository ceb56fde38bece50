//! `OpenIdConnect`, resolved.

use crate::{
    base::{secret::Secret, url::HttpUrl},
    net::tls::client::ClientTls,
    stages::authentication::{oauth::client::OauthClient, remote_keys::RemoteKeys},
};
use std::time::Duration;

/// Sign-in sessions of browsers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionSettings {
    pub authority: HttpUrl,
    /// Whether the discovery document must name the authority as its issuer.
    pub requires_own_issuer: bool,
    pub keys: RemoteKeys,
    pub tls: ClientTls,
    pub client: OauthClient,
    pub timeout: Duration,
    pub clock_skew: Duration,
    pub scope: String,
    /// Further parameters of authorization requests.
    pub parameters: Vec<(String, String)>,
    /// Whether every authorization request is pushed; otherwise only if the provider requires it.
    pub pushes_requests: bool,
    /// The path of the endpoints, without a slash at its end.
    pub path: String,
    /// The origin of the application for browsers; `None`: that of the request.
    pub public_origin: Option<String>,
    pub cookie: String,
    pub same_site: SameSite,
    pub idle_timeout: Duration,
    pub absolute_timeout: Duration,
    /// The first one seals; empty: a random one of this process.
    pub keys_for_cookies: Vec<Secret>,
    /// Whether sessions are on the shared state, and cookies only name them.
    pub is_shared: bool,
    /// The sessions of one user on the shared state.
    pub max_sessions_per_user: Option<u64>,
    pub csrf_header: String,
    /// How tokens for other audiences are requested.
    pub audience_grant: AudienceGrant,
    pub has_diagnostics: bool,
}

/// How a token for the audience of a route is requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AudienceGrant {
    /// For the user of the session (RFC 8693).
    #[default]
    TokenExchange,
    /// For the gateway itself.
    ClientCredentials,
}

/// When browsers send the cookie with requests of other sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    #[default]
    Lax,
    Strict,
    None,
}

impl SameSite {
    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        }
    }
}
