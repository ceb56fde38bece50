//! `QoSOptions` → the circuit breaker and the timeout of single attempts.
//!
//! Polly's circuit breaker and timeout, as Ocelot uses them; Envoy has outlier detection and `per_try_timeout`
//! instead. Entry point: [`compile`], called by `plan::compile::resilience` for each route. The result is part of the
//! blueprint; the breakers are in `backend::attempt`, whose state outlives a reload under the keys of route and
//! endpoint.

mod options;

pub use options::{GlobalQosOptions, QosOptions};

use crate::backend::attempt::{
    QosConfig, Scope,
    breaker::{self, Trip},
};
use crate::config::values::{Setting, non_blank};
use crate::config::{Code, OcelotBehavior, OcelotTolerated, Span, Spanned, codes};
use crate::stages::feature::CompileContext;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Circuit breaker and timeout as written; zero and negative values mean "not set".
#[derive(Clone, Debug, Default)]
pub struct ResolvedQos {
    pub minimum_throughput: Setting<i32>,
    pub break_duration: Setting<i32>,
    pub failure_ratio: Setting<f64>,
    pub sampling_duration: Setting<i32>,
    pub timeout: Setting<i32>,
    pub scope: Setting<String>,
}

impl ResolvedQos {
    /// Folds the old names into the new ones; an old name wins, as in Ocelot.
    pub fn resolve(options: &QosOptions) -> Self {
        ResolvedQos {
            minimum_throughput: or_new(
                &options.exceptions_allowed_before_breaking,
                &options.minimum_throughput,
            ),
            break_duration: or_new(&options.duration_of_break, &options.break_duration),
            failure_ratio: options.failure_ratio.clone(),
            sampling_duration: options.sampling_duration.clone(),
            timeout: or_new(&options.timeout_value, &options.timeout),
            scope: non_blank(&options.scope).cloned(),
        }
    }

    /// Whether any value enables it.
    pub fn is_on(&self) -> bool {
        let positive = |set: &Setting<i32>| set.as_ref().is_some_and(|n| n.value > 0);
        let ratio = self.failure_ratio.as_ref().is_some_and(|ratio| ratio.value > 0.0);
        positive(&self.minimum_throughput) || positive(&self.timeout) || ratio
    }
}

/// The value under the legacy name, otherwise that under the new one.
fn or_new<T: Copy>(old: &Setting<T>, new: &Setting<T>) -> Setting<T> {
    old.as_ref().or(new.as_ref()).map(|set| Spanned::new(set.value, set.span))
}

/// Compiles the options. Under Ocelot they have no effect unless one of three values enables them.
pub fn compile(options: &ResolvedQos, context: &mut CompileContext) -> Option<QosConfig> {
    let applies = options.is_on() || !context.gateway.ocelot;
    applies.then(|| QosCompiler { options, context }.qos()).flatten()
}

struct QosCompiler<'o, 'c, 'd> {
    options: &'o ResolvedQos,
    context: &'c mut CompileContext<'d>,
}

impl QosCompiler<'_, '_, '_> {
    fn qos(&mut self) -> Option<QosConfig> {
        let quality = self.options;
        let ocelot = self.context.gateway.ocelot;
        let scope = self.breaker_scope();
        let timeout = self.positive_millis("Timeout", &quality.timeout, |ms| {
            (ms <= 10 || ms >= 86_400_000).then_some(30_000)
        });
        let breaker = self.breaker();
        let nothing = breaker.is_none() && timeout.is_none();
        (!nothing).then(|| QosConfig {
            breaker,
            scope,
            timeout: timeout.map(|ms| ms * MS),
            ocelot: ocelot.then(|| self.context.route.client_path.to_owned()),
        })
    }

    /// Under Ocelot a timeout alone enables the circuit breaker.
    fn breaker(&mut self) -> Option<breaker::BreakerConfig> {
        let quality = self.options;
        let min = self
            .positive_millis("MinimumThroughput", &quality.minimum_throughput, |n| (n < 2).then_some(100));
        let pause =
            self.positive_millis("BreakDuration", &quality.break_duration, |ms| (ms <= 500).then_some(5_000));
        let within = self.positive_millis("SamplingDuration", &quality.sampling_duration, |ms| {
            (ms <= 500).then_some(10_000)
        });
        let ratio = self.ratio(quality.failure_ratio.as_ref());
        if min.is_none() && ratio.is_none() && !self.context.gateway.ocelot {
            return None;
        }
        let min = min.unwrap_or(100);
        let trip = match ratio {
            Some(ratio) => {
                Trip::FailureRatio { min_requests: min, ratio, window: within.unwrap_or(10_000) * MS }
            }
            None => Trip::ConsecutiveFailures(min),
        };
        Some(breaker::BreakerConfig {
            trip,
            open_duration: pause.unwrap_or(5_000) * MS,
            late_success_closes: self.context.gateway.ocelot,
        })
    }

    /// A positive integer; zero means "not set". Under Ocelot an invalid value is replaced as Ocelot does.
    fn positive_millis(
        &mut self,
        name: &str,
        set: &Setting<i32>,
        instead: fn(i64) -> Option<u32>,
    ) -> Option<u32> {
        let set = set.as_ref()?;
        let value = u32::try_from(set.value).ok().filter(|value| *value > 0);
        if !self.context.gateway.ocelot {
            if set.value < 0 {
                let message = format!("invalid QoSOptions.{name} {}", set.value);
                self.report(
                    codes::BAD_QUALITY,
                    set.span,
                    message,
                    "must be greater than 0; remove it for the default",
                );
            }
            return value;
        }
        if name == "Timeout" && value.is_none() {
            return None;
        }
        let Some(other) = instead(i64::from(set.value)) else { return value };
        // In Ocelot zero means "not set".
        if set.value != 0 {
            let message = format!("invalid QoSOptions.{name} {}: as in Ocelot, {other} is used", set.value);
            self.context.diagnostics.warning(codes::BAD_QUALITY, set.span, message);
        }
        Some(other)
    }

    fn ratio(&mut self, set: Option<&Spanned<f64>>) -> Option<f64> {
        let set = set.filter(|set| set.value != 0.0)?;
        if set.value <= 1.0 && set.value > 0.0 {
            return Some(set.value);
        }
        let message = format!("invalid QoSOptions.FailureRatio {}", set.value);
        let instead = if set.value > 1.0 { "0.5 is used" } else { "consecutive failures are counted" };
        OcelotTolerated::new(codes::BAD_QUALITY, OcelotBehavior::Effect(instead), message)
            .help("must be the ratio of failed calls, greater than 0 and at most 1, such as 0.5")
            .report(self.context.diagnostics, self.context.gateway.ocelot, set.span);
        (set.value > 1.0).then_some(0.5)
    }

    fn breaker_scope(&mut self) -> Scope {
        let Some(name) = &self.options.scope else { return Scope::default() };
        match name.as_str() {
            "Route" => Scope::Route,
            "Endpoint" => Scope::Endpoint,
            _ => {
                let message = format!("unknown QoSOptions.Scope \"{}\"", name.value);
                self.report(codes::BAD_QUALITY, name.span, message, "expected \"Route\" or \"Endpoint\"");
                Scope::default()
            }
        }
    }

    fn report(&mut self, code: Code, span: Span, message: String, help: &str) {
        self.context.diagnostics.error(code, span, message).help(help);
    }
}
