//! The requests of a route: how many, how many failed, how long they took. What clients can cause by themselves is left out:
//! they could make a change look harmful.

use crate::pipeline::error::{ErrorCode, Fault};
use crate::telemetry::{RouteMetrics, counters::Totals, histogram::BUCKET_BOUNDS};
use std::iter::Sum;

/// The number of latency buckets, with that of the slowest requests.
const BUCKETS: usize = BUCKET_BOUNDS.len() + 1;

/// Requests since the start of the process, or in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub requests: u64,
    /// Responses with a status of 500 or above, except those whose code names the client as the cause.
    pub errors: u64,
    /// The times of the backend and of the gateway until the response head, in the order of `BUCKET_BOUNDS`, not cumulative.
    buckets: [u64; BUCKETS],
}

/// Whether a response with this code has a status of 500 or above, and the client is its cause.
fn is_error_of_client(name: &str) -> bool {
    let code = ErrorCode::ALL.iter().find(|code| code.name() == name);
    code.is_some_and(|code| {
        code.fault() == Fault::Client && [false, true].iter().all(|ocelot| code.status(*ocelot) >= 500)
    })
}

impl Sample {
    /// The requests of a route since the start of the process.
    pub fn of_route(route: &RouteMetrics, totals: &Totals) -> Sample {
        let codes = route.errors();
        let of_clients = codes.iter().filter(|(code, _)| is_error_of_client(code)).map(|(_, count)| count);
        let mut buckets = totals.backend.buckets;
        buckets.iter_mut().zip(&totals.gateway.buckets).for_each(|(sum, bucket)| *sum += bucket);
        let errors = totals.classes[4].saturating_sub(of_clients.sum());
        Sample { requests: totals.ended(), errors, buckets }
    }

    /// The requests since an earlier sample of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Sample) -> Sample {
        let mut sample = *self;
        sample.requests = sample.requests.saturating_sub(earlier.requests);
        sample.errors = sample.errors.saturating_sub(earlier.errors);
        for (bucket, earlier) in sample.buckets.iter_mut().zip(&earlier.buckets) {
            *bucket = bucket.saturating_sub(*earlier);
        }
        sample
    }

    /// The share of failed requests; 0 without requests.
    pub fn error_ratio(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.errors as f64 / self.requests as f64 }
    }

    /// The upper bound of the bucket that contains the 99th percentile, in seconds; `None` without requests, and beyond the
    /// last bound.
    pub fn p99(&self) -> Option<f64> {
        let all: u64 = self.buckets.iter().sum();
        let mut count = 0;
        let at = self.buckets.iter().position(|bucket| {
            count += bucket;
            all > 0 && count as f64 >= all as f64 * 0.99
        })?;
        BUCKET_BOUNDS.get(at).copied()
    }

    /// Requests that took longer than the first bucket bound that is at least `seconds`.
    pub fn slower_than(&self, seconds: f64) -> u64 {
        // Bounds and products of them are decimal fractions: exact equality is not theirs.
        let first = BUCKET_BOUNDS.iter().position(|bound| *bound >= seconds * (1.0 - 1e-9));
        first.map_or(0, |at| self.buckets[at + 1..].iter().sum())
    }

    /// A sample for tests: `requests` requests of this duration, and failures among them.
    #[cfg(test)]
    pub fn of(requests: u64, errors: u64, seconds: f64) -> Sample {
        let mut sample = Sample { requests, errors, ..Sample::default() };
        let at = BUCKET_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS - 1);
        sample.buckets[at] = requests;
        sample
    }
}

impl Sum for Sample {
    fn sum<I: Iterator<Item = Sample>>(samples: I) -> Sample {
        samples.fold(Sample::default(), |mut sum, sample| {
            sum.requests += sample.requests;
            sum.errors += sample.errors;
            sum.buckets.iter_mut().zip(sample.buckets).for_each(|(sum, bucket)| *sum += bucket);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metrics, RequestEnd};
    use std::time::Duration;

    #[test]
    fn what_a_client_causes_is_neither_an_error_nor_slow() {
        let route = Metrics::new(1).route("a");
        let end = RequestEnd { status: 503, duration: Duration::from_secs(60), ..RequestEnd::default() };
        for error_code in ["rate_limit.client_id_missing", "cache.only_if_cached", "backend.connect", ""] {
            route.begin(0);
            route.end(0, &RequestEnd { error_code, ..end });
        }
        let sample = Sample::of_route(&route, &route.totals());
        assert_eq!((sample.requests, sample.errors, sample.slower_than(1.0)), (4, 2, 0));
        route.end(0, &RequestEnd { backend: Some(Duration::from_secs(2)), ..end });
        assert_eq!(Sample::of_route(&route, &route.totals()).slower_than(1.0), 1);
    }

    #[test]
    fn quantiles_and_slow_requests_are_counted_by_bucket() {
        let sample: Sample = [Sample::of(990, 0, 0.002), Sample::of(10, 3, 0.3)].into_iter().sum();
        assert_eq!((sample.requests, sample.errors), (1000, 3));
        assert_eq!(sample.p99(), Some(0.0025));
        assert_eq!(sample.slower_than(0.005), 10);
        assert_eq!(sample.slower_than(1.0), 0);
        assert_eq!(Sample::default().p99(), None);
        assert_eq!(Sample::of(5, 0, 100.0).p99(), None);
        assert_eq!(sample.since(&Sample::of(990, 0, 0.002)).requests, 10);
    }
}
