//! The cache settings of a route, resolved.

use super::{freshness::Defaults, key::KeyRules};
use std::time::Duration;

/// The rules of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A fixed lifetime for every response.
    Ocelot,
    /// The response headers decide (RFC 9111).
    Http,
}

/// The statuses of responses that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statuses {
    All,
    /// 200 to 299.
    Successful,
    /// Those that RFC 9111 allows to be stored.
    Standard,
    Listed(Vec<u16>),
}

impl Statuses {
    /// Whether the statuses allow this one; the rules of HTTP apply in addition.
    pub fn contains(&self, status: u16) -> bool {
        match self {
            Statuses::All | Statuses::Standard => true,
            Statuses::Successful => (200..300).contains(&status),
            Statuses::Listed(statuses) => statuses.contains(&status),
        }
    }
}

/// The cache of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    pub mode: Mode,
    /// Exactly as Ocelot, which also stores and shares private responses.
    pub ocelot_exact: bool,
    pub defaults: Defaults,
    /// Empty: every method.
    pub methods: Vec<String>,
    pub statuses: Statuses,
    pub key: KeyRules,
    pub region: String,
    /// The body of the request is part of the key.
    pub hash_body: bool,
    /// Request coalescing: concurrent requests with the same key share one backend request.
    pub coalesce: bool,
    /// How long a request waits for the response of another one.
    pub coalescing_timeout: Duration,
    /// Responses are stored with their `Set-Cookie`.
    pub cookies: bool,
    /// The namespace of keys: the settings of the route that its responses depend on.
    pub namespace: String,
}

impl CacheConfig {
    /// The fixed lifetime of mode `Ocelot`.
    pub fn ttl(&self) -> Duration {
        self.defaults.ttl.unwrap_or_default()
    }

    /// Part of the key: responses are shared only between routes with equal settings. The region is only a name.
    pub fn fingerprint(&self) -> String {
        format!("{:?}", CacheConfig { region: String::new(), ..self.clone() })
    }
}
