//! The command line: what can be asked, in one place. The texts here are the help.

use crate::net::{listener::Address, unix_address::UnixAddress};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// margay, an API gateway: one binary, one JSON route table, in front of your services.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed while running, 2 the configuration is not valid, 64 wrong usage."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What margay can do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve: check the configuration, listen, and follow its changes.
    Run(Run),
    /// Start the sample services, then serve as `run` does.
    Demo(Demo),
    /// Say what is wrong with the configuration, all of it at once.
    Check(Check),
    /// Print the JSON Schema of the configuration, for editors.
    Schema(Schema),
    /// Say what would happen to a request: which route, why, and what the service would be sent.
    Explain(Explain),
    /// Explain an error code: `margay help error identity.expired`.
    Help(Help),
}

/// Where the configuration is.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Configuration {
    /// A file, or a directory of gateway.*.json or ocelot.*.json; several are merged. Without: gateway.json, then
    /// ocelot.json.
    #[arg(long, value_name = "FILE|DIR")]
    pub config: Vec<PathBuf>,
    /// The directory of policy files. Without: policies/ beside the configuration.
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Behave as Ocelot does, to the letter; implied by files named ocelot*.json.
    #[arg(long, value_name = "WITH", ignore_case = true)]
    pub compat: Option<Compat>,
}

/// What to be compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Compat {
    Ocelot,
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Run {
    #[command(flatten)]
    pub configuration: Configuration,
    /// Listen here instead of on the configured listeners; MARGAY_LISTEN says the same, separated by commas.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = address)]
    pub listen: Vec<Address>,
    /// Serve /live, /ready, /metrics, /clusters and /cache here; MARGAY_ADMIN says the same.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = address)]
    pub admin: Option<Address>,
    /// Worker threads. Without: one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Demo {
    #[command(flatten)]
    pub run: Run,
    /// Only the sample services, without a gateway in front.
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
    /// Print the findings as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Exit with 2 on warnings too.
    #[arg(long, value_name = "WHAT", ignore_case = true)]
    pub deny: Option<Deny>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Deny {
    Warnings,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Schema {
    /// The schema of policy files instead.
    #[arg(long)]
    pub policy: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Explain {
    /// The method, such as GET.
    pub method: String,
    /// The URL as the client would ask for it, or just a path.
    pub url: String,
    /// A header field of the request.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The address that the client comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub from: IpAddr,
    /// The listener that it comes by. Without: the first.
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// What is asked about.
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
    },
}

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` for every address, or `unix:` and the path of a socket.
pub(super) fn address(text: &str) -> Result<Address, String> {
    if let Some(place) = UnixAddress::parse(text, None) {
        return place.map(Address::Unix).map_err(str::to_owned);
    }
    let spelled = match text.trim().split_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ => text.trim().to_owned(),
    };
    let wrong = "write an address and a port, such as 127.0.0.1:8080 or [::]:8080, or unix:/run/margay.sock";
    spelled.parse().map(Address::Tcp).map_err(|_| wrong.to_owned())
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
    fn addresses_are_read_as_people_write_them() {
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
