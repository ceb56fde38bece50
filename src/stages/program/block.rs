//! Runs a list of instructions.

use super::{
    body,
    context::Context,
    failure::{Failed, Failure},
    instruction::{Flow, Instruction, Statement},
    section::Origin,
    trace::{TraceData, TraceEntry},
};
use crate::base::expr::Usage;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// Runs instructions; boxed, because statements contain blocks.
pub fn run_block<'f>(
    context: &'f mut Context<'_>,
    instructions: &'f [Instruction],
) -> Pin<Box<dyn Future<Output = Result<Flow, Failed>> + Send + 'f>> {
    Box::pin(run_instructions(context, instructions))
}

async fn run_instructions(context: &mut Context<'_>, instructions: &[Instruction]) -> Result<Flow, Failed> {
    let mut at = 0;
    while let Some(instruction) = instructions.get(at) {
        at += 1;
        match instruction {
            Instruction::Skip(n) => at += n,
            Instruction::Unless(condition, n, origin) => {
                let failed = |failure| (failure, Some(origin.clone()));
                prepare(context, condition.usage()).await.map_err(failed)?;
                if !condition.bool_value(context).map_err(failed)? {
                    at += n;
                }
            }
            Instruction::Run(statement, origin) => match traced(context, statement, origin).await {
                Ok(Flow::Next) => {}
                Ok(flow) => return Ok(flow),
                Err(failure) => return Err((failure, Some(innermost(context, origin)))),
            },
        }
    }
    Ok(Flow::Next)
}

/// The statement in a block that failed, rather than the block.
fn innermost(context: &mut Context<'_>, origin: &Arc<Origin>) -> Arc<Origin> {
    let at = context.notes.iter().position(|(name, _)| *name == "failed-origin");
    let inner = at.map(|at| context.notes.remove(at).1);
    inner
        .and_then(|inner| inner.downcast::<Arc<Origin>>().ok())
        .map_or_else(|| origin.clone(), |inner| *inner)
}

/// Hands the failure of a statement in a block to the statement that contains it.
pub fn raise(context: &mut Context<'_>, (failure, origin): Failed) -> Failure {
    if let Some(origin) = origin {
        context.notes.push(("failed-origin", Box::new(origin)));
    }
    failure
}

async fn run_statement(context: &mut Context<'_>, statement: &dyn Statement) -> Result<Flow, Failure> {
    if context.exchange.is_dry_run && !statement.runs_dry() {
        return Ok(Flow::Next);
    }
    let mut usage = statement.usage();
    if statement.reads_message_body() {
        let is_response = context.section.is_response();
        usage.request_body |= !is_response;
        usage.response_body |= is_response;
    }
    prepare(context, usage).await?;
    if statement.waits() { statement.start(context).await } else { statement.run(context) }
}

/// Collects the bodies that a statement reads.
pub async fn prepare(context: &mut Context<'_>, usage: Usage) -> Result<(), Failure> {
    let exchange = &*context.exchange;
    let is_coded = || exchange.request.get(b"Content-Encoding").is_some();
    if usage.request_body && (exchange.body.collected.is_none() || is_coded()) {
        body::collect_request(context).await?;
    }
    if usage.response_body && context.response.is_some() {
        body::collect_backend_response(context).await?;
    }
    Ok(())
}

/// Runs a statement, and adds it to the trace of the request.
async fn traced(
    context: &mut Context<'_>,
    statement: &Arc<dyn Statement>,
    origin: &Arc<Origin>,
) -> Result<Flow, Failure> {
    if context.trace.is_none() {
        return run_statement(context, &**statement).await;
    }
    let (at, began, section) = (SystemTime::now(), Instant::now(), context.section);
    let outcome = run_statement(context, &**statement).await;
    let took = began.elapsed();
    let is_put_off = context.exchange.is_dry_run && statement.waits() && !statement.runs_dry();
    let result = if is_put_off { TraceData::waiting() } else { trace_data(&outcome) };
    if let Some(trace) = &mut context.trace {
        trace.push(TraceEntry { section, origin: origin.clone(), at, took, result });
    }
    outcome
}

fn trace_data(outcome: &Result<Flow, Failure>) -> TraceData {
    match outcome {
        Ok(Flow::End(response)) => TraceData::responded(response.head.status),
        Ok(Flow::Next | Flow::EndSection) => TraceData::done(),
        Err(failure) => {
            let message = if failure.log.is_empty() { &failure.message } else { &failure.log };
            TraceData::failed(&failure.reason, message, failure.error.code.name())
        }
    }
}
