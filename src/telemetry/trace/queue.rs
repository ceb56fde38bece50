//! The bounded queue between workers and the exporter of traces.

use super::span::FinishedTrace;
use crate::telemetry::registry::lock;
use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Traces of one export.
const BATCH_CAPACITY: usize = 256;

/// Spans that were sent, and spans that were lost.
#[derive(Debug, Default)]
pub struct QueueCounts {
    pub exported: AtomicU64,
    pub dropped: AtomicU64,
    /// Failed requests to the collector.
    pub failures: AtomicU64,
}

/// Finished traces that wait for their exporter.
#[derive(Debug)]
pub struct TraceQueue {
    capacity: usize,
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    traces: VecDeque<FinishedTrace>,
    /// The exporter does not wait for a full batch.
    must_hurry: bool,
    is_exporting: bool,
    is_closed: bool,
}

impl TraceQueue {
    /// A queue of at most `capacity` traces.
    pub fn new(capacity: usize) -> TraceQueue {
        TraceQueue { capacity, state: Mutex::default(), wake: Condvar::new(), done: Condvar::new() }
    }

    /// Queues a trace; drops and counts it if the queue is full. Wakes the exporter only for a full batch.
    pub fn push(&self, trace: FinishedTrace, counts: &QueueCounts) {
        let mut state = lock(&self.state);
        if state.traces.len() >= self.capacity {
            counts.dropped.fetch_add(trace.spans.len() as u64, Relaxed);
            return;
        }
        state.traces.push_back(trace);
        if state.traces.len() == BATCH_CAPACITY {
            self.wake.notify_one();
        }
    }

    /// The next batch, after at most `delay`; `None` when the queue is closed and empty. Ends the export of the last one.
    pub fn next_batch(&self, delay: Duration) -> Option<Vec<FinishedTrace>> {
        let mut state = lock(&self.state);
        state.is_exporting = false;
        self.done.notify_all();
        let waits = |state: &mut State| {
            state.traces.len() < BATCH_CAPACITY
                && !state.is_closed
                && (!state.must_hurry || state.traces.is_empty())
        };
        state = self.wake.wait_timeout_while(state, delay, waits).unwrap_or_else(PoisonError::into_inner).0;
        if state.traces.is_empty() {
            state.must_hurry = false;
            return if state.is_closed { None } else { Some(Vec::new()) };
        }
        state.is_exporting = true;
        let count = state.traces.len().min(BATCH_CAPACITY);
        Some(state.traces.drain(..count).collect())
    }

    /// Waits until everything queued so far is exported, at most `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let mut state = lock(&self.state);
        state.must_hurry = true;
        self.wake.notify_one();
        let busy = |state: &mut State| state.is_exporting || !state.traces.is_empty();
        drop(self.done.wait_timeout_while(state, timeout, busy));
    }

    /// Ends the exporter after the queued traces.
    pub fn close(&self) {
        lock(&self.state).is_closed = true;
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::trace_ids::TraceId;

    fn trace() -> FinishedTrace {
        FinishedTrace { trace_id: TraceId(1), trace_state: String::new(), spans: Vec::new() }
    }

    #[test]
    fn a_full_queue_drops_traces_and_holds_bounded_memory() {
        let (queue, counts) = (TraceQueue::new(3), QueueCounts::default());
        let span_of = |trace: FinishedTrace| FinishedTrace {
            spans: vec![super::super::Span {
                span_id: crate::telemetry::trace_ids::SpanId(1),
                parent: None,
                name: String::new(),
                kind: super::super::SpanKind::Server,
                start: std::time::UNIX_EPOCH,
                end: std::time::UNIX_EPOCH,
                attributes: Vec::new(),
                error: None,
            }],
            ..trace
        };
        (0..5).for_each(|_| queue.push(span_of(trace()), &counts));
        assert_eq!(counts.dropped.load(Relaxed), 2);
        assert_eq!(queue.next_batch(Duration::ZERO).map(|batch| batch.len()), Some(3));
    }

    #[test]
    fn a_closed_queue_ends_after_its_last_trace() {
        let (queue, counts) = (TraceQueue::new(3), QueueCounts::default());
        queue.push(trace(), &counts);
        queue.close();
        assert_eq!(queue.next_batch(Duration::from_secs(60)).map(|batch| batch.len()), Some(1));
        assert_eq!(queue.next_batch(Duration::from_secs(60)), None);
    }
}
