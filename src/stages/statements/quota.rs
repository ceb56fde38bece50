//! `quota` and `quota-by-key`: calls and bandwidth of a period.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    counting::{Increment, PartLimit, counter_key, parts},
};
use crate::{
    base::expr::{Usage, parse_rfc3339},
    config::codes,
    pipeline::error::ErrorCode,
    stages::program::{
        Context, Failure, Flow, Statement, StatementFuture, Template,
        bandwidth::count_bytes,
        context::AfterResponse,
        counters::{QuotaLimits, QuotaRefusal},
        template::usage_of,
    },
};
use std::{sync::Arc, time::UNIX_EPOCH};

/// 0001-01-01 in seconds since 1970.
const FIRST_DAY: i64 = -62_135_596_800;

pub(super) fn quota(
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
    by_key: bool,
) -> Option<Arc<dyn Statement>> {
    if !args.has("calls") && !args.has("bandwidth") {
        compiler.diagnostics.error(
            codes::POLICY_ATTRIBUTE,
            args.span,
            "a quota needs `calls` or `bandwidth`",
        );
        return None;
    }
    if by_key && args.number("renewal-period").is_some_and(|period| period != 0.0 && period < 300.0) {
        compiler
            .diagnostics
            .error(codes::OUT_OF_RANGE, args.span_of("renewal-period"), "invalid `renewal-period`")
            .help("must be 0 or at least 300");
        return None;
    }
    let anchor = anchor(args, compiler)?;
    let origin = args.origin.as_ref()?;
    let parts = parts(args.objects("apis"), compiler)?;
    done(Quota {
        identity: format!("{}\n{}", origin.scope.name(), origin.file),
        calls: args.template("calls"),
        bandwidth: args.template("bandwidth"),
        period: args.required("renewal-period"),
        key: by_key.then(|| args.required("counter-key")),
        increment: Increment {
            condition: args.template("increment-condition"),
            count: args.template("increment-count"),
        },
        anchor,
        parts,
    })
}

/// The start of a period, in seconds since 1970.
fn anchor(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<i64> {
    let Some(text) = args.text("first-period-start") else { return Some(FIRST_DAY) };
    let at = parse_rfc3339(&text);
    if at.is_none() {
        compiler
            .diagnostics
            .error(codes::BAD_TEXT, args.span_of("first-period-start"), "invalid `first-period-start`")
            .help("write a time such as 2024-01-01T00:00:00Z");
    }
    at.map(|at| at.div_euclid(1_000_000_000) as i64)
}

#[derive(Debug)]
struct Quota {
    identity: String,
    calls: Option<Template>,
    bandwidth: Option<Template>,
    period: Template,
    key: Option<Template>,
    increment: Increment,
    anchor: i64,
    parts: Vec<PartLimit>,
}

impl Quota {
    fn limits(&self, context: &Context<'_>) -> Result<QuotaLimits, Failure> {
        let whole = |template: &Option<Template>| match template {
            None => Ok(None),
            Some(template) => template.int(context).map(|n| u64::try_from(n).ok()),
        };
        let anchor = match (&self.key, &context.caller.subscription) {
            (None, Some(subscription)) => {
                subscription.start.unwrap_or(subscription.created).div_euclid(1_000_000_000) as i64
            }
            _ => self.anchor,
        };
        let period = u64::try_from(self.period.int(context)?).unwrap_or(0);
        if self.key.is_some() && period != 0 && period < 300 {
            return Err(Failure::statement("renewal-period must be 0 or at least 300"));
        }
        let bandwidth = whole(&self.bandwidth)?.map(|kib| kib.saturating_mul(1024));
        Ok(QuotaLimits { calls: whole(&self.calls)?, bandwidth, period, anchor })
    }

    async fn check(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let key = match (&self.key, &context.caller.subscription) {
            (Some(key), _) => format!("key\n{}", counter_key(key, context)?),
            (None, Some(subscription)) => format!("subscription\n{}\n{}", self.identity, subscription.id),
            (None, None) => return Ok(Flow::Next),
        };
        let limits = self.limits(context)?;
        let mut all = vec![(key.clone(), limits)];
        for part in self.parts.iter().filter(|part| part.applies(context)) {
            let own =
                QuotaLimits { calls: part.calls, bandwidth: part.bandwidth, period: part.period, ..limits };
            all.push((format!("{key}\n{}", part.key()), own));
        }
        self.count(context, &all)?;
        self.store(context, all).await;
        Ok(Flow::Next)
    }

    /// Counts the call in all of them, or in none.
    fn count(&self, context: &Context<'_>, all: &[(String, QuotaLimits)]) -> Result<(), Failure> {
        let increment = self.increment.at_once(context)?.unwrap_or(0);
        let now = seconds(context);
        let counters = &context.shared.counters;
        for (at, (key, limits)) in all.iter().enumerate() {
            let admitted = counters.quota(key, |count| count.admit(limits, increment, now));
            if let Err(refused) = admitted {
                for (key, limits) in &all[..at] {
                    counters.quota(key, |count| {
                        count.advance(limits, now);
                        count.calls = count.calls.saturating_sub(increment);
                    });
                }
                return Err(refusal(refused));
            }
        }
        Ok(())
    }

    async fn store(&self, context: &mut Context<'_>, all: Vec<(String, QuotaLimits)>) {
        let counters = context.shared.counters.clone();
        let is_later = self.increment.usage().response;
        for (key, limits) in all {
            if let Some(durable) = counters.save_quota(&key) {
                // An error of the store is in its log; the count in memory goes on.
                let _ = durable.await;
            }
            if is_later {
                let later = LaterQuota { key: key.clone(), limits, increment: self.increment.clone() };
                context.after_response.push(Arc::new(later));
            }
            if limits.bandwidth.is_some() {
                count_bytes(context, key, limits);
            }
        }
    }
}

/// Seconds since 1970.
fn seconds(context: &Context<'_>) -> i64 {
    context.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn refusal(refusal: QuotaRefusal) -> Failure {
    let (what, seconds) = match refusal {
        QuotaRefusal::Calls { seconds } => ("call volume", seconds),
        QuotaRefusal::Bandwidth { seconds } => ("bandwidth", seconds),
    };
    let detail = match seconds {
        None => format!("Out of {what} quota."),
        Some(n) => format!(
            "Out of {what} quota. Quota will be replenished in {:02}:{:02}:{:02}.",
            n / 3600,
            n / 60 % 60,
            n % 60
        ),
    };
    let failure = Failure::new("QuotaExceeded", ErrorCode::QuotaExceeded, detail);
    match seconds {
        None => failure,
        Some(seconds) => failure.with_header("Retry-After", seconds.to_string()),
    }
}

impl Statement for Quota {
    fn usage(&self) -> Usage {
        let own = usage_of(self.key.iter().chain(&self.calls).chain(&self.bandwidth).chain([&self.period]));
        own.and(self.increment.usage_at_once())
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.check(context))
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

/// A count that waits for the response.
#[derive(Debug)]
struct LaterQuota {
    key: String,
    limits: QuotaLimits,
    increment: Increment,
}

impl AfterResponse for LaterQuota {
    fn usage(&self) -> Usage {
        self.increment.usage()
    }

    fn finish(&self, context: &mut Context<'_>) {
        match self.increment.value(context) {
            Ok(increment) => {
                let now = seconds(context);
                context.shared.counters.quota(&self.key, |count| {
                    count.advance(&self.limits, now);
                    count.calls += increment;
                });
                drop(context.shared.counters.save_quota(&self.key));
            }
            Err(failure) => log::warn!("increment of a quota: {}", failure.log),
        }
    }
}
