//! `RateLimitOptions`: rate limits by fixed window (docs/ocelot-behavior.md, section 13) or token bucket, partitioned by
//! client, address, header or claim (nginx's `limit_req`, Envoy's local rate limit filter). The counters outlive a reload.

mod compile;
mod message;
mod options;
mod period;
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
use smallvec::SmallVec;
use std::{collections::HashSet, sync::Arc};
use store::{Counter, CounterStore};
use token_bucket::TokenBucket;

/// Limits that need to know nothing but the request.
pub const NAME: &str = "rate-limit";
/// Limits by claim, which have to wait for authentication.
pub const NAME_BY_CLAIM: &str = "rate-limit-by-claim";

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Window(FixedWindow),
    Bucket(TokenBucket),
}

impl Algorithm {
    fn count(&self, cell: Option<Counter>, now: u64) -> (Counter, (Decision, u64)) {
        let (cell, standing) = match self {
            Algorithm::Window(window) => window.try_acquire(cell, now),
            Algorithm::Bucket(bucket) => bucket.try_acquire(cell, now),
        };
        (cell, (standing, cell.window_start))
    }

    fn refund(&self, cell: Counter, began: u64) -> Counter {
        match self {
            Algorithm::Window(_) => FixedWindow::refund(cell, began),
            Algorithm::Bucket(bucket) => bucket.refund(cell),
        }
    }

    /// Requests that pass at once.
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
    /// Told to the client.
    pub name: String,
    /// `limit/period/wWAIT`, for people.
    pub rule: String,
    /// Under which counts are kept; equal names share them.
    pub counter: String,
    pub algorithm: Algorithm,
    /// Requests in a period, and the period in seconds; told to the client.
    pub policy: (u64, u64),
    pub parts: Vec<KeyPart>,
    /// Client ids without a limit.
    pub exempt_clients: Vec<String>,
    pub status: u16,
    /// What a client is told that called too often.
    pub message: String,
    /// What a client is told that did not say who it is.
    pub on_missing_client_id: String,
}

/// Which fields a client is told its limits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    None,
    /// Ocelot's alone.
    Ocelot,
    /// Ocelot's and those of the IETF draft.
    Both,
}

/// All limits of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    pub limits: Vec<Limit>,
    pub fields: Fields,
    /// Ocelot's messages and numbers, instead of problems.
    pub ocelot: bool,
}

impl StageConfig for RateLimitConfig {
    type State = Arc<CounterStore>;

    fn build(&self, counters: &Self::State, _: &BuildContext) -> Vec<BoxStage> {
        stages(self, counters).into_iter().map(|stage| Box::new(stage) as BoxStage).collect()
    }

    fn maintain(counters: &Self::State, background: &BackgroundRuntime, clock: &Clock) {
        background.spawn(store::sweep_task(Arc::downgrade(counters), clock.clone()));
    }
}

/// The stages of a route: the limits that need no claim, and those that do.
fn stages(settings: &RateLimitConfig, counters: &Arc<CounterStore>) -> Vec<RateLimit> {
    let rules = settings.limits.iter().zip(0u16..).map(|(limit, at)| Rule::new(limit, at, counters));
    let (late, early): (Vec<_>, Vec<_>) =
        rules.partition(|rule| rule.limit.parts.iter().any(KeyPart::is_claim));
    let stage = |name, rules: Vec<Rule>, outermost| RateLimit {
        name,
        rules: rules.into(),
        is_outermost: outermost,
        fields: settings.fields,
        ocelot: settings.ocelot,
        counters: counters.clone(),
    };
    let outermost = early.is_empty();
    let stages = [stage(NAME, early, true), stage(NAME_BY_CLAIM, late, outermost)];
    stages.into_iter().filter(|stage| !stage.rules.is_empty()).collect()
}

/// Client ids.
type CounterKeys = HashSet<Box<[u8]>>;

/// A limit ready to be asked.
#[derive(Debug)]
struct Rule {
    /// Its place among the limits of the route.
    index: u16,
    limit: Limit,
    keyer: KeyBuilder,
    /// The header that names the client, where the limit is by client and some clients have none.
    is_exempt: Option<(Box<str>, CounterKeys)>,
    /// The name as a structured string.
    name: String,
    /// `"name";q=100;w=60`
    policy: String,
}

impl Rule {
    fn new(limit: &Limit, index: u16, counters: &CounterStore) -> Rule {
        let header = limit.parts.iter().find_map(|part| match part {
            KeyPart::ClientId(header) if !limit.exempt_clients.is_empty() => Some(header.clone()),
            _ => None,
        });
        let name = format::sf_string(&limit.name);
        let spared = || limit.exempt_clients.iter().map(|id| id.as_bytes().into()).collect();
        Rule {
            index,
            keyer: counters.keys.builder(&limit.counter, &limit.parts),
            is_exempt: header.map(|header| (header, spared())),
            policy: format!("{name};q={};w={}", limit.policy.0, limit.policy.1),
            name,
            limit: limit.clone(),
        }
    }

    fn is_exempt(&self, exchange: &Exchange) -> bool {
        self.is_exempt
            .as_ref()
            .is_some_and(|(header, ids)| client_id(exchange, header).is_some_and(|id| ids.contains(id)))
    }
}

/// Asks the limits, one after the other; a request passes when all let it.
#[derive(Debug)]
pub struct RateLimit {
    name: &'static str,
    rules: Box<[Rule]>,
    /// The first stage of this kind on the route: it speaks for all.
    is_outermost: bool,
    fields: Fields,
    ocelot: bool,
    counters: Arc<CounterStore>,
}

/// What was counted: by which rule, under which key, in which window.
type CountedRules<'r> = SmallVec<[(&'r Rule, Key, u64); 4]>;

impl Stage for RateLimit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let now = self.counters.instant_to_nanos(exchange.now);
        let mut counted = CountedRules::new();
        for rule in &self.rules {
            if rule.is_exempt(exchange) {
                continue;
            }
            let Some(key) = rule.keyer.key(exchange) else {
                return self.reject(exchange, &counted, self.on_missing_client_id(rule));
            };
            let count = |cell| rule.limit.algorithm.count(cell, now);
            let (standing, began) = self.counters.count(key, now, !exchange.is_dry_run, count);
            if !standing.admitted {
                return self.reject(exchange, &counted, self.limit_exceeded(rule, &standing, now));
            }
            counted.push((rule, key, began));
            exchange.response.rate_limits.push(RateLimitStatus {
                limit: rule.index,
                quota: rule.limit.algorithm.capacity(),
                remaining: standing.remaining,
                reset_after: standing.resets_at,
            });
        }
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        if self.fields != Fields::None && !exchange.response.rate_limits.is_empty() {
            self.add_headers(exchange, outcome);
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
    /// What other limits counted is taken back: a request that one of them refuses costs nothing of the others.
    fn reject(&self, exchange: &mut Exchange, counted: &CountedRules, cause: GatewayError) -> Step {
        if !exchange.is_dry_run {
            for (rule, key, began) in counted {
                self.counters.update_existing(*key, |cell| rule.limit.algorithm.refund(cell, *began));
            }
        }
        exchange.response.rate_limits.clear();
        Step::Fail(cause)
    }

    fn on_missing_client_id(&self, rule: &Rule) -> GatewayError {
        let cause =
            GatewayError::new(ErrorCode::RateLimitClientIdMissing, rule.limit.on_missing_client_id.clone());
        if !self.ocelot {
            return cause;
        }
        cause.with_details(|more| {
            more.plain_body = Some(rule.limit.on_missing_client_id.clone());
            if self.fields != Fields::None {
                more.headers.push(("Retry-After".into(), "-1".into()));
            }
        })
    }

    fn limit_exceeded(&self, rule: &Rule, standing: &Decision, now: u64) -> GatewayError {
        let limit = &rule.limit;
        let wait = standing.retry_at.saturating_sub(now);
        GatewayError::new(ErrorCode::RateLimitExceeded, limit.message.clone()).with_details(|more| {
            more.status = Some(limit.status);
            more.plain_body = self.ocelot.then(|| limit.message.clone());
            match self.fields {
                Fields::None => {}
                Fields::Ocelot => more.headers.push(("Retry-After".into(), format::seconds_as_double(wait))),
                Fields::Both => {
                    more.headers.push(("Retry-After".into(), format::whole_seconds(wait).to_string()));
                    more.headers.push(("RateLimit-Policy".into(), rule.policy.clone()));
                    more.headers
                        .push(("RateLimit".into(), response_headers::exhausted_item(&rule.name, wait)));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
