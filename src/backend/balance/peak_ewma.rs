//! How long an endpoint takes to answer: a moving average that rises at once and falls slowly (Finagle's peak EWMA).

use super::{Arc, Endpoint, Ordering};
use std::{
    sync::{LazyLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

/// After so long an answer counts a little more than a third of what it did.
const DECAY_TIME: Duration = Duration::from_secs(10);
/// What a failure counts as at least, however fast it was: nobody wants more of them.
const FAILURE_PENALTY: Duration = Duration::from_secs(1);
/// What an endpoint counts as that has exchanges under way and has never answered.
const DEFAULT_RTT: f64 = 1e12;

/// Where the count of nanoseconds begins.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What is known of the time that an endpoint takes. Written by many: what is lost in a race was about the same.
#[derive(Debug, Default)]
pub struct PeakEwma {
    /// Nanoseconds, as the bits of a float.
    average: AtomicU64,
    /// When it was written, in nanoseconds since the epoch.
    updated_at: AtomicU64,
}

impl PeakEwma {
    /// An exchange took so long; a failure counts for more.
    pub fn add(&self, took: Duration, failed: bool, now: Instant) {
        let took = if failed { took.max(FAILURE_PENALTY) } else { took };
        let (new, old) = (took.as_nanos() as f64, self.decayed(now));
        let share = self.decay_factor(now);
        let next = if new > old { new } else { self.average() * share + new * (1.0 - share) };
        self.average.store(next.to_bits(), Ordering::Relaxed);
        self.updated_at.store(nanos(now), Ordering::Relaxed);
    }

    /// The average, fallen since; zero before the first answer.
    fn decayed(&self, now: Instant) -> f64 {
        self.average() * self.decay_factor(now)
    }

    fn average(&self) -> f64 {
        f64::from_bits(self.average.load(Ordering::Relaxed))
    }

    /// How much of the average is left.
    fn decay_factor(&self, now: Instant) -> f64 {
        let age = nanos(now).saturating_sub(self.updated_at.load(Ordering::Relaxed));
        (-(age as f64) / DECAY_TIME.as_nanos() as f64).exp()
    }
}

fn nanos(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*EPOCH).as_nanos()).unwrap_or(u64::MAX)
}

/// How long one more exchange would have to wait there, about.
fn cost(endpoint: &Endpoint, now: Instant) -> f64 {
    let under_way = f64::from(endpoint.state.in_flight.load(Ordering::Relaxed));
    let average = endpoint.state.latency.decayed(now);
    let cost =
        if average == 0.0 && under_way > 0.0 { DEFAULT_RTT + under_way } else { average * (under_way + 1.0) };
    cost / f64::from(endpoint.weight)
}

/// The one that would be faster; of equals the first.
pub fn lower_cost<'e>(one: &'e Arc<Endpoint>, two: &'e Arc<Endpoint>, now: Instant) -> &'e Arc<Endpoint> {
    if cost(two, now) < cost(one, now) { two } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
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
    fn a_fast_failure_is_not_a_fast_answer() {
        let (latency, now) = (PeakEwma::default(), Instant::now());
        latency.add(Duration::from_millis(1), true, now);
        assert!(latency.decayed(now) >= 1e9);
    }
}
