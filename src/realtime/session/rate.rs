//! How many messages a client may send: a token bucket whose debt pauses reading.

use std::time::{Duration, Instant};

/// A token bucket with a burst of twice the rate.
#[derive(Clone, Copy, Debug)]
pub struct MessageRate {
    per_second: u32,
    tokens: f64,
    updated_at: Instant,
}

impl MessageRate {
    /// A full bucket.
    pub fn new(per_second: u32, now: Instant) -> MessageRate {
        MessageRate { per_second, tokens: f64::from(per_second) * 2.0, updated_at: now }
    }

    /// Takes a token for a message that was received.
    pub fn take(&mut self, now: Instant) {
        self.refill(now);
        self.tokens -= 1.0;
    }

    /// When reading may continue; `None`: now.
    pub fn resumes_at(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        (self.tokens < 1.0)
            .then(|| now + Duration::from_secs_f64((1.0 - self.tokens) / f64::from(self.per_second)))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated_at).as_secs_f64();
        let rate = f64::from(self.per_second);
        self.tokens = (self.tokens + elapsed * rate).min(rate * 2.0);
        self.updated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_rate_passes_at_once_then_reading_pauses() {
        let start = Instant::now();
        let mut rate = MessageRate::new(10, start);
        for _ in 0..20 {
            assert_eq!(rate.resumes_at(start), None);
            rate.take(start);
        }
        let resumes = rate.resumes_at(start).unwrap() - start;
        assert!((resumes.as_secs_f64() - 0.1).abs() < 0.001, "{resumes:?}");
        assert_eq!(rate.resumes_at(start + Duration::from_millis(101)), None);
    }
}
