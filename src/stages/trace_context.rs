//! `TraceContext`: the trace that a request belongs to, as W3C Trace Context writes it (`traceparent`, `tracestate`).

use crate::{
    base::bytes::put_hex,
    pipeline::{
        exchange::Exchange,
        head::Head,
        stage::{Stage, Step},
    },
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

pub const NAME: &str = "trace-context";

const PARENT: &[u8] = b"traceparent";
const STATE: &[u8] = b"tracestate";

/// `00-` trace id `-` span id `-` flags.
const TRACEPARENT_LEN: usize = 55;

/// What is done with the client's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It goes on with a span of ours; where there is none, one is started.
    Continue,
    /// A trace is started with every request, whatever the client says.
    Start,
}

/// Continues or starts a trace, and tells the service.
#[derive(Debug)]
pub struct TraceContext {
    mode: Mode,
    /// Differs from process to process and from plan to plan.
    seed: [u64; 3],
    count: AtomicU64,
}

impl TraceContext {
    pub fn new(mode: Mode) -> TraceContext {
        let seed = [0, 1, 2].map(|n: u64| RandomState::new().hash_one(n));
        TraceContext { mode, seed, count: AtomicU64::new(0) }
    }

    /// Numbers that never come again: two for a trace id, one for a span id; none of them zero.
    fn random_ids(&self) -> [u64; 3] {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        self.seed.map(|seed| mix64(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).max(1))
    }
}

/// The finisher of splitmix64: one to one, and every bit depends on every bit.
fn mix64(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The trace id of a head with a valid `traceparent`.
pub fn trace_id(head: &Head) -> Option<&[u8]> {
    parse_traceparent(head).map(|parent| &parent[3..35])
}

/// The one `traceparent`, if it is what it should be (Trace Context 3.2.2). Of a later version only the beginning counts.
fn parse_traceparent(head: &Head) -> Option<&[u8]> {
    let mut lines = head.get_all(PARENT);
    let parent = lines.next().filter(|_| lines.next().is_none())?;
    let known = parent.len() == TRACEPARENT_LEN
        || parent.get(..2) != Some(b"00") && parent.get(TRACEPARENT_LEN) == Some(&b'-');
    let dashes = known && [2, 35, 52].iter().all(|at| parent[*at] == b'-');
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let named = |part: &[u8]| hex(part) && part.iter().any(|b| *b != b'0');
    let sound = dashes && hex(&parent[..2]) && &parent[..2] != b"ff" && hex(&parent[53..TRACEPARENT_LEN]);
    (sound && named(&parent[3..35]) && named(&parent[36..52])).then_some(parent)
}

/// Our own span in the trace of `parent`, or in a new one. A new trace is marked as sampled: the services' own samplers
/// would drop what their parent does not sample.
fn write_traceparent(parent: Option<&[u8]>, [high, low, span]: [u64; 3], out: &mut Vec<u8>) {
    out.extend_from_slice(b"00-");
    match parent {
        Some(parent) => out.extend_from_slice(&parent[3..35]),
        None => {
            put_hex(out, high, 16);
            put_hex(out, low, 16);
        }
    }
    out.push(b'-');
    put_hex(out, span, 16);
    out.push(b'-');
    out.extend_from_slice(parent.map_or(b"01", |parent| &parent[53..TRACEPARENT_LEN]));
}

impl Stage for TraceContext {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let numbers = if exchange.is_dry_run { [0, 1, 1] } else { self.random_ids() };
        let Exchange { request, scratch, record, .. } = exchange;
        scratch.clear();
        let parent = parse_traceparent(request).filter(|_| self.mode == Mode::Continue);
        let continued = parent.is_some();
        write_traceparent(parent, numbers, scratch);
        if !continued {
            request.remove(STATE);
        }
        if record.id.is_empty() {
            record.id.extend_from_slice(&scratch[3..35]);
        }
        request.set(PARENT, scratch);
        Step::Next
    }

    fn describe(&self) -> String {
        match self.mode {
            Mode::Continue => "continues the trace of traceparent, or starts one".into(),
            Mode::Start => "starts a trace, whatever traceparent says".into(),
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
        let here = ([127, 0, 0, 1], 1).into();
        let mut x = Exchange::new(Peer::new(here, here, false), 0, Instant::now());
        x.request = Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
        TraceContext::new(mode).on_request(&mut x);
        x
    }

    fn parent(exchange: &Exchange) -> String {
        String::from_utf8_lossy(exchange.request.get(PARENT).unwrap()).into_owned()
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_ours_and_keeps_its_state_and_flags() {
        let x = sent(Mode::Continue, &[("Traceparent", PARENT_OF_CLIENT), ("tracestate", "a=1")]);
        let told = parent(&x);
        assert_eq!((&told[..36], &told[52..]), (&PARENT_OF_CLIENT[..36], "-01"));
        assert_ne!(told[36..52], PARENT_OF_CLIENT[36..52]);
        assert_eq!(x.request.get(STATE), Some(&b"a=1"[..]));
        assert_eq!(x.record.id, b"4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn without_a_valid_trace_one_is_started_and_foreign_state_goes() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let x = sent(Mode::Continue, &[("traceparent", bad), ("tracestate", "a=1")]);
            assert!(parse_traceparent(&x.request).is_some(), "{}", parent(&x));
            assert!(!parent(&x).contains("4bf92f"), "{bad}");
            assert_eq!(x.request.get(STATE), None);
        }
    }

    #[test]
    fn a_later_version_is_continued_by_what_we_know_of_it() {
        let x = sent(
            Mode::Continue,
            &[("traceparent", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")],
        );
        assert!(parent(&x).starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    }

    #[test]
    fn a_client_that_is_not_believed_gets_a_trace_of_its_own() {
        let x = sent(Mode::Start, &[("traceparent", PARENT_OF_CLIENT)]);
        assert!(!parent(&x).contains("4bf92f"));
        let twice = [("traceparent", PARENT_OF_CLIENT), ("traceparent", PARENT_OF_CLIENT)];
        assert!(!parent(&sent(Mode::Continue, &twice)).contains("4bf92f"));
    }

    #[test]
    fn numbers_never_come_again() {
        let stage = TraceContext::new(Mode::Start);
        let all: std::collections::HashSet<_> = (0..1000).map(|_| stage.random_ids()).collect();
        assert_eq!(all.len(), 1000);
    }
}
