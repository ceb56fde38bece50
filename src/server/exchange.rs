//! One exchange: a request, its response, and the action on the connection after it. The same for HTTP/1.1 connections,
//! which serve one exchange after the other, and for HTTP/2 streams, which are served concurrently.

use super::{
    context::{Context, NextAction},
    dispatch::dispatch,
    respond::{error_response, log_access, send_final_response, send_response},
};
use crate::{
    net::{
        client_io::{ClientIo, RemovedParts},
        h1::hop_by_hop::{self, HopByHop},
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::{KnownHeader, Version},
        response::Response,
    },
    telemetry::Removed,
};
use std::time::Instant;

/// Serves one request.
pub async fn handle_exchange<C: ClientIo>(conn: &mut C, mut ctx: Context<'_>) -> NextAction {
    let for_head = ctx.exchange.request.method() == b"HEAD";
    let hop = match ctx.begin() {
        Ok(hop) => hop,
        Err(cause) => return reject_request(conn, ctx, cause).await,
    };
    // No function around this: each one moves the future of the exchange once more.
    let (route, outcome) = match ctx.connection.early_response(ctx.exchange) {
        Some(outcome) => (None, outcome),
        None => dispatch(ctx.exchange, ctx.plan, hop, conn).await,
    };
    let response = match outcome {
        Ok(response) => Some(response),
        Err(cause) => error_response(&mut ctx, cause),
    };
    let next = match response {
        Some(Response { head, upgrade: Some(upgrade), .. }) if head.status == 101 => {
            ctx.exchange.record.status = 101;
            conn.send_upgrade(&head);
            NextAction::Tunnel(
                Box::new(upgrade),
                route.as_ref().map_or_else(|| "".into(), |route| route.label.clone()),
            )
        }
        Some(mut response) => {
            ctx.connection.add_hsts(&mut response);
            let keep = ctx.can_keep_alive(conn, hop) && !response.close_connection;
            let buffer_bytes = route.as_ref().map_or(0, |route| route.response_buffer_bytes);
            send_response(conn, &mut ctx, response, for_head, keep, buffer_bytes).await
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
    ctx.exchange.record.enabled = ctx.plan.access_log;
    let next = match error_response(&mut ctx, cause) {
        Some(response) => send_final_response(conn, &mut ctx, response).await,
        None => NextAction::Close,
    };
    let now = Instant::now();
    unrouted.end(ctx.worker.index, ctx.exchange.record.status, now - ctx.exchange.now);
    log_access(conn, ctx.exchange, ctx.worker, "", now);
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
        self.exchange.body.min_rate = self.plan.limits.min_request_rate;
        Ok(hop)
    }

    /// Counts and logs the exchange. A tunnel is logged when it ends.
    fn finish(
        &self,
        conn: &impl ClientIo,
        route: Option<&crate::plan::Route>,
        next: NextAction,
    ) -> NextAction {
        let (now, exchange) = (Instant::now(), &*self.exchange);
        let metrics = route.map_or(self.worker.gateway.metrics().unrouted(), |route| &route.metrics);
        metrics.end(self.worker.index, exchange.record.status, now - exchange.now);
        self.count_removed(conn.removed());
        if let NextAction::Tunnel(..) = next {
            return next;
        }
        log_access(conn, exchange, self.worker, route.map_or("", |route| &route.label), now);
        if let NextAction::KeepAlive(_) = next { NextAction::KeepAlive(now) } else { next }
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

    /// Records the values that routes match on, and the fields of the access log, before stages change them.
    fn capture_access_fields(&mut self) {
        if self.plan.matches_by_listener {
            self.exchange.client.listener = Some(self.connection.listener());
        }
        self.exchange.client.escaped_separators = self.connection.escaped_separators();
        self.exchange.record.enabled = self.plan.access_log;
        if self.plan.access_log {
            let Exchange { request, record, .. } = &mut *self.exchange;
            record.path.extend_from_slice(request.original_path());
            record.method.extend_from_slice(request.method());
            record.host.extend_from_slice(request.get_known(KnownHeader::Host).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests;
