//! What a program would do with a request: for `explain`. Nothing is called, counted or stored.

use super::{
    block::run_block,
    context::Context,
    failure::{Failed, Failure},
    instruction::{Described, Flow, Instruction, Program},
    run::{Surroundings, choose_program, context_of, preset},
    section::Section,
    trace::{MASK, Trace},
};
use crate::{
    net::{buffered_client::BufferedClient, h1::hop_by_hop::HopByHop},
    pipeline::{error::ErrorCode, exchange::Exchange, response::Response},
    stages::program::run::RouteProgram,
};
use futures_util::FutureExt;
use std::sync::Arc;

/// What a statement would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It does not run.
    Skipped,
    /// It ends the program with a response.
    Responded,
    /// It refuses the request.
    Rejected,
    Failed,
    /// It calls another service, or depends on such a call.
    Waits,
}

impl Outcome {
    /// The name in explanations.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Skipped => "skipped",
            Outcome::Responded => "responded",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
            Outcome::Waits => "waits",
        }
    }
}

/// The outcomes of a program, in the order of its described statements.
#[derive(Debug, Default)]
pub struct DryRun {
    pub outcomes: [Vec<Outcome>; 4],
    /// The response of the program itself.
    pub response: Option<DryResponse>,
}

/// A response that a program would give.
#[derive(Debug)]
pub struct DryResponse {
    pub status: u16,
    /// The error that it is about.
    pub code: Option<ErrorCode>,
    /// The lines of its headers, with secrets masked.
    pub headers: Vec<String>,
}

/// Runs a program without effects.
pub fn dry_run(program: &RouteProgram, exchange: &mut Exchange) -> DryRun {
    let body = exchange.body.collected.clone().unwrap_or_default();
    let mut client = BufferedClient::new(body, None);
    exchange.is_dry_run = true;
    let surroundings =
        Surroundings { exchange, hop: HopByHop::default(), client: &mut client, route: None, failed: None };
    let (mut context, _) = context_of(program, surroundings);
    let chosen = choose_program(program, &mut context);
    let mut walk = DryWalk { run: DryRun::default(), has_waited: false };
    walk.sections(&mut context, &chosen);
    walk.run
}

struct DryWalk {
    run: DryRun,
    /// A statement waits: later ones may depend on its result.
    has_waited: bool,
}

impl DryWalk {
    fn sections(&mut self, context: &mut Context<'_>, program: &Program) {
        for section in [Section::Inbound, Section::Backend, Section::Outbound] {
            context.section = section;
            if section == Section::Outbound && context.response.is_none() {
                context.response = Some(Response::local(200, "", ""));
            }
            match self.section(context, program, section) {
                None => {}
                Some(Ok(response)) => {
                    self.run.response = Some(shown(context, &response, None));
                    break;
                }
                Some(Err(failed)) => {
                    self.on_error(context, program, failed, section);
                    break;
                }
            }
        }
        for section in Section::ALL {
            let count = program.section(section).described.len();
            self.run.outcomes[section as usize].resize(count, Outcome::Skipped);
        }
    }

    fn on_error(&mut self, context: &mut Context<'_>, program: &Program, failed: Failed, section: Section) {
        let (failure, origin) = failed;
        let code = failure.error.code;
        context.last_error = Some(failure.last_error(Some(section), origin.as_deref()));
        context.response = Some(preset(context, failure));
        context.section = Section::OnError;
        let outcome = self.section(context, program, Section::OnError);
        let (response, code) = match outcome {
            Some(Ok(response)) => (response, None),
            Some(Err((failure, _))) => {
                let code = failure.error.code;
                (preset(context, failure), Some(code))
            }
            None => (context.response.take().unwrap_or_default(), Some(code)),
        };
        self.run.response = Some(shown(context, &response, code));
    }

    /// Runs the statements of a section; the response or the failure that ends it.
    fn section(
        &mut self,
        context: &mut Context<'_>,
        program: &Program,
        section: Section,
    ) -> Option<Result<Response, Failed>> {
        let effective = program.section(section);
        let mut rest = &effective.instructions[..];
        for described in &effective.described {
            let (own, others) = rest.split_at(length(described, rest));
            rest = others;
            let (outcome, end) = self.statement(context, own);
            self.run.outcomes[section as usize].push(outcome);
            if end.is_some() {
                return end;
            }
        }
        None
    }

    fn statement(
        &mut self,
        context: &mut Context<'_>,
        own: &[Instruction],
    ) -> (Outcome, Option<Result<Response, Failed>>) {
        context.trace = Some(Trace::default());
        let result = run_block(context, own).now_or_never();
        let trace = context.trace.take().unwrap_or_default();
        let (ran, waits) = (trace.len(), trace.waits());
        match result {
            None => (self.wait(), None),
            Some(Ok(Flow::End(response))) => (Outcome::Responded, Some(Ok(*response))),
            // The value that is missing may be the result of a call.
            Some(Err(failed)) if self.has_waited && refusal(&failed.0) == Outcome::Failed => {
                (self.wait(), None)
            }
            Some(Err(failed)) => (refusal(&failed.0), Some(Err(failed))),
            Some(Ok(_)) if waits => (self.wait(), None),
            Some(Ok(_)) if ran == 0 => (Outcome::Skipped, None),
            Some(Ok(_)) => (Outcome::Done, None),
        }
    }

    fn wait(&mut self) -> Outcome {
        self.has_waited = true;
        Outcome::Waits
    }
}

fn shown(context: &Context<'_>, response: &Response, code: Option<ErrorCode>) -> DryResponse {
    let secrets = context.shared.secrets.iter().chain(&context.caller.key);
    let secrets: Vec<&Arc<str>> = secrets.filter(|secret| !secret.is_empty()).collect();
    let line = |(_, name, value): (_, &[u8], &[u8])| {
        let mut text = format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        for secret in &secrets {
            text = text.replace(&***secret, MASK);
        }
        text
    };
    DryResponse { status: response.status(), code, headers: response.head.fields().map(line).collect() }
}

/// Whether a failure is about the request.
fn refusal(failure: &Failure) -> Outcome {
    let is_own = failure.error.code.name().starts_with("policy.");
    if is_own { Outcome::Failed } else { Outcome::Rejected }
}

/// The number of instructions of a statement: a `choose` has several.
fn length(described: &Described, instructions: &[Instruction]) -> usize {
    let path = format!("{}/", described.origin.path);
    match instructions.first() {
        None => 0,
        Some(Instruction::Unless(_, n, _)) => {
            let mut end = n + 1;
            while let Some(Instruction::Skip(rest)) = end.checked_sub(1).and_then(|at| instructions.get(at)) {
                end += rest;
            }
            end.min(instructions.len())
        }
        Some(Instruction::Run(_, origin)) if Arc::ptr_eq(origin, &described.origin) => 1,
        // `choose` with `otherwise` alone.
        Some(_) => instructions
            .iter()
            .take_while(|one| match one {
                Instruction::Run(_, origin) | Instruction::Unless(_, _, origin) => {
                    origin.path.starts_with(&path)
                }
                Instruction::Skip(_) => true,
            })
            .count(),
    }
}
