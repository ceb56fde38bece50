//! The span of an attempt of a traced request.

use crate::{
    pipeline::{
        exchange::Exchange,
        response::{Response, RouteResult},
        trace_parent::set_span,
    },
    telemetry::{
        SpanId,
        trace::{Attribute, AttributeValue, RequestTrace, SpanEnd, SpanKind},
    },
};
use std::time::Instant;

/// Sends a new span to the backend, whose spans are below that of the attempt.
#[cold]
pub(super) fn begin_span(exchange: &mut Exchange) -> SpanId {
    let span_id = RequestTrace::new_span_id();
    if let Some(trace) = &exchange.trace {
        set_span(&mut exchange.request, trace.ids.trace_id, span_id);
    }
    span_id
}

/// Adds the span of an attempt that ends now.
#[cold]
pub(super) fn end_span(
    exchange: &mut Exchange,
    span_id: SpanId,
    started_at: Instant,
    endpoint: &str,
    outcome: &RouteResult,
) {
    let method = String::from_utf8_lossy(exchange.request.method()).into_owned();
    let status = outcome.as_ref().map(Response::status);
    let error = match status {
        Ok(status) if status >= 400 => Some(status.to_string()),
        Ok(_) => None,
        Err(error) => Some(error.code.name().to_owned()),
    };
    let mut attributes = vec![("http.request.method", AttributeValue::Text(method.clone()))];
    server_address(endpoint, &mut attributes);
    if let Ok(status) = status {
        attributes.push(("http.response.status_code", AttributeValue::Number(i64::from(status))));
    }
    if let Some(error) = &error {
        attributes.push(("error.type", AttributeValue::Text(error.clone())));
    }
    let resends = i64::from(exchange.record.attempts) - 1;
    if resends > 0 {
        attributes.push(("http.request.resend_count", AttributeValue::Number(resends)));
    }
    if let Some(trace) = &mut exchange.trace {
        trace.add_span(span_id, SpanKind::Client, started_at, SpanEnd { name: method, attributes, error });
    }
}

/// Host and port of an endpoint.
fn server_address(endpoint: &str, attributes: &mut Vec<Attribute>) {
    let port = endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let host = port.map_or(endpoint, |(host, _)| host);
    attributes.push(("server.address", AttributeValue::Text(host.to_owned())));
    if let Some((_, port)) = port {
        attributes.push(("server.port", AttributeValue::Number(i64::from(port))));
    }
}
