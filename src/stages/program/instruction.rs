//! Programs and their instructions.

use super::{
    callout::PreparedCall,
    context::Context,
    failure::Failure,
    section::{Origin, Section},
    template::Template,
};
use crate::{base::expr::Usage, pipeline::response::Response};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

/// What follows a statement.
#[derive(Debug)]
pub enum Flow {
    Next,
    /// The rest of the section is passed over.
    EndSection,
    /// The response of the program: no statement follows.
    End(Box<Response>),
}

/// The decision of a `cors` statement about a preflight request.
#[derive(Debug)]
pub enum Preflight {
    Respond(Box<Response>),
    /// The origin does not match: the next `cors` statement decides.
    Next,
}

/// The pending end of a statement.
pub type StatementFuture<'f> = Pin<Box<dyn Future<Output = Result<Flow, Failure>> + Send + 'f>>;

/// A compiled statement.
pub trait Statement: Send + Sync + Debug {
    /// What it reads of the exchange: bodies are collected before it runs.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Whether it reads the body of the message of its section.
    fn reads_message_body(&self) -> bool {
        false
    }

    /// Runs a statement that never waits.
    fn run(&self, _context: &mut Context<'_>) -> Result<Flow, Failure> {
        Ok(Flow::Next)
    }

    /// Whether it may wait: [`Statement::start`] is called instead of [`Statement::run`].
    fn waits(&self) -> bool {
        false
    }

    /// The future of a statement that waits.
    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(std::future::ready(self.run(context)))
    }

    /// The response to a CORS preflight request, if it is a `cors` statement: `None` if another one decides.
    fn preflight(&self, _context: &Context<'_>) -> Option<Preflight> {
        None
    }

    /// The response to a request that no operation takes, if the statement has one.
    fn policy_file(&self, _context: &Context<'_>) -> Option<Response> {
        None
    }

    /// A call-out that runs with others in `wait`; `None`: it runs at once.
    fn prepare_call(&self, _context: &mut Context<'_>) -> Result<Option<PreparedCall>, Failure> {
        Ok(None)
    }

    /// Whether it sends the request to the backend, so that a body may have to be kept.
    fn forwards(&self) -> bool {
        false
    }

    /// Whether it is evaluated in a dry run.
    fn runs_dry(&self) -> bool {
        true
    }
}

/// One instruction.
#[derive(Clone, Debug)]
pub enum Instruction {
    Run(Arc<dyn Statement>, Arc<Origin>),
    /// Continues `usize` instructions further unless the condition holds.
    Unless(Arc<Template>, usize, Arc<Origin>),
    /// Continues `usize` instructions further.
    Skip(usize),
}

/// A described statement of an effective section.
#[derive(Clone, Debug)]
pub struct Described {
    pub origin: Arc<Origin>,
    /// As written, with secrets masked.
    pub statement: Arc<serde_json::Value>,
}

/// One effective section.
#[derive(Clone, Debug, Default)]
pub struct EffectiveSection {
    pub instructions: Vec<Instruction>,
    pub described: Vec<Described>,
}

/// The statements of one operation and product.
#[derive(Debug, Default)]
pub struct Program {
    pub sections: [EffectiveSection; 4],
    /// Whether a later section reads the body of the request, which must be kept then.
    pub keeps_request_body: bool,
}

/// What instructions read.
pub fn usage_of_block(instructions: &[Instruction]) -> Usage {
    instructions.iter().fold(Usage::default(), |all, instruction| match instruction {
        Instruction::Run(statement, _) => all.and(statement.usage()),
        Instruction::Unless(condition, ..) => all.and(condition.usage()),
        Instruction::Skip(_) => all,
    })
}

/// Whether a statement among instructions reads the body of the message of its section.
pub fn block_reads_message_body(instructions: &[Instruction]) -> bool {
    instructions.iter().any(|instruction| match instruction {
        Instruction::Run(statement, _) => statement.reads_message_body(),
        _ => false,
    })
}

impl Program {
    /// A program of effective sections.
    pub fn new(sections: [EffectiveSection; 4]) -> Program {
        let later = [Section::Backend, Section::Outbound, Section::OnError];
        let keeps_request_body = later
            .iter()
            .any(|section| usage_of_block(&sections[*section as usize].instructions).request_body);
        Program { sections, keeps_request_body }
    }

    /// The instructions of a section.
    pub fn section(&self, section: Section) -> &EffectiveSection {
        &self.sections[section as usize]
    }
}
