//! The commands of the command line and their exit codes (Envoy and nginx: command line flags; Caddy: `validate`, `fmt`,
//! `reload`; decK: `diff`, `sync`).
//!
//! Entry point: [`main`], or [`Builder::main`] of a program with custom stages; each command is one module or one folder.
//! Standard output has data only, standard error has the log. Calls `control` to serve and to read a configuration. Owns nothing
//! that outlives a reload: settings of the command line are passed to `control`, which applies them to each plan.

mod agent;
mod args;
mod builder;
mod check;
mod client;
mod completions;
mod configuration;
mod connect;
pub mod demo;
mod diff;
mod exit;
mod explain;
mod explain_topics;
mod fmt;
mod format;
mod import;
mod log;
mod new;
mod output;
mod policies;
mod progress;
mod roles;
mod run;
mod run_settings;
mod schema;
mod settings;
mod show;
mod store;
mod test;
mod tunnel;
mod error_codes;
mod waf;

pub use builder::{Builder, Gateway};
pub use exit::Exit;

use crate::stages::custom::StageRegistry;
use args::{Arguments, Command, Topic};
use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// Runs the command line.
pub fn main() -> ExitCode {
    Gateway::builder().main()
}

/// The same with custom stages.
fn main_with(stages: &StageRegistry) -> ExitCode {
    let exit = match log::start(std::env::var("MARGAY_LOG").ok().as_deref()) {
        Err(error) => Exit::usage(&error),
        Ok(()) => match Arguments::try_parse() {
            Ok(arguments) => command(&arguments.command, stages),
            Err(error) => explain_usage(&error),
        },
    };
    ::log::logger().flush();
    exit.into()
}

fn command(command: &Command, stages: &StageRegistry) -> Exit {
    match command {
        Command::Run(run) => run::run(run, stages),
        Command::Demo(demo) => demo::run(demo, stages),
        Command::Agent(arguments) => agent::run(arguments),
        Command::Connect(arguments) => connect::run(arguments),
        Command::Check(check) => check::run(check, stages),
        Command::Schema(schema) => schema::run(schema),
        Command::Help(help) => match &help.topic {
            Topic::Error { code, json } => error_codes::run(code.as_deref(), *json),
        },
        Command::Explain(arguments) => explain::run(arguments, stages),
        Command::Diff(arguments) => diff::run(arguments, stages),
        Command::Test(arguments) => test::run(arguments, stages),
        Command::Fmt(arguments) => fmt::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Policies(arguments) => policies::run(arguments),
        Command::Subscriptions { command } => client::subscriptions(command),
        Command::Store(arguments) => store::run(arguments, stages),
        Command::Roles(arguments) => roles::run(arguments, stages),
        Command::Show(arguments) => show::run(arguments, stages),
        Command::New(arguments) => new::run(arguments),
        Command::Completions(arguments) => completions::completions(arguments),
        Command::Man(arguments) => completions::man(arguments),
        Command::Waf(arguments) => waf::run(arguments, stages),
        Command::Status(arguments) => client::status(arguments),
        Command::Routes(arguments) => client::routes(arguments),
        Command::Clusters(arguments) => client::clusters(arguments),
        Command::Tail(arguments) => client::tail(arguments),
        Command::Top(arguments) => client::top(arguments),
        Command::History(arguments) => client::history(arguments),
        Command::Apply(arguments) => client::apply(arguments),
        Command::Rollback(arguments) => client::rollback(arguments),
        Command::Drain(arguments) => client::drain(arguments),
        Command::Enable(arguments) => client::enable(arguments),
    }
}

/// Help and version are output that the user requested; anything else is a usage error.
fn explain_usage(error: &clap::Error) -> Exit {
    let is_requested = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let _ = error.print();
    if is_requested { Exit::Done } else { Exit::Usage }
}
