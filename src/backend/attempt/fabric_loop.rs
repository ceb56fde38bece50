//! From a request for a service to its response: rounds of one look-up and one attempt, pauses, the end. Read top to bottom.

use super::{
    fabric_call::{FabricCall, Round},
    fabric_outcome::{Failure, FailureCause, exhausted_error, timeout_error},
    request_buffer::UNPROCESSED_REPLAY_BYTES,
    retry::BudgetConfig,
    retry_loop::drain_response,
};
use crate::{
    backend::fabric::route::{FabricRoute, WhenExhausted},
    base::backoff::{bound, full_jitter},
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::ClientBody,
        cancel::until_deadline,
        error::GatewayError,
        exchange::Exchange,
        replay::ReplayBody,
        response::{Response, RouteResult},
    },
};
use std::time::{Duration, Instant};

/// The retry budget of a service.
const BUDGET: BudgetConfig = BudgetConfig { min_retries: 10, retry_ratio: 0.2 };

/// Sends the exchange to a replica of the service that it names; returns as soon as the head of the response arrived.
pub async fn run_fabric(
    route: &FabricRoute,
    hop: HopByHop,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let request = route.read(exchange)?;
    let call = FabricCall::new(route, hop, request, exchange.now);
    let mut attempts = FabricLoop { call, attempts_made: 0, status_backoff: Duration::ZERO };
    let mut outcome = match caller.framing().length() {
        Some(0) => attempts.run(exchange, caller).await,
        // Boxed: only these requests have a body that is kept.
        _ => Box::pin(attempts.run_with_body(exchange, caller)).await,
    };
    if let Ok(response) = &mut outcome {
        for name in &route.config.removed_response_headers {
            response.head.remove(name.as_bytes());
        }
    }
    outcome
}

/// When the next attempt is made.
enum Retry {
    After(Duration),
    /// The retry budget is used up: only at a newer place, if it is known within this time.
    IfNewer(Duration),
}

/// The rounds of one exchange.
struct FabricLoop<'a> {
    call: FabricCall<'a>,
    attempts_made: u32,
    /// The pauses after responses so far.
    status_backoff: Duration,
}

impl FabricLoop<'_> {
    /// The request body is kept for another attempt, up to 64 KiB.
    async fn run_with_body(&mut self, exchange: &mut Exchange, caller: &mut dyn ClientBody) -> RouteResult {
        let charge = self.call.route.terms.buffer_charge(exchange);
        let mut caller = ReplayBody::new(caller, UNPROCESSED_REPLAY_BYTES, charge);
        let outcome = self.run(exchange, &mut caller).await;
        outcome.map(|response| Response { body: caller.with_remaining_upload(response.body), ..response })
    }

    async fn run(&mut self, exchange: &mut Exchange, caller: &mut dyn ClientBody) -> RouteResult {
        loop {
            let failure = match self.call.round(exchange, caller).await {
                Round::Final(outcome) => return outcome,
                Round::Failed(failure) => failure,
            };
            self.attempts_made += 1;
            let Some(retry) = self.next_retry(&failure, exchange) else {
                return self.give_up(*failure.outcome);
            };
            let pause = match retry {
                Retry::After(pause) => pause,
                Retry::IfNewer(limit) if self.becomes_newer(limit, caller).await? => Duration::ZERO,
                Retry::IfNewer(_) => return self.give_up(*failure.outcome),
            };
            self.call.route.metrics.count_retry(failure.cause.reason());
            if let Ok(response) = *failure.outcome {
                drain_response(response).await;
            }
            if !pause.is_zero() {
                self.pause(pause, caller).await?;
            }
            if Instant::now() >= self.call.deadline {
                return self.give_up(Err(timeout_error(self.call.route, self.call.service_name())));
            }
        }
    }

    /// When the next attempt is made; `None`: none is made.
    fn next_retry(&mut self, failure: &Failure, exchange: &Exchange) -> Option<Retry> {
        let config = &self.call.route.config;
        if config.max_attempts.is_some_and(|max| self.attempts_made >= max) {
            return None;
        }
        let now = Instant::now();
        let left = self.call.deadline.saturating_duration_since(now);
        let is_granted = self.is_granted(failure.cause, now);
        self.begin_newer();
        if !is_granted {
            return Some(Retry::IfNewer(self.backoff_left().min(left)));
        }
        if failure.cause.is_attempt() && self.call.has_other(exchange) {
            return Some(Retry::After(Duration::ZERO));
        }
        let pause = self.draw_pause(failure.cause);
        match pause < left {
            true => Some(Retry::After(pause)),
            false if config.is_strict => Some(Retry::After(left)),
            false => None,
        }
    }

    /// Whether the retry budget of the service allows another attempt. One after which nothing was sent costs nothing, and
    /// neither does one at a newer place.
    fn is_granted(&self, cause: FailureCause, now: Instant) -> bool {
        let used = self.call.used.as_ref();
        let is_outdated = used.is_some_and(|(partition, used)| partition.version() > used.version);
        let costs_nothing = !cause.is_attempt()
            || cause == FailureCause::Connect
            || self.call.route.config.is_strict
            || is_outdated;
        let found = self.call.found.as_ref();
        costs_nothing || found.is_none_or(|found| found.service.budget.withdraw(now, BUDGET))
    }

    /// What is left of the pauses after responses: together they take at most about as long as on average.
    fn backoff_left(&self) -> Duration {
        let config = &self.call.route.config;
        let doublings = config.max_attempts.unwrap_or(u32::MAX).saturating_sub(2);
        bound(config.min_backoff, Duration::MAX, doublings).saturating_sub(self.status_backoff)
    }

    /// A random pause, whose bound doubles with each attempt.
    fn draw_pause(&mut self, cause: FailureCause) -> Duration {
        let config = &self.call.route.config;
        if config.is_strict {
            return full_jitter(config.max_backoff, config.max_backoff, 0);
        }
        let pause = full_jitter(config.min_backoff, config.max_backoff, self.attempts_made.saturating_sub(1));
        let FailureCause::Status(_) = cause else { return pause };
        let pause = pause.min(self.backoff_left());
        self.status_backoff += pause;
        pause
    }

    /// Reports what was used as stale.
    fn begin_newer(&self) {
        if let (Some(found), Some((partition, used))) = (&self.call.found, &self.call.used) {
            self.call.route.resolver.begin_newer(&found.service, partition, used.version);
        }
    }

    /// Waits for the pause or for something newer, whichever comes first; then as long as the resolver holds the request.
    async fn pause(&self, pause: Duration, caller: &mut dyn ClientBody) -> Result<(), GatewayError> {
        let resolver = &self.call.route.resolver;
        let until = Instant::now() + pause;
        let (Some(found), Some((partition, used))) = (&self.call.found, &self.call.used) else {
            until_deadline(std::future::pending::<()>(), caller, Some(until)).await?;
            return Ok(());
        };
        let changed = resolver.wait_changed(partition, used.version);
        if until_deadline(changed, caller, Some(until)).await?.is_some() {
            return Ok(());
        }
        let newer = resolver.wait_newer(&found.service, partition, used.version);
        match until_deadline(newer, caller, Some(self.call.deadline)).await? {
            Some(Err(error)) if !error.is_temporary() => Err(self.call.resolve_error(error)),
            _ => Ok(()),
        }
    }

    /// Waits until something newer is known; whether that was within the limit.
    async fn becomes_newer(
        &mut self,
        limit: Duration,
        caller: &mut dyn ClientBody,
    ) -> Result<bool, GatewayError> {
        let Some((partition, used)) = &self.call.used else { return Ok(false) };
        let began_at = Instant::now();
        let changed = self.call.route.resolver.wait_changed(partition, used.version);
        let is_newer = until_deadline(changed, caller, Some(began_at + limit)).await?.is_some();
        self.status_backoff += began_at.elapsed();
        Ok(is_newer)
    }

    /// The last response or error, or a timeout as configured.
    fn give_up(&self, outcome: RouteResult) -> RouteResult {
        let route = self.call.route;
        route.metrics.count_exhausted();
        match route.config.when_exhausted {
            WhenExhausted::Timeout => Err(timeout_error(route, self.call.service_name())),
            WhenExhausted::LastAnswer => {
                outcome.map_err(|error| exhausted_error(route, self.call.service_name(), error))
            }
        }
    }
}
