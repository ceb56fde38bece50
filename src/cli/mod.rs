//! The commands of the command line and their exit codes (Envoy and nginx: command line flags; here also `check`,
//! `explain`, `schema` and `help error`).
//!
//! Entry point: [`main`], or [`Builder::main`] of a program with custom stages; each command is one module. Standard
//! output has data only, standard error has the log. Calls `control` to serve and to read a configuration. Owns nothing
//! that outlives a reload: settings of the command line are passed to `control`, which applies them to each plan.

mod args;
mod builder;
mod check;
pub mod demo;
mod diff;
mod exit;
mod explain;
mod log;
mod output;
mod run;
mod schema;
mod settings;
mod test;
mod error_codes;

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
        Command::Check(check) => check::run(check, stages),
        Command::Schema(schema) => schema::run(schema),
        Command::Help(help) => match &help.topic {
            Topic::Error { code } => error_codes::run(code.as_deref()),
        },
        Command::Explain(arguments) => explain::run(arguments, stages),
        Command::Diff(arguments) => diff::run(arguments, stages),
        Command::Test(arguments) => test::run(arguments, stages),
    }
}

/// Help and version are output that the user requested; anything else is a usage error.
fn explain_usage(error: &clap::Error) -> Exit {
    let is_requested = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let _ = error.print();
    if is_requested { Exit::Done } else { Exit::Usage }
}
