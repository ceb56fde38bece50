//! Finished traces as messages.

use super::{
    config::OtlpConfig,
    resource::{attribute, resource, scope, unix_ns},
};
use crate::telemetry::trace::{AttributeValue, FinishedTrace, Span, SpanKind};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status, span, status},
};

/// `sampled`, of the flags of `traceparent`.
const SAMPLED: u32 = 1;
/// Whether the parent is remote is known, and that it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The request that contains all spans of these traces.
pub(super) fn request(config: &OtlpConfig, traces: &[FinishedTrace]) -> ExportTraceServiceRequest {
    let spans = traces.iter().flat_map(|trace| trace.spans.iter().map(|span| message(trace, span)));
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope()), spans: spans.collect(), ..ScopeSpans::default() }];
    let resource_spans =
        ResourceSpans { resource: Some(resource(config)), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn message(trace: &FinishedTrace, of: &Span) -> proto::Span {
    let remote = if of.kind == SpanKind::Server && of.parent.is_some() { IS_REMOTE } else { 0 };
    let attributes = of.attributes.iter().map(|(key, value)| {
        attribute(
            key,
            match value {
                AttributeValue::Text(text) => Value::StringValue(text.clone()),
                AttributeValue::Number(number) => Value::IntValue(*number),
            },
        )
    });
    let failed = |error: &String| Status { message: error.clone(), code: status::StatusCode::Error as i32 };
    proto::Span {
        trace_id: trace.trace_id.0.to_be_bytes().to_vec(),
        span_id: of.span_id.0.to_be_bytes().to_vec(),
        trace_state: trace.trace_state.clone(),
        parent_span_id: of.parent.map_or_else(Vec::new, |parent| parent.0.to_be_bytes().to_vec()),
        flags: SAMPLED | HAS_IS_REMOTE | remote,
        name: of.name.clone(),
        kind: match of.kind {
            SpanKind::Server => span::SpanKind::Server,
            SpanKind::Client => span::SpanKind::Client,
            SpanKind::Internal => span::SpanKind::Internal,
        } as i32,
        start_time_unix_nano: unix_ns(of.start),
        end_time_unix_nano: unix_ns(of.end),
        attributes: attributes.collect(),
        status: of.error.as_ref().map(failed),
        ..proto::Span::default()
    }
}
