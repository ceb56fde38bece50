//! Warnings about public ports of roles that depend on this machine: the range of ephemeral ports, and privileged ports.

use crate::{
    base::port_range::PortRange,
    config::{Diagnostics, codes},
    plan::roles::{InstancePort, RoleEndpoint, RolesBlueprint},
};
use std::fs;

/// The bit of CAP_NET_BIND_SERVICE.
const NET_BIND_SERVICE: u32 = 10;

/// What the kernel reports about ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFacts {
    ephemeral: PortRange,
    /// The first port that every process may bind.
    unprivileged: u16,
}

impl PortFacts {
    /// Those of this machine and process; `None`: unknown.
    pub fn of_process() -> Option<PortFacts> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut numbers = range.split_whitespace().map_while(|number| number.parse().ok());
        let ephemeral = PortRange { first: numbers.next()?, last: numbers.next()? };
        let unprivileged = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok();
        let unprivileged = unprivileged.and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
        Some(PortFacts { ephemeral, unprivileged: if can_bind_all() { 0 } else { unprivileged } })
    }

    /// Warns of public and gateway ports.
    pub fn check(self, roles: &RolesBlueprint, diagnostics: &mut Diagnostics) {
        for endpoint in roles.endpoints() {
            let (name, ports) = (&endpoint.full_name, ports(endpoint));
            let is_ephemeral =
                |range: &&PortRange| range.first <= self.ephemeral.last && self.ephemeral.first <= range.last;
            if let Some(range) = ports.iter().find(is_ephemeral) {
                let message = format!("{}: {range} is in the range of ephemeral ports", name.value);
                diagnostics.warning(codes::PORT_IN_USE_BY_SYSTEM, name.span, message).help(format!(
                    "choose ports outside of {}, or reserve them in net.ipv4.ip_local_reserved_ports",
                    self.ephemeral
                ));
            }
            if let Some(range) = ports.iter().find(|range| range.first < self.unprivileged) {
                let message = format!("{}: {range} is privileged", name.value);
                diagnostics
                    .warning(codes::PRIVILEGED_PORT, name.span, message)
                    .help("give the process CAP_NET_BIND_SERVICE, or choose a port from 1024 on");
            }
        }
    }
}

fn can_bind_all() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> NET_BIND_SERVICE & 1 == 1)
}

/// The ports of an endpoint on this machine.
fn ports(endpoint: &RoleEndpoint) -> Vec<PortRange> {
    let single = |port: Option<u16>| port.map(|port| PortRange { first: port, last: port });
    let gateway = endpoint.gateway_port.map(|first| {
        let more = match endpoint.instance_port {
            InstancePort::Range(range) => range.len() - 1,
            _ => 0,
        };
        PortRange { first, last: first.saturating_add(more as u16) }
    });
    [single(endpoint.public_port), endpoint.public_ports, gateway].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Environment, InMemoryFiles},
        plan::{compile, document::load_texts},
    };

    #[test]
    fn ephemeral_and_privileged_ports_are_warnings() {
        let text = r#"{ "Roles": { "W": { "Instances": [{ "Host": "10.0.0.1" }], "Endpoints": {
            "A": { "Kind": "Input", "Protocol": "tcp", "Port": 80 },
            "B": { "Kind": "InstanceInput", "Protocol": "tcp", "LocalPort": 1, "PublicPorts": "39990-40001" },
            "C": { "Kind": "Input", "Protocol": "tcp", "Port": 9000 } } } } }"#;
        let files = [("gateway.json", text)];
        let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
        let mut loaded = load_texts(&files, Environment::of_process());
        let blueprint = compile(&mut loaded).unwrap();
        let facts = PortFacts { ephemeral: PortRange { first: 40_000, last: 60_000 }, unprivileged: 1024 };
        let mut diagnostics = Diagnostics::default();
        facts.check(&blueprint.roles, &mut diagnostics);
        let codes: Vec<_> = diagnostics.list.iter().map(|one| one.code).collect();
        assert_eq!(codes, [codes::PRIVILEGED_PORT, codes::PORT_IN_USE_BY_SYSTEM]);
    }
}
