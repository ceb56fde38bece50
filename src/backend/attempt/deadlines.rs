//! The deadlines of an exchange and of its current attempt.

use std::time::{Duration, Instant};

/// The timers of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// When the timer of the exchange started; it restarts while upload bytes move.
    pub started_at: Instant,
    /// When the timer of the current attempt started.
    pub attempt_started_at: Instant,
    /// The timeout of one attempt.
    pub per_try_timeout: Option<Duration>,
    /// Body bytes sent so far: sending them again is no progress.
    pub bytes_sent: u64,
    /// Whether the current attempt failed because of `per_try_timeout`.
    pub is_per_try_timeout: bool,
}

impl Deadlines {
    /// Starts both timers at `started_at`; without a `per_try_timeout` the attempt is limited by the exchange only.
    pub fn new(started_at: Instant) -> Deadlines {
        Deadlines {
            started_at,
            attempt_started_at: started_at,
            per_try_timeout: None,
            bytes_sent: 0,
            is_per_try_timeout: false,
        }
    }

    /// Starts an attempt.
    pub fn start_attempt(&mut self, now: Instant, per_try_timeout: Option<Duration>) {
        (self.attempt_started_at, self.per_try_timeout, self.is_per_try_timeout) =
            (now, per_try_timeout, false);
    }

    /// Restarts both timers, because upload bytes moved.
    pub fn restart(&mut self, bytes_sent: u64) {
        self.bytes_sent = bytes_sent;
        self.started_at = Instant::now();
        self.attempt_started_at = self.started_at;
    }

    /// The end of the attempt, given the timeout of the exchange, and whether `per_try_timeout` determines it.
    pub fn end(&self, timeout: Duration) -> (Instant, bool) {
        let end = self.started_at + timeout;
        match self.per_try_timeout {
            Some(limit) if self.attempt_started_at + limit < end => (self.attempt_started_at + limit, true),
            _ => (end, false),
        }
    }
}
