//! The counters of a route and of connections, summed at scrape time.

use super::exemplar::{BucketExemplars, Exemplars};
use super::histogram::{HistogramTotals, LocalHistogram};
use super::registry::lock;
use super::shard::{LocalCounter, Shards};
use super::trace_ids::TraceId;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use std::time::Duration;

/// The status classes of responses.
pub const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The shard of one worker. The first cache line contains the counters that every request updates.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Shard {
    started: LocalCounter,
    classes: [LocalCounter; 5],
    bytes: [LocalCounter; 2],
    duration: LocalHistogram,
    gateway: LocalHistogram,
    backend: LocalHistogram,
    /// By error code; only failures lock it.
    errors: Mutex<Vec<(&'static str, u64)>>,
}

/// The end of a request, as far as it is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestEnd {
    /// The status sent; 499 if the client closed the connection.
    pub status: u16,
    /// The error code of a failure; empty if there is none.
    pub error_code: &'static str,
    /// From the request head to the last byte of the response.
    pub duration: Duration,
    /// The part of it before the response head that was not spent waiting for the backend.
    pub gateway: Duration,
    /// The time of all attempts until their response heads; `None` without an attempt.
    pub backend: Option<Duration>,
    /// Body bytes from and to the client.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The trace of a sampled request.
    pub trace: Option<TraceId>,
}

/// The counters of one route; they survive reloads that keep the label.
#[derive(Debug)]
pub struct RouteMetrics {
    label: Box<str>,
    shards: Shards<Shard>,
    exemplars: Exemplars,
    /// Native histograms are enabled.
    is_native: Arc<AtomicBool>,
}

impl RouteMetrics {
    pub(super) fn new(label: &str, workers: usize, is_native: Arc<AtomicBool>) -> Self {
        let (shards, exemplars) = (Shards::new(workers), Exemplars::default());
        RouteMetrics { label: label.into(), shards, exemplars, is_native }
    }

    /// The route label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts the start of a request; `end` must follow on the same worker. Ignored for an unknown worker.
    pub fn begin(&self, worker: usize) {
        if let Some(shard) = self.shards.of(worker) {
            shard.started.add(1);
        }
    }

    /// Counts the end of a request.
    pub fn end(&self, worker: usize, request: &RequestEnd) {
        let Some(shard) = self.shards.of(worker) else { return };
        shard.classes[status_class(request.status)].add(1);
        shard.bytes[0].add(request.bytes_in);
        shard.bytes[1].add(request.bytes_out);
        let is_native = self.is_native.load(Relaxed);
        shard.duration.record(request.duration, is_native);
        shard.gateway.record(request.gateway, is_native);
        if let Some(backend) = request.backend {
            shard.backend.record(backend, is_native);
        }
        if let Some(trace_id) = request.trace {
            self.exemplars.record(trace_id, request.duration);
        }
        if !request.error_code.is_empty() {
            count_error(&shard.errors, request.error_code);
        }
    }

    /// Sums the shards. Ends are read before starts, so that the difference is never negative.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in self.shards.iter() {
            let ended = merge(&mut totals.classes, &shard.classes);
            let mut bytes = [0; 2];
            merge(&mut bytes, &shard.bytes);
            (totals.bytes_in, totals.bytes_out) = (totals.bytes_in + bytes[0], totals.bytes_out + bytes[1]);
            shard.duration.add_to(&mut totals.duration);
            shard.gateway.add_to(&mut totals.gateway);
            shard.backend.add_to(&mut totals.backend);
            let started = shard.started.get();
            totals.started += started;
            totals.in_flight += started.saturating_sub(ended);
        }
        totals
    }

    /// For each bucket of the duration the last traced request.
    pub(super) fn exemplars(&self) -> BucketExemplars {
        self.exemplars.all()
    }

    /// The native buckets of duration, gateway and backend; empty unless they are enabled.
    pub(super) fn native_totals(&self) -> [Vec<u64>; 3] {
        let mut totals: [Vec<u64>; 3] = Default::default();
        for shard in self.shards.iter() {
            for (of, to) in [&shard.duration, &shard.gateway, &shard.backend].into_iter().zip(&mut totals) {
                of.add_native_to(to);
            }
        }
        totals
    }

    /// The failures by error code, sorted by code.
    pub fn errors(&self) -> Vec<(&'static str, u64)> {
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            lock(&shard.errors).iter().for_each(|(code, count)| add_error(&mut all, code, *count));
        }
        all.sort_unstable();
        all
    }
}

#[cold]
fn count_error(errors: &Mutex<Vec<(&'static str, u64)>>, code: &'static str) {
    add_error(&mut lock(errors), code, 1);
}

fn add_error(errors: &mut Vec<(&'static str, u64)>, code: &'static str, count: u64) {
    match errors.iter_mut().find(|(known, _)| *known == code) {
        Some((_, total)) => *total += count,
        None => errors.push((code, count)),
    }
}

/// A snapshot of one route's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests by class, in the order of [`STATUS_CLASSES`].
    pub classes: [u64; 5],
    /// Body bytes from and to clients.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From the request head to the last byte of the response.
    pub duration: HistogramTotals,
    /// The part before the response head that was not spent waiting for the backend.
    pub gateway: HistogramTotals,
    /// The time spent waiting for the backend.
    pub backend: HistogramTotals,
    /// Requests started.
    pub started: u64,
    /// Started and not ended.
    pub in_flight: u64,
}

impl Totals {
    /// Whether a request was counted.
    pub fn is_used(&self) -> bool {
        self.started > 0 || self.ended() > 0
    }

    /// Requests that ended.
    pub fn ended(&self) -> u64 {
        self.classes.iter().sum()
    }
}

fn merge<const N: usize>(to: &mut [u64; N], from: &[LocalCounter; N]) -> u64 {
    let mut sum = 0;
    for (to, from) in to.iter_mut().zip(from) {
        *to += from.get();
        sum += from.get();
    }
    sum
}

/// 100–199 is 0 … 500 and above is 4; a status outside HTTP counts as 5xx.
fn status_class(status: u16) -> usize {
    match status {
        100..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        _ => 4,
    }
}

/// The connections of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Connections {
    pub(super) accepted: LocalCounter,
    pub(super) closed: LocalCounter,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u16, duration: Duration) -> RequestEnd {
        RequestEnd { status, duration, bytes_in: 3, bytes_out: 5, ..RequestEnd::default() }
    }

    #[test]
    fn a_request_counts_once_in_its_class_its_histograms_and_its_bytes() {
        let metrics = RouteMetrics::new("orders", 2, Arc::default());
        metrics.begin(0);
        metrics.end(0, &ended(204, Duration::from_micros(500)));
        metrics.begin(1);
        let backend = Some(Duration::from_secs(60));
        metrics.end(1, &RequestEnd { backend, ..ended(499, Duration::from_secs(61)) });
        let totals = metrics.totals();
        assert_eq!((totals.classes, totals.in_flight, totals.ended()), ([0, 1, 0, 1, 0], 0, 2));
        assert_eq!((totals.bytes_in, totals.bytes_out), (6, 10));
        assert_eq!((totals.duration.count(), totals.gateway.count(), totals.backend.count()), (2, 2, 1));
        assert_eq!(totals.duration.sum_ns, 61_000_500_000);
    }

    #[test]
    fn requests_in_flight_are_started_and_not_ended() {
        let metrics = RouteMetrics::new("orders", 1, Arc::default());
        metrics.begin(0);
        metrics.begin(0);
        metrics.end(0, &ended(200, Duration::ZERO));
        assert_eq!((metrics.totals().in_flight, metrics.totals().started), (1, 2));
    }

    #[test]
    fn failures_are_counted_by_error_code() {
        let metrics = RouteMetrics::new("orders", 2, Arc::default());
        for (worker, error_code) in [(0, "backend.reset"), (1, "backend.reset"), (1, "access.scope")] {
            metrics.end(worker, &RequestEnd { error_code, ..ended(502, Duration::ZERO) });
        }
        assert_eq!(metrics.errors(), [("access.scope", 1), ("backend.reset", 2)]);
    }

    #[test]
    fn an_unknown_worker_is_ignored() {
        let metrics = RouteMetrics::new("orders", 1, Arc::default());
        metrics.begin(7);
        metrics.end(7, &ended(200, Duration::ZERO));
        assert_eq!(metrics.totals(), Totals::default());
    }

    #[test]
    fn an_idle_route_has_no_shard() {
        let metrics = RouteMetrics::new("orders", 64, Arc::default());
        assert_eq!(metrics.shards.iter().count(), 0);
        metrics.begin(5);
        assert_eq!(metrics.shards.iter().count(), 1);
    }

    #[test]
    fn what_every_request_updates_fills_the_first_cache_line() {
        assert_eq!(std::mem::offset_of!(Shard, duration), 64);
    }
}
