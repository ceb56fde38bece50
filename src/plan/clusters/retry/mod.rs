//! `RetryOptions` → retries.
//!
//! Envoy's retry policy with retry budgets, nginx's `proxy_next_upstream`, Polly's retry strategy. Entry point:
//! [`compile`], called by `plan::compile::resilience` for each route. The result is part of the blueprint; the retry
//! loop is in `backend::attempt`, and the retry budget of a cluster outlives a reload.

mod options;

pub use options::{GlobalRetryOptions, RetryOptions};

use crate::backend::attempt::retry;
use crate::base::method::parse_method;
use crate::config::ranges::RangeChecker;
use crate::config::values::{List, items};
use crate::config::{Code, Diagnostics, Span, codes, suggest};
use crate::stages::feature::CompileContext;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The gRPC status codes of failures, by number from 1.
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

/// Compiles the options.
pub fn compile(options: &RetryOptions, context: &mut CompileContext) -> Option<retry::RetryConfig> {
    RetryCompiler { options, context }.retry()
}

/// Statuses of responses that count as failures.
pub(super) fn failing_statuses(list: &List<i32>, code: Code, diagnostics: &mut Diagnostics) -> Vec<u16> {
    let mut statuses = Vec::new();
    for status in items(list) {
        match u16::try_from(status.value).ok().filter(|status| (400..=599).contains(status)) {
            Some(status) => statuses.push(status),
            None => {
                let message = format!("status {} is not a failure", status.value);
                diagnostics.error(code, status.span, message).help("must be between 400 and 599");
            }
        }
    }
    statuses
}

struct RetryCompiler<'o, 'c, 'd> {
    options: &'o RetryOptions,
    context: &'c mut CompileContext<'d>,
}

impl RetryCompiler<'_, '_, '_> {
    fn report(&mut self, code: Code, span: Span, message: String, help: &str) {
        self.context.diagnostics.error(code, span, message).help(help);
    }

    fn retry(&mut self) -> Option<retry::RetryConfig> {
        let options = self.options;
        if options.enable_retry.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let on = self.retry_conditions(&options.on);
        let (base_backoff, max_backoff) = self.backoff();
        let statuses = self.retried_statuses(&options.on_status);
        let grpc = self.grpc(&options.on_grpc_status);
        self.check_useless_retry(&on, &statuses, &grpc);
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
            base_backoff,
            max_backoff,
            honor_retry_after: options.honour_retry_after.as_ref().is_none_or(|on| on.value),
            max_replay_bytes: self.ranges().size(
                "MaxReplaySize",
                &options.max_replay_size,
                64 << 10,
                0,
                16 << 20,
            ),
            budget: self.budget(),
        })
    }

    /// The base and the maximum of the backoff.
    fn backoff(&mut self) -> (Duration, Duration) {
        let options = self.options;
        let mut ranges = self.ranges();
        let base = ranges.time("MinBackoff", &options.min_backoff, 25 * MS, Duration::ZERO, 60 * SECOND);
        let default = base.max(SECOND);
        let max = ranges.time("MaxBackoff", &options.max_backoff, default, Duration::ZERO, 60 * SECOND);
        if let Some(set) = options.max_backoff.as_ref().filter(|_| max < base) {
            let message = format!("MaxBackoff {} is less than MinBackoff", set.value);
            self.report(codes::BAD_RETRY, set.span, message, "MaxBackoff must be at least MinBackoff");
        }
        (base, max)
    }

    /// Which failures are retried, in the order of the names.
    fn retry_conditions(&mut self, list: &List<String>) -> [bool; 3] {
        const RETRY_CONDITIONS: [&str; 3] = ["Connect", "Reset", "Timeout"];
        if list.is_none() {
            return [true; 3];
        }
        let mut on = [false; 3];
        for entry in items(list) {
            match RETRY_CONDITIONS.iter().position(|known| known.eq_ignore_ascii_case(entry.trim())) {
                Some(at) => on[at] = true,
                None => {
                    let message = format!("unknown failure \"{}\" in RetryOptions.On", entry.value);
                    self.report(
                        codes::BAD_RETRY,
                        entry.span,
                        message,
                        "expected \"Connect\", \"Reset\" or \"Timeout\"",
                    );
                }
            }
        }
        on
    }

    fn retried_statuses(&mut self, list: &List<i32>) -> Vec<u16> {
        match list {
            None => vec![502, 503, 504],
            list => failing_statuses(list, codes::BAD_RETRY, self.context.diagnostics),
        }
    }

    fn grpc(&mut self, list: &List<String>) -> Vec<u16> {
        let mut codes_of = Vec::new();
        for entry in items(list) {
            let named = GRPC_CODES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(entry.trim()))
                .map(|at| at as u16 + 1);
            let number = entry.trim().parse().ok().filter(|code| (1..=16).contains(code));
            match named.or(number) {
                Some(code) => codes_of.push(code),
                None => {
                    let message = format!("\"{}\" is not a gRPC status code of a failure", entry.value);
                    let diagnostic = self.context.diagnostics.error(codes::BAD_RETRY, entry.span, message);
                    if let Some(meant) = suggest::closest_match(entry, GRPC_CODES) {
                        diagnostic.help(format!("did you mean \"{meant}\"?"));
                    }
                    diagnostic.help("expected a name such as UNAVAILABLE, or a number between 1 and 16");
                }
            }
        }
        codes_of
    }

    fn retried_methods(&mut self, list: &List<String>) -> Option<Vec<String>> {
        let mut methods = Vec::new();
        for entry in items(list) {
            match parse_method(entry) {
                Some(method) => methods.push(method),
                None => {
                    let message = format!("invalid method \"{}\"", entry.value);
                    self.report(
                        codes::BAD_RETRY,
                        entry.span,
                        message,
                        "must be a method name such as \"POST\"",
                    );
                }
            }
        }
        Some(methods).filter(|methods| !methods.is_empty())
    }

    /// Without a condition no attempt would be retried.
    fn check_useless_retry(&mut self, on: &[bool; 3], statuses: &[u16], grpc: &[u16]) {
        let options = self.options;
        if !on.contains(&true) && statuses.is_empty() && grpc.is_empty() {
            let span = options.on.as_ref().map(|on| on.span).or(options.on_status.as_ref().map(|on| on.span));
            let span = span.unwrap_or(self.context.route.span);
            let message = "RetryOptions without a condition: no attempt is retried".to_owned();
            self.report(
                codes::BAD_RETRY,
                span,
                message,
                "add one to On or OnStatus, or set \"EnableRetry\": false",
            );
        }
    }

    fn ranges(&mut self) -> RangeChecker<'_> {
        RangeChecker::for_code(codes::BAD_RETRY, self.context.diagnostics)
    }

    fn budget(&mut self) -> Option<retry::BudgetConfig> {
        let options = self.options;
        let min = self.ranges().number("BudgetMinimum", &options.budget_minimum, 0, 1_000_000);
        let min = min.map_or(10, |min| min as u32);
        let ratio = options.budget_ratio.as_ref().map_or(0.2, |ratio| ratio.value);
        if let Some(setting) = options.budget_ratio.as_ref().filter(|set| !(0.0..=10.0).contains(&set.value))
        {
            let message = format!("invalid BudgetRatio {}", setting.value);
            self.report(codes::BAD_RETRY, setting.span, message, "must be between 0 and 10");
        }
        let on = options.enable_budget.as_ref().is_none_or(|on| on.value);
        on.then_some(retry::BudgetConfig { min_retries: min, retry_ratio: ratio })
    }
}
