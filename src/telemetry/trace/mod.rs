//! Traces of exchanges (W3C Trace Context, OpenTelemetry): sampling, the spans of a sampled request, and the queue in
//! which finished traces wait for their exporter.
//!
//! Entry points: [`Tracer::begin`], called by the trace context stage, and [`RequestTrace::finish`], called by `server`.
//! An unsampled request has no [`RequestTrace`] and allocates nothing. A finished trace is queued without waiting; if the
//! queue is full, the trace is dropped and counted.

mod queue;
mod sampler;
mod span;
mod tracer;

pub use queue::{QueueCounts, TraceQueue};
pub use sampler::TraceSampler;
pub use span::{Attribute, AttributeValue, FinishedTrace, Span, SpanKind};
pub use tracer::{RequestTrace, SpanEnd, TraceParent, Tracer, TracingConfig};
