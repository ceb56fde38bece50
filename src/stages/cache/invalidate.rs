//! Routes without a cache of their own change what others keep (RFC 9111 4.4).

use super::{
    key::{CacheKeyBuilder, KeyRules},
    registry::CacheRegistry,
    registry::CacheShared,
    request::is_safe,
};
use crate::pipeline::{
    exchange::Exchange,
    response::RouteResult,
    stage::{Stage, Step},
};
use std::sync::Arc;

pub const NAME_INVALIDATE: &str = "cache-invalidate";

/// Says that what an address names has changed, when a request changed it.
#[derive(Debug)]
pub struct Invalidator {
    keyer: CacheKeyBuilder,
    shared: Arc<CacheShared>,
}

impl Invalidator {
    pub fn new(kept: &CacheRegistry) -> Invalidator {
        let shared = kept.shared();
        Invalidator { keyer: CacheKeyBuilder::new(&shared.keys, "", KeyRules::default()), shared }
    }
}

impl Stage for Invalidator {
    fn name(&self) -> &'static str {
        NAME_INVALIDATE
    }

    fn on_request(&self, _exchange: &mut Exchange) -> Step {
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let Ok(answer) = outcome else { return };
        if is_safe(exchange.request.method()) || !(200..400).contains(&answer.status()) || exchange.is_dry_run
        {
            return;
        }
        self.shared.invalidation.invalidate(self.keyer.compute(exchange, b"GET", None).resource);
        for name in [&b"location"[..], b"content-location"] {
            let elsewhere =
                answer.head.get(name).and_then(|location| self.keyer.location_key(exchange, location));
            elsewhere.into_iter().for_each(|hash| self.shared.invalidation.invalidate(hash));
        }
    }

    fn describe(&self) -> String {
        "forgets what is kept of what is changed".to_owned()
    }
}
