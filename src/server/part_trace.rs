//! The end of the trace of a part of an aggregate.

use crate::{
    pipeline::{exchange::Exchange, response::RouteResult},
    telemetry::trace::{AttributeValue, SpanEnd, SpanKind},
};

/// Queues the spans of the part: one below that of the aggregate, and its attempts.
#[cold]
pub fn finish_part(exchange: &mut Exchange, key: &str, outcome: &RouteResult) {
    let Some(trace) = exchange.trace.take() else { return };
    let end = SpanEnd {
        name: format!("part {key}"),
        attributes: vec![("margay.part", AttributeValue::Text(key.to_owned()))],
        error: outcome.as_ref().err().map(|cause| cause.code.name().to_owned()),
    };
    trace.finish(SpanKind::Internal, exchange.now, end);
}
