//! What a route does about services that fail: from option objects to settings.

use super::cluster::Clusters;
use super::route::RouteCompiler;
use crate::backend::attempt::{
    QosConfig as Settled, ResilienceConfig, Scope,
    breaker::{self, Trip},
    retry,
};
use crate::config::ranges::RangeChecker;
use crate::config::{Code, Span, Spanned, codes, suggest};
use crate::plan::blueprint::{ClusterBlueprint, Sourced};
use crate::plan::check::{
    OcelotBehavior, OcelotTolerated, items, non_blank, unsupported::EffectiveOptions, values,
};
use crate::plan::document::{List, RetryOptions};
use crate::plan::inherit::{ResolvedQos, merge};
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The codes of gRPC that mean a failure, by their numbers from 1.
const GRPC_CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a route says about the time of its service, and about its failures.
pub(super) struct CompiledResilience {
    pub timeout: Sourced<Duration>,
    pub attempts: ResilienceConfig,
    pub fallback: Option<Arc<ClusterBlueprint>>,
}

impl RouteCompiler<'_, '_, '_> {
    /// Everything that is done about failures.
    pub(super) fn attempts(
        &mut self,
        effective: &EffectiveOptions,
        clusters: &Clusters,
    ) -> CompiledResilience {
        let (quality, mut timeout) = (effective.qos.as_ref(), self.timeout());
        let asked = quality.filter(|quality| quality.is_on() || !self.scope.ocelot);
        let mut attempts = ResilienceConfig {
            quality: asked.and_then(|quality| self.qos(quality)),
            retry: self.retry(),
            fallback: None,
            deadline_header: self.deadline_header(),
        };
        self.check_timeouts(&attempts, quality, &mut timeout);
        let fallback = self.fallback(clusters, &mut attempts.fallback);
        CompiledResilience { timeout, attempts, fallback }
    }

    /// The header is a header.
    fn deadline_header(&mut self) -> Option<String> {
        let global = &self.scope.global.deadline_header;
        let name = non_blank(&self.document.deadline_header).or(non_blank(global))?;
        if !values::is_token(name) || super::header_transforms::is_framing(name) {
            let message = format!("DeadlineHeader \"{}\" cannot be sent", name.value);
            self.diagnostics
                .error(codes::BAD_HEADER_NAME, name.span, message)
                .help("take the name of a header that does not frame messages, such as X-Deadline-Ms");
        }
        Some(name.value.clone())
    }

    pub(super) fn report(&mut self, code: Code, span: Span, message: String, help: &str) {
        self.diagnostics.error(code, span, message).help(help);
    }
}

/// Circuit breaker and time limit.
impl RouteCompiler<'_, '_, '_> {
    fn qos(&mut self, quality: &ResolvedQos) -> Option<Settled> {
        let ocelot = self.scope.ocelot;
        let scope = self.breaker_scope(quality);
        let timeout = self.positive_millis("Timeout", &quality.timeout, |ms| {
            (ms <= 10 || ms >= 86_400_000).then_some(30_000)
        });
        let breaker = self.breaker(quality);
        let nothing = breaker.is_none() && timeout.is_none();
        (!nothing).then(|| Settled {
            breaker,
            scope,
            timeout: timeout.map(|ms| ms * MS),
            ocelot: ocelot
                .then(|| self.document.client_path.as_ref().map_or("", |path| path.as_str()).to_owned()),
        })
    }

    /// Under Ocelot there is a circuit as soon as there is a time limit.
    fn breaker(&mut self, quality: &ResolvedQos) -> Option<breaker::BreakerConfig> {
        let least = self
            .positive_millis("MinimumThroughput", &quality.minimum_throughput, |n| (n < 2).then_some(100));
        let pause =
            self.positive_millis("BreakDuration", &quality.break_duration, |ms| (ms <= 500).then_some(5_000));
        let within = self.positive_millis("SamplingDuration", &quality.sampling_duration, |ms| {
            (ms <= 500).then_some(10_000)
        });
        let ratio = self.ratio(quality.failure_ratio.as_ref());
        if least.is_none() && ratio.is_none() && !self.scope.ocelot {
            return None;
        }
        let least = least.unwrap_or(100);
        let trip = match ratio {
            Some(ratio) => {
                Trip::FailureRatio { min_requests: least, ratio, window: within.unwrap_or(10_000) * MS }
            }
            None => Trip::ConsecutiveFailures(least),
        };
        Some(breaker::BreakerConfig {
            trip,
            open_duration: pause.unwrap_or(5_000) * MS,
            late_success_closes: self.scope.ocelot,
        })
    }

    /// A whole number greater than zero; zero counts as absent. Under Ocelot what it takes instead.
    fn positive_millis(
        &mut self,
        name: &str,
        set: &Option<Spanned<i32>>,
        instead: fn(i64) -> Option<u32>,
    ) -> Option<u32> {
        let set = set.as_ref()?;
        let value = u32::try_from(set.value).ok().filter(|value| *value > 0);
        if !self.scope.ocelot {
            if set.value < 0 {
                let message = format!("QoSOptions.{name} is {}", set.value);
                self.report(
                    codes::BAD_QUALITY,
                    set.span,
                    message,
                    "write a number greater than zero, or leave it out",
                );
            }
            return value;
        }
        if name == "Timeout" && value.is_none() {
            return None;
        }
        let Some(other) = instead(i64::from(set.value)) else { return value };
        // Zero is Ocelot's way of saying nothing.
        if set.value != 0 {
            let message = format!("QoSOptions.{name} is {}: as in Ocelot, {other} is taken", set.value);
            self.diagnostics.warning(codes::BAD_QUALITY, set.span, message);
        }
        Some(other)
    }

    fn ratio(&mut self, set: Option<&Spanned<f64>>) -> Option<f64> {
        let set = set.filter(|set| set.value != 0.0)?;
        if set.value <= 1.0 && set.value > 0.0 {
            return Some(set.value);
        }
        let message = format!("QoSOptions.FailureRatio is {}", set.value);
        let instead = if set.value > 1.0 { "0.5 is taken" } else { "failures in a row are counted" };
        OcelotTolerated::new(codes::BAD_QUALITY, OcelotBehavior::Effect(instead), message)
            .help("write the part of failed calls, such as 0.5")
            .report(self.diagnostics, self.scope.ocelot, set.span);
        (set.value > 1.0).then_some(0.5)
    }

    fn breaker_scope(&mut self, quality: &ResolvedQos) -> Scope {
        let Some(word) = &quality.scope else { return Scope::default() };
        match word.as_str() {
            "Route" => Scope::Route,
            "Endpoint" => Scope::Endpoint,
            _ => {
                let message = format!("QoSOptions.Scope \"{}\" is unknown", word.value);
                self.report(codes::BAD_QUALITY, word.span, message, "write Route or Endpoint");
                Scope::default()
            }
        }
    }

    /// A limit within a shorter one never counts.
    fn check_timeouts(
        &mut self,
        settings: &ResilienceConfig,
        quality: Option<&ResolvedQos>,
        timeout: &mut Sourced<Duration>,
    ) {
        let limit = settings.quality.as_ref().and_then(|quality| quality.timeout);
        let place = quality.and_then(|quality| Some(quality.timeout.as_ref()?.span));
        if let (Some(limit), Some(place)) = (limit.filter(|limit| *limit >= timeout.value), place) {
            let message =
                format!("QoSOptions.Timeout is {limit:?}, and the Timeout of the route {:?}", timeout.value);
            OcelotTolerated::new(
                codes::TIMEOUTS_DISAGREE,
                OcelotBehavior::Effect("Timeout becomes twice QoSOptions.Timeout"),
                message,
            )
            .help("let QoSOptions.Timeout, the time of one attempt, be less than Timeout, the time of all")
            .report(self.diagnostics, self.scope.ocelot, place);
            *timeout = Sourced::new(limit * 2, Some(place));
        }
        let each = settings.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        if let Some(each) = each.filter(|each| *each >= timeout.value) {
            let place = self.retry_place(|options| options.per_try_timeout.as_ref().map(|set| set.span));
            let message =
                format!("PerTryTimeout is {each:?}, and the Timeout of the route {:?}", timeout.value);
            self.report(
                codes::TIMEOUTS_DISAGREE,
                place,
                message,
                "let PerTryTimeout be less than Timeout, the time of all attempts",
            );
        }
    }
}

/// Attempts that are made again.
impl RouteCompiler<'_, '_, '_> {
    fn retry_options(&self) -> Option<RetryOptions> {
        let key = self.document.key.as_ref().map(|key| key.as_str());
        merge(&self.document.retry, self.scope.groups.retry.as_ref(), key).map(|options| options.into_owned())
    }

    fn retry_place(&self, of: impl Fn(&RetryOptions) -> Option<Span>) -> Span {
        self.retry_options().and_then(|options| of(&options)).unwrap_or(self.document.span)
    }

    fn retry(&mut self) -> Option<retry::RetryConfig> {
        let options = self.retry_options()?;
        if options.enable_retry.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let on = self.retry_conditions(&options.on);
        let mut read = self.ranges();
        let least = read.time("MinBackoff", &options.min_backoff, 25 * MS, Duration::ZERO, 60 * SECOND);
        let usual = least.max(SECOND);
        let most = read.time("MaxBackoff", &options.max_backoff, usual, Duration::ZERO, 60 * SECOND);
        if let Some(written) = options.max_backoff.as_ref().filter(|_| most < least) {
            let message = format!("MaxBackoff is {}, and MinBackoff more", written.value);
            self.report(codes::BAD_RETRY, written.span, message, "let MaxBackoff be at least MinBackoff");
        }
        let statuses = self.retried_statuses(&options.on_status);
        let grpc = self.grpc(&options.on_grpc_status);
        self.check_useless_retry(&on, &statuses, &grpc, &options);
        Some(retry::RetryConfig {
            max_attempts: self.ranges().number("Attempts", &options.attempts, 1, 10).map_or(3, |n| n as u32),
            on_connect: on[0],
            on_reset: on[1],
            on_timeout: on[2],
            statuses,
            grpc_codes: grpc,
            methods: self.retried_methods(&options.methods),
            per_try_timeout: options.per_try_timeout.is_some().then(|| {
                self.ranges().time("PerTryTimeout", &options.per_try_timeout, SECOND, MS, 3600 * SECOND)
            }),
            base_backoff: least,
            max_backoff: most,
            honor_retry_after: options.honour_retry_after.as_ref().is_none_or(|on| on.value),
            max_replay_bytes: self.ranges().size(
                "MaxReplaySize",
                &options.max_replay_size,
                64 << 10,
                0,
                16 << 20,
            ),
            budget: self.budget(&options),
        })
    }

    /// Which of the failures count, in the order of the words.
    fn retry_conditions(&mut self, list: &List<String>) -> [bool; 3] {
        const RETRY_CONDITIONS: [&str; 3] = ["Connect", "Reset", "Timeout"];
        if list.is_none() {
            return [true; 3];
        }
        let mut on = [false; 3];
        for word in items(list) {
            match RETRY_CONDITIONS.iter().position(|known| known.eq_ignore_ascii_case(word.trim())) {
                Some(at) => on[at] = true,
                None => {
                    let message = format!("RetryOptions.On cannot hold \"{}\"", word.value);
                    self.report(codes::BAD_RETRY, word.span, message, "write Connect, Reset or Timeout");
                }
            }
        }
        on
    }

    fn retried_statuses(&mut self, list: &List<i32>) -> Vec<u16> {
        match list {
            None => vec![502, 503, 504],
            list => self.failing_statuses(list, codes::BAD_RETRY),
        }
    }

    /// Statuses of answers that count as failures.
    pub(super) fn failing_statuses(&mut self, list: &List<i32>, code: Code) -> Vec<u16> {
        let mut statuses = Vec::new();
        for status in items(list) {
            match u16::try_from(status.value).ok().filter(|status| (400..=599).contains(status)) {
                Some(status) => statuses.push(status),
                None => {
                    let message = format!("{} is no status of a failure", status.value);
                    self.report(code, status.span, message, "write statuses from 400 to 599");
                }
            }
        }
        statuses
    }

    fn grpc(&mut self, list: &List<String>) -> Vec<u16> {
        let mut codes_of = Vec::new();
        for word in items(list) {
            let named = GRPC_CODES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(word.trim()))
                .map(|at| at as u16 + 1);
            let number = word.trim().parse().ok().filter(|code| (1..=16).contains(code));
            match named.or(number) {
                Some(code) => codes_of.push(code),
                None => {
                    let message = format!("\"{}\" is no gRPC code of a failure", word.value);
                    let said = self.diagnostics.error(codes::BAD_RETRY, word.span, message);
                    if let Some(meant) = suggest::closest_match(word, GRPC_CODES) {
                        said.help(format!("did you mean \"{meant}\"?"));
                    }
                    said.help("write a name such as UNAVAILABLE, or a number from 1 to 16");
                }
            }
        }
        codes_of
    }

    fn retried_methods(&mut self, list: &List<String>) -> Option<Vec<String>> {
        let mut methods = Vec::new();
        for word in items(list) {
            match values::method(word) {
                Some(method) => methods.push(method),
                None => {
                    let message = format!("\"{}\" is not a method", word.value);
                    self.report(codes::BAD_RETRY, word.span, message, "write one word such as \"POST\"");
                }
            }
        }
        Some(methods).filter(|methods| !methods.is_empty())
    }

    /// A retry without a reason would never happen.
    fn check_useless_retry(
        &mut self,
        on: &[bool; 3],
        statuses: &[u16],
        grpc: &[u16],
        options: &RetryOptions,
    ) {
        if !on.contains(&true) && statuses.is_empty() && grpc.is_empty() {
            let place =
                options.on.as_ref().map(|on| on.span).or(options.on_status.as_ref().map(|on| on.span));
            let place = place.unwrap_or(self.document.span);
            let message = "RetryOptions with no reason to try again".to_owned();
            self.report(
                codes::BAD_RETRY,
                place,
                message,
                "name one in On or OnStatus, or set \"EnableRetry\": false",
            );
        }
    }

    fn ranges(&mut self) -> RangeChecker<'_> {
        RangeChecker::for_code(codes::BAD_RETRY, self.diagnostics)
    }

    fn budget(&mut self, options: &RetryOptions) -> Option<retry::BudgetConfig> {
        let least = self.ranges().number("BudgetMinimum", &options.budget_minimum, 0, 1_000_000);
        let least = least.map_or(10, |least| least as u32);
        let ratio = options.budget_ratio.as_ref().map_or(0.2, |ratio| ratio.value);
        if let Some(written) = options.budget_ratio.as_ref().filter(|set| !(0.0..=10.0).contains(&set.value))
        {
            let message = format!("BudgetRatio is {}", written.value);
            self.report(codes::BAD_RETRY, written.span, message, "it may be 0 to 10");
        }
        let on = options.enable_budget.as_ref().is_none_or(|on| on.value);
        on.then_some(retry::BudgetConfig { min_retries: least, retry_ratio: ratio })
    }
}
