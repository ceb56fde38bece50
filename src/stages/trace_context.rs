//! `TraceContext`: propagation of W3C Trace Context (`traceparent`, `tracestate`).

use super::feature::{BuildContext, RouteRole, StageConfig};
use crate::{
    base::{bytes::put_hex, hash::mix64},
    pipeline::{
        exchange::Exchange,
        head::Head,
        stage::{BoxStage, Stage, Step},
        trace_parent::{TRACEPARENT, TRACEPARENT_LEN, TRACESTATE, parse_traceparent, trace_parent},
    },
    telemetry::{
        SpanId, TraceId, TraceIds,
        trace::{TraceParent, Tracer},
    },
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "trace-context";

/// How the trace of the client is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Continue it with a new span; start a trace if there is none.
    Continue,
    /// Start a trace for every request.
    Start,
}

impl StageConfig for Mode {
    type State = ();

    /// The parts of an aggregate continue the trace of the aggregate.
    fn build(&self, (): &(), context: &BuildContext) -> Vec<BoxStage> {
        let is_part = context.role == RouteRole::AggregatePart;
        let mode = if is_part { Mode::Continue } else { *self };
        vec![Box::new(TraceContext { tracer: context.tracer.clone(), ..TraceContext::new(mode) })]
    }
}

/// Continues or starts a trace, and sends `traceparent` to the backend.
#[derive(Debug)]
pub struct TraceContext {
    mode: Mode,
    /// Random for each plan.
    seed: [u64; 3],
    count: AtomicU64,
    /// Begins the traces of sampled requests; `None` without tracing.
    tracer: Option<Arc<Tracer>>,
}

impl TraceContext {
    /// Seeds the IDs, which differ between plans and processes.
    pub fn new(mode: Mode) -> TraceContext {
        let seed = [0, 1, 2].map(|n: u64| RandomState::new().hash_one(n));
        TraceContext { mode, seed, count: AtomicU64::new(0), tracer: None }
    }

    /// Unique nonzero numbers: two for a trace ID, one for a span ID.
    fn random_ids(&self) -> [u64; 3] {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        self.seed.map(|seed| mix64(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).max(1))
    }
}

/// The trace ID of a head with a valid `traceparent`.
pub fn trace_id(head: &Head) -> Option<&[u8]> {
    parse_traceparent(head).map(|parent| &parent[3..35])
}

/// Writes a new span in the trace of `parent`, or in a new trace, with these flags.
fn write_traceparent(parent: Option<&[u8]>, [high, low, span]: [u64; 3], flags: &[u8], buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(b"00-");
    match parent {
        Some(parent) => buffer.extend_from_slice(&parent[3..35]),
        None => {
            put_hex(buffer, high, 16);
            put_hex(buffer, low, 16);
        }
    }
    buffer.push(b'-');
    put_hex(buffer, span, 16);
    buffer.push(b'-');
    buffer.extend_from_slice(flags);
}

impl TraceContext {
    /// Begins the trace if the request is sampled; returns the flags that are sent.
    fn begin_trace(
        &self,
        tracer: &Arc<Tracer>,
        exchange: &mut Exchange,
        [high, low, span]: [u64; 3],
    ) -> &'static [u8] {
        let parent = parse_traceparent(&exchange.request).filter(|_| self.mode == Mode::Continue);
        let parent: Option<TraceParent> = parent.and_then(trace_parent);
        let new_trace = TraceId(u128::from(high) << 64 | u128::from(low));
        let ids =
            TraceIds { trace_id: parent.map_or(new_trace, |parent| parent.trace_id), span_id: SpanId(span) };
        let state = parent.and_then(|_| exchange.request.get(TRACESTATE));
        exchange.trace = tracer.begin(ids, parent, state);
        if exchange.trace.is_some() { b"01" } else { b"00" }
    }
}

impl Stage for TraceContext {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let ids = if exchange.is_dry_run { [0, 1, 1] } else { self.random_ids() };
        let decided = match &self.tracer {
            Some(tracer) if !exchange.is_dry_run => Some(self.begin_trace(tracer, exchange, ids)),
            _ => None,
        };
        let Exchange { request, scratch, record, .. } = exchange;
        scratch.clear();
        let parent = parse_traceparent(request).filter(|_| self.mode == Mode::Continue);
        let continued = parent.is_some();
        // Without a tracer a new trace is marked as sampled: backends with a parent-based sampler would drop it otherwise.
        let flags = decided.or(parent.map(|parent| &parent[53..TRACEPARENT_LEN])).unwrap_or(b"01");
        write_traceparent(parent, ids, flags, scratch);
        if !continued {
            request.remove(TRACESTATE);
        }
        if record.id.is_empty() {
            record.id.extend_from_slice(&scratch[3..35]);
        }
        request.set(TRACEPARENT, scratch);
        Step::Next
    }

    fn describe(&self) -> String {
        match self.mode {
            Mode::Continue => "continues the trace of traceparent, or starts one".into(),
            Mode::Start => "starts a trace for every request".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    const PARENT_OF_CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn sent(mode: Mode, fields: &[(&str, &str)]) -> Exchange {
        let address = ([127, 0, 0, 1], 1).into();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        exchange.request = Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        TraceContext::new(mode).on_request(&mut exchange);
        exchange
    }

    fn parent(exchange: &Exchange) -> String {
        String::from_utf8_lossy(exchange.request.get(TRACEPARENT).unwrap()).into_owned()
    }

    #[test]
    fn a_trace_continues_with_a_new_span_and_keeps_state_and_flags() {
        let exchange = sent(Mode::Continue, &[("Traceparent", PARENT_OF_CLIENT), ("tracestate", "a=1")]);
        let sent_parent = parent(&exchange);
        assert_eq!((&sent_parent[..36], &sent_parent[52..]), (&PARENT_OF_CLIENT[..36], "-01"));
        assert_ne!(sent_parent[36..52], PARENT_OF_CLIENT[36..52]);
        assert_eq!(exchange.request.get(TRACESTATE), Some(&b"a=1"[..]));
        assert_eq!(exchange.record.id, b"4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn without_a_valid_trace_one_is_started_and_tracestate_removed() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let exchange = sent(Mode::Continue, &[("traceparent", bad), ("tracestate", "a=1")]);
            assert!(parse_traceparent(&exchange.request).is_some(), "{}", parent(&exchange));
            assert!(!parent(&exchange).contains("4bf92f"), "{bad}");
            assert_eq!(exchange.request.get(TRACESTATE), None);
        }
    }

    #[test]
    fn a_later_version_is_continued_by_its_known_prefix() {
        let exchange = sent(
            Mode::Continue,
            &[("traceparent", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")],
        );
        assert!(parent(&exchange).starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    }

    #[test]
    fn mode_start_and_duplicate_fields_start_a_new_trace() {
        let exchange = sent(Mode::Start, &[("traceparent", PARENT_OF_CLIENT)]);
        assert!(!parent(&exchange).contains("4bf92f"));
        let duplicate = [("traceparent", PARENT_OF_CLIENT), ("traceparent", PARENT_OF_CLIENT)];
        assert!(!parent(&sent(Mode::Continue, &duplicate)).contains("4bf92f"));
    }

    #[test]
    fn ids_are_unique() {
        let stage = TraceContext::new(Mode::Start);
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| stage.random_ids()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
