//! Exemplars: for each latency bucket of a route the last traced request in it.

use super::{histogram::bucket_index, registry::lock, trace_ids::TraceId};
use std::{
    sync::{Mutex, OnceLock},
    time::{Duration, SystemTime},
};

/// A traced request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    pub trace_id: TraceId,
    pub duration: Duration,
    pub time: SystemTime,
}

/// The exemplars of a histogram, in the order of its buckets.
pub(super) type BucketExemplars = [Option<Exemplar>; 16];

/// The exemplars of a route; allocated by its first traced request.
#[derive(Debug, Default)]
pub(super) struct Exemplars(OnceLock<Box<Mutex<BucketExemplars>>>);

impl Exemplars {
    /// Keeps a traced request.
    #[cold]
    pub(super) fn record(&self, trace_id: TraceId, duration: Duration) {
        let exemplar = Exemplar { trace_id, duration, time: SystemTime::now() };
        lock(self.0.get_or_init(Box::default))[bucket_index(duration)] = Some(exemplar);
    }

    /// The exemplars so far.
    pub(super) fn all(&self) -> BucketExemplars {
        self.0.get().map(|all| *lock(all)).unwrap_or_default()
    }
}
