//! `RateLimitOptions`: rate limits by fixed window (docs/ocelot-behavior.md, section 13) or token bucket, partitioned
//! by client, address, header or claim.
//!
//! - Elsewhere: nginx's `limit_req`, Envoy's local rate limit filter, ASP.NET's rate limiter.
//! - Entry point: [`RateLimit`], the stage. There are two of it: before authentication, and after it for limits by
//!   claim.
//! - Callers: the table of stages builds them; `compile` checks the options.
//! - Owns: the counters ([`store::CounterStore`]), swept by a background task.
//! - Outlives a reload: the counters, found again by the name of the limit.

mod compile;
pub mod inspect;
mod message;
mod options;
pub(super) mod period;
mod resolved;
pub mod token_bucket;
pub mod store;
pub mod format;
mod response_headers;
pub mod fixed_window;

use super::partition_key::{Key, KeyBuilder, KeyPart, client_id, format_list};
pub use options::{GlobalRateLimitOptions, RateLimitDocument, RateLimitOptions};

use crate::base::clock::Clock;
use crate::net::background::BackgroundRuntime;
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::{Exchange, RateLimitStatus},
    response::RouteResult,
    stage::{BoxStage, Stage, Step},
};
use crate::stages::feature::{BuildContext, StageConfig};
use fixed_window::{Decision, FixedWindow};
use response_headers::LimitHeader;
use smallvec::SmallVec;
use std::{collections::HashSet, sync::Arc};
use store::{Counter, CounterStore};
use token_bucket::TokenBucket;

/// Limits that need only the request.
pub const NAME: &str = "rate-limit";
/// Limits by claim, after authentication.
pub const NAME_BY_CLAIM: &str = "rate-limit-by-claim";

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Window(FixedWindow),
    Bucket(TokenBucket),
}

impl Algorithm {
    fn try_acquire(&self, counter: Option<Counter>, now_ns: u64) -> (Counter, (Decision, u64)) {
        let (counter, decision) = match self {
            Algorithm::Window(window) => window.try_acquire(counter, now_ns),
            Algorithm::Bucket(bucket) => bucket.try_acquire(counter, now_ns),
        };
        (counter, (decision, counter.window_start_ns))
    }

    fn refund(&self, counter: Counter, window_start_ns: u64) -> Counter {
        match self {
            Algorithm::Window(_) => FixedWindow::refund(counter, window_start_ns),
            Algorithm::Bucket(bucket) => bucket.refund(counter),
        }
    }

    /// Requests that are admitted in a burst.
    fn capacity(&self) -> u64 {
        match self {
            Algorithm::Window(window) => window.limit,
            Algorithm::Bucket(bucket) => bucket.burst(),
        }
    }
}

/// One limit, as the blueprint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sent to the client.
    pub name: String,
    /// `limit/period/wWAIT`, for descriptions.
    pub rule: String,
    /// The name of the counters; equal names share them.
    pub counter: String,
    pub algorithm: Algorithm,
    /// Requests in a period, and the period in seconds; sent to the client.
    pub policy: (u64, u64),
    pub parts: Vec<KeyPart>,
    /// Client IDs without a limit.
    pub exempt_clients: Vec<String>,
    pub status: u16,
    /// The message when the limit is exceeded.
    pub message: String,
    /// The message for a request without a client ID.
    pub on_missing_client_id: String,
}

/// The response fields with the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    None,
    /// Only those of Ocelot.
    Ocelot,
    /// Those of Ocelot and of the IETF draft.
    Both,
}

/// All limits of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    pub limits: Vec<Limit>,
    pub fields: Fields,
    /// Responses as in Ocelot instead of problem details.
    pub ocelot: bool,
}

impl StageConfig for RateLimitConfig {
    type State = Arc<CounterStore>;

    fn build(&self, store: &Self::State, _: &BuildContext) -> Vec<BoxStage> {
        stages(self, store).into_iter().map(|stage| Box::new(stage) as BoxStage).collect()
    }

    fn maintain(store: &Self::State, background: &BackgroundRuntime, clock: &Clock) {
        background.spawn(store::sweep_task(Arc::downgrade(store), clock.clone()));
    }
}

/// The stages of a route: limits before authentication, and limits by claim.
fn stages(settings: &RateLimitConfig, store: &Arc<CounterStore>) -> Vec<RateLimit> {
    let rules = settings.limits.iter().zip(0u16..).map(|(limit, index)| Rule::new(limit, index, store));
    let (by_claim, before_authentication): (Vec<_>, Vec<_>) =
        rules.partition(|rule| rule.limit.parts.iter().any(KeyPart::is_claim));
    let stage = |name, rules: Vec<Rule>, is_outermost| RateLimit {
        name,
        rules: rules.into(),
        is_outermost,
        fields: settings.fields,
        ocelot: settings.ocelot,
        store: store.clone(),
    };
    let is_outermost = before_authentication.is_empty();
    let stages = [stage(NAME, before_authentication, true), stage(NAME_BY_CLAIM, by_claim, is_outermost)];
    stages.into_iter().filter(|stage| !stage.rules.is_empty()).collect()
}

/// Client IDs.
type ClientIds = HashSet<Box<[u8]>>;

/// A compiled limit.
#[derive(Debug)]
struct Rule {
    /// Its index among the limits of the route.
    index: u16,
    limit: Limit,
    key_builder: KeyBuilder,
    /// The client ID header and the exempt clients, if there are any.
    exempt: Option<(Box<str>, ClientIds)>,
    header: LimitHeader,
}

impl Rule {
    fn new(limit: &Limit, index: u16, store: &CounterStore) -> Rule {
        let header = limit.parts.iter().find_map(|part| match part {
            KeyPart::ClientId(header) if !limit.exempt_clients.is_empty() => Some(header.clone()),
            _ => None,
        });
        let exempt_ids = || limit.exempt_clients.iter().map(|id| id.as_bytes().into()).collect();
        Rule {
            index,
            key_builder: store.keys.builder(&limit.counter, &limit.parts),
            exempt: header.map(|header| (header, exempt_ids())),
            header: LimitHeader::new(&limit.name, limit.policy),
            limit: limit.clone(),
        }
    }

    fn is_exempt(&self, exchange: &Exchange) -> bool {
        self.exempt
            .as_ref()
            .is_some_and(|(header, ids)| client_id(exchange, header).is_some_and(|id| ids.contains(id)))
    }
}

/// Checks limits in order; a request passes if all admit it.
#[derive(Debug)]
pub struct RateLimit {
    name: &'static str,
    rules: Box<[Rule]>,
    /// The first rate limit stage of the route; it adds the headers of Ocelot for all.
    is_outermost: bool,
    fields: Fields,
    ocelot: bool,
    store: Arc<CounterStore>,
}

/// The rules that counted the request, with key and start of the window.
type CountedRules<'r> = SmallVec<[(&'r Rule, Key, u64); 4]>;

impl Stage for RateLimit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let now_ns = self.store.instant_to_nanos(exchange.now);
        let mut counted = CountedRules::new();
        for rule in &self.rules {
            if rule.is_exempt(exchange) {
                continue;
            }
            let Some(key) = rule.key_builder.key(exchange) else {
                return self.refund_and_reject(exchange, &counted, self.missing_client_id(rule));
            };
            let count = |counter| rule.limit.algorithm.try_acquire(counter, now_ns);
            let (decision, window_start_ns) = self.store.update(key, now_ns, !exchange.is_dry_run, count);
            if !decision.admitted {
                return self.refund_and_reject(
                    exchange,
                    &counted,
                    self.limit_exceeded(rule, &decision, now_ns),
                );
            }
            counted.push((rule, key, window_start_ns));
            exchange.response.rate_limits.push(RateLimitStatus {
                limit: rule.index,
                quota: rule.limit.algorithm.capacity(),
                remaining: decision.remaining,
                resets_at_ns: decision.resets_at_ns,
            });
        }
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let limit_headers = || self.rules.iter().map(|rule| (rule.index, &rule.header));
        if self.fields == Fields::Both {
            response_headers::add_standard(exchange, outcome, &self.store, limit_headers);
        }
        if self.fields != Fields::None && self.is_outermost {
            response_headers::add_ocelot(exchange, outcome, &self.store);
        }
    }

    fn describe(&self) -> String {
        let rules = self.rules.iter().map(|rule| {
            let by =
                if rule.limit.parts.is_empty() { "all".to_owned() } else { format_list(&rule.limit.parts) };
            format!("{} by {by}", rule.limit.rule)
        });
        rules.collect::<Vec<_>>().join(", ")
    }
}

impl RateLimit {
    /// Refunds the counts of other limits: a rejected request counts for none of them.
    fn refund_and_reject(
        &self,
        exchange: &mut Exchange,
        counted: &CountedRules,
        cause: GatewayError,
    ) -> Step {
        if !exchange.is_dry_run {
            for (rule, key, window_start_ns) in counted {
                self.store
                    .update_existing(*key, |counter| rule.limit.algorithm.refund(counter, *window_start_ns));
            }
        }
        exchange.response.rate_limits.clear();
        Step::Fail(cause)
    }

    fn missing_client_id(&self, rule: &Rule) -> GatewayError {
        let cause =
            GatewayError::new(ErrorCode::RateLimitClientIdMissing, rule.limit.on_missing_client_id.clone());
        if !self.ocelot {
            return cause;
        }
        cause.with_details(|details| {
            details.plain_body = Some(rule.limit.on_missing_client_id.clone());
            if self.fields != Fields::None {
                details.headers.push(("Retry-After".into(), "-1".into()));
            }
        })
    }

    fn limit_exceeded(&self, rule: &Rule, decision: &Decision, now_ns: u64) -> GatewayError {
        let limit = &rule.limit;
        let retry_after_ns = decision.retry_at_ns.saturating_sub(now_ns);
        GatewayError::new(ErrorCode::RateLimitExceeded, limit.message.clone()).with_details(|details| {
            details.status = Some(limit.status);
            details.plain_body = self.ocelot.then(|| limit.message.clone());
            match self.fields {
                Fields::None => {}
                Fields::Ocelot => {
                    details.headers.push(("Retry-After".into(), format::seconds_as_double(retry_after_ns)));
                }
                Fields::Both => {
                    details
                        .headers
                        .push(("Retry-After".into(), format::whole_seconds(retry_after_ns).to_string()));
                    details.headers.extend(rule.header.exhausted(retry_after_ns));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
