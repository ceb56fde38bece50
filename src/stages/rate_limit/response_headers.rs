//! Rate limit headers, added to every response to an admitted request, including errors of later
//! stages.

use super::{Fields, RateLimit, format};
use crate::pipeline::{
    exchange::{Exchange, RateLimitStatus},
    response::{RouteResult, append_header},
};

/// `"name";r=0;t=30`
pub(super) fn exhausted_item(name: &str, nanoseconds: u64) -> String {
    let mut item = Vec::new();
    format::ratelimit_item(&mut item, name, 0, nanoseconds);
    String::from_utf8_lossy(&item).into_owned()
}

impl RateLimit {
    pub(super) fn add_headers(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let Exchange { response, scratch, now, .. } = exchange;
        let rate_limits = &response.rate_limits;
        if self.fields == Fields::Both {
            let now = self.store.instant_to_nanos(*now);
            self.add_ratelimit_headers(rate_limits, now, scratch, outcome);
        }
        // Ocelot's headers contain the limit with the fewest remaining requests.
        if let Some(tightest) =
            rate_limits.iter().min_by_key(|limit| limit.remaining).filter(|_| self.is_outermost)
        {
            self.add_ocelot_headers(tightest, scratch, outcome);
        }
    }

    /// Ocelot's three fields, replacing those of the backend.
    fn add_ocelot_headers(&self, status: &RateLimitStatus, scratch: &mut Vec<u8>, outcome: &mut RouteResult) {
        for (name, n) in [("X-RateLimit-Limit", status.quota), ("X-RateLimit-Remaining", status.remaining)] {
            scratch.clear();
            crate::base::bytes::put_decimal(scratch, n);
            set_header(outcome, name, scratch);
        }
        scratch.clear();
        format::round_trip(scratch, self.store.to_unix_nanos(status.reset_after));
        set_header(outcome, "X-RateLimit-Reset", scratch);
    }

    /// The two fields of the IETF draft, with an item for each limit of this stage.
    fn add_ratelimit_headers(
        &self,
        statuses: &[RateLimitStatus],
        now: u64,
        scratch: &mut Vec<u8>,
        outcome: &mut RouteResult,
    ) {
        for status in statuses {
            let Some(rule) = self.rules.iter().find(|rule| rule.index == status.limit) else { continue };
            append_header(outcome, "RateLimit-Policy", rule.policy.as_bytes());
            scratch.clear();
            format::ratelimit_item(
                scratch,
                &rule.name,
                status.remaining,
                status.reset_after.saturating_sub(now),
            );
            append_header(outcome, "RateLimit", scratch);
        }
    }
}

fn set_header(outcome: &mut RouteResult, name: &'static str, value: &[u8]) {
    match outcome {
        Ok(response) => response.head.set(name.as_bytes(), value),
        Err(_) => append_header(outcome, name, value),
    }
}
