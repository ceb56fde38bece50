//! The way back: what was left is told to the client, with every answer to a request that passed, refusals of later
//! stages included.

use super::{Fields, RateLimit, fields};
use crate::pipeline::{
    answer::{Outcome, add_field},
    exchange::{Exchange, Quota},
};

/// `"name";r=0;t=30`
pub(super) fn nothing_left(name: &str, nanoseconds: u64) -> String {
    let mut out = Vec::new();
    fields::left(&mut out, name, 0, nanoseconds);
    String::from_utf8_lossy(&out).into_owned()
}

impl RateLimit {
    pub(super) fn tell(&self, x: &mut Exchange, outcome: &mut Outcome) {
        let Exchange { quotas, scratch, now, .. } = x;
        if self.fields == Fields::Both {
            let now = self.counters.at(*now);
            self.tell_draft(quotas, now, scratch, outcome);
        }
        // The request that has least left of one of its limits is told that one.
        if let Some(tightest) = quotas.iter().min_by_key(|quota| quota.left).filter(|_| self.outermost) {
            self.tell_ocelot(tightest, scratch, outcome);
        }
    }

    /// Ocelot's three fields; each is there once, whatever the service says.
    fn tell_ocelot(&self, quota: &Quota, scratch: &mut Vec<u8>, outcome: &mut Outcome) {
        for (name, n) in [("X-RateLimit-Limit", quota.of), ("X-RateLimit-Remaining", quota.left)] {
            scratch.clear();
            crate::base::bytes::put_decimal(scratch, n);
            put(outcome, name, scratch);
        }
        scratch.clear();
        fields::round_trip(scratch, self.counters.unix(quota.resets));
        put(outcome, "X-RateLimit-Reset", scratch);
    }

    /// The draft's two fields, a member for each limit of this stage.
    fn tell_draft(&self, quotas: &[Quota], now: u64, scratch: &mut Vec<u8>, outcome: &mut Outcome) {
        for quota in quotas {
            let Some(rule) = self.rules.iter().find(|rule| rule.at == quota.limit) else { continue };
            add_field(outcome, "RateLimit-Policy", rule.policy.as_bytes());
            scratch.clear();
            fields::left(scratch, &rule.name, quota.left, quota.resets.saturating_sub(now));
            add_field(outcome, "RateLimit", scratch);
        }
    }
}

fn put(outcome: &mut Outcome, name: &'static str, value: &[u8]) {
    match outcome {
        Ok(answer) => answer.head.set(name.as_bytes(), value),
        Err(_) => add_field(outcome, name, value),
    }
}
