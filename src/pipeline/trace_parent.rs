//! `traceparent` and `tracestate` of a request (W3C Trace Context).

use super::head::Head;
use crate::telemetry::{SpanId, TraceId, trace::TraceParent};

/// The field with the ids and the flags.
pub const TRACEPARENT: &[u8] = b"traceparent";
/// The field with the states of other tracing systems.
pub const TRACESTATE: &[u8] = b"tracestate";

/// `00-` trace id `-` span id `-` flags.
pub const TRACEPARENT_LEN: usize = 55;

/// The only `traceparent`, if valid (Trace Context 3.2.2). Of a later version, the known prefix is used.
pub fn parse_traceparent(head: &Head) -> Option<&[u8]> {
    let mut lines = head.get_all(TRACEPARENT);
    let parent = lines.next().filter(|_| lines.next().is_none())?;
    let has_known_length = parent.len() == TRACEPARENT_LEN
        || parent.get(..2) != Some(b"00") && parent.get(TRACEPARENT_LEN) == Some(&b'-');
    let has_dashes = has_known_length && [2, 35, 52].iter().all(|at| parent[*at] == b'-');
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_nonzero_hex = |part: &[u8]| hex(part) && part.iter().any(|b| *b != b'0');
    let is_valid =
        has_dashes && hex(&parent[..2]) && &parent[..2] != b"ff" && hex(&parent[53..TRACEPARENT_LEN]);
    (is_valid && is_nonzero_hex(&parent[3..35]) && is_nonzero_hex(&parent[36..52])).then_some(parent)
}

/// The trace that a valid `traceparent` continues.
pub fn trace_parent(text: &[u8]) -> Option<TraceParent> {
    let text = std::str::from_utf8(text.get(..TRACEPARENT_LEN)?).ok()?;
    Some(TraceParent {
        trace_id: TraceId(u128::from_str_radix(&text[3..35], 16).ok()?),
        span_id: SpanId(u64::from_str_radix(&text[36..52], 16).ok()?),
        is_sampled: u8::from_str_radix(&text[53..], 16).ok()? & 1 == 1,
    })
}

/// Replaces the span of the `traceparent` that is sent to the backend.
pub fn set_span(head: &mut Head, trace_id: TraceId, span_id: SpanId) {
    head.set(TRACEPARENT, format!("00-{trace_id}-{span_id}-01").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_and_the_flag_of_a_parent_are_read() {
        let parent = trace_parent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(parent.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((parent.span_id.to_string().as_str(), parent.is_sampled), ("00f067aa0ba902b7", true));
        assert!(trace_parent(b"00-4bf9").is_none());
    }
}
