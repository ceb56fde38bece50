//! `rate-limit` and `rate-limit-by-key`: sliding windows.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    counting::{Increment, PartLimit, counter_key, parts},
};
use crate::{
    base::expr::{Usage, Value},
    pipeline::error::ErrorCode,
    stages::program::{
        Context, Failure, Flow, Statement, Template, context::AfterResponse, counters::RateDecision,
        template::usage_of,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) fn rate(
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
    by_key: bool,
) -> Option<Arc<dyn Statement>> {
    let origin = args.origin.as_ref()?;
    let place = if origin.id.is_empty() { &origin.path } else { &origin.id };
    let text = |name: &str| args.text(name);
    let parts = parts(args.objects("apis"), compiler)?;
    done(Rate {
        identity: format!("{}\n{}\n{place}", origin.scope.name(), origin.file),
        calls: args.required("calls"),
        period: args.required("renewal-period"),
        key: by_key.then(|| args.required("counter-key")),
        increment: Increment {
            condition: args.template("increment-condition"),
            count: args.template("increment-count"),
        },
        names: ReportNames {
            retry_header: text("retry-after-header-name").unwrap_or_else(|| "Retry-After".into()),
            retry_variable: text("retry-after-variable-name"),
            remaining_header: text("remaining-calls-header-name"),
            remaining_variable: text("remaining-calls-variable-name"),
            total_header: text("total-calls-header-name"),
        },
        parts,
    })
}

#[derive(Clone, Debug)]
struct ReportNames {
    retry_header: Arc<str>,
    retry_variable: Option<Arc<str>>,
    remaining_header: Option<Arc<str>>,
    remaining_variable: Option<Arc<str>>,
    total_header: Option<Arc<str>>,
}

#[derive(Debug)]
struct Rate {
    identity: String,
    calls: Template,
    period: Template,
    key: Option<Template>,
    increment: Increment,
    names: ReportNames,
    parts: Vec<PartLimit>,
}

/// The keys that were counted for this request.
struct CountedKeys(std::sync::Mutex<Vec<String>>);

impl Statement for Rate {
    fn usage(&self) -> Usage {
        let own = usage_of(self.key.iter().chain([&self.calls, &self.period]));
        own.and(self.increment.usage_at_once())
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let key = match (&self.key, &context.caller.subscription) {
            (Some(key), _) => counter_key(key, context)?.to_string(),
            (None, Some(subscription)) => format!("{}\n{}", self.identity, subscription.id),
            (None, None) => return Ok(Flow::Next),
        };
        let period = self.period.int(context)?;
        if !(1..=300).contains(&period) {
            return Err(Failure::statement("renewal-period must be 1 to 300"));
        }
        let limit = u64::try_from(self.calls.int(context)?).unwrap_or(0);
        let by_key = self.key.is_some();
        let whole = format!("{}\n{period}\n{key}", if by_key { "key" } else { "subscription" });
        let decision = self.count(context, &whole, limit, period as u64)?;
        self.report(context, decision, limit)?;
        let mut counted = vec![(whole.clone(), period as u64)];
        let parts: Vec<&PartLimit> = self.parts.iter().filter(|part| part.applies(context)).collect();
        for part in parts {
            let calls = part.calls.unwrap_or(u64::MAX);
            let key = format!("{whole}\n{}", part.key());
            let decision = self.count(context, &key, calls, part.period)?;
            if let Err(failure) = self.report(context, decision, calls) {
                self.give_back(context, &counted)?;
                return Err(failure);
            }
            counted.push((key, part.period));
        }
        Ok(Flow::Next)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

impl Rate {
    /// A refused call counts nothing.
    fn give_back(&self, context: &Context<'_>, counted: &[(String, u64)]) -> Result<(), Failure> {
        let (now, increment) = (Instant::now(), self.increment.at_once(context)?.unwrap_or(0));
        for (key, period) in counted {
            let period = Duration::from_secs(*period);
            context.shared.counters.rate(key, now, |window| window.give_back(period, increment, now));
        }
        Ok(())
    }

    /// Checks and counts a call; a key is counted once per request.
    fn count(
        &self,
        context: &mut Context<'_>,
        key: &str,
        limit: u64,
        period: u64,
    ) -> Result<RateDecision, Failure> {
        let (now, period) = (Instant::now(), Duration::from_secs(period));
        let counted = context.note::<CountedKeys>("counted-keys");
        let is_counted =
            counted.is_some_and(|counted| counted.0.lock().is_ok_and(|keys| keys.iter().any(|k| k == key)));
        if is_counted {
            return Ok(context.shared.counters.rate(key, now, |window| window.is_within(limit, period, now)));
        }
        let increment = self.increment.at_once(context)?;
        let decision = context
            .shared
            .counters
            .rate(key, now, |window| window.admit(limit, period, increment.unwrap_or(0), now));
        if decision.is_admitted {
            remember(context, key);
            if increment.is_none() {
                let later = LaterRate { key: key.to_owned(), period, increment: self.increment.clone() };
                context.after_response.push(Arc::new(later));
            }
        }
        Ok(decision)
    }

    fn report(&self, context: &mut Context<'_>, decision: RateDecision, limit: u64) -> Result<(), Failure> {
        let ReportNames { retry_header, retry_variable, remaining_header, remaining_variable, total_header } =
            &self.names;
        if let Some(name) = remaining_variable {
            context.set_variable(name, Value::Int(decision.remaining as i64));
        }
        if let Some(name) = remaining_header {
            set_response_field(context, name, decision.remaining);
        }
        if let Some(name) = total_header {
            set_response_field(context, name, limit);
        }
        if decision.is_admitted {
            return Ok(());
        }
        if let Some(name) = retry_variable {
            context.set_variable(name, Value::Int(decision.retry_after as i64));
        }
        let seconds = decision.retry_after;
        let detail = format!("Rate limit is exceeded. Try again in {seconds} seconds.");
        Err(Failure::new("RateLimitExceeded", ErrorCode::RateLimitExceeded, detail)
            .with_message("Rate limit is exceeded")
            .with_header(retry_header, seconds.to_string()))
    }
}

fn remember(context: &mut Context<'_>, key: &str) {
    match context.note::<CountedKeys>("counted-keys") {
        Some(keys) => {
            if let Ok(mut keys) = keys.0.lock() {
                keys.push(key.to_owned());
            }
        }
        None => {
            let keys = CountedKeys(std::sync::Mutex::new(vec![key.to_owned()]));
            context.notes.push(("counted-keys", Box::new(keys)));
        }
    }
}

fn set_response_field(context: &mut Context<'_>, name: &str, value: u64) {
    context.response_fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    context.response_fields.push((name.to_owned(), value.to_string()));
}

/// A count that waits for the response.
#[derive(Debug)]
struct LaterRate {
    key: String,
    period: Duration,
    increment: Increment,
}

impl AfterResponse for LaterRate {
    fn usage(&self) -> Usage {
        self.increment.usage()
    }

    fn finish(&self, context: &mut Context<'_>) {
        match self.increment.value(context) {
            Ok(increment) => {
                let now = Instant::now();
                context
                    .shared
                    .counters
                    .rate(&self.key, now, |window| window.add(self.period, increment, now));
            }
            Err(failure) => log::warn!("increment of a rate limit: {}", failure.log),
        }
    }
}
