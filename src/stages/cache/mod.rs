//! `CacheOptions`: the response cache, as in Ocelot or by RFC 9111 (nginx's `proxy_cache`, Envoy's `cache` filter).
//!
//! `lookup` handles requests, `store_response` responses, `storability` decides what is stored; the rest is arithmetic
//! (`directives`, `freshness`, `conditions`, `ranges`, `vary`) and memory (`store`, `entry`, `streaming_fill`). The
//! registry with the stored responses outlives a reload.

mod compile;
mod memory;
mod options;
mod request;
mod conditions;
mod dates;
mod directives;
mod entry;
mod streaming_fill;
mod coalescing;
pub mod freshness;
mod invalidate;
mod storability;
mod registry;
pub mod key;
mod store_response;
mod lookup;
mod invalidation_epochs;
mod segmented_body;
mod ranges;
mod refresh;
mod serve;
pub mod settings;
mod store_writer;
mod status;
mod store;
mod structured;
mod vary;

pub use invalidate::{Invalidator, NAME_INVALIDATE};
pub use memory::compile_memory;
pub use options::{CacheDocument, CacheOptions, CacheRegionDocument, GlobalCacheOptions};
pub use registry::{CacheRegistry, EntrySummary, Purge, sweep_task};
pub use settings::{CacheConfig, MemoryConfig, Mode, Statuses};

use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::{
        exchange::Exchange,
        response::RouteResult,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
    telemetry::{CacheMetrics, Metrics},
};
use key::CacheKeyBuilder;
use registry::CacheShared;
use std::{fmt, sync::Arc};
use store::Store;
use store_response::CacheContext;

pub const NAME: &str = "cache";

impl StageConfig for CacheConfig {
    type State = Arc<CacheRegistry>;

    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        let cache = CacheStage::new(self, context.cache_memory, state, context.metrics, context.route);
        vec![Box::new(cache)]
    }

    /// Routes without a cache invalidate what others have cached by the rules of HTTP.
    fn build_absent(state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        if context.has_http_cache { vec![Box::new(Invalidator::new(state))] } else { Vec::new() }
    }

    fn maintain(state: &Self::State, background: &BackgroundRuntime, _: &Clock) {
        background.spawn(sweep_task(Arc::downgrade(state)));
    }
}

/// The cache of one route.
#[derive(Debug)]
pub struct Cache {
    settings: CacheConfig,
    keyer: CacheKeyBuilder,
    store: Arc<dyn Store>,
    shared: Arc<CacheShared>,
    region: Arc<str>,
    region_epoch: u64,
    max_object_size: u64,
    metrics: Arc<CacheMetrics>,
}

impl Cache {
    /// Only what HTTP knows says how old it is.
    fn adds_age(&self) -> bool {
        self.is_http()
    }

    fn is_http(&self) -> bool {
        self.settings.mode == Mode::Http
    }
}

/// The stage of a route's cache.
pub struct CacheStage(Arc<Cache>);

impl fmt::Debug for CacheStage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.settings.fmt(f)
    }
}

impl CacheStage {
    /// The cache of the route with that label; what it keeps lies in `kept` and outlives the plan.
    pub fn new(
        settings: &CacheConfig,
        memory: &MemoryConfig,
        kept: &CacheRegistry,
        metrics: &Metrics,
        label: &str,
    ) -> CacheStage {
        let common = kept.shared();
        let (name, size) = memory.region_memory(&settings.region);
        CacheStage(Arc::new(Cache {
            keyer: CacheKeyBuilder::new(&common.keys, &settings.fingerprint(), settings.key.clone()),
            store: kept.store(name, size, metrics),
            region: settings.region.as_str().into(),
            region_epoch: common.region(settings.region.as_bytes()),
            shared: common,
            max_object_size: memory.max_object_size,
            metrics: metrics.caches().route(label),
            settings: settings.clone(),
        }))
    }
}

impl Stage for CacheStage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        self.0.lookup(exchange)
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let ticket =
            exchange.response.cache_context.take().and_then(|ticket| ticket.downcast::<CacheContext>().ok());
        if let Some(ticket) = ticket {
            self.0.on_response(exchange, *ticket, outcome);
        }
    }

    fn describe(&self) -> String {
        let settings = &self.0.settings;
        match settings.mode {
            Mode::Ocelot => format!("keeps answers for {:?}", settings.ttl()),
            Mode::Http => "keeps answers as long as they say (RFC 9111)".to_owned(),
        }
    }
}
