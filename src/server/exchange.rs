//! One exchange: a request, its response, and the action on the connection after it. The same for HTTP/1.1 connections,
//! which serve one exchange after the other, and for HTTP/2 streams, which are served concurrently.

use super::{
    accounting::{RecordLabels, log_access, request_end},
    context::{Context, NextAction},
    dispatch::dispatch,
    respond::{error_response, send_final_response, send_response},
    trace,
};
use crate::{
    net::{
        client_io::{ClientIo, RemovedParts},
        h1::hop_by_hop::{self, HopByHop},
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::{Head, KnownHeader, Version},
        response::{Response, RouteResult},
    },
    plan::{Route, Target, roles::Source, telemetry::PlanTelemetry, transport::HttpAdmission},
    telemetry::{HeaderValues, Removed, RequestEnd},
};
use std::time::Instant;

/// Longest value of `Referer` and `User-Agent` in the combined format.
const MAX_CLIENT_HEADER_BYTES: usize = 1024;

/// Serves one request.
pub async fn handle_exchange<C: ClientIo>(conn: &mut C, mut ctx: Context<'_>) -> NextAction {
    let for_head = ctx.exchange.request.method() == b"HEAD";
    let hop = match ctx.begin() {
        Ok(hop) => hop,
        Err(cause) => return reject_request(conn, ctx, cause).await,
    };
    // No function around this: each one moves the future of the exchange once more.
    let (route, outcome) = match ctx.early_response() {
        Some(outcome) => (None, outcome),
        None => dispatch(ctx.exchange, ctx.plan, hop, conn).await,
    };
    let response = match outcome {
        Ok(response) => {
            ctx.count_own_error(route.as_deref());
            Some(response)
        }
        Err(cause) => error_response(&mut ctx, cause),
    };
    let next = match response {
        Some(Response { head, upgrade: Some(upgrade), .. }) if head.status == 101 => {
            ctx.exchange.record.status = 101;
            conn.send_upgrade(&head, upgrade.peer.protocol());
            NextAction::Tunnel(upgrade, route.as_ref().map_or_else(|| "".into(), |route| route.label.clone()))
        }
        Some(mut response) => {
            ctx.connection.add_hsts(&mut response);
            let keep = ctx.can_keep_alive(conn, hop) && !response.close_connection;
            let pace = route.as_ref().map(|route| route.pace);
            send_response(conn, &mut ctx, response, for_head, keep, pace).await
        }
        None => NextAction::Close,
    };
    ctx.finish(conn, route.as_deref(), next)
}

/// Responds to a head that is not an acceptable request. The connection ends, because the start of the next request is
/// unknown.
pub async fn reject_request<C: ClientIo>(
    conn: &mut C,
    mut ctx: Context<'_>,
    cause: GatewayError,
) -> NextAction {
    ctx.exchange.now = Instant::now();
    let unrouted = ctx.worker.gateway.metrics().unrouted();
    unrouted.begin(ctx.worker.index);
    ctx.enable_record();
    let next = match error_response(&mut ctx, cause) {
        Some(response) => send_final_response(conn, &mut ctx, response).await,
        None => NextAction::Close,
    };
    let end = request_end(conn, ctx.exchange, Instant::now());
    ctx.report(conn, None, &end);
    next
}

impl Context<'_> {
    /// Prepares the exchange for routing.
    fn begin(&mut self) -> Result<HopByHop, GatewayError> {
        self.exchange.now = Instant::now();
        self.capture_access_fields();
        let hop = hop_by_hop::strip(&mut self.exchange.request, self.plan.limits.connection_options)
            .map_err(|error| GatewayError::new(ErrorCode::RequestHeaders, error.detail()))?;
        self.exchange.is_websocket = hop.websocket;
        self.exchange.runtime = Some(self.plan.clone());
        Ok(hop)
    }

    /// The response that does not depend on a route. A redirect leads to the host that a trusted proxy reports.
    fn early_response(&mut self) -> Option<RouteResult> {
        let admission = self.connection.admission();
        if (self.connection.redirects() || admission.is_some())
            && let Err(cause) = self.plan.accept_client_fields(self.exchange)
        {
            return Some(Err(cause));
        }
        if let Some(cause) = admission.and_then(|admission| self.deny(admission)) {
            return Some(Err(cause));
        }
        self.connection.early_response(self.exchange)
    }

    /// The error of a client that may not use the endpoint of a role; the rules of the current plan decide.
    #[cold]
    fn deny(&self, admission: &HttpAdmission) -> Option<GatewayError> {
        let client = &self.exchange.client;
        if !admission.admission.admits(client.ip) {
            return Some(GatewayError::new(ErrorCode::AccessIpDenied, "the client address is not admitted"));
        }
        let guard = admission.guard.as_ref()?;
        let source = Source {
            certificate: client.certificate.as_deref(),
            subject: None,
            address: client.ip.to_canonical(),
        };
        let denied = || {
            GatewayError::new(
                ErrorCode::RoleDenied,
                format!("traffic rules do not allow access to {}", guard.name),
            )
        };
        (!self.plan.roles.admits(&guard.name, &source)).then(denied)
    }

    /// Counts and logs the exchange. A tunnel is logged when it ends.
    fn finish(&mut self, conn: &impl ClientIo, route: Option<&Route>, next: NextAction) -> NextAction {
        let now = Instant::now();
        let end = request_end(conn, self.exchange, now);
        self.count_removed(conn.removed());
        if let NextAction::Tunnel(..) = next {
            self.count(route, &end);
            return next;
        }
        self.report(conn, route, &end);
        if let NextAction::KeepAlive(_) = next { NextAction::KeepAlive(now) } else { next }
    }

    /// Counts the exchange, writes its record and ends its trace.
    fn report(&mut self, conn: &impl ClientIo, route: Option<&Route>, end: &RequestEnd) {
        self.count(route, end);
        if !self.exchange.record.enabled {
            return;
        }
        let telemetry = &self.plan.telemetry;
        let is_unrouted = route.is_none() && self.exchange.trace.is_none();
        if let Some(tracer) = telemetry.tracer.as_ref().filter(|_| is_unrouted) {
            trace::begin_unrouted(tracer, self.exchange);
        }
        let labels = RecordLabels::new(self.connection, route);
        log_access(conn, self.exchange, self.worker, &telemetry.access_logs, labels, end);
        if self.exchange.trace.is_some() {
            trace::finish(self.exchange, labels, route, end, conn.version().as_str());
        }
    }

    /// Counts an error that a program, or the data plane of a hub, reports in its own form.
    fn count_own_error(&self, route: Option<&Route>) {
        let (Some(code), Some(route)) = (self.exchange.record.error_code, route) else { return };
        if route.program.is_some() || matches!(route.target, Target::Hub(_)) {
            self.worker.gateway.metrics().record_error(code.name());
        }
    }

    fn count(&self, route: Option<&Route>, end: &RequestEnd) {
        let metrics = route.map_or(self.worker.gateway.metrics().unrouted(), |route| &route.metrics);
        metrics.end(self.worker.index, end);
    }

    fn count_removed(&self, removed: RemovedParts) {
        let RemovedParts { trailers, informational } = removed;
        if trailers + informational > 0 {
            let removals = self.worker.gateway.metrics().removals();
            removals.count(self.worker.index, Removed::TrailerField, trailers);
            removals.count(self.worker.index, Removed::InformationalResponse, informational);
        }
    }

    /// Whether another request may follow on this connection.
    fn can_keep_alive(&self, conn: &impl ClientIo, hop: HopByHop) -> bool {
        let requested = !hop.close && (conn.version() >= Version::Http11 || hop.keep_alive);
        requested
            && conn.requests_served() < self.plan.limits.requests_per_connection
            && !self.worker.gateway.drain.is_on()
            && !self.connection.is_outdated()
    }

    /// Determines whether the exchange has a record.
    fn enable_record(&mut self) {
        let record = &mut self.exchange.record;
        record.policy = self.plan.telemetry.record.policy;
        let PlanTelemetry { access_logs, tracer, .. } = &self.plan.telemetry;
        record.enabled =
            !access_logs.is_empty() || tracer.is_some() || self.worker.gateway.metrics().feed().is_active();
    }

    /// Records the values that routes match on, and the fields of the access log, before stages change them.
    fn capture_access_fields(&mut self) {
        if self.plan.uses_listener_names {
            self.exchange.client.listener = Some(self.connection.listener());
        }
        self.exchange.client.escaped_separators = self.connection.escaped_separators();
        self.enable_record();
        if self.exchange.record.enabled {
            let Exchange { request, record, .. } = &mut *self.exchange;
            record.path.extend_from_slice(request.original_path());
            record.method.extend_from_slice(request.method());
            record.host.extend_from_slice(request.get_known(KnownHeader::Host).unwrap_or_default());
            if self.plan.telemetry.records_client_headers {
                record_client_headers(request, &mut record.request_headers);
            }
        }
    }
}

/// Records the headers of the combined format.
fn record_client_headers(request: &Head, recorded: &mut HeaderValues) {
    for (name, field) in [("referer", &b"Referer"[..]), ("user-agent", b"User-Agent")] {
        if let Some(value) = request.get(field) {
            recorded.push(name, &value[..value.len().min(MAX_CLIENT_HEADER_BYTES)]);
        }
    }
}

#[cfg(test)]
mod tests;
