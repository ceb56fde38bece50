//! The stage: limits of this gateway in their order, then the shared ones together.

use super::{
    config::{Fields, RateLimitConfig},
    response_headers,
    rule::Rule,
    shared::{
        Scope,
        group::{SharedGroup, combine},
        leases::Verdict,
        limiter::SharedLimiter,
    },
    state::RateLimitState,
    store::CounterStore,
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, RateLimitStatus},
        response::RouteResult,
        stage::{Stage, Step},
    },
    stages::partition_key::{Key, KeyPart, format_list},
    state::{OnFailure, SharedState},
    telemetry::SharedDecision,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Limits that need only the request.
pub const NAME: &str = "rate-limit";
/// Limits by claim, after authentication.
pub const NAME_BY_CLAIM: &str = "rate-limit-by-claim";

/// The stages of a route: limits before authentication, and limits by claim.
pub fn stages(
    settings: &RateLimitConfig,
    state: &RateLimitState,
    shared: Option<&Arc<SharedState>>,
) -> Vec<RateLimit> {
    let rules =
        settings.limits.iter().zip(0u16..).map(|(limit, index)| Rule::new(limit, index, &state.counters));
    let (by_claim, before_authentication): (Vec<_>, Vec<_>) =
        rules.partition(|rule| rule.limit.parts.iter().any(KeyPart::is_claim));
    let stage = |name, rules: Vec<Rule>, is_outermost| {
        RateLimit(Arc::new(Limits {
            name,
            shared: shared.and_then(|shared| SharedRules::new(&rules, &state.limiter(shared))),
            rules: rules.into(),
            is_outermost,
            fields: settings.fields,
            ocelot: settings.ocelot,
            store: state.counters.clone(),
        }))
    };
    let is_outermost = before_authentication.is_empty();
    let stages = [stage(NAME, before_authentication, true), stage(NAME_BY_CLAIM, by_claim, is_outermost)];
    stages.into_iter().filter(|stage| !stage.0.rules.is_empty()).collect()
}

/// Checks limits in order; a request passes if all admit it.
#[derive(Debug)]
pub struct RateLimit(Arc<Limits>);

/// The limits of a stage.
#[derive(Debug)]
struct Limits {
    name: &'static str,
    rules: Box<[Rule]>,
    shared: Option<SharedRules>,
    /// The first rate limit stage of the route; it adds the headers of Ocelot for all.
    is_outermost: bool,
    fields: Fields,
    ocelot: bool,
    store: Arc<CounterStore>,
}

/// The rules that several gateways share.
#[derive(Debug)]
struct SharedRules {
    limiter: Arc<SharedLimiter>,
    all: SharedSet,
    /// Those that apply to exempt clients too.
    without_exemptions: Option<SharedSet>,
}

/// Shared rules that apply together.
#[derive(Clone, Debug)]
struct SharedSet {
    /// Their indexes in the rules of the stage.
    rules: Arc<[usize]>,
    group: Arc<SharedGroup>,
}

impl SharedRules {
    fn new(rules: &[Rule], limiter: &Arc<SharedLimiter>) -> Option<SharedRules> {
        Some(SharedRules {
            limiter: limiter.clone(),
            all: SharedSet::new(rules, |_| true)?,
            without_exemptions: SharedSet::new(rules, |rule| !rule.has_exempt_clients()),
        })
    }

    /// The rules that apply to a request.
    fn set(&self, rules: &[Rule], exchange: &Exchange) -> Option<&SharedSet> {
        let is_exempt = self.all.rules.iter().any(|at| rules[*at].is_exempt(exchange));
        if is_exempt { self.without_exemptions.as_ref() } else { Some(&self.all) }
    }
}

impl SharedSet {
    fn new(rules: &[Rule], applies: impl Fn(&Rule) -> bool) -> Option<SharedSet> {
        let is_shared = |rule: &Rule| rule.limit.scope != Scope::Node && applies(rule);
        let indexes = rules.iter().enumerate().filter(|(_, rule)| is_shared(rule)).map(|(at, _)| at);
        let indexes: Arc<[usize]> = indexes.collect();
        let group =
            SharedGroup::new(indexes.iter().map(|at| (&rules[*at].limit.algorithm, rules[*at].limit.scope)))?;
        Some(SharedSet { rules: indexes, group: Arc::new(group) })
    }
}

/// The rules that counted the request here, with key and start of the window.
type CountedRules = SmallVec<[(usize, Key, u64); 4]>;

impl Stage for RateLimit {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let limits = &self.0;
        // A SignalR connection counts once, when it is negotiated.
        if exchange.routing.affinity.is_bound() {
            return Step::Next;
        }
        let mut counted = CountedRules::new();
        for (at, rule) in limits.rules.iter().enumerate() {
            // Without a shared state (as in a dry run of another process) each gateway counts.
            if limits.shared.is_some() && rule.limit.scope != Scope::Node || rule.is_exempt(exchange) {
                continue;
            }
            if let Err(cause) = limits.count(at, exchange, &mut counted) {
                return limits.refund_and_reject(exchange, &counted, cause);
            }
        }
        match &limits.shared {
            None => Step::Next,
            Some(shared) => on_shared(limits, shared, exchange, counted),
        }
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let limits = &self.0;
        let limit_headers = || limits.rules.iter().map(|rule| (rule.index, &rule.header));
        if limits.fields == Fields::Both {
            response_headers::add_standard(exchange, outcome, &limits.store, limit_headers);
        }
        if limits.fields != Fields::None && limits.is_outermost {
            response_headers::add_ocelot(exchange, outcome, &limits.store);
        }
    }

    fn describe(&self) -> String {
        let rules = self.0.rules.iter().map(|rule| {
            let limit = &rule.limit;
            let by = if limit.parts.is_empty() { "all".to_owned() } else { format_list(&limit.parts) };
            format!("{} by {by}{}", limit.rule, limit.scope.describe())
        });
        rules.collect::<Vec<_>>().join(", ")
    }
}

/// The shared rules of a request: by what is known here, or by Redis.
fn on_shared(
    limits: &Arc<Limits>,
    shared: &SharedRules,
    exchange: &mut Exchange,
    counted: CountedRules,
) -> Step {
    let Some(set) = shared.set(&limits.rules, exchange).filter(|_| !exchange.is_dry_run) else {
        return Step::Next;
    };
    let mut keys = SmallVec::<[Key; 2]>::new();
    for at in set.rules.iter() {
        let rule = &limits.rules[*at];
        let Some(key) = rule.key_builder.key(exchange) else {
            let cause = rule.missing_client_id(limits.ocelot, limits.fields);
            return limits.refund_and_reject(exchange, &counted, cause);
        };
        keys.push(key);
    }
    let (limiter, key) = (&shared.limiter, combine(&keys));
    let Some(verdict) = limiter.decide(key, limits.store.instant_to_nanos(exchange.now)) else {
        return ask_redis(limits, shared, set, key, exchange, counted);
    };
    let source = match verdict {
        Verdict::Admitted(_) => SharedDecision::Lease,
        Verdict::Rejected { .. } => SharedDecision::Refusal,
    };
    limiter.state.metrics().count_decision(exchange.worker, source);
    limits.apply(exchange, set, verdict, &counted)
}

/// Waits for the verdict of Redis.
fn ask_redis(
    limits: &Arc<Limits>,
    shared: &SharedRules,
    set: &SharedSet,
    key: Key,
    exchange: &mut Exchange,
    counted: CountedRules,
) -> Step {
    let limiter = &shared.limiter;
    let names = set.rules.iter().filter_map(|at| limits.rules[*at].key_builder.digest(exchange));
    let names = names.map(|digest| limiter.counter_name(&digest)).collect();
    let answer = match limiter.state.is_available() {
        true => limiter.ask(key, &set.group, names),
        false => None,
    };
    let Some(answer) = answer else { return limits.without_redis(exchange, shared, set, counted) };
    let (limits, set, timeout) = (limits.clone(), set.clone(), limiter.state.timeout());
    Step::Suspend(Box::pin(async move {
        let verdict = tokio::time::timeout(timeout, answer).await;
        Step::ResumeAt(Box::new(move |exchange| match (verdict, &limits.shared) {
            (Ok(Ok(verdict)), Some(shared)) => {
                shared.limiter.state.metrics().count_decision(exchange.worker, SharedDecision::Redis);
                limits.apply(exchange, &set, verdict, &counted)
            }
            (_, Some(shared)) => limits.without_redis(exchange, shared, &set, counted),
            (_, None) => Step::Next,
        }))
    }))
}

impl Limits {
    /// Counts a request by a rule on this gateway.
    fn count(
        &self,
        at: usize,
        exchange: &mut Exchange,
        counted: &mut CountedRules,
    ) -> Result<(), GatewayError> {
        let rule = &self.rules[at];
        let now_ns = self.store.instant_to_nanos(exchange.now);
        let Some(key) = rule.key_builder.key(exchange) else {
            return Err(rule.missing_client_id(self.ocelot, self.fields));
        };
        let count = |counter| rule.limit.algorithm.try_acquire(counter, now_ns);
        let (decision, window_start_ns) = self.store.update(key, now_ns, !exchange.is_dry_run, count);
        if !decision.admitted {
            let retry_after_ns = decision.retry_at_ns.saturating_sub(now_ns);
            return Err(rule.exceeded(retry_after_ns, self.ocelot, self.fields));
        }
        counted.push((at, key, window_start_ns));
        exchange.response.rate_limits.push(RateLimitStatus {
            limit: rule.index,
            quota: rule.limit.algorithm.capacity(),
            remaining: decision.remaining,
            resets_at_ns: decision.resets_at_ns,
        });
        Ok(())
    }

    /// Applies the verdict of the shared rules.
    fn apply(
        &self,
        exchange: &mut Exchange,
        set: &SharedSet,
        verdict: Verdict,
        counted: &CountedRules,
    ) -> Step {
        match verdict {
            Verdict::Admitted(states) => {
                for (at, state) in set.rules.iter().zip(states) {
                    let rule = &self.rules[*at];
                    exchange.response.rate_limits.push(RateLimitStatus {
                        limit: rule.index,
                        quota: rule.limit.algorithm.capacity(),
                        remaining: state.remaining,
                        resets_at_ns: state.resets_at_ns,
                    });
                }
                Step::Next
            }
            Verdict::Rejected { limit, retry_at_ns } => {
                let rule = &self.rules[set.rules.get(limit).copied().unwrap_or_default()];
                let retry_after_ns = retry_at_ns.saturating_sub(self.store.instant_to_nanos(exchange.now));
                let cause = rule.exceeded(retry_after_ns, self.ocelot, self.fields);
                self.refund_and_reject(exchange, counted, cause)
            }
        }
    }

    /// `OnFailure`: this gateway counts, or the request is rejected.
    fn without_redis(
        &self,
        exchange: &mut Exchange,
        shared: &SharedRules,
        set: &SharedSet,
        mut counted: CountedRules,
    ) -> Step {
        let state = &shared.limiter.state;
        if state.on_failure() == OnFailure::Refuse {
            state.metrics().count_decision(exchange.worker, SharedDecision::Refused);
            let cause = GatewayError::new(
                ErrorCode::StateUnavailable,
                "the shared state of the rate limit does not reply",
            );
            let cause =
                cause.with_details(|details| details.headers.push(("Retry-After".into(), "1".into())));
            return self.refund_and_reject(exchange, &counted, cause);
        }
        state.metrics().count_decision(exchange.worker, SharedDecision::Local);
        for at in set.rules.iter() {
            if let Err(cause) = self.count(*at, exchange, &mut counted) {
                return self.refund_and_reject(exchange, &counted, cause);
            }
        }
        Step::Next
    }

    /// Refunds the counts of other limits: a rejected request counts for none of them.
    fn refund_and_reject(
        &self,
        exchange: &mut Exchange,
        counted: &CountedRules,
        cause: GatewayError,
    ) -> Step {
        if !exchange.is_dry_run {
            for (at, key, window_start_ns) in counted {
                let algorithm = &self.rules[*at].limit.algorithm;
                self.store.update_existing(*key, |counter| algorithm.refund(counter, *window_start_ns));
            }
        }
        exchange.response.rate_limits.clear();
        Step::Fail(cause)
    }
}
