//! The cache of one route: its settings, and the handles of the state that it shares with other routes. Its behavior
//! is in `lookup`, `store_response` and `refresh`.

use super::{
    key::CacheKeyBuilder,
    memory_config::MemoryConfig,
    registry::{CacheRegistry, CacheShared},
    settings::{CacheConfig, Mode},
    shared::SharedCache,
    store::Store,
};
use crate::{
    state::SharedState,
    telemetry::{CacheMetrics, Metrics},
};
use std::sync::Arc;

/// The cache of one route.
#[derive(Debug)]
pub struct Cache {
    pub(super) settings: CacheConfig,
    pub(super) key_builder: CacheKeyBuilder,
    pub(super) store: Arc<dyn Store>,
    pub(super) shared: Arc<CacheShared>,
    pub(super) region: Arc<str>,
    pub(super) region_mark: u64,
    pub(super) max_object_size: u64,
    pub(super) metrics: Arc<CacheMetrics>,
    /// Set if several gateways share the responses.
    pub(super) shared_cache: Option<Arc<SharedCache>>,
}

impl Cache {
    /// The cache of the route named `label`. Stored responses belong to `registry` and outlive the plan.
    pub fn new(
        settings: &CacheConfig,
        memory: &MemoryConfig,
        registry: &Arc<CacheRegistry>,
        metrics: &Metrics,
        label: &str,
        state: Option<&Arc<SharedState>>,
    ) -> Cache {
        let shared = registry.shared();
        let (name, size) = memory.region_memory(&settings.region);
        Cache {
            key_builder: CacheKeyBuilder::new(&shared.keys, &settings.fingerprint(), settings.key.clone()),
            store: registry.store(name, size, metrics),
            region: settings.region.as_str().into(),
            region_mark: shared.region_mark(settings.region.as_bytes()),
            shared,
            max_object_size: memory.max_object_size,
            metrics: metrics.caches().route(label),
            settings: settings.clone(),
            shared_cache: state.filter(|_| memory.is_shared).map(|state| registry.shared_cache(state)),
        }
    }

    /// Whether the rules of RFC 9111 apply: only then responses get `Age` and `Cache-Status`.
    pub(super) fn is_http(&self) -> bool {
        self.settings.mode == Mode::Http
    }
}
