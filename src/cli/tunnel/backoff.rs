//! Pauses between the attempts to connect to a gateway. Chance spreads the agents that lost the same gateway.

use crate::base::backoff::{bound, half_jitter};
use std::time::Duration;

const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The pauses after failures that follow one another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Begins again after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt: none after the loss of a connection, then 0.2s to 30s, each times a chance of 0.5 to 1.
    pub fn next_pause(&mut self) -> Duration {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        match failures {
            0 => Duration::ZERO,
            n => half_jitter(bound(MIN_PAUSE, MAX_PAUSE, n - 1)),
        }
    }

    /// The pause after a refusal: the reason will not change soon.
    pub fn refused_pause() -> Duration {
        MAX_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_pause(), Duration::ZERO);
        for expected in [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] {
            let pause = backoff.next_pause().as_secs_f64();
            assert!((expected * 0.5..=expected).contains(&pause), "{pause} is not about {expected}");
        }
        backoff.reset();
        assert_eq!(backoff.next_pause(), Duration::ZERO);
    }
}
