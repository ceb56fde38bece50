//! Settings of all commands that load a configuration.

use super::configuration::Configuration;
use crate::config::{DotnetEnvironment, Request, render::Style};
use std::io::IsTerminal;

/// The configuration to load.
pub(super) fn request(configuration: &Configuration) -> Request {
    Request {
        paths: configuration.config.clone(),
        dotnet: DotnetEnvironment::of_process(),
        policies: configuration.policies.clone(),
        ocelot: configuration.compat.is_some(),
        ..Request::default()
    }
}

/// Colors if standard error is a terminal.
pub(super) fn color_style() -> Style {
    Style::for_output(std::io::stderr().is_terminal(), std::env::var("NO_COLOR").ok().as_deref())
}
