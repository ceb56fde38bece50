//! Keys of state that several gateways share: SHA-256 instead of the keyed hashes of one process.

use super::key::CacheKeyBuilder;
use crate::{
    pipeline::{exchange::Exchange, head::Head},
    stages::key_hasher::{Digest, DigestHasher, PartHasher},
};
use smallvec::SmallVec;

/// The key of a request for state that several gateways share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedKey {
    /// The digest of the URL alone, for invalidation.
    pub resource: Digest,
    pub key: Digest,
}

/// The mark under which other gateways invalidate the responses of a URL.
pub fn resource_mark(resource: &Digest) -> u64 {
    resource.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

impl CacheKeyBuilder {
    /// The same for state that several gateways share.
    pub fn compute_shared(&self, exchange: &Exchange, method: &[u8], body: Option<&[u8]>) -> SharedKey {
        let mut resource = DigestHasher::default();
        self.add_resource(exchange, &mut resource);
        let resource = resource.finish();
        let mut digest = self.shared_namespace.clone();
        digest.add(&resource);
        self.add_request(exchange, method, body, &mut digest);
        SharedKey { resource, key: digest.finish() }
    }

    /// The same for state that several gateways share.
    pub fn location_digest(&self, exchange: &Exchange, location: &[u8]) -> Option<Digest> {
        let mut digest = DigestHasher::default();
        self.add_location(exchange, location, &mut digest)?;
        Some(digest.finish())
    }

    /// The URLs that a successful unsafe request invalidates, for state that several gateways share.
    pub fn changed_resources(&self, exchange: &Exchange, response: &Head) -> SmallVec<[Digest; 3]> {
        let mut own = DigestHasher::default();
        self.add_resource(exchange, &mut own);
        let located = [&b"location"[..], b"content-location"]
            .into_iter()
            .filter_map(|name| self.location_digest(exchange, response.get(name)?));
        std::iter::once(own.finish()).chain(located).collect()
    }
}
