//! `retry`, `wait` and `limit-concurrency`: statements that run other statements.

use super::{
    args::Args,
    callouts,
    compiler::{StatementCompiler, done},
    counting::counter_key,
    messages::{switch, word},
};
use crate::{
    base::expr::Usage,
    config::codes,
    pipeline::{
        cancel::sleep_until,
        error::{ErrorCode, GatewayError},
        guard::ResponseGuard,
    },
    stages::program::{
        Context, Failure, Flow, Instruction, Statement, StatementFuture, Template,
        block::{raise, run_block},
        instruction::{block_reads_message_body, usage_of_block},
        template::usage_of,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The words of `for` of `wait`.
pub(super) const MODES: [&str; 2] = ["all", "any"];
/// The longest pause between two retries.
const MAX_PAUSE_SECONDS: f64 = 3600.0;

pub(super) fn retry(args: &Args, _compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    done(Retry {
        condition: args.required("condition"),
        count: args.required("count"),
        interval: args.required("interval"),
        max_interval: args.template("max-interval"),
        delta: args.template("delta"),
        first_fast: args.template("first-fast-retry"),
        body: args.block("do"),
    })
}

#[derive(Debug)]
struct Retry {
    condition: Template,
    count: Template,
    interval: Template,
    max_interval: Option<Template>,
    delta: Option<Template>,
    first_fast: Option<Template>,
    body: Arc<[Instruction]>,
}

impl Retry {
    /// The pause before retry `n`, from 1.
    fn pause(&self, n: u32, context: &Context<'_>) -> Result<Duration, Failure> {
        if n == 1 && switch(&self.first_fast, false, context)? {
            return Ok(Duration::ZERO);
        }
        let interval = self.interval.number(context)?;
        let delta = self.delta.as_ref().map(|delta| delta.number(context)).transpose()?;
        let longest = self.max_interval.as_ref().map(|longest| longest.number(context)).transpose()?;
        let seconds = match (delta, longest) {
            (None, None) => interval,
            (None, Some(longest)) => longest.min(interval),
            (Some(delta), None) => interval + f64::from(n - 1) * delta,
            (Some(delta), Some(longest)) => {
                let random = delta * (0.8 + 0.4 * fastrand::f64());
                longest.min(interval + (f64::from(n - 1).exp2() - 1.0) * random)
            }
        };
        Ok(Duration::from_secs_f64(seconds.clamp(0.0, MAX_PAUSE_SECONDS)))
    }

    async fn repeat(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let count = u32::try_from(self.count.int(context)?.clamp(1, 50)).unwrap_or(50);
        for n in 1.. {
            let outcome = run_block(context, &self.body).await;
            let failed = match outcome {
                Ok(Flow::Next) => None,
                Ok(flow) => return Ok(flow),
                Err((failure, origin)) => {
                    context.last_error = Some(failure.last_error(Some(context.section), origin.as_deref()));
                    Some((failure, origin))
                }
            };
            if failed.is_none() || self.condition.usage().response_body {
                crate::stages::program::block::prepare(context, self.condition.usage()).await?;
            }
            let again = match (self.condition.bool_value(context), &failed) {
                (Ok(again), _) => again && n <= count,
                (Err(_), Some(_)) => false,
                (Err(failure), None) => return Err(failure),
            };
            if !again {
                return match failed {
                    Some(failed) => Err(raise(context, failed)),
                    None => Ok(Flow::Next),
                };
            }
            let pause = self.pause(n, context)?;
            if !pause.is_zero() && !sleep_until(context.client, Instant::now() + pause).await {
                return Err(Failure::from_gateway(GatewayError::client_closed()));
            }
        }
        Ok(Flow::Next)
    }
}

impl Statement for Retry {
    fn usage(&self) -> Usage {
        let optional = self.max_interval.iter().chain(&self.delta).chain(&self.first_fast);
        let own = usage_of([&self.count, &self.interval].into_iter().chain(optional));
        let forwards = self.forwards();
        let mut all = own.and(self.condition.usage()).and(usage_of_block(&self.body));
        all.request_body |= forwards;
        all.response_body = false;
        all
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.repeat(context))
    }

    fn forwards(&self) -> bool {
        forwards(&self.body)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

/// Whether a block sends the request to the service.
fn forwards(body: &[Instruction]) -> bool {
    body.iter()
        .any(|instruction| matches!(instruction, Instruction::Run(statement, _) if statement.forwards()))
}

pub(super) fn wait(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let body = args.block("do");
    let allowed = ["send-request", "cache-lookup-value"];
    for instruction in body.iter() {
        let Instruction::Run(_, origin) = instruction else { continue };
        if !allowed.contains(&origin.statement) {
            let message = format!("`{}` is not allowed in `wait`", origin.statement);
            compiler
                .diagnostics
                .error(codes::POLICY_PLACE, origin.span, message)
                .help("it may contain send-request, cache-lookup-value and choose");
            return None;
        }
    }
    done(Wait { mode: args.template("for"), body })
}

#[derive(Debug)]
struct Wait {
    mode: Option<Template>,
    body: Arc<[Instruction]>,
}

impl Wait {
    async fn all(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let any = word(&self.mode, &MODES, "all", context)? == "any";
        let mut calls = Vec::new();
        let mut at = 0;
        while let Some(instruction) = self.body.get(at) {
            at += 1;
            match instruction {
                Instruction::Skip(n) => at += n,
                Instruction::Unless(condition, n, _) if !condition.bool_value(context)? => at += n,
                Instruction::Unless(..) => {}
                Instruction::Run(statement, _) => match statement.prepare_call(context)? {
                    Some(call) => calls.push(call),
                    None => drop(statement.run(context)?),
                },
            }
        }
        callouts::run_together(context, calls, any).await?;
        Ok(Flow::Next)
    }
}

impl Statement for Wait {
    fn usage(&self) -> Usage {
        usage_of_block(&self.body)
    }

    fn reads_message_body(&self) -> bool {
        block_reads_message_body(&self.body)
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.all(context))
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(super) struct LimitConcurrency {
    pub(super) key: Template,
    pub(super) max: u64,
    pub(super) body: Arc<[Instruction]>,
}

impl LimitConcurrency {
    async fn limited(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let key = counter_key(&self.key, context)?;
        let Some(place) = context.shared.counters.clone().enter(&key, self.max) else {
            let failure = Failure::new(
                "ConcurrencyLimitExceeded",
                ErrorCode::LimitConcurrency,
                "Concurrency limit is exceeded.",
            );
            return Err(failure.with_status(429));
        };
        let flow = match run_block(context, &self.body).await {
            Ok(flow) => flow,
            Err(failed) => return Err(raise(context, failed)),
        };
        if forwards(&self.body) {
            // The place is held to the last byte of the response.
            context.guards.push(ResponseGuard::new(Arc::new(place)));
        }
        Ok(flow)
    }
}

impl Statement for LimitConcurrency {
    fn usage(&self) -> Usage {
        let mut all = self.key.usage().and(usage_of_block(&self.body));
        all.response_body = false;
        all
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.limited(context))
    }

    fn forwards(&self) -> bool {
        forwards(&self.body)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}
