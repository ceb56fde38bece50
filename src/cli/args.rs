//! The command line. The texts here are the help.

use super::agent::arguments::AgentCommand;
use super::client::arguments::{
    ApplyCommand, ClustersCommand, EndpointCommand, HistoryCommand, RollbackCommand, RoutesCommand,
    StatusCommand, SubscriptionsCommand, TailCommand, TopCommand,
};
pub(super) use super::configuration::{Compat, Configuration};
use super::connect::arguments::ConnectCommand;
use super::explain_topics::ExplainTopic;
use super::import::arguments::Import;
use super::policies::Policies;
use super::roles::Roles;
use super::store::Store;
use super::waf::args::Waf;
use crate::net::{listener::Address, unix_address::UnixAddress};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::IpAddr, path::PathBuf};

/// margay, an API gateway: one binary, one JSON route table, in front of your backends.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 success, 1 failure or difference, 2 invalid configuration or input, 64 invalid usage."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway: check the configuration, listen, and reload it when it changes.
    Run(Run),
    /// Start the sample services, then run the gateway as `run` does.
    Demo(Demo),
    /// Keep an outbound connection to a gateway, and connect its streams to services near this machine.
    Agent(AgentCommand),
    /// Reach the service of an agent through a gateway.
    Connect(ConnectCommand),
    /// Report all errors and warnings of the configuration.
    Check(Check),
    /// Print the JSON Schema of the configuration, for editors.
    Schema(Schema),
    /// Explain the handling of a request: the matched route, the reasons, and the request as the backend would receive
    /// it.
    Explain(Explain),
    /// Report in words what changes for traffic between two configurations. Exit code 0: nothing, 1: something, 2: one of
    /// them has errors.
    Diff(Diff),
    /// Run the tests of the configuration. Exit code 0: all passed, 1: one failed, 2: the configuration has errors.
    Test(Test),
    /// Print the effective configuration: policies and global options resolved, defaults filled in, secrets masked.
    Show(Show),
    /// Write a first gateway.json, from flags or from answers on a terminal.
    New(New),
    /// Format configuration files; comments, order and the spelling of values are kept.
    Fmt(Fmt),
    /// Convert an OpenAPI document, or the configuration of YARP, Kong or Azure Cloud Services, into gateway.json.
    Import(Import),
    /// Policy documents: convert those of Azure API Management, show what runs.
    Policies(Policies),
    /// The subscriptions of a running gateway: list, make, replace keys.
    Subscriptions {
        #[command(subcommand)]
        command: SubscriptionsCommand,
    },
    /// The store of API management: check, back up, restore, export.
    Store(Store),
    /// The web application firewall: its rules, and proposals for exclusions from its log.
    Waf(Waf),
    /// Export the roles of the configuration.
    Roles(Roles),
    /// Report the status of a running gateway.
    Status(StatusCommand),
    /// List the routes of a running gateway with their traffic.
    Routes(RoutesCommand),
    /// List the clusters of a running gateway with the health of their endpoints.
    Clusters(ClustersCommand),
    /// Print requests of a running gateway as they end.
    Tail(TailCommand),
    /// Show the routes of a running gateway as a live table.
    Top(TopCommand),
    /// List the changes of the configuration of a running gateway.
    History(HistoryCommand),
    /// Apply a configuration to a running gateway; shows what changes and asks first.
    Apply(ApplyCommand),
    /// Return a running gateway to an earlier configuration.
    Rollback(RollbackCommand),
    /// Send no new requests to an endpoint of a running gateway.
    Drain(EndpointCommand),
    /// End the drain of an endpoint.
    Enable(EndpointCommand),
    /// Print the completions of a shell: `margay completions bash > /etc/bash_completion.d/margay`.
    Completions(Completions),
    /// Write the man pages, one for each command.
    Man(Man),
    /// Explain an error code: `margay help error identity.expired`.
    Help(Help),
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Run {
    #[command(flatten)]
    pub configuration: Configuration,
    /// Listen here instead of on the configured listeners; MARGAY_LISTEN has the same effect, separated by commas.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = address)]
    pub listen: Vec<Address>,
    /// Serve /live, /ready, /metrics, /clusters and /cache here; MARGAY_ADMIN has the same effect.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = address)]
    pub admin: Option<Address>,
    /// Worker threads. Default: one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Demo {
    #[command(flatten)]
    pub run: Run,
    /// Start only the sample services, without a gateway in front.
    #[arg(long)]
    pub services_only: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    pub configuration: Configuration,
    /// The same as --config.
    #[arg(value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Print the diagnostics as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Run the tests of the configuration too; exit with 2 if one fails.
    #[arg(long)]
    pub tests: bool,
    /// Exit with 2 on warnings too.
    #[arg(long, value_name = "WHAT", ignore_case = true)]
    pub deny: Option<Deny>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Diff {
    /// The old configuration: a file, or a directory.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The new configuration.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// The directory of policy files of both. Default: policies/ next to each configuration.
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Behave exactly as Ocelot does; implied by files named ocelot*.json.
    #[arg(long, value_name = "WITH", ignore_case = true)]
    pub compat: Option<Compat>,
    /// Print the changes as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Test {
    #[command(flatten)]
    pub configuration: Configuration,
    /// The same as --config.
    #[arg(value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Run only the tests whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Deny {
    Warnings,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    pub configuration: Configuration,
    /// The same as --config.
    #[arg(value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Only the route with this Key or path.
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Add the origin of every value: file, line and column, or `default`.
    #[arg(long)]
    pub origins: bool,
    /// Omit defaults.
    #[arg(long)]
    pub no_defaults: bool,
    /// Print JSON without comments; with --origins an object with `config` and `origins`.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct New {
    /// The file to write; `-` is standard output.
    #[arg(value_name = "FILE", default_value = "gateway.json")]
    pub output: PathBuf,
    /// The URL of a backend; several are one cluster. Without it, the command asks.
    #[arg(long, value_name = "URL")]
    pub backend: Vec<String>,
    /// The path of the routes; it is removed before requests are sent to the backend.
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub path: String,
    /// Keep the path in requests to the backend.
    #[arg(long)]
    pub keep_path: bool,
    /// The address for clients.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = address, default_value = "127.0.0.1:8080")]
    pub listen: Address,
    /// The administration address. Default: 127.0.0.1:8081.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = address)]
    pub admin: Option<Address>,
    /// Replace an existing file.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Man {
    /// The directory of the pages; it is created if it does not exist.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Fmt {
    /// Files, or directories with .json files; `-` formats standard input to standard output. Default: gateway.json (or
    /// ocelot.json) and the policies next to it.
    #[arg(value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Change nothing; exit with 1 if a file is not formatted, and list those files.
    #[arg(long)]
    pub check: bool,
    /// Change nothing; print what would change as a unified diff. Exit with 1 if there is a difference.
    #[arg(long)]
    pub diff: bool,
    /// Print the names of files and whether they changed as JSON.
    #[arg(long, conflicts_with = "diff")]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Schema {
    /// Print the schema of policy files instead.
    #[arg(long)]
    pub policy: bool,
}

#[derive(Args, Clone, Debug)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub(super) struct Explain {
    #[command(subcommand)]
    pub topic: Option<ExplainTopic>,
    /// The method, such as GET.
    #[arg(required = true)]
    pub method: Option<String>,
    /// The URL as the client would send it, or just a path.
    #[arg(required = true)]
    pub url: Option<String>,
    /// A header of the request.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The body of the request; `@FILE` reads it from a file. Without a Content-Type it is a form.
    #[arg(short = 'd', long, value_name = "TEXT")]
    pub data: Option<String>,
    /// The address of the client.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub from: IpAddr,
    /// The listener that receives the request. Default: the first.
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// Print the explanation as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// The help topic.
#[derive(Args, Clone, Debug)]
pub(super) struct Help {
    #[command(subcommand)]
    pub topic: Topic,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Topic {
    /// Explain an error code of the gateway; without a code, list all of them.
    Error {
        /// The `code` of a problem, or the `error_code` of the access log.
        code: Option<String>,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` for all addresses, or `unix:` and the path of a Unix
/// domain socket.
pub(super) fn address(text: &str) -> Result<Address, String> {
    if let Some(address) = UnixAddress::parse(text, None) {
        return address.map(Address::Unix).map_err(str::to_owned);
    }
    let spelled = match text.trim().split_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ => text.trim().to_owned(),
    };
    let help =
        "expected an address and a port, such as 127.0.0.1:8080 or [::]:8080, or unix:/run/margay.sock";
    spelled.parse().map(Address::Tcp).map_err(|_| help.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn common_forms_of_addresses_are_accepted() {
        for (text, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::]:80", "[::]:80"),
            (" localhost:8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
        ] {
            assert_eq!(address(text), Ok(Address::Tcp(expected.parse().unwrap())), "{text}");
        }
        assert_eq!(address("unix:a.sock").map(|a| a.to_string()).as_deref(), Ok("unix:a.sock"));
        for text in ["unix:", "", "8080", "example.com:80", "127.0.0.1", "127.0.0.1:65536"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
