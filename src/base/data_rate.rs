//! Minimum data rates: a peer that is waited for must move a minimum of bytes in every grace period.

use std::time::{Duration, Instant};

/// A minimum rate of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinDataRate {
    pub bytes_per_second: u64,
    /// The period in which the bytes are counted; shorter stalls are allowed.
    pub grace_period: Duration,
}

impl MinDataRate {
    /// The bytes that must move in each period.
    fn min_bytes(&self) -> u64 {
        let bytes = u128::from(self.bytes_per_second) * self.grace_period.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// The current period of a transfer, while its peer is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateWindow {
    start: Option<Instant>,
    /// The bytes moved before it, taken once the wait has lasted for a tenth of the period: short waits cost nothing.
    before: Option<u64>,
}

impl RateWindow {
    /// The peer is not waited for: its next period starts when it is.
    pub fn reset(&mut self) {
        *self = RateWindow::default();
    }

    /// When [`RateWindow::is_too_slow`] has to be called next; starts a period if there is none.
    pub fn end(&mut self, rate: MinDataRate, now: Instant) -> Instant {
        let start = *self.start.get_or_insert(now);
        start + if self.before.is_some() { rate.grace_period } else { rate.grace_period / 10 }
    }

    /// Ends the period; returns whether too few bytes moved in it. The next one starts otherwise. `streams` share the rate.
    pub fn is_too_slow(&mut self, rate: MinDataRate, moved: u64, streams: u32, now: Instant) -> bool {
        let Some(before) = self.before.replace(moved) else { return false };
        self.start = Some(now);
        moved.saturating_sub(before) < (rate.min_bytes() / u64::from(streams.max(1))).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: MinDataRate = MinDataRate { bytes_per_second: 240, grace_period: Duration::from_secs(5) };

    #[test]
    fn every_period_needs_its_bytes() {
        let (mut window, now) = (RateWindow::default(), Instant::now());
        assert_eq!(window.end(RATE, now), now + RATE.grace_period / 10);
        assert!(!window.is_too_slow(RATE, 1_000_000, 1, now), "the beginning is measured");
        assert_eq!(window.end(RATE, now), now + RATE.grace_period);
        assert!(!window.is_too_slow(RATE, 1_001_200, 1, now), "1200 bytes in 5 s");
        assert!(window.is_too_slow(RATE, 1_002_399, 1, now), "1199 bytes, whatever moved before");
        window.reset();
        assert!(!window.is_too_slow(RATE, 1_002_399, 1, now), "the peer was not waited for");
    }

    #[test]
    fn streams_of_a_connection_share_the_rate() {
        let (mut window, now) = (RateWindow::default(), Instant::now());
        window.is_too_slow(RATE, 0, 100, now);
        assert!(!window.is_too_slow(RATE, 12, 100, now));
        assert!(window.is_too_slow(RATE, 12, 100, now), "no byte moved");
    }
}
