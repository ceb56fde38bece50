//! `RateLimitOptions` → the limits.

use super::{
    Algorithm, Fields, Limit, RateLimitConfig, Scope,
    fixed_window::FixedWindow,
    message::format_message,
    options::{RateLimitDocument, RateLimitOptions},
    period,
    resolved::ResolvedRateLimit,
    scope,
    token_bucket::TokenBucket,
};
use crate::{
    config::{
        Code, Diagnostics, OcelotBehavior, OcelotTolerated, Span, Spanned, codes,
        options::Options,
        values::{items, non_blank},
    },
    stages::{
        feature::{CompileContext, Feature, GatewayFacts, Origin},
        partition_key::{KeyPart, compile_parts, limit_name},
    },
};
use std::{num::NonZeroU32, time::Duration};

const ALGORITHMS: [&str; 2] = ["FixedWindow", "TokenBucket"];

/// A duration as text, and where it is set.
type DurationSource<'w> = (&'w str, Span);

/// One limit before it is compiled, with everything that it inherits from the options.
struct FlatLimit<'w> {
    name: Option<&'w str>,
    limit: Spanned<u64>,
    period: DurationSource<'w>,
    wait: DurationSource<'w>,
    algorithm: Option<&'w Spanned<String>>,
    burst: Option<&'w Spanned<i64>>,
    partition: &'w [Spanned<String>],
    scope: Option<&'w Spanned<String>>,
    lease: Option<&'w Spanned<String>>,
}

impl Feature for RateLimitOptions {
    type Config = RateLimitConfig;

    fn compile(&self, context: &mut CompileContext) -> Option<RateLimitConfig> {
        let options = ResolvedRateLimit::resolve(self);
        let gateway = context.gateway;
        let fields = match (options.headers, gateway.ocelot) {
            (false, _) => Fields::None,
            (true, true) => Fields::Ocelot,
            (true, false) => Fields::Both,
        };
        let mut compiler = RateLimitCompiler { span: context.span(), options: &options, context };
        let limits = compiler.limits();
        Some(RateLimitConfig { limits, fields, ocelot: gateway.ocelot })
    }

    /// The rules of a route's own options, before anything is inherited; `{}` is absent.
    fn check(&self, span: Span, origin: Origin, _: &GatewayFacts, diagnostics: &mut Diagnostics) {
        if origin == Origin::Route && !self.is_empty() && !self.is_switched_off() {
            self.check_limit(diagnostics);
            self.check_period(span, diagnostics);
        }
    }
}

impl RateLimitOptions {
    fn check_limit(&self, diagnostics: &mut Diagnostics) {
        if let Some(limit) = self.limit.as_ref().filter(|limit| limit.value <= 0) {
            let message = format!("invalid RateLimitOptions.Limit {}", limit.value);
            diagnostics
                .error(codes::RATE_LIMIT_WITHOUT_CALLS, limit.span, message)
                .help("must be greater than 0; to disable the limit, set \"EnableRateLimiting\": false");
        }
    }

    fn check_period(&self, span: Span, diagnostics: &mut Diagnostics) {
        let only_nested = !items(&self.limits).is_empty() && self.limit.is_none();
        match non_blank(&self.period) {
            None if only_nested => {}
            None => {
                let span = self.period.as_ref().map_or(span, |period| period.span);
                diagnostics
                    .error(codes::RATE_LIMIT_WITHOUT_PERIOD, span, "RateLimitOptions has no Period")
                    .help("a route that sets any of these options must set its own Period, such as \"1m\"");
            }
            Some(period) if !period::has_period_prefix(period.trim()) => {
                let message = format!("invalid RateLimitOptions.Period \"{}\"", period.value);
                diagnostics
                    .error(codes::BAD_PERIOD, period.span, message)
                    .help("expected a number and ms, s, m, h or d, such as \"1m\" for one minute");
            }
            Some(_) => {}
        }
    }
}

/// Compiles the limits of one route.
struct RateLimitCompiler<'o, 'c, 'd> {
    options: &'o ResolvedRateLimit,
    /// Where the options are set.
    span: Span,
    context: &'c mut CompileContext<'d>,
}

impl<'o> RateLimitCompiler<'o, '_, '_> {
    fn limits(&mut self) -> Vec<Limit> {
        let header = self.options.client_id_header.as_str();
        let status = self.status();
        let mut limits = Vec::new();
        for raw in self.flatten_limits() {
            let parts = match raw.partition {
                [] => vec![KeyPart::ClientId(header.into()), KeyPart::Route],
                list => compile_parts(list, Some(header), self.context),
            };
            let scope = scope::compile(raw.scope, raw.lease, self.context);
            if let Some(algorithm) = self.algorithm(&raw) {
                limits.push(Limit { scope, ..self.limit(&raw, algorithm, parts, status) });
            }
        }
        limits
    }

    /// The limit of the options, unless only the list has limits, followed by those of the list.
    fn flatten_limits(&mut self) -> Vec<FlatLimit<'o>> {
        let (options, place) = (self.options, self.span);
        let [limit, period, wait, _] = options.spans;
        let around = FlatLimit {
            name: None,
            limit: Spanned::new(options.limit.unsigned_abs(), limit.unwrap_or(place)),
            period: (&options.period, period.unwrap_or(place)),
            wait: (&options.wait, wait.unwrap_or(place)),
            algorithm: options.algorithm.as_ref(),
            burst: options.burst.as_ref(),
            partition: options.partition.as_deref().unwrap_or_default(),
            scope: options.scope.as_ref(),
            lease: options.lease.as_ref(),
        };
        let mut all: Vec<FlatLimit> = Vec::new();
        for other in &options.nested_limits {
            all.extend(self.nested_limit(other, &around));
        }
        if limit.is_some() || options.nested_limits.is_empty() {
            self.zero_limit(&around);
            all.insert(0, around);
        }
        all
    }

    /// Ocelot starts with a global limit of zero, and then rejects every request.
    fn zero_limit(&mut self, raw: &FlatLimit) {
        // A route's own limit was checked before anything was inherited.
        if raw.limit.value == 0 && !self.is_reported(codes::RATE_LIMIT_WITHOUT_CALLS, raw.limit.span) {
            let tolerated = OcelotTolerated::new(
                codes::RATE_LIMIT_WITHOUT_CALLS,
                OcelotBehavior::Effect("every request is rejected"),
                "RateLimitOptions without a Limit greater than zero",
            );
            let cure = "set a Limit, or disable it with \"EnableRateLimiting\": false";
            tolerated.help(cure).report(
                self.context.diagnostics,
                self.context.gateway.ocelot,
                raw.limit.span,
            );
        }
    }

    fn nested_limit(
        &mut self,
        document: &'o Spanned<RateLimitDocument>,
        parent: &FlatLimit<'o>,
    ) -> Option<FlatLimit<'o>> {
        let missing =
            [("Limit", document.limit.is_none()), ("Period", non_blank(&document.period).is_none())];
        for (name, _) in missing.iter().filter(|(_, missing)| *missing) {
            let message = format!("entry of RateLimitOptions.Limits without {name}");
            self.context
                .diagnostics
                .error(codes::LIMIT_MISSING, document.span, message)
                .help("expected an entry such as { \"Limit\": 10, \"Period\": \"1s\" }");
        }
        let own_list = items(&document.partition_by);
        let period = non_blank(&document.period)?;
        Some(FlatLimit {
            name: non_blank(&document.name).map(|name| name.as_str()),
            limit: self.context.positive_count(&document.limit, "Limit")?,
            period: (period, period.span),
            wait: non_blank(&document.wait).map_or(parent.wait, |wait| (wait, wait.span)),
            algorithm: non_blank(&document.algorithm).or(parent.algorithm),
            burst: document.burst.as_ref(),
            partition: if own_list.is_empty() { parent.partition } else { own_list },
            scope: non_blank(&document.scope).or(parent.scope),
            lease: non_blank(&document.lease).or(parent.lease),
        })
    }

    fn algorithm(&mut self, raw: &FlatLimit) -> Option<Algorithm> {
        let period = self.time("Period", raw.period)?;
        let wait = self.time("Wait", raw.wait)?;
        let bucket = match raw.algorithm {
            None => false,
            Some(name) => match ALGORITHMS.iter().position(|known| known.eq_ignore_ascii_case(name.trim())) {
                Some(at) => at == 1,
                None => return self.unknown_algorithm(name),
            },
        };
        if !bucket {
            if let Some(burst) = raw.burst {
                self.report_unused(burst.span, "Burst", "FixedWindow");
            }
            let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            let (period, wait) = (nanoseconds(period), nanoseconds(wait));
            return Some(Algorithm::Window(FixedWindow {
                limit: raw.limit.value,
                period_ns: period,
                penalty_ns: wait,
            }));
        }
        if !wait.is_zero() {
            self.report_unused(raw.wait.1, "Wait", "TokenBucket");
        }
        self.bucket(raw, period).map(Algorithm::Bucket)
    }

    fn bucket(&mut self, raw: &FlatLimit, period: Duration) -> Option<TokenBucket> {
        let limit = self.tokens(&raw.limit, "Limit")?;
        let burst = match raw.burst {
            None => limit,
            Some(burst) => {
                let burst = self.context.positive_count(&Some(burst.clone()), "Burst")?;
                self.tokens(&burst, "Burst")?
            }
        };
        let bucket = TokenBucket::new(limit, period, burst);
        if bucket.is_none() {
            self.report_with_help(
                codes::BAD_PERIOD,
                raw.period.1,
                "Period is too short for this Limit",
                "set a longer Period",
            );
        }
        bucket
    }

    fn tokens(&mut self, n: &Spanned<u64>, name: &str) -> Option<NonZeroU32> {
        let read = u32::try_from(n.value).ok().and_then(NonZeroU32::new);
        if read.is_none() && n.value > 0 {
            self.report_with_help(
                codes::BAD_COUNT,
                n.span,
                &format!("invalid {name} {}", n.value),
                "must be between 1 and 4294967295",
            );
        }
        read
    }

    fn limit(&self, raw: &FlatLimit, algorithm: Algorithm, parts: Vec<KeyPart>, status: u16) -> Limit {
        let (options, facts) = (self.options, self.context.route);
        let (limit, (period, _), (wait, _)) = (raw.limit.value, raw.period, raw.wait);
        let rule = match algorithm {
            Algorithm::Window(_) => format!("{limit}/{period}/w{wait}"),
            Algorithm::Bucket(bucket) => format!("{limit}/{period}/b{}", bucket.burst()),
        };
        let short = format!("{limit}/{period}");
        let route = facts.client_path;
        let seconds = period::read(period).map_or(0, |time| time.as_nanos().div_ceil(1_000_000_000) as u64);
        Limit {
            name: raw.name.map_or(short, str::to_owned),
            counter: limit_name(&parts, &format!("{}|{rule}", options.key_prefix), facts.state_key),
            policy: (limit, seconds),
            exempt_clients: options.whitelist.iter().map(|id| id.value.clone()).collect(),
            status,
            message: format_message(&options.message, &limit.to_string(), period),
            on_missing_client_id: self.missing_client_id(&parts, &rule, route),
            algorithm,
            scope: Scope::Node,
            parts,
            rule,
        }
    }

    /// The text of the response to a request without a client ID; under Ocelot compatibility that of Ocelot.
    fn missing_client_id(&self, parts: &[KeyPart], rule: &str, route: &str) -> String {
        let header = parts.iter().find_map(|part| match part {
            KeyPart::ClientId(header) => Some(header),
            _ => None,
        });
        match header.filter(|_| !self.context.gateway.ocelot) {
            Some(header) => format!(
                "the request has no {header} field, by which the rate limit of the route identifies clients"
            ),
            None => format!(
                "Rate limiting client could not be identified for the route '{route}' due to a missing or unknown \
                 client ID header required by rule '{rule}'!"
            ),
        }
    }
}

/// Diagnostics.
impl RateLimitCompiler<'_, '_, '_> {
    fn time(&mut self, name: &str, (text, span): DurationSource) -> Option<Duration> {
        let read = period::read(text);
        if read.is_none() && self.is_reported(codes::BAD_PERIOD, span) {
            return None;
        }
        let tolerated = || {
            let message = format!("invalid RateLimitOptions.{name} \"{text}\"");
            OcelotTolerated::new(codes::BAD_PERIOD, OcelotBehavior::Status(500), message)
                .help("expected a number and ms, s, m, h or d, such as \"1m\" for one minute")
        };
        self.context.accept(span, read.ok_or_else(tolerated))
    }

    fn is_reported(&self, code: Code, span: Span) -> bool {
        self.context.diagnostics.list.iter().any(|known| known.code == code && known.span == Some(span))
    }

    fn status(&mut self) -> u16 {
        let is = self.options.status;
        if !(400..=599).contains(&is) {
            let message = format!("invalid StatusCode {is}");
            let tolerated = OcelotTolerated::new(
                codes::BAD_STATUS,
                OcelotBehavior::Effect("it is sent unchanged"),
                message,
            );
            let place = self.options.spans[3].unwrap_or(self.span);
            tolerated.help("must be between 400 and 599").report(
                self.context.diagnostics,
                self.context.gateway.ocelot,
                place,
            );
        }
        u16::try_from(is).ok().filter(|status| (200..=999).contains(status)).unwrap_or(429)
    }

    fn unknown_algorithm(&mut self, name: &Spanned<String>) -> Option<Algorithm> {
        let message = format!("unknown algorithm \"{}\"", name.value);
        let diagnostic = self.context.diagnostics.error(codes::UNKNOWN_CHOICE, name.span, message);
        diagnostic.expected(name, &ALGORITHMS);
        None
    }

    fn report_unused(&mut self, span: Span, setting: &str, algorithm: &str) {
        let message = format!("{setting} has no effect with {algorithm}");
        self.report_with_help(
            codes::USELESS_IN_ALGORITHM,
            span,
            &message,
            "remove it, or set another Algorithm",
        );
    }

    fn report_with_help(&mut self, code: Code, span: Span, message: &str, help: &str) {
        self.context.diagnostics.error(code, span, message).help(help);
    }
}
