//! CORS preflights to operations.

use super::{
    context::Context,
    entities::ApiOperation,
    instruction::{Instruction, Preflight, Program},
    section::Section,
};
use crate::pipeline::{exchange::Exchange, response::Response};

/// Whether the request is a CORS preflight of an operation that does not take OPTIONS itself.
pub fn is_preflight(exchange: &Exchange, operation: &ApiOperation) -> bool {
    exchange.request.method() == b"OPTIONS"
        && exchange.request.get(b"Origin").is_some()
        && exchange.request.get(b"Access-Control-Request-Method").is_some()
        && operation.operation.as_ref().is_none_or(|operation| operation.method != "OPTIONS")
}

/// The response of the first `cors` statement that decides; `None` without such a statement.
pub(super) fn preflight(context: &Context<'_>, program: &Program) -> Option<Response> {
    let mut has_cors = false;
    let instructions = &program.section(Section::Inbound).instructions;
    let mut at = 0;
    while let Some(instruction) = instructions.get(at) {
        at += 1;
        let statement = match instruction {
            Instruction::Run(statement, _) => statement,
            Instruction::Unless(_, n, _) => {
                // Statements of a `choose` do not stand directly in the section.
                at += n;
                if let Some(Instruction::Skip(rest)) = instructions.get(at - 1) {
                    at += rest;
                }
                continue;
            }
            Instruction::Skip(_) => continue,
        };
        match statement.preflight(context) {
            Some(Preflight::Respond(response)) => return Some(*response),
            Some(Preflight::Next) => has_cors = true,
            None => {}
        }
    }
    has_cors.then(|| Response::local(200, "", ""))
}
