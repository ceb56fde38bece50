//! `margay roles export`: the traffic rules for the firewalls of the instances themselves.

use super::configuration::Configuration;
use super::{Exit, output, settings};
use crate::control::candidate::Candidate;
use crate::plan::roles::{
    EndpointKind, EndpointProtocol, InstancePort, RoleEndpoint, RolesBlueprint, snapshot_of,
};
use crate::stages::custom::StageRegistry;
use clap::{Args, Subcommand, ValueEnum};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

#[derive(Args, Clone, Debug)]
pub(super) struct Roles {
    #[command(subcommand)]
    command: RolesCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum RolesCommand {
    /// Write the traffic rules as a table for the firewalls of the instances, for traffic that does not pass the gateway.
    Export(Export),
}

#[derive(Args, Clone, Debug)]
struct Export {
    /// The form of the table.
    #[arg(long, value_name = "FORMAT", default_value = "nftables")]
    format: ExportFormat,
    /// An address of the gateway, which is always admitted.
    #[arg(long, value_name = "IP")]
    gateway: Vec<IpAddr>,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Nftables,
}

/// Prints the table.
pub(super) fn run(roles: &Roles, stages: &StageRegistry) -> Exit {
    let RolesCommand::Export(export) = &roles.command;
    let ExportFormat::Nftables = export.format;
    let candidate = Candidate::read(&settings::request(&export.configuration), stages);
    let Some(blueprint) = &candidate.blueprint else {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    };
    output::write_stdout(&nftables(&blueprint.roles, &export.gateway));
    Exit::Done
}

/// The table for nftables.
fn nftables(roles: &RolesBlueprint, gateway: &[IpAddr]) -> String {
    let mut text = String::from(
        "#!/usr/sbin/nft -f\n# Traffic rules between the instances of roles, from the addresses in Identity. The gateway enforces only\n\
         # what passes through it; this table restricts direct traffic, and belongs on every instance.\n\n\
         table inet margay_roles\ndelete table inet margay_roles\n\ntable inet margay_roles {\n    chain input {\n        \
         type filter hook input priority 0; policy accept;\n        ct state established,related accept\n",
    );
    let snapshot = snapshot_of(roles);
    let internal = roles.endpoints().filter(|endpoint| endpoint.kind == EndpointKind::Internal);
    for endpoint in internal {
        let Some(destination) = roles.matrix.destination(&endpoint.full_name.value) else { continue };
        let Some(role) = roles.roles.iter().position(|role| role.name == endpoint.role) else { continue };
        let allowed =
            (0..roles.roles.len()).filter(|from| roles.matrix.decide(Some(*from), destination).allowed);
        let mut sources: BTreeSet<String> = allowed.flat_map(|from| networks(roles, from)).collect();
        sources.extend(gateway.iter().map(IpAddr::to_string));
        let _ = writeln!(text, "\n        # {}", endpoint.full_name.value);
        for instance in snapshot.roles.get(role).into_iter().flatten() {
            let port = match endpoint.instance_port {
                InstancePort::Range(range) => range.to_string(),
                _ => match instance.port(endpoint) {
                    Some(port) => port.to_string(),
                    None => continue,
                },
            };
            let Ok(host) = instance.host.parse::<IpAddr>() else { continue };
            write_rules(&mut text, endpoint, host, &port, &sources);
        }
    }
    text.push_str("    }\n}\n");
    text
}

/// The networks by which the instances of a role are recognized.
fn networks(roles: &RolesBlueprint, role: usize) -> Vec<String> {
    let instances = roles.roles[role].instances.iter();
    instances
        .flat_map(|instance| &instance.identity.networks)
        .map(|(address, length)| format!("{address}/{length}"))
        .collect()
}

fn write_rules(
    text: &mut String,
    endpoint: &RoleEndpoint,
    host: IpAddr,
    port: &str,
    sources: &BTreeSet<String>,
) {
    let transports: &[&str] = match endpoint.protocol {
        EndpointProtocol::Udp => &["udp"],
        EndpointProtocol::Any => &["tcp", "udp"],
        EndpointProtocol::Http | EndpointProtocol::Https | EndpointProtocol::Tcp => &["tcp"],
    };
    let family = if host.is_ipv4() { "ip" } else { "ip6" };
    let same_family: Vec<&str> =
        sources.iter().map(String::as_str).filter(|source| source.contains(':') != host.is_ipv4()).collect();
    for transport in transports {
        if !same_family.is_empty() {
            let list = same_family.join(", ");
            let _ = writeln!(
                text,
                "        {family} daddr {host} {transport} dport {port} {family} saddr {{ {list} }} accept"
            );
        }
        let _ = writeln!(text, "        {family} daddr {host} {transport} dport {port} drop");
    }
}
