//! `margay run`: check, then serve.

use super::args::{Compat, Configuration, Run};
use crate::{
    config::{Request, render::Style},
    control::{
        candidate::Candidate,
        process::{Settings, serve},
    },
};
use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode};

/// Something failed while running.
pub const FAILED: u8 = 1;
/// The configuration is not valid.
pub const INVALID: u8 = 2;

/// Serves until a signal ends it.
pub fn run(run: &Run) -> ExitCode {
    let request = request(&run.configuration);
    let style = style();
    let candidate = Candidate::read(&request);
    eprint!("{}", candidate.report(style));
    let Some(blueprint) = &candidate.blueprint else { return ExitCode::from(INVALID) };
    let settings = Settings { listen: run.listen.clone(), admin: run.admin, threads: threads(run), style };
    match serve(request, &candidate, blueprint, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("margay: {why}");
            ExitCode::from(FAILED)
        }
    }
}

/// What the configuration flags ask to read.
pub fn request(configuration: &Configuration) -> Request {
    Request {
        paths: configuration.config.clone(),
        policies: configuration.policies.clone(),
        ocelot: configuration.compat == Some(Compat::Ocelot),
        home: PathBuf::from("."),
    }
}

/// Colours only for people at a terminal who want them.
pub fn style() -> Style {
    Style::for_output(std::io::stderr().is_terminal(), std::env::var("NO_COLOR").ok().as_deref())
}

fn threads(run: &Run) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    run.threads.map_or(cores, usize::from)
}

/// Addresses of an environment variable, where the flag did not say; separated by commas.
pub fn addresses(variable: &str) -> Result<Vec<SocketAddr>, String> {
    let text = std::env::var(variable).unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| super::args::address(part).map_err(|why| format!("{variable}={part}: {why}"))).collect()
}
