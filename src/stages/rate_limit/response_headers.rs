//! The way back: what was left is told to the client, with every answer to a request that passed, refusals of later
//! stages included.

use super::{Fields, RateLimit, format};
use crate::pipeline::{
    exchange::{Exchange, RateLimitStatus},
    response::{RouteResult, append_header},
};

/// `"name";r=0;t=30`
pub(super) fn exhausted_item(name: &str, nanoseconds: u64) -> String {
    let mut out = Vec::new();
    format::ratelimit_item(&mut out, name, 0, nanoseconds);
    String::from_utf8_lossy(&out).into_owned()
}

impl RateLimit {
    pub(super) fn add_headers(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let Exchange { response, scratch, now, .. } = exchange;
        let rate_limits = &response.rate_limits;
        if self.fields == Fields::Both {
            let now = self.counters.instant_to_nanos(*now);
            self.add_ratelimit_headers(rate_limits, now, scratch, outcome);
        }
        // The request that has least left of one of its limits is told that one.
        if let Some(tightest) =
            rate_limits.iter().min_by_key(|limit| limit.remaining).filter(|_| self.is_outermost)
        {
            self.add_ocelot_headers(tightest, scratch, outcome);
        }
    }

    /// Ocelot's three fields; each is there once, whatever the service says.
    fn add_ocelot_headers(&self, quota: &RateLimitStatus, scratch: &mut Vec<u8>, outcome: &mut RouteResult) {
        for (name, n) in [("X-RateLimit-Limit", quota.quota), ("X-RateLimit-Remaining", quota.remaining)] {
            scratch.clear();
            crate::base::bytes::put_decimal(scratch, n);
            put(outcome, name, scratch);
        }
        scratch.clear();
        format::round_trip(scratch, self.counters.to_unix_nanos(quota.reset_after));
        put(outcome, "X-RateLimit-Reset", scratch);
    }

    /// The draft's two fields, a member for each limit of this stage.
    fn add_ratelimit_headers(
        &self,
        quotas: &[RateLimitStatus],
        now: u64,
        scratch: &mut Vec<u8>,
        outcome: &mut RouteResult,
    ) {
        for quota in quotas {
            let Some(rule) = self.rules.iter().find(|rule| rule.index == quota.limit) else { continue };
            append_header(outcome, "RateLimit-Policy", rule.policy.as_bytes());
            scratch.clear();
            format::ratelimit_item(
                scratch,
                &rule.name,
                quota.remaining,
                quota.reset_after.saturating_sub(now),
            );
            append_header(outcome, "RateLimit", scratch);
        }
    }
}

fn put(outcome: &mut RouteResult, name: &'static str, value: &[u8]) {
    match outcome {
        Ok(answer) => answer.head.set(name.as_bytes(), value),
        Err(_) => append_header(outcome, name, value),
    }
}
