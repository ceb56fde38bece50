//! `Introspection`, resolved.

use crate::{
    base::url::HttpUrl,
    net::tls::client::ClientTls,
    stages::authentication::{
        credential_location::CredentialLocations, issuer::IssuerPattern, oauth::client::OauthClient,
        possession::settings::PossessionSettings, remote_keys::RemoteKeys,
    },
};
use std::time::Duration;

/// Tokens that the authorization server checks (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntrospectionSettings {
    pub locations: CredentialLocations,
    pub endpoint: IntrospectionEndpoint,
    pub tls: ClientTls,
    pub client: OauthClient,
    pub timeout: Duration,
    /// How long a result is used at most.
    pub cache_ttl: Duration,
    /// Empty: any.
    pub issuers: Vec<IssuerPattern>,
    /// Empty: any.
    pub audiences: Vec<String>,
    pub clock_skew: Duration,
    /// The keys of signed responses (RFC 9701); `None`: responses are JSON.
    pub response_keys: Option<RemoteKeys>,
    pub possession: PossessionSettings,
}

/// Where the tokens are checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IntrospectionEndpoint {
    Url(HttpUrl),
    /// That of the discovery document of this provider.
    Discovery(HttpUrl),
}
