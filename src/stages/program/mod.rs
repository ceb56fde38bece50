//! Policy programs: the statements of the documents of one operation and product, in one flat vector.
//!
//! A document is compiled once; [`effective`] joins the documents of a chain when the plan is made. [`run::run`] is the
//! walk of one exchange through a program: `inbound`, `backend`, `outbound`, and `on-error` after a failure. Statements
//! are in `stages/statements`; the subscription check in front of programs is the stage [`subscription`].

pub mod backend;
pub mod bandwidth;
pub mod block;
pub mod body;
pub mod callout;
pub mod context;
pub mod counters;
pub mod dry_run;
pub mod effective;
pub mod entities;
pub mod failure;
pub mod forward;
pub mod instruction;
pub mod message;
pub mod preflight;
mod reader;
pub mod run;
pub mod section;
mod sharded;
pub mod subscription;
pub mod target;
pub mod template;
pub mod token_schemes;
pub mod trace;

use crate::stages::authentication::state::AuthState;
pub use context::Context;
pub use failure::Failure;
pub use instruction::{Flow, Instruction, Program, Statement, StatementFuture};
pub use section::{Origin, Scope, Section};
use std::sync::Arc;
pub use template::Template;

/// What programs keep beyond a plan.
#[derive(Debug, Default)]
pub struct ProgramState {
    pub counters: Arc<counters::Counters>,
    pub tokens: Arc<AuthState>,
    pub traces: Arc<trace::Traces>,
}
