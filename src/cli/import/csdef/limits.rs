//! The limits of Azure Cloud Services, which the gateway does not have, and public ports that are too few.

use super::{
    definition::ImportedRole,
    findings::{Fate, Findings},
    xml::Element,
};
use crate::base::port_range::PortRange;
use serde_json::Value;
use std::collections::BTreeMap;

const MAX_ROLES: usize = 25;
const MAX_ENDPOINTS: usize = 25;
const MAX_INTERNAL_ENDPOINTS: usize = 5;

/// Warns of everything that Cloud Services would refuse or leave unreachable.
pub fn report(
    root: &Element,
    roles: &[ImportedRole],
    counts: &BTreeMap<String, usize>,
    findings: &mut Findings,
) {
    let mut warn = |what: String| findings.add(Fate::Changed, root, format!("warning: {what}"));
    let endpoints: usize = roles.iter().map(|role| role.endpoints.len()).sum();
    if roles.len() > MAX_ROLES {
        warn(format!("{} roles, Cloud Services allows {MAX_ROLES}", roles.len()));
    }
    if endpoints > MAX_ENDPOINTS {
        warn(format!("{endpoints} endpoints, Cloud Services allows {MAX_ENDPOINTS}"));
    }
    for role in roles {
        let internal = role.endpoints.iter().filter(|(_, endpoint)| endpoint["Kind"] == "Internal").count();
        if internal > MAX_INTERNAL_ENDPOINTS {
            let allowed = MAX_INTERNAL_ENDPOINTS;
            warn(format!("{internal} internal endpoints in {}, Cloud Services allows {allowed}", role.name));
        }
        let instances = counts.get(&role.name).copied().unwrap_or(1);
        for (name, endpoint) in &role.endpoints {
            let Some(ports) = public_ports(endpoint).filter(|ports| *ports < instances) else { continue };
            warn(format!("{}.{name} has {ports} public ports for {instances} instances", role.name));
        }
    }
}

/// The number of public ports of an endpoint that has one for each instance.
fn public_ports(endpoint: &Value) -> Option<usize> {
    PortRange::parse(endpoint["PublicPorts"].as_str()?).map(|ports| ports.len())
}
