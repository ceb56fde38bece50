//! What a route says about its cache, resolved.

use super::{freshness::Defaults, key::KeyRules};
use std::time::Duration;

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A fixed time for every answer.
    Ocelot,
    /// What the answers say (RFC 9111).
    Http,
}

/// Which answers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statuses {
    All,
    /// 200 to 299.
    Successful,
    /// Those that RFC 9111 lets be kept.
    Standard,
    Listed(Vec<u16>),
}

impl Statuses {
    pub fn contains(&self, status: u16) -> bool {
        match self {
            Statuses::All | Statuses::Standard => true,
            Statuses::Successful => (200..300).contains(&status),
            Statuses::Listed(all) => all.contains(&status),
        }
    }
}

/// The cache of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    pub mode: Mode,
    /// Exactly as Ocelot, with all that it keeps and shows to everybody.
    pub ocelot_exact: bool,
    pub defaults: Defaults,
    /// Empty: every method.
    pub methods: Vec<String>,
    pub statuses: Statuses,
    pub key: KeyRules,
    pub region: String,
    /// The body of the request is part of the key.
    pub hash_body: bool,
    /// Requests for the same wait for each other.
    pub coalesce: bool,
    /// Answers are kept with their cookies.
    pub cookies: bool,
    /// Under which name keys are made: what of the route decides about its answers.
    pub namespace: String,
}

impl CacheConfig {
    /// The fixed time of Ocelot's mode.
    pub fn ttl(&self) -> Duration {
        self.defaults.ttl.unwrap_or_default()
    }

    /// What is kept for one set of settings is not found with another one; a region is only a name.
    pub fn fingerprint(&self) -> String {
        format!("{:?}", CacheConfig { region: String::new(), ..self.clone() })
    }
}

/// The memory for stored answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Bytes in all.
    pub size: u64,
    /// Bytes of the largest body that is kept.
    pub max_object_size: u64,
    /// Regions with bytes of their own, which are taken from those in all.
    pub regions: Vec<(String, u64)>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        MemoryConfig { size: 256 << 20, max_object_size: 16 << 20, regions: Vec::new() }
    }
}

impl MemoryConfig {
    /// The name and the bytes of the memory of a region; `""` is that of all regions without their own.
    pub fn region_memory(&self, region: &str) -> (&str, u64) {
        match self.regions.iter().find(|(name, _)| name == region) {
            Some((name, size)) => (name, *size),
            None => ("", self.size.saturating_sub(self.regions.iter().map(|(_, size)| size).sum())),
        }
    }
}
