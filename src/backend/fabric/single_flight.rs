//! One look-up for all requests that need its result at the same time (Go: `singleflight`, nginx: `proxy_cache_lock`).

use super::error::ResolveError;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The result of a look-up, once it has ended.
type FlightResult = Option<Result<(), ResolveError>>;

/// The look-ups of one thing: at most one at a time.
#[derive(Debug, Default)]
pub struct SingleFlight(Mutex<FlightState>);

#[derive(Debug, Default)]
struct FlightState {
    running: Option<watch::Receiver<FlightResult>>,
    ended_at: Option<Instant>,
}

/// What a request does for a result.
#[derive(Debug)]
pub enum Flight {
    /// Starts the look-up, and waits for it.
    Start(FlightGuard, FlightWait),
    /// Waits for the one that runs.
    Join(FlightWait),
    /// The last one ended a moment ago.
    Recent,
}

/// A wait for the end of a look-up.
#[derive(Debug)]
pub struct FlightWait(watch::Receiver<FlightResult>);

/// The right to make the look-up; its end is reported when it is dropped, whatever happens.
#[derive(Debug)]
pub struct FlightGuard {
    sender: watch::Sender<FlightResult>,
}

impl SingleFlight {
    /// Joins the running look-up or starts one, unless one ended within `min_interval`.
    pub fn join(&self, now: Instant, min_interval: Duration) -> Flight {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &state.running {
            let is_running = running.borrow().is_none() && running.has_changed().is_ok();
            if is_running {
                return Flight::Join(FlightWait(running.clone()));
            }
        }
        if state.ended_at.is_some_and(|ended_at| now.saturating_duration_since(ended_at) < min_interval) {
            return Flight::Recent;
        }
        let (sender, receiver) = watch::channel(None);
        state.running = Some(receiver.clone());
        Flight::Start(FlightGuard { sender }, FlightWait(receiver))
    }

    /// Records the end of a look-up; call it before the guard is dropped.
    pub fn end(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.running, state.ended_at) = (None, Some(now));
    }
}

impl FlightGuard {
    /// Reports the result to all that wait.
    pub fn complete(self, result: Result<(), ResolveError>) {
        self.sender.send_replace(Some(result));
    }
}

impl FlightWait {
    /// The result; a look-up that was dropped has failed.
    pub async fn result(mut self) -> Result<(), ResolveError> {
        match self.0.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Err(ResolveError::Unreachable)),
            Err(_) => Err(ResolveError::Unreachable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn all_that_need_a_result_wait_for_one_look_up() {
        let (flight, now) = (SingleFlight::default(), Instant::now());
        let Flight::Start(guard, first) = flight.join(now, INTERVAL) else { panic!("nothing runs") };
        let Flight::Join(second) = flight.join(now, INTERVAL) else { panic!("one runs") };
        flight.end(now);
        guard.complete(Err(ResolveError::Offline));
        assert_eq!(first.result().await, Err(ResolveError::Offline));
        assert_eq!(second.result().await, Err(ResolveError::Offline));
        assert!(matches!(flight.join(now + INTERVAL / 2, INTERVAL), Flight::Recent));
        assert!(matches!(flight.join(now + INTERVAL, INTERVAL), Flight::Start(..)));
    }

    #[tokio::test]
    async fn a_look_up_that_is_dropped_has_failed_and_the_next_one_may_start() {
        let (flight, now) = (SingleFlight::default(), Instant::now());
        let Flight::Start(guard, wait) = flight.join(now, INTERVAL) else { panic!("nothing runs") };
        drop(guard);
        assert_eq!(wait.result().await, Err(ResolveError::Unreachable));
        assert!(matches!(flight.join(now, INTERVAL), Flight::Start(..)));
    }
}
