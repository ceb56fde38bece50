//! The arguments of `margay waf`.

use super::super::configuration::Configuration;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// A command of the firewall.
#[derive(Args, Clone, Debug)]
pub struct Waf {
    #[command(subcommand)]
    pub command: WafCommand,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum WafCommand {
    /// Print directory, version and number of the managed rules in force.
    Rules(WafRules),
    /// Propose exclusions for matches that the firewall logged in Detection.
    Replay(WafReplay),
    /// Evaluate requests and compare the decisions of the firewall with the expected ones.
    Test(WafTest),
}

#[derive(Args, Clone, Debug)]
pub struct WafRules {
    /// The directory of the rules. Default: as for a gateway without `WafEngine.Rules`.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Load the rules of another directory and report whether it succeeds.
    #[arg(long, value_name = "DIR", conflicts_with = "rules")]
    pub check: Option<PathBuf>,
    /// List the rules with their ids, levels and messages.
    #[arg(long)]
    pub list: bool,
}

#[derive(Args, Clone, Debug)]
pub struct WafTest {
    /// A file with one JSON object a line: method, path, headers, body, and expect: "pass", "block", an error code or a status.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub configuration: Configuration,
}

#[derive(Args, Clone, Debug)]
pub struct WafReplay {
    /// Files with lines of the log of the firewall.
    #[arg(value_name = "LOG", required = true)]
    pub logs: Vec<PathBuf>,
    /// The number of distinct clients without which nothing is proposed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub min_clients: usize,
    /// The number of requests without which nothing is proposed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub min_requests: usize,
    /// Print the exclusions only, as JSON.
    #[arg(long)]
    pub json: bool,
}
