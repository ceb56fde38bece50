//! `CacheOptions`: response cache, with fixed lifetimes as in Ocelot or with the rules of HTTP (RFC 9111).
//!
//! - Elsewhere: nginx `proxy_cache` with `proxy_cache_lock` (request coalescing here), `proxy_cache_use_stale`
//!   (stale-if-error) and `proxy_cache_background_update` (stale-while-revalidate, RFC 5861); Envoy's cache filter;
//!   YARP with ASP.NET output caching. Responses carry `Cache-Status` (RFC 9211).
//! - Entry points: `lookup` for requests, `store_response` with `storability` for responses; arithmetic is in `directives`,
//!   `freshness`, `conditions`, `ranges` and `vary`, memory in `store`, `entry` and `streaming_fill`.
//! - Callers: `plan::build` makes the stage of a route; `control` purges and lists entries through `CacheRegistry`.
//! - Owns: the stored responses of each region, in-flight requests (coalescing), invalidation epochs.
//! - Outlives a reload: all of that (`CacheRegistry`); a store lives as long as a plan uses its region with the same size.

mod coalescing;
mod compile;
mod conditions;
mod context;
mod core;
pub mod dates;
mod directives;
mod disposition;
mod entry;
pub mod freshness;
mod invalidate;
mod invalidation_epochs;
pub mod key;
mod lookup;
mod memory;
pub mod memory_config;
mod options;
mod purge;
pub mod ranges;
mod refresh;
mod registry;
mod request;
mod segmented_body;
mod serve;
pub mod settings;
mod shared;
mod shared_key;
mod shared_lookup;
mod status;
mod storability;
mod store;
mod store_response;
mod store_writer;
mod streaming_fill;
mod tee_body;
mod vary;

pub use invalidate::{Invalidator, NAME_INVALIDATE};
pub use memory::compile_memory;
pub use memory_config::MemoryConfig;
pub use options::{CacheDocument, CacheOptions, CacheRegionDocument, GlobalCacheOptions};
pub use purge::Purge;
pub use registry::{CacheRegistry, EntrySummary, sweep_task};
pub use settings::{CacheConfig, Mode, Statuses};

use self::{context::CacheContext, core::Cache};
use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::{
        exchange::Exchange,
        response::RouteResult,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use std::{fmt, sync::Arc};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "cache";

impl StageConfig for CacheConfig {
    type State = Arc<CacheRegistry>;

    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        let (memory, shared) = (context.cache_memory, context.shared_state);
        let cache = Cache::new(self, memory, state, context.metrics, context.route, shared);
        vec![Box::new(CacheStage(Arc::new(cache)))]
    }

    /// Routes without a cache invalidate what others have cached by the rules of HTTP.
    fn build_absent(state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        let is_shared = context.cache_memory.is_shared && context.shared_state.is_some();
        match context.has_http_cache {
            true => vec![Box::new(Invalidator::new(state, is_shared))],
            false => Vec::new(),
        }
    }

    fn maintain(state: &Self::State, background: &BackgroundRuntime, _: &Clock) {
        background.spawn(sweep_task(Arc::downgrade(state)));
    }
}

/// The stage of a route's cache.
pub struct CacheStage(Arc<Cache>);

impl fmt::Debug for CacheStage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.settings.fmt(f)
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
        let context = exchange
            .response
            .cache_context
            .take()
            .and_then(|context| context.downcast::<CacheContext>().ok());
        if let Some(context) = context {
            self.0.on_response(exchange, *context, outcome);
        }
    }

    fn describe(&self) -> String {
        let settings = &self.0.settings;
        let description = match settings.mode {
            Mode::Ocelot => format!("stores responses for {:?}", settings.ttl()),
            Mode::Http => "stores responses as their headers allow (RFC 9111)".to_owned(),
        };
        description + if self.0.shared_cache.is_some() { ", shared" } else { "" }
    }
}
