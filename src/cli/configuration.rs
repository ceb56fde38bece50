//! The arguments that select the configuration, which most commands have.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The location of the configuration.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Configuration {
    /// A file, or a directory of gateway.*.json or ocelot.*.json; several are merged. Default: gateway.json, then
    /// ocelot.json.
    #[arg(long, value_name = "FILE|DIR")]
    pub config: Vec<PathBuf>,
    /// The directory of policy files. Default: policies/ next to the configuration.
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Behave exactly as Ocelot does; implied by files named ocelot*.json.
    #[arg(long, value_name = "WITH", ignore_case = true)]
    pub compat: Option<Compat>,
}

/// The gateway to be compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Compat {
    Ocelot,
}
