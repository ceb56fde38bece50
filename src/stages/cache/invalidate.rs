//! Invalidation by routes without a cache (RFC 9111 4.4).

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

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME_INVALIDATE: &str = "cache-invalidate";

/// Invalidates the stored responses of a URL after a successful unsafe request.
#[derive(Debug)]
pub struct Invalidator {
    key_builder: CacheKeyBuilder,
    shared: Arc<CacheShared>,
    /// Set if several gateways share responses.
    registry: Option<Arc<CacheRegistry>>,
}

impl Invalidator {
    /// Invalidates in all caches of `registry`, and of the gateways that share them.
    pub fn new(registry: &Arc<CacheRegistry>, is_shared: bool) -> Invalidator {
        let shared = registry.shared();
        Invalidator {
            key_builder: CacheKeyBuilder::new(&shared.keys, "", KeyRules::default()),
            shared,
            registry: is_shared.then(|| registry.clone()),
        }
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
        let Ok(response) = outcome else { return };
        if is_safe(exchange.request.method())
            || !(200..400).contains(&response.status())
            || exchange.is_dry_run
        {
            return;
        }
        self.shared.invalidation.invalidate(self.key_builder.compute(exchange, b"GET", None).resource);
        for name in [&b"location"[..], b"content-location"] {
            let resource = response
                .head
                .get(name)
                .and_then(|location| self.key_builder.location_key(exchange, location));
            resource.into_iter().for_each(|hash| self.shared.invalidation.invalidate(hash));
        }
        if let Some(registry) = &self.registry {
            for resource in self.key_builder.changed_resources(exchange, &response.head) {
                registry.invalidate_shared(resource);
            }
        }
    }

    fn describe(&self) -> String {
        "invalidates cached responses after unsafe requests".to_owned()
    }
}
