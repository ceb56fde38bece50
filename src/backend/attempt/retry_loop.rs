//! From an exchange to its response: attempts, retries, circuit breaker, budget, fallback. Read top to bottom.

use super::{
    breaker::{Admission, AdmissionGuard, BreakerConfig},
    config::{AttemptConfig, Http2},
    deadlines::Deadlines,
    endpoint_call::EndpointCall,
    fallback::Fallback,
    outcome::{attempt_outcome, classify_for_health, has_failed},
    request_buffer::{UNPROCESSED_REPLAY_BYTES, read_ahead},
    resilience::Resilience,
    span::{begin_span, end_span},
};
use crate::{
    backend::{cluster::Cluster, endpoint::Endpoint, selection::Selection},
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::{Body, ClientBody, Framing},
        cancel::sleep_until,
        collect::drain_received,
        error::{ErrorCode, Fault, GatewayError},
        exchange::Exchange,
        grpc,
        head::Version,
        replay::ReplayBody,
        response::{Response, RouteResult},
    },
    telemetry::Event,
};
use smallvec::SmallVec;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How many bytes of an unwanted response are read so that its connection can be reused.
const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// How many bytes of a request body are kept for the fallback cluster, whatever is kept for retries.
const FALLBACK_REPLAY_BYTES: usize = 64 * 1024;

/// The endpoints of the attempts, usually few.
type EndpointList = SmallVec<[Arc<Endpoint>; 4]>;

/// A selected endpoint, and the admission by its circuit breaker.
type EndpointChoice<'a> = (Selection, Option<(&'a BreakerConfig, Admission)>);

/// Sends the exchange to the cluster; returns as soon as the head of the response arrived.
pub async fn run(
    cluster: &Cluster,
    config: &AttemptConfig,
    hop: HopByHop,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    if config.version == Version::Http10 && caller.framing() == Framing::Chunked {
        return Err(GatewayError::new(
            ErrorCode::RequestLength,
            "the backend is called with HTTP/1.0, which requires a request body of known length",
        ));
    }
    let target = CallTarget { cluster, config, hop };
    let mut outcome = match &config.resilience {
        // Boxed: keeps the future of exchanges without resilience small.
        Some(resilience) => Box::pin(run_resilient(target, resilience, exchange, caller)).await,
        // Boxed: only these requests have a buffered body.
        None if target.buffers_body(caller) => Box::pin(run_buffered(target, exchange, caller)).await,
        None => {
            let selection = cluster.pick(&*exchange, &[])?;
            target.call_endpoint(selection, &mut Deadlines::new(exchange.now), exchange, caller).await
        }
    };
    cluster.set_session_cookie(exchange, &mut outcome);
    outcome
}

/// The only attempt of a request whose body is buffered.
async fn run_buffered(
    target: CallTarget<'_>,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let mut caller = ReplayBody::new(caller, UNPROCESSED_REPLAY_BYTES, target.config.buffer_charge(exchange));
    let started_at = read_ahead(target.config, target.read_ahead_bytes(), exchange, &mut caller).await?;
    let selection = target.cluster.pick(&*exchange, &[])?;
    let mut deadlines = Deadlines::new(started_at);
    let outcome = target.call_endpoint(selection, &mut deadlines, exchange, &mut caller).await;
    outcome.map(|response| Response { body: caller.with_remaining_upload(response.body), ..response })
}

/// Attempts until one succeeds or no more may be made; then the fallback.
async fn run_resilient(
    target: CallTarget<'_>,
    resilience: &Resilience,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let retry =
        resilience.retry.as_ref().filter(|retry| retry.is_retryable_method(exchange.request.method()));
    let for_retries = retry.map_or(0, |retry| retry.settings.max_replay_bytes);
    let has_fallback_cluster = resilience.fallback.as_ref().is_some_and(|f| f.cluster.is_some());
    let for_fallback = if has_fallback_cluster { FALLBACK_REPLAY_BYTES } else { 0 };
    let buffers_body = target.buffers_body(caller);
    let for_unprocessed = if buffers_body { UNPROCESSED_REPLAY_BYTES } else { 0 };
    let limit = for_retries.max(for_fallback).max(for_unprocessed);
    let mut caller = ReplayBody::new(caller, limit, target.config.buffer_charge(exchange));
    let started_at = match buffers_body {
        true => read_ahead(target.config, target.read_ahead_bytes(), exchange, &mut caller).await?,
        false => exchange.now,
    };
    let mut retries = RetryLoop {
        target,
        resilience,
        deadlines: Deadlines::new(started_at),
        tried: EndpointList::new(),
        attempts_made: 0,
    };
    if let Some(retry) = retry.filter(|retry| retry.settings.budget.is_some()) {
        retry.budget.deposit(Instant::now());
    }
    let mut outcome = retries.run(exchange, &mut caller).await;
    let is_per_try_timeout = retries.deadlines.is_per_try_timeout;
    if let Some(fallback) = resilience.fallback.as_ref().filter(|f| f.applies_to(&outcome)) {
        resilience.metrics.count(Event::Fallback);
        outcome = retries.fall_back(fallback, outcome, exchange, &mut caller).await;
    }
    let outcome =
        outcome.map(|response| Response { body: caller.with_remaining_upload(response.body), ..response });
    to_ocelot_response(resilience, is_per_try_timeout, exchange, outcome)
}

/// The retry loop of one exchange.
struct RetryLoop<'a> {
    target: CallTarget<'a>,
    resilience: &'a Resilience,
    deadlines: Deadlines,
    tried: EndpointList,
    attempts_made: u32,
}

impl<'a> RetryLoop<'a> {
    async fn run(&mut self, exchange: &mut Exchange, caller: &mut ReplayBody<'_>) -> RouteResult {
        loop {
            let outcome = self.attempt_once(exchange, caller).await;
            self.attempts_made += 1;
            let Some(delay) = self.next_delay(&outcome, exchange, caller) else { return outcome };
            if let Ok(response) = outcome {
                drain_response(response).await;
            }
            if !delay.is_zero() && !sleep_until(caller, Instant::now() + delay).await {
                return Err(GatewayError::client_closed());
            }
        }
    }

    /// One attempt; reports its result to the circuit breakers.
    async fn attempt_once(&mut self, exchange: &mut Exchange, caller: &mut ReplayBody<'_>) -> RouteResult {
        let (now, resilience) = (Instant::now(), self.resilience);
        let route_admission = resilience.admit(now)?;
        let (selection, admission) = self.pick(exchange, now)?;
        let endpoint = selection.endpoint.clone();
        let endpoint_admission = admission
            .map(|(config, admission)| AdmissionGuard::new(&endpoint.state.breaker, config, admission));
        self.deadlines.start_attempt(now, resilience.per_try_timeout());
        let trial = |guard: &Option<AdmissionGuard>| guard.as_ref().and_then(AdmissionGuard::trial);
        self.deadlines.set_trials(trial(&route_admission), trial(&endpoint_admission));
        self.set_deadline_header(exchange, now);
        let outcome = self.target.call_endpoint(selection, &mut self.deadlines, exchange, caller).await;
        let failed = has_failed(&outcome).filter(|failed| !failed || !self.deadlines.is_held_by_client());
        if let Some(admission) = route_admission {
            resilience.report(admission, failed, "the cluster");
        }
        if let Some(admission) = endpoint_admission {
            resilience.report(admission, failed, &endpoint.label);
        }
        self.tried.push(endpoint.clone());
        outcome
    }

    /// Selects an endpoint that was not tried and whose circuit breaker admits, or else one that was tried.
    fn pick(&self, exchange: &Exchange, now: Instant) -> Result<EndpointChoice<'a>, GatewayError> {
        let (resilience, cluster) = (self.resilience, self.target.cluster);
        let Some(config) = resilience.endpoint_breaker() else {
            return Ok((cluster.pick(exchange, &self.tried)?, None));
        };
        let (mut open, mut retry_after) = (EndpointList::new(), Duration::ZERO);
        for avoids_tried in [true, false] {
            loop {
                let mut avoided = open.clone();
                avoided.extend(self.tried.iter().filter(|_| avoids_tried).cloned());
                let selection = cluster.pick(exchange, &avoided)?;
                if avoided.iter().any(|other| Arc::ptr_eq(other, &selection.endpoint)) {
                    break;
                }
                match selection.endpoint.state.breaker.admit(now) {
                    Ok(admission) => return Ok((selection, Some((config, admission)))),
                    Err(wait) if retry_after.is_zero() => retry_after = wait,
                    Err(wait) => retry_after = retry_after.min(wait),
                }
                open.push(selection.endpoint);
            }
        }
        Err(resilience.breaker_open_error(retry_after))
    }

    /// Whether and after which delay another attempt is made.
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
        let event = retry.retry_reason(outcome).filter(|_| !self.deadlines.is_held_by_client())?;
        let now = Instant::now();
        let delay = retry
            .backoff_delay(self.attempts_made)
            .max(retry.server_retry_after(outcome).unwrap_or_default());
        let is_too_late = self.remaining_time(now) <= delay;
        if is_too_late || self.resilience.is_open(now) {
            return None;
        }
        if retry.settings.budget.is_some_and(|budget| !retry.budget.withdraw(now, budget)) {
            self.resilience.metrics.count(Event::BudgetExhausted);
            return None;
        }
        self.resilience.metrics.count(event);
        caller.rewind().then_some(delay)
    }

    /// The time until the deadline of the exchange.
    fn remaining_time(&self, now: Instant) -> Duration {
        (self.deadlines.started_at + self.target.config.timeout).saturating_duration_since(now)
    }

    /// Sends the remaining time to the backend, if a header is configured for it.
    fn set_deadline_header(&self, exchange: &mut Exchange, now: Instant) {
        let Some(name) = &self.resilience.deadline_header else { return };
        let remaining_ms = self.remaining_time(now).as_millis().min(99_999_999) as u64;
        if name.eq_ignore_ascii_case("grpc-timeout") {
            let requested = exchange.request.get(b"grpc-timeout").and_then(grpc::timeout);
            // A shorter timeout of the client stays.
            if requested.is_none_or(|requested| requested > Duration::from_millis(remaining_ms)) {
                exchange.request.set(name.as_bytes(), format!("{remaining_ms}m").as_bytes());
            }
        } else {
            exchange.request.remove(name.as_bytes());
            exchange.request.append_number(name.as_bytes(), remaining_ms);
        }
    }

    /// The response of the fallback cluster; if there is no such cluster or it fails too, the static response.
    async fn fall_back(
        &mut self,
        fallback: &Fallback,
        failed: RouteResult,
        exchange: &mut Exchange,
        caller: &mut ReplayBody<'_>,
    ) -> RouteResult {
        exchange.record.error_code = failed.as_ref().err().map(|error| error.code);
        let mut outcome = failed;
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

    /// One attempt with the fallback cluster, in the remaining time.
    async fn call_fallback_cluster(
        &mut self,
        cluster: &Cluster,
        exchange: &mut Exchange,
        caller: &mut ReplayBody<'_>,
    ) -> RouteResult {
        let now = Instant::now();
        let selection = cluster.pick(&*exchange, &[])?;
        self.deadlines.start_attempt(now, self.resilience.per_try_timeout());
        self.set_deadline_header(exchange, now);
        let target = CallTarget { cluster, ..self.target };
        target.call_endpoint(selection, &mut self.deadlines, exchange, caller).await
    }
}

/// What all attempts with a cluster have in common.
#[derive(Clone, Copy)]
pub(super) struct CallTarget<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) config: &'a AttemptConfig,
    pub(super) hop: HopByHop,
}

impl CallTarget<'_> {
    /// Whether the beginning of the request body is buffered: HTTP/2 backends report requests that they did not process,
    /// and a limited connection is not taken for a client that sends slowly.
    fn buffers_body(self, caller: &dyn ClientBody) -> bool {
        let is_useful = self.config.http2 != Http2::Never || self.read_ahead_bytes() > 0;
        is_useful && !self.hop.websocket && caller.framing().length() != Some(0)
    }

    /// How much of the request body is received before a connection is taken.
    fn read_ahead_bytes(self) -> usize {
        if self.cluster.limits_connections() { self.config.request_buffer_bytes } else { 0 }
    }

    /// Calls one endpoint, and reports the result to the cluster.
    pub(super) async fn call_endpoint(
        self,
        selection: Selection,
        deadlines: &mut Deadlines,
        exchange: &mut Exchange,
        caller: &mut dyn ClientBody,
    ) -> RouteResult {
        let Selection { endpoint, in_flight } = selection;
        exchange.record.endpoint = Some(endpoint.label.clone());
        exchange.record.endpoint_secure = endpoint.transport_for(exchange).transport.tls.is_some();
        let (started_at, called_at) = (deadlines.attempt_started_at, Instant::now());
        let span_id = exchange.trace.is_some().then(|| begin_span(exchange));
        let call = EndpointCall::new(&endpoint, self.config, self.hop, deadlines);
        let outcome = call.send_with_reconnect(in_flight, exchange, caller).await;
        let outcome = outcome.map_err(|error| call_error(error, deadlines));
        // The time in which the client was waited for is not that of the backend.
        let client_wait = deadlines.client_wait();
        exchange.record.client_wait += client_wait;
        let now =
            exchange.record.end_attempt(called_at + client_wait, outcome.as_ref().map(Response::status));
        if let Some(span_id) = span_id {
            end_span(exchange, span_id, called_at, &endpoint.label, &outcome);
        }
        self.cluster.attempts.count(exchange.worker, attempt_outcome(&outcome));
        let report = classify_for_health(&outcome, deadlines);
        self.cluster.record(&endpoint, report, started_at + client_wait, now);
        outcome
    }
}

/// The error of a call: that of the client, if the backend waited for it.
#[cold]
pub(super) fn call_error(error: GatewayError, deadlines: &Deadlines) -> GatewayError {
    let is_held = error.code.fault() == Fault::Backend && deadlines.is_held_by_client();
    if is_held { stalled_client_error(&error) } else { error }
}

/// The error of a backend that gave up while it waited for the request body of a stalled client.
fn stalled_client_error(error: &GatewayError) -> GatewayError {
    let detail = format!("the request body stalled until the backend gave up: {}", error.detail);
    GatewayError::new(ErrorCode::RequestTimeout, detail)
}

/// Reads what already arrived of a response, so that its connection can be reused; a longer one is closed.
pub(super) async fn drain_response(response: Response) {
    if let Body::Stream(body) = response.body {
        drain_received(body, MAX_DRAIN_BYTES).await;
    }
}

/// In Ocelot mode, an open circuit breaker and a timeout yield a text response like any other: it is cached and
/// transformed.
fn to_ocelot_response(
    resilience: &Resilience,
    is_per_try_timeout: bool,
    exchange: &mut Exchange,
    outcome: RouteResult,
) -> RouteResult {
    let error = match outcome {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let Some(route) = resilience.quality.as_ref().and_then(|quality| quality.ocelot.as_deref()) else {
        return Err(error);
    };
    let reason = match error.code {
        ErrorCode::BackendCircuitOpen => "Circuit breaker is open",
        ErrorCode::BackendTimeout | ErrorCode::BackendConnectTimeout if is_per_try_timeout => {
            "Request timeout"
        }
        _ => return Err(error),
    };
    exchange.record.error_code = Some(error.code);
    let mut response =
        Response::local(503, "text/plain; charset=utf-8", format!("{reason} for route -> {route}"));
    response.head.set_status(503, reason.as_bytes());
    Ok(response)
}
