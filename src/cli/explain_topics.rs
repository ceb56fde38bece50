//! `margay explain role` and `margay explain connection`: decisions of traffic rules, and the routes of connections.

use super::configuration::Configuration;
use super::{Exit, output, settings};
use crate::control::candidate::Candidate;
use crate::plan::blueprint::Blueprint;
use crate::plan::roles::{RoleExplanation, Source, UnknownName, explain, snapshot_of};
use crate::plan::transport::explain::ConnectionQuery;
use crate::stages::custom::StageRegistry;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::net::IpAddr;

/// What else can be explained.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ExplainTopic {
    /// Explain whether a role may reach an internal endpoint, and why.
    Role(ExplainRole),
    /// Explain which transport route a connection takes, and why.
    Connection(ExplainConnection),
}

#[derive(Args, Clone, Debug)]
pub(super) struct ExplainRole {
    /// The role that connects, unless --from is set, and the endpoint: `WebRole1 WorkerRole1.InternalTCP2`.
    #[arg(value_names = ["FROM", "TO.ENDPOINT"], num_args = 1..=2, required = true)]
    names: Vec<String>,
    /// The address of the source, which identifies its role.
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// Print the explanation as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ExplainConnection {
    /// The name of the listener.
    listener: String,
    /// The server name (SNI) of the client.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// An ALPN protocol that the client offers.
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Vec<String>,
    /// The address of the client.
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// Print the explanation as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: Configuration,
}

/// Prints the explanation.
pub(super) fn run(topic: &ExplainTopic, stages: &StageRegistry) -> Exit {
    let configuration = match topic {
        ExplainTopic::Role(role) => &role.configuration,
        ExplainTopic::Connection(connection) => &connection.configuration,
    };
    let candidate = Candidate::read(&settings::request(configuration), stages);
    let Some(blueprint) = &candidate.blueprint else {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    };
    match topic {
        ExplainTopic::Role(role) => match role.explain(blueprint) {
            Ok(explained) => print(role.json, &explained, &role_text(&explained)),
            Err(error) => Exit::usage(&error),
        },
        ExplainTopic::Connection(connection) => connection.run(blueprint),
    }
}

fn print(is_json: bool, explained: &impl Serialize, text: &str) -> Exit {
    match serde_json::to_string_pretty(explained) {
        Ok(json) if is_json => output::write_stdout(&format!("{json}\n")),
        _ => output::write_stdout(text),
    }
    Exit::Done
}

impl ExplainRole {
    fn explain(&self, blueprint: &Blueprint) -> Result<RoleExplanation, String> {
        let roles = &blueprint.roles;
        let (from, to) = match (self.names.as_slice(), self.from) {
            ([to], from) => {
                let snapshot = snapshot_of(roles);
                let source = from.map(|from| Source::of_address(from.to_canonical()));
                let found = source.and_then(|source| snapshot.identities.find(&source).cloned());
                (found.map(|found| roles.roles[found.role].name.to_string()), to)
            }
            ([from, to], None) => (Some(from.clone()), to),
            _ => return Err("explain role: give FROM or --from, not both".to_owned()),
        };
        explain(roles, from.as_deref(), to).map_err(|unknown| match unknown {
            UnknownName::Role => {
                let names: Vec<&str> = roles.roles.iter().map(|role| &*role.name).collect();
                format!("unknown role \"{}\"; expected one of {}", from.unwrap_or_default(), names.join(", "))
            }
            UnknownName::Endpoint => {
                let names: Vec<&str> = roles.matrix.destinations.iter().map(|name| &**name).collect();
                format!("unknown internal endpoint \"{to}\"; expected one of {}", names.join(", "))
            }
        })
    }
}

fn role_text(explained: &RoleExplanation) -> String {
    let RoleExplanation { from, to, because, mode, .. } = explained;
    let decision = if explained.allowed { "allowed" } else { "denied" };
    let rule = explained.rule.map_or(String::new(), |rule| format!(" {rule}"));
    format!("{from} -> {to}: {decision} ({because}{rule}; {mode})\n")
}

impl ExplainConnection {
    fn run(&self, blueprint: &Blueprint) -> Exit {
        let query = ConnectionQuery {
            listener: self.listener.clone(),
            server_name: self.server_name.clone(),
            alpn: self.alpn.clone(),
            from: self.from,
        };
        let explained = match query.explain(blueprint) {
            Ok(explained) => explained,
            Err(error) => return Exit::usage(&error),
        };
        let route = explained.route.as_deref().unwrap_or("no transport route");
        let refused = explained.refused.map_or(String::new(), |code| format!("refused: {code}\n"));
        let text = format!(
            "{}: {route} ({})\n{refused}{}",
            explained.listener,
            explained.because,
            explained.endpoints.iter().map(|endpoint| format!("  {endpoint}\n")).collect::<String>()
        );
        print(self.json, &explained, &text)
    }
}
