//! Peak EWMA (after Finagle): a moving average of response times that rises at once and decays slowly.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The time after which a measurement has decayed to 1/e.
const DECAY_TIME: Duration = Duration::from_secs(10);
/// The minimum response time recorded for a failure, so that fast failures do not attract requests.
const FAILURE_PENALTY: Duration = Duration::from_secs(1);
/// The assumed response time of an endpoint that has requests in flight and has not responded yet.
const DEFAULT_RTT_NS: f64 = 1e12;

/// The origin of the nanosecond timestamps.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The average response time of an endpoint. Workers write without a lock: an update lost in a race was about
/// the same.
#[derive(Debug, Default)]
pub struct PeakEwma {
    /// The average in nanoseconds, as the bits of an `f64`.
    average_ns: AtomicU64,
    /// The time of the last update, in nanoseconds since [`EPOCH`].
    updated_at_ns: AtomicU64,
}

impl PeakEwma {
    /// Records a response time; a failure counts as at least [`FAILURE_PENALTY`].
    pub fn add(&self, duration: Duration, failed: bool, now: Instant) {
        let duration = if failed { duration.max(FAILURE_PENALTY) } else { duration };
        let (new, old) = (duration.as_nanos() as f64, self.decayed(now));
        let factor = self.decay_factor(now);
        let next = if new > old { new } else { self.average_ns() * factor + new * (1.0 - factor) };
        self.average_ns.store(next.to_bits(), Ordering::Relaxed);
        self.updated_at_ns.store(nanoseconds(now), Ordering::Relaxed);
    }

    /// The average decayed up to `now`, in nanoseconds; zero before the first response.
    fn decayed(&self, now: Instant) -> f64 {
        self.average_ns() * self.decay_factor(now)
    }

    fn average_ns(&self) -> f64 {
        f64::from_bits(self.average_ns.load(Ordering::Relaxed))
    }

    /// The expected time of one more exchange with an endpoint that has `in_flight` exchanges, divided by its weight.
    pub fn cost(&self, in_flight: u32, weight: u32, now: Instant) -> f64 {
        let (average_ns, in_flight) = (self.decayed(now), f64::from(in_flight));
        let is_unmeasured = average_ns == 0.0 && in_flight > 0.0;
        let cost = if is_unmeasured { DEFAULT_RTT_NS + in_flight } else { average_ns * (in_flight + 1.0) };
        cost / f64::from(weight)
    }

    /// The factor by which the average has decayed since the last update.
    fn decay_factor(&self, now: Instant) -> f64 {
        let age = nanoseconds(now).saturating_sub(self.updated_at_ns.load(Ordering::Relaxed));
        (-(age as f64) / DECAY_TIME.as_nanos() as f64).exp()
    }
}

fn nanoseconds(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*EPOCH).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_rises_at_once_and_decays_slowly() {
        let (latency, start) = (PeakEwma::default(), Instant::now());
        let ms = Duration::from_millis;
        let now = |after: Duration| latency.decayed(start + after) / 1e6;
        latency.add(ms(10), false, start);
        assert!((now(ms(0)) - 10.0).abs() < 0.01);
        latency.add(ms(200), false, start + ms(1));
        assert!((now(ms(1)) - 200.0).abs() < 0.1);
        latency.add(ms(10), false, start + ms(2));
        assert!(now(ms(2)) > 199.0, "{}", now(ms(2)));
        assert!(now(DECAY_TIME) < 74.0 && now(DECAY_TIME) > 70.0, "{}", now(DECAY_TIME));
        latency.add(ms(10), false, start + 5 * DECAY_TIME);
        assert!(now(5 * DECAY_TIME) < 12.0);
    }

    #[test]
    fn a_fast_failure_counts_as_a_slow_response() {
        let (latency, now) = (PeakEwma::default(), Instant::now());
        latency.add(Duration::from_millis(1), true, now);
        assert!(latency.decayed(now) >= 1e9);
    }
}
