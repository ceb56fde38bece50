//! The loop over attempts, and what stands around each of them: circuits, time limits, the budget.

use super::{
    AttemptConfig, Deadlines,
    breaker::{AdmissionGuard, BreakerConfig as BreakerSettings},
    call_endpoint,
    fallback::Fallback,
    resilience::Resilience,
};
use crate::{
    backend::{
        cluster::{Cluster, Selection},
        endpoint::Endpoint,
    },
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::{Body, Chunk, ClientBody},
        error::{ErrorCode, Fault, GatewayError},
        exchange::Exchange,
        grpc,
        replay::ReplayBody,
        response::{Response, RouteResult},
    },
    telemetry::Event,
};
use smallvec::SmallVec;
use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// What is read of an answer that nobody wants, so that its connection can be used again.
const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// What is kept of a request body for the other cluster, whatever is kept for retries.
const INLINE_ENDPOINTS: usize = 64 * 1024;

/// Endpoints, few of them.
type EndpointList = SmallVec<[Arc<Endpoint>; 4]>;

/// Attempts until one is good enough, or no more may be made.
pub async fn run(
    cluster: &Cluster,
    terms: &AttemptConfig,
    care: &Resilience,
    hop: HopByHop,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let retry = care.retry.as_ref().filter(|retry| retry.is_retryable_method(exchange.request.method()));
    let other = care.fallback.as_ref().is_some_and(|fallback| fallback.cluster.is_some());
    let kept = retry.map_or(0, |retry| retry.settings.max_replay_bytes).max(if other {
        INLINE_ENDPOINTS
    } else {
        0
    });
    let mut caller = ReplayBody::new(caller, kept);
    let mut tries = RetryLoop {
        cluster,
        terms,
        resilience: care,
        hop,
        time: Deadlines::new(exchange.now),
        tried: EndpointList::new(),
        attempts_made: 0,
    };
    if let Some(retry) = retry.filter(|retry| retry.settings.budget.is_some()) {
        retry.budget.deposit(Instant::now());
    }
    let mut outcome = tries.run(exchange, &mut caller).await;
    let overdue = tries.time.is_per_try_timeout;
    if let Some(fallback) = care.fallback.as_ref().filter(|fallback| fallback.applies_to(&outcome)) {
        care.metrics.count(Event::Fallback);
        outcome = tries.fall_back(fallback, outcome, exchange, &mut caller).await;
    }
    let outcome =
        outcome.map(|answer| Response { body: caller.with_remaining_upload(answer.body), ..answer });
    to_ocelot_response(care, overdue, exchange, outcome)
}

/// Attempts with one cluster.
struct RetryLoop<'a> {
    cluster: &'a Cluster,
    terms: &'a AttemptConfig,
    resilience: &'a Resilience,
    hop: HopByHop,
    time: Deadlines,
    tried: EndpointList,
    attempts_made: u32,
}

impl<'a> RetryLoop<'a> {
    async fn run(&mut self, exchange: &mut Exchange, caller: &mut ReplayBody<'_>) -> RouteResult {
        loop {
            let outcome = self.attempt_once(exchange, caller).await;
            self.attempts_made += 1;
            let Some(pause) = self.next_delay(&outcome, exchange, caller) else { return outcome };
            if let Ok(answer) = outcome {
                drain_response(answer).await;
            }
            if !pause.is_zero() && !sleep_unless_closed(caller, Instant::now() + pause).await {
                return Err(GatewayError::client_closed());
            }
        }
    }

    /// One attempt, its result told to the circuits.
    async fn attempt_once(&mut self, exchange: &mut Exchange, caller: &mut ReplayBody<'_>) -> RouteResult {
        let (now, care) = (Instant::now(), self.resilience);
        let pass = care.admit(now)?;
        let picked = self.pick(exchange, now)?;
        let endpoint = picked.0.endpoint.clone();
        let inner =
            picked.1.map(|(settings, ticket)| AdmissionGuard::new(&endpoint.state.breaker, settings, ticket));
        (self.time.per_try_deadline, self.time.total_timeout, self.time.is_per_try_timeout) =
            (now, care.per_try_timeout(), false);
        self.set_deadline_header(exchange, now);
        let outcome =
            call_endpoint(self.cluster, picked.0, self.terms, self.hop, &mut self.time, exchange, caller)
                .await;
        let failed = has_failed(&outcome);
        if let Some(pass) = pass {
            care.report(pass, failed, "the service");
        }
        if let Some(pass) = inner {
            care.report(pass, failed, &endpoint.label);
        }
        self.tried.push(endpoint.clone());
        outcome
    }

    /// The answer of the other cluster; if there is none, or it fails too, the fixed one.
    async fn fall_back(
        &mut self,
        fallback: &Fallback,
        first: RouteResult,
        exchange: &mut Exchange,
        caller: &mut ReplayBody<'_>,
    ) -> RouteResult {
        exchange.record.error_code = first.as_ref().err().map(|cause| cause.why.name());
        let mut outcome = first;
        if let Some(cluster) = fallback.cluster.as_ref().filter(|_| caller.rewind()) {
            outcome = self.call_fallback_cluster(cluster, exchange, caller).await;
        }
        match &fallback.settings.reply {
            Some(reply) if fallback.cluster.is_none() || fallback.applies_to(&outcome) => {
                Ok(reply.static_response())
            }
            _ => outcome,
        }
    }

    /// One attempt with another cluster, in what is left of the time.
    async fn call_fallback_cluster(
        &mut self,
        cluster: &Cluster,
        exchange: &mut Exchange,
        caller: &mut ReplayBody<'_>,
    ) -> RouteResult {
        let now = Instant::now();
        let picked = cluster.pick(exchange, &[])?;
        (self.time.per_try_deadline, self.time.total_timeout, self.time.is_per_try_timeout) =
            (now, self.resilience.per_try_timeout(), false);
        self.set_deadline_header(exchange, now);
        call_endpoint(cluster, picked, self.terms, self.hop, &mut self.time, exchange, caller).await
    }

    /// An endpoint that was not tried yet and whose circuit is not open, if there is one; else one that was tried.
    fn pick(&self, exchange: &Exchange, now: Instant) -> Result<EndpointChoice<'a>, GatewayError> {
        let care: &'a Resilience = self.resilience;
        let Some(settings) = care.endpoint_breaker() else {
            return Ok((self.cluster.pick(exchange, &self.tried)?, None));
        };
        let (mut shut, mut wait) = (EndpointList::new(), Duration::ZERO);
        for avoids_tried in [true, false] {
            loop {
                let mut avoided = shut.clone();
                avoided.extend(self.tried.iter().filter(|_| avoids_tried).cloned());
                let picked = self.cluster.pick(exchange, &avoided)?;
                if avoided.iter().any(|other| Arc::ptr_eq(other, &picked.endpoint)) {
                    break;
                }
                match picked.endpoint.state.breaker.admit(now) {
                    Ok(ticket) => return Ok((picked, Some((settings, ticket)))),
                    Err(time) => wait = if wait.is_zero() { time } else { wait.min(time) },
                }
                shut.push(picked.endpoint);
            }
        }
        Err(care.breaker_open_error(wait))
    }

    /// Whether another attempt is made, and after what time.
    fn next_delay(
        &self,
        outcome: &RouteResult,
        exchange: &Exchange,
        caller: &mut ReplayBody<'_>,
    ) -> Option<Duration> {
        let retry = self.resilience.retry.as_ref()?;
        if self.attempts_made >= retry.settings.max_attempts
            || !retry.is_retryable_method(exchange.request.method())
            || !caller.is_replayable()
        {
            return None;
        }
        let event = retry.retry_reason(outcome)?;
        let now = Instant::now();
        let pause = retry
            .backoff_delay(self.attempts_made)
            .max(retry.server_retry_after(outcome).unwrap_or_default());
        let too_late = self.remaining_time(now) <= pause;
        if too_late || self.resilience.is_open(now) {
            return None;
        }
        if retry.settings.budget.is_some_and(|allowed| !retry.budget.withdraw(now, allowed)) {
            self.resilience.metrics.count(Event::BudgetExhausted);
            return None;
        }
        self.resilience.metrics.count(event);
        caller.rewind().then_some(pause)
    }

    /// What is left of the time of the exchange.
    fn remaining_time(&self, now: Instant) -> Duration {
        (self.time.started_at + self.terms.timeout).saturating_duration_since(now)
    }

    /// Lets the service know how much time is left, if it wants to.
    fn set_deadline_header(&self, exchange: &mut Exchange, now: Instant) {
        let Some(name) = &self.resilience.deadline_header else { return };
        let left = self.remaining_time(now).as_millis().min(99_999_999) as u64;
        if name.eq_ignore_ascii_case("grpc-timeout") {
            let asked = exchange.request.get(b"grpc-timeout").and_then(grpc::timeout);
            // A client that has less patience keeps what it said.
            if asked.is_none_or(|asked| asked > Duration::from_millis(left)) {
                exchange.request.set(name.as_bytes(), format!("{left}m").as_bytes());
            }
        } else {
            exchange.request.remove(name.as_bytes());
            exchange.request.append_number(name.as_bytes(), left);
        }
    }
}

/// An endpoint, and what its circuit wants to hear of.
type EndpointChoice<'a> = (Selection, Option<(&'a BreakerSettings, super::breaker::Admission)>);

/// Whether the service failed; `None` if it was not its doing (Ocelot's list of statuses, spec section 12.2).
fn has_failed(outcome: &RouteResult) -> Option<bool> {
    match outcome {
        Ok(answer) => Some(matches!(answer.status(), 500..=508)),
        Err(GatewayError { why: ErrorCode::BackendNoEndpoint | ErrorCode::BackendCircuitOpen, .. }) => None,
        Err(cause) => (cause.why.fault() == Fault::Backend).then_some(true),
    }
}

/// Takes what is already there of an answer, so that its connection may serve again; a long one is closed.
async fn drain_response(answer: Response) {
    let Body::Stream(mut body) = answer.body else { return };
    let mut left = MAX_DRAIN_BYTES;
    let ended = poll_fn(|cx| {
        while left > 0 {
            let n = match body.poll_fill(cx) {
                Poll::Ready(Ok(Chunk::Data(data))) => data.len(),
                Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(true),
                _ => break,
            };
            body.consume(n);
            left = left.saturating_sub(n);
        }
        Poll::Ready(false)
    });
    if ended.await {
        body.finish();
    }
}

/// Waits until then; false if the client left meanwhile.
async fn sleep_unless_closed(caller: &mut dyn ClientBody, until: Instant) -> bool {
    poll_fn(|cx| {
        if caller.poll_closed(cx).is_ready() {
            return Poll::Ready(false);
        }
        caller.poll_deadline(cx, until).map(|()| true)
    })
    .await
}

/// Ocelot answers for its circuit and its time limit with a text, which is an answer like any other: cached, transformed.
fn to_ocelot_response(
    care: &Resilience,
    overdue: bool,
    exchange: &mut Exchange,
    outcome: RouteResult,
) -> RouteResult {
    let cause = match outcome {
        Ok(answer) => return Ok(answer),
        Err(cause) => cause,
    };
    let Some(route) = care.quality.as_ref().and_then(|quality| quality.ocelot.as_deref()) else {
        return Err(cause);
    };
    let said = match cause.why {
        ErrorCode::BackendCircuitOpen => "Circuit breaker is open",
        ErrorCode::BackendTimeout | ErrorCode::BackendConnectTimeout if overdue => "Request timeout",
        _ => return Err(cause),
    };
    exchange.record.error_code = Some(cause.why.name());
    let mut answer =
        Response::local(503, "text/plain; charset=utf-8", format!("{said} for route -> {route}"));
    answer.head.set_status(503, said.as_bytes());
    Ok(answer)
}
