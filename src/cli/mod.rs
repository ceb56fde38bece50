//! The commands.

pub mod args;
pub mod demo;
mod log;
mod run;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// Wrong usage, as in sysexits.h.
const USAGE: u8 = 64;

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    if let Err(why) = log::start(std::env::var("MARGAY_LOG").ok().as_deref()) {
        eprintln!("margay: {why}");
        return ExitCode::from(USAGE);
    }
    match dispatch(arguments.command) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("margay: {why}");
            ExitCode::from(USAGE)
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Run(mut run) => {
            if run.listen.is_empty() {
                run.listen = run::addresses("MARGAY_LISTEN")?;
            }
            if run.admin.is_none() {
                run.admin = run::addresses("MARGAY_ADMIN")?.first().copied();
            }
            Ok(run::run(&run))
        }
        _ => Err("not yet".into()),
    }
}
