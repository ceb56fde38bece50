//! The commands that talk to a running gateway over its administration API (HAProxy's runtime API, `caddy reload`).
//!
//! Each command is a function from its arguments to an error with a cure; standard output has data, standard error
//! everything else. The token is read from the environment or a file, never from the command line.

mod api_management;
pub mod arguments;
mod change;
mod columns;
mod connection;
mod diagnostics;
mod error;
mod event_stream;
mod pages;
mod table;
mod tail;
mod target;
mod top;

use super::{Exit, output};
use arguments::{
    ApplyCommand, ClustersCommand, EffectivePolicies, EndpointCommand, HistoryCommand, RollbackCommand,
    RoutesCommand, StatusCommand, SubscriptionsCommand, TailCommand, TopCommand,
};
use error::ClientError;

fn report(result: Result<(), ClientError>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            output::write_stderr(&format!("margay: {}\n", error.message()));
            error.exit()
        }
    }
}

pub(super) fn status(command: &StatusCommand) -> Exit {
    report(pages::status(command))
}

pub(super) fn routes(command: &RoutesCommand) -> Exit {
    report(pages::routes(command))
}

pub(super) fn clusters(command: &ClustersCommand) -> Exit {
    report(pages::clusters(command))
}

pub(super) fn history(command: &HistoryCommand) -> Exit {
    report(pages::history(command))
}

pub(super) fn tail(command: &TailCommand) -> Exit {
    report(tail::run(command))
}

pub(super) fn top(command: &TopCommand) -> Exit {
    report(top::run(command))
}

pub(super) fn apply(command: &ApplyCommand) -> Exit {
    report(change::apply(command))
}

pub(super) fn rollback(command: &RollbackCommand) -> Exit {
    report(change::rollback(command))
}

pub(super) fn drain(command: &EndpointCommand) -> Exit {
    report(change::set_endpoint(command, "drain"))
}

pub(super) fn enable(command: &EndpointCommand) -> Exit {
    report(change::set_endpoint(command, "enable"))
}

pub(super) fn effective_policies(command: &EffectivePolicies) -> Exit {
    report(api_management::effective(command))
}

pub(super) fn subscriptions(command: &SubscriptionsCommand) -> Exit {
    report(api_management::subscriptions(command))
}
