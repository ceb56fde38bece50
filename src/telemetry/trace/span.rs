//! Finished spans.

use crate::telemetry::trace_ids::{SpanId, TraceId};
use std::time::SystemTime;

/// The role of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// An exchange with a client.
    Server,
    /// An attempt with a backend.
    Client,
    /// Work of the gateway itself.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    Text(String),
    Number(i64),
}

/// An attribute of a span, by its name in the semantic conventions of OpenTelemetry.
pub type Attribute = (&'static str, AttributeValue);

/// A finished span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    pub name: String,
    pub kind: SpanKind,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<Attribute>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The spans of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedTrace {
    pub trace_id: TraceId,
    /// `tracestate` as received.
    pub trace_state: String,
    /// The first is that of the exchange.
    pub spans: Vec<Span>,
}
