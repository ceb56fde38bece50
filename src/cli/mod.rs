//! The commands: what can be asked of margay on the command line, and with which code it exits.

mod args;
mod builder;
mod check;
pub mod demo;
mod exit;
mod explain;
mod log;
mod output;
mod run;
mod schema;
mod settings;
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

/// The same for a program with stages of its own.
fn main_with(stages: &StageRegistry) -> ExitCode {
    let exit = match log::start(std::env::var("MARGAY_LOG").ok().as_deref()) {
        Err(why) => Exit::usage(&why),
        Ok(()) => match Arguments::try_parse() {
            Ok(arguments) => command(&arguments.command, stages),
            Err(error) => explain_usage(&error),
        },
    };
    exit.into()
}

fn command(command: &Command, stages: &StageRegistry) -> Exit {
    match command {
        Command::Run(run) => run::run(run, stages),
        Command::Demo(demo) => demo::run(demo, stages),
        Command::Check(check) => check::run(check, stages),
        Command::Schema(schema) => schema::run(schema),
        Command::Help(asked) => match &asked.topic {
            Topic::Error { code } => error_codes::run(code.as_deref()),
        },
        Command::Explain(asked) => explain::run(asked, stages),
    }
}

/// Help and version were asked for; anything else is a mistake.
fn explain_usage(error: &clap::Error) -> Exit {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let _ = error.print();
    if asked { Exit::Done } else { Exit::Usage }
}
