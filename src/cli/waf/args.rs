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
    /// Install a release of the OWASP Core Rule Set: download or unpack it, verify it, replace the rules in one step.
    Fetch(WafFetch),
    /// Propose exclusions for matches that the firewall logged in Detection.
    Replay(WafReplay),
    /// Evaluate requests and compare the decisions of the firewall with the expected ones.
    Test(WafTest),
}

/// Which managed rules are printed.
#[derive(Args, Clone, Debug)]
pub struct WafRules {
    /// The directory of the rules. Default: as for a gateway without `WafEngine.Rules`.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Load the rules of another directory and run the decision cases of the binary; the exit code is 1 if one differs.
    #[arg(long, value_name = "DIR", conflicts_with = "rules")]
    pub check: Option<PathBuf>,
    /// List the rules with their ids, levels and messages.
    #[arg(long)]
    pub list: bool,
}

/// Which rules are installed, and where.
#[derive(Args, Clone, Debug)]
pub struct WafFetch {
    /// The release. Default: the latest one whose checksum margay knows; with --from any of those.
    #[arg(long, value_name = "X.Y.Z")]
    pub release: Option<String>,
    /// Another source of the release than its project: an https URL, or a file; a .tar.gz archive.
    #[arg(long, value_name = "URL|FILE")]
    pub from: Option<String>,
    /// The SHA-256 checksum of the archive. Required for releases whose checksum margay does not know.
    #[arg(long, value_name = "SUM")]
    pub sha256: Option<String>,
    /// The directory that is replaced. Default: `MARGAY_WAF_RULES`, else share/margay/crs next to the directory of the binary.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// The requests of a test.
#[derive(Args, Clone, Debug)]
pub struct WafTest {
    /// A file with one JSON object a line: method, path, headers, body, and expect: "pass", "block", an error code or a status.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// The log, and what a proposal needs.
#[derive(Args, Clone, Debug)]
pub struct WafReplay {
    /// Files with lines of the log of the firewall.
    #[arg(value_name = "LOG", required_unless_present = "har")]
    pub logs: Vec<PathBuf>,
    /// Evaluate the requests of a recorded browser session instead, an HTTP Archive, and print those that would be blocked.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["logs", "min_clients", "min_requests", "json"])]
    pub har: Option<PathBuf>,
    /// The number of distinct clients without which nothing is proposed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub min_clients: usize,
    /// The number of requests without which nothing is proposed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub min_requests: usize,
    /// Print the exclusions only, as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub configuration: Configuration,
}
