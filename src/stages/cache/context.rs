//! The state of a forwarded request between `lookup` and `store_response`.

use super::{
    coalescing::Leader, conditions::Conditions, entry::Entry, invalidation_epochs::Epoch, key::ComputedKey,
    shared::SharedFetch, shared_key::SharedKey, status::Forward,
};
use std::{sync::Arc, time::Instant};

/// The state of a forwarded request until its response arrives.
pub struct CacheContext {
    /// `None`: the response is not stored.
    pub key: Option<ComputedKey>,
    pub url: Box<[u8]>,
    /// The epoch before the request was sent.
    pub epoch: Epoch,
    pub requested_at: Instant,
    pub forward_reason: Forward,
    /// The stored response, which is stale.
    pub entry: Option<Arc<Entry>>,
    /// The request has the validators of `entry` instead of the conditions of the client.
    pub validating: bool,
    /// The conditions of the client, evaluated by the cache.
    pub conditions: Conditions,
    pub stale_if_error: Option<u32>,
    pub authorized: bool,
    pub lead: Lead,
    /// Set if several gateways share the responses.
    pub shared_key: Option<SharedKey>,
}

/// What a request that goes to the backend does for others.
#[derive(Debug, Default)]
pub struct Lead {
    /// For the requests of this gateway.
    pub leader: Option<Leader>,
    /// For all gateways.
    pub fetch: Option<SharedFetch>,
}

impl From<Leader> for Lead {
    fn from(leader: Leader) -> Lead {
        Lead { leader: Some(leader), fetch: None }
    }
}
