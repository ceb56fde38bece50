//! The deadlines of an exchange and of its current attempt, and the time that its client caused.

use super::{breaker::Admission, resilience::Resilience};
use crate::{backend::endpoint::Endpoint, pipeline::collect::BodyPace};
use std::time::{Duration, Instant};

/// How long a client must have been waited for until a failure of its attempt is not the backend's.
const MIN_CLIENT_WAIT: Duration = Duration::from_secs(1);

/// How long a trial request of a circuit breaker waits for its client until the next trial request is admitted.
const TRIAL_CLIENT_WAIT_TIMEOUT: Duration = Duration::from_millis(10);

/// The timers of an exchange.
#[derive(Clone, Debug)]
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
    /// Since when the upload waits for the client.
    client_wait_since: Option<Instant>,
    /// How long the upload waited for the client before, in this attempt.
    client_wait: Duration,
    /// The pace of the upload while it waits for the client.
    pub pace: Option<Box<BodyPace>>,
    /// The admissions as a trial request, by the breakers of the route and of the endpoint.
    trials: Option<Box<[Option<Admission>; 2]>>,
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
            client_wait_since: None,
            client_wait: Duration::ZERO,
            pace: None,
            trials: None,
        }
    }

    /// Starts an attempt.
    pub fn start_attempt(&mut self, now: Instant, per_try_timeout: Option<Duration>) {
        let (started_at, bytes_sent) = (self.started_at, self.bytes_sent);
        *self = Deadlines {
            started_at,
            attempt_started_at: now,
            per_try_timeout,
            bytes_sent,
            ..Deadlines::new(now)
        };
    }

    /// Sets the admissions as a trial request, by the breakers of the route and of the endpoint.
    pub fn set_trials(&mut self, route: Option<Admission>, endpoint: Option<Admission>) {
        self.trials = (route.is_some() || endpoint.is_some()).then(|| Box::new([route, endpoint]));
    }

    /// Starts sending a request.
    pub fn start_sending(&mut self) {
        (self.client_wait_since, self.pace) = (None, None);
    }

    /// Whether the upload waits for the client now. The timers of the backend start again afterwards.
    pub fn track_client_wait(&mut self, waits: bool) {
        match self.client_wait_since {
            None if waits => self.client_wait_since = Some(Instant::now()),
            Some(since) if !waits => {
                (self.client_wait_since, self.pace) = (None, None);
                self.restart(self.bytes_sent);
                self.client_wait += self.started_at.saturating_duration_since(since);
            }
            _ => {}
        }
    }

    /// How long the attempt waited for the client.
    pub fn client_wait(&self) -> Duration {
        self.client_wait + self.client_wait_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether the client holds up the attempt: its upload is incomplete and was waited for.
    pub fn is_held_by_client(&self) -> bool {
        self.client_wait_since.is_some() && self.client_wait() >= MIN_CLIENT_WAIT
    }

    /// Since when no byte of a client that is waited for moved.
    pub fn stalled_since(&self) -> Instant {
        self.client_wait_since.map_or(self.started_at, |since| since.max(self.started_at))
    }

    /// When the trial request admits the next one because its client is slow.
    pub fn trial_yields_at(&self) -> Option<Instant> {
        let since = self.client_wait_since.filter(|_| self.trials.is_some())?;
        Some(since + TRIAL_CLIENT_WAIT_TIMEOUT)
    }

    /// Admits the next trial request.
    #[cold]
    pub fn yield_trials(&mut self, resilience: Option<&Resilience>, endpoint: &Endpoint, now: Instant) {
        let [route, of_endpoint] = self.trials.take().map_or([None, None], |trials| *trials);
        if let (Some(admission), Some(resilience)) = (route, resilience) {
            resilience.yield_trial(admission, now);
        }
        if let Some(admission) = of_endpoint {
            endpoint.state.breaker.yield_trial(admission, now);
        }
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
