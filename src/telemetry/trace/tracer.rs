//! The spans of a request while they are collected.

use super::{
    queue::{QueueCounts, TraceQueue},
    sampler::TraceSampler,
    span::{Attribute, FinishedTrace, Span, SpanKind},
};
use crate::telemetry::{
    otlp::config::OtlpConfig,
    trace_ids::{SpanId, TraceId, TraceIds},
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Maximum number of spans below that of the exchange; more are not recorded.
const MAX_CHILD_SPANS: usize = 64;
/// Longest `tracestate` that is exported.
const MAX_TRACE_STATE_BYTES: usize = 512;

/// Which requests are traced, and where their spans are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingConfig {
    pub exporter: Arc<OtlpConfig>,
    pub sampler: TraceSampler,
    /// Stages that take at least this long have a span.
    pub slow_stage: Duration,
}

/// The trace that a request continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub is_sampled: bool,
}

/// Begins traces. Ends its exporter when it is dropped.
#[derive(Debug)]
pub struct Tracer {
    sampler: TraceSampler,
    slow_stage: Duration,
    queue: Arc<TraceQueue>,
    counts: Arc<QueueCounts>,
}

impl Tracer {
    /// A tracer whose traces are queued for an exporter.
    pub fn new(config: &TracingConfig, queue: Arc<TraceQueue>, counts: Arc<QueueCounts>) -> Tracer {
        Tracer { sampler: config.sampler, slow_stage: config.slow_stage, queue, counts }
    }

    /// The trace of a request with this span, if it is sampled.
    pub fn begin(
        self: &Arc<Self>,
        ids: TraceIds,
        parent: Option<TraceParent>,
        trace_state: Option<&[u8]>,
    ) -> Option<Box<RequestTrace>> {
        if !self.sampler.is_sampled(ids.trace_id, parent.map(|parent| parent.is_sampled)) {
            return None;
        }
        let trace_state = trace_state.filter(|state| state.len() <= MAX_TRACE_STATE_BYTES);
        Some(Box::new(RequestTrace {
            ids,
            parent: parent.map(|parent| parent.span_id),
            trace_state: String::from_utf8_lossy(trace_state.unwrap_or_default()).into_owned(),
            tracer: self.clone(),
            spans: Vec::new(),
        }))
    }

    /// Waits until everything queued so far is exported, at most `timeout`.
    pub fn flush(&self, timeout: Duration) {
        self.queue.flush(timeout);
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The trace of a sampled request.
#[derive(Debug)]
pub struct RequestTrace {
    /// The span of the exchange.
    pub ids: TraceIds,
    parent: Option<SpanId>,
    trace_state: String,
    tracer: Arc<Tracer>,
    spans: Vec<ChildSpan>,
}

#[derive(Debug)]
struct ChildSpan {
    span_id: SpanId,
    kind: SpanKind,
    started_at: Instant,
    ended_at: Instant,
    end: SpanEnd,
}

/// What is known of a span at its end.
#[derive(Debug)]
pub struct SpanEnd {
    pub name: String,
    pub attributes: Vec<Attribute>,
    /// Why it failed.
    pub error: Option<String>,
}

impl RequestTrace {
    /// A new id for a span below that of the exchange.
    pub fn new_span_id() -> SpanId {
        SpanId(fastrand::u64(1..))
    }

    /// Whether a stage with this duration has a span.
    pub fn is_slow_stage(&self, duration: Duration) -> bool {
        duration >= self.tracer.slow_stage
    }

    /// Adds a span that ends now.
    pub fn add_span(&mut self, span_id: SpanId, kind: SpanKind, started_at: Instant, end: SpanEnd) {
        if self.spans.len() < MAX_CHILD_SPANS {
            self.spans.push(ChildSpan { span_id, kind, started_at, ended_at: Instant::now(), end });
        }
    }

    /// Queues the trace for its exporter; the exchange began at `started_at` and ends now.
    pub fn finish(self, kind: SpanKind, started_at: Instant, end: SpanEnd) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let time = |at: Instant| wall - now.saturating_duration_since(at);
        let SpanEnd { name, attributes, error } = end;
        let root = self.ids.span_id;
        let (start, end) = (time(started_at), wall);
        let mut spans =
            vec![Span { span_id: root, parent: self.parent, name, kind, start, end, attributes, error }];
        spans.extend(self.spans.into_iter().map(|child| Span {
            span_id: child.span_id,
            parent: Some(root),
            name: child.end.name,
            kind: child.kind,
            start: time(child.started_at),
            end: time(child.ended_at),
            attributes: child.end.attributes,
            error: child.end.error,
        }));
        let trace = FinishedTrace { trace_id: self.ids.trace_id, trace_state: self.trace_state, spans };
        self.tracer.queue.push(trace, &self.tracer.counts);
    }
}
