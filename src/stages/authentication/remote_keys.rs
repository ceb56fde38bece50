//! Where the signing keys of a provider are published.

use crate::{base::url::HttpUrl, net::tls::trust::TrustAnchors};
use std::time::Duration;

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
