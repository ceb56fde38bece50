//! The end of the trace of an exchange.

use super::accounting::RecordLabels;
use crate::{
    pipeline::{
        exchange::Exchange,
        head::KnownHeader,
        trace_parent::{TRACESTATE, parse_traceparent, trace_parent},
    },
    plan::Route,
    telemetry::{
        RequestEnd, SpanId, TraceId, TraceIds,
        trace::{Attribute, AttributeValue, SpanEnd, SpanKind, Tracer},
    },
};
use std::sync::Arc;

/// Begins the trace of a request that was rejected before its route was known, so that it has a span too.
pub fn begin_unrouted(tracer: &Arc<Tracer>, exchange: &mut Exchange) {
    let parent = parse_traceparent(&exchange.request).and_then(trace_parent);
    let trace_id = parent.map_or_else(|| TraceId(fastrand::u128(1..)), |parent| parent.trace_id);
    let ids = TraceIds { trace_id, span_id: SpanId(fastrand::u64(1..)) };
    let state = parent.and_then(|_| exchange.request.get(TRACESTATE));
    exchange.trace = tracer.begin(ids, parent, state);
}

/// Queues the spans of a traced exchange for the exporter.
#[cold]
pub fn finish(
    exchange: &mut Exchange,
    labels: RecordLabels,
    route: Option<&Route>,
    end: &RequestEnd,
    protocol: &str,
) {
    let Some(trace) = exchange.trace.take() else { return };
    let method = match &exchange.record.method[..] {
        // The head was rejected before its method was known.
        b"" => "_OTHER".to_owned(),
        method => String::from_utf8_lossy(method).into_owned(),
    };
    let template = route.map_or("", |route| &route.template);
    let name = if template.is_empty() { method.clone() } else { format!("{method} {template}") };
    let failure = match end.error_code {
        "" if end.status >= 500 => Some(end.status.to_string()),
        "" => None,
        code => Some(code.to_owned()),
    };
    let mut attributes = request_attributes(exchange, method);
    let texts = [
        ("http.route", template),
        ("network.protocol.version", protocol.trim_start_matches("HTTP/")),
        ("error.type", failure.as_deref().unwrap_or("")),
    ];
    attributes.extend(
        texts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key, text(value))),
    );
    outcome_attributes(exchange, labels, end, &mut attributes);
    // The conventions: a client error is no failure of a server.
    let error = failure.filter(|_| end.status >= 500);
    trace.finish(SpanKind::Server, exchange.now, SpanEnd { name, attributes, error });
}

fn outcome_attributes(
    exchange: &Exchange,
    labels: RecordLabels,
    end: &RequestEnd,
    attributes: &mut Vec<Attribute>,
) {
    attributes.extend([
        ("http.response.status_code", AttributeValue::Number(i64::from(end.status))),
        ("http.request.body.size", AttributeValue::Number(end.bytes_in as i64)),
        ("http.response.body.size", AttributeValue::Number(end.bytes_out as i64)),
    ]);
    let texts = [
        ("margay.listener", labels.listener),
        ("margay.route", labels.route),
        ("margay.cluster", labels.cluster),
        ("margay.stage", exchange.record.stage),
        ("margay.leg", exchange.record.leg().map_or("", |leg| leg.name())),
    ];
    attributes.extend(
        texts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key, text(value))),
    );
}

fn request_attributes(exchange: &Exchange, method: String) -> Vec<Attribute> {
    let Exchange { request, client, record, .. } = exchange;
    let host = request.get_known(KnownHeader::Host).unwrap_or_default();
    let mut attributes = vec![
        ("http.request.method", AttributeValue::Text(method)),
        ("url.scheme", text(if client.is_tls { "https" } else { "http" })),
        ("url.path", lossy(request.original_path())),
        ("server.address", lossy(if record.host.is_empty() { host } else { &record.host })),
        ("margay.request_id", lossy(&record.id)),
    ];
    if let Some(address) = record.policy.client_address.text(client.ip) {
        attributes.push(("client.address", AttributeValue::Text(address)));
    }
    attributes
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::Text(value.to_owned())
}

fn lossy(value: &[u8]) -> AttributeValue {
    AttributeValue::Text(String::from_utf8_lossy(value).into_owned())
}
