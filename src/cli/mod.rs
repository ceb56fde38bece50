//! The commands: what can be asked of margay on the command line, and with which code it exits.

pub mod args;
mod builder;
mod check;
pub mod demo;
mod explain;
mod log;
mod output;
mod run;
mod schema;
pub mod settings;
mod error_codes;

pub use builder::{Builder, Gateway};

use crate::stages::custom::StageRegistry;
use args::{Arguments, Command, Topic};
use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// How a command ended; the numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// Something failed while running: a port in use, a signal that cannot be received.
    Failed,
    /// The configuration is not valid.
    Invalid,
    /// The command line is not one.
    Usage,
}

impl Exit {
    fn usage(why: &str) -> Exit {
        output::write_stderr(&format!("margay: {why}\n"));
        Exit::Usage
    }

    fn failed(why: &str) -> Exit {
        output::write_stderr(&format!("margay: {why}\n"));
        Exit::Failed
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Invalid => 2,
            Exit::Usage => 64,
        })
    }
}

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
