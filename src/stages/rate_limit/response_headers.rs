//! Rate limit headers, added to every response to an admitted request, including errors of later
//! stages. `Retry-After` of a rejection is set by `mod.rs`.

use super::{format, store::CounterStore};
use crate::pipeline::{
    exchange::Exchange,
    response::{RouteResult, append_header},
};
use std::borrow::Cow;

/// One limit in the fields of the IETF draft.
#[derive(Debug)]
pub(super) struct LimitHeader {
    /// The name as a structured field string.
    name: String,
    /// `"name";q=100;w=60`
    policy: String,
}

impl LimitHeader {
    /// The texts of a limit with this quota and period in seconds.
    pub fn new(name: &str, (quota, period): (u64, u64)) -> LimitHeader {
        let name = format::sf_string(name);
        LimitHeader { policy: format!("{name};q={quota};w={period}"), name }
    }

    /// The fields of a response that rejects a request: `"name";r=0;t=30`.
    pub fn exhausted(&self, retry_after_ns: u64) -> [(Cow<'static, str>, String); 2] {
        let mut item = Vec::new();
        format::ratelimit_item(&mut item, &self.name, 0, retry_after_ns);
        let item = String::from_utf8_lossy(&item).into_owned();
        [("RateLimit-Policy".into(), self.policy.clone()), ("RateLimit".into(), item)]
    }
}

/// Adds the two fields of the IETF draft, with an item for each of these limits that admitted the request.
pub(super) fn add_standard<'l, L: Iterator<Item = (u16, &'l LimitHeader)>>(
    exchange: &mut Exchange,
    outcome: &mut RouteResult,
    store: &CounterStore,
    limits: impl Fn() -> L,
) {
    let Exchange { response, scratch, now, .. } = exchange;
    let now_ns = store.instant_to_nanos(*now);
    for status in &response.rate_limits {
        let Some((_, header)) = limits().find(|(index, _)| *index == status.limit) else { continue };
        append_header(outcome, "RateLimit-Policy", header.policy.as_bytes());
        scratch.clear();
        format::ratelimit_item(
            scratch,
            &header.name,
            status.remaining,
            status.resets_at_ns.saturating_sub(now_ns),
        );
        append_header(outcome, "RateLimit", scratch);
    }
}

/// Sets Ocelot's three fields for the limit with the fewest remaining requests, replacing those of the backend.
pub(super) fn add_ocelot(exchange: &mut Exchange, outcome: &mut RouteResult, store: &CounterStore) {
    let Exchange { response, scratch, .. } = exchange;
    let Some(tightest) = response.rate_limits.iter().min_by_key(|limit| limit.remaining) else { return };
    for (name, n) in [("X-RateLimit-Limit", tightest.quota), ("X-RateLimit-Remaining", tightest.remaining)] {
        scratch.clear();
        crate::base::bytes::put_decimal(scratch, n);
        set_header(outcome, name, scratch);
    }
    scratch.clear();
    format::round_trip(scratch, store.to_unix_nanos(tightest.resets_at_ns));
    set_header(outcome, "X-RateLimit-Reset", scratch);
}

fn set_header(outcome: &mut RouteResult, name: &'static str, value: &[u8]) {
    match outcome {
        Ok(response) => response.head.set(name.as_bytes(), value),
        Err(_) => append_header(outcome, name, value),
    }
}
