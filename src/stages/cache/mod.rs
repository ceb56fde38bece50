//! `CacheOptions`: answers are kept and given again, as Ocelot does it or as HTTP wants it (RFC 9111).
//!
//! `lookup` is the way in, `landing` the way back with `judge`, which decides what is kept; the rest is arithmetic
//! (`directives`, `freshness`, `conditions`, `ranges`, `vary`) and memory (`store`, `entry`, `fill`).

mod asked;
mod conditions;
mod dates;
mod directives;
mod entry;
mod fill;
mod flights;
pub mod freshness;
mod invalidate;
mod judge;
mod kept;
pub mod key;
mod landing;
mod lookup;
mod marks;
mod pieces;
mod ranges;
mod refresh;
mod serve;
pub mod settings;
mod sink;
mod status;
mod store;
mod structured;
mod vary;

pub use invalidate::{Invalidator, NAME_INVALIDATE};
pub use kept::{Kept, Purge, Stored, sweeping};
pub use settings::{Memory, Mode, Settings, Statuses};

use crate::{
    pipeline::{
        answer::Outcome,
        exchange::Exchange,
        stage::{Stage, Step},
    },
    telemetry::{CacheMetrics, Metrics},
};
use kept::Common;
use key::CacheKeyer;
use landing::Ticket;
use std::{fmt, sync::Arc};
use store::Store;

pub const NAME: &str = "cache";

/// The cache of one route.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
    keyer: CacheKeyer,
    store: Arc<dyn Store>,
    common: Arc<Common>,
    region: Arc<str>,
    region_mark: u64,
    largest: u64,
    metrics: Arc<CacheMetrics>,
}

impl Cache {
    /// Only what HTTP knows says how old it is.
    fn says(&self) -> bool {
        self.is_http()
    }

    fn is_http(&self) -> bool {
        self.settings.mode == Mode::Http
    }
}

/// The stage of a route's cache.
pub struct Caching(Arc<Cache>);

impl fmt::Debug for Caching {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.settings.fmt(f)
    }
}

impl Caching {
    /// The cache of the route with that label; what it keeps lies in `kept` and outlives the plan.
    pub fn new(settings: &Settings, memory: &Memory, kept: &Kept, metrics: &Metrics, label: &str) -> Caching {
        let common = kept.common();
        let (name, size) = memory.of(&settings.region);
        Caching(Arc::new(Cache {
            keyer: CacheKeyer::new(&common.keys, &settings.fingerprint(), settings.key.clone()),
            store: kept.store(name, size, metrics),
            region: settings.region.as_str().into(),
            region_mark: common.region(settings.region.as_bytes()),
            common,
            largest: memory.largest,
            metrics: metrics.caches().route(label),
            settings: settings.clone(),
        }))
    }
}

impl Stage for Caching {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        self.0.look(x)
    }

    fn outcome(&self, x: &mut Exchange, outcome: &mut Outcome) {
        let ticket = x.ticket.take().and_then(|ticket| ticket.downcast::<Ticket>().ok());
        if let Some(ticket) = ticket {
            self.0.back(x, *ticket, outcome);
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
