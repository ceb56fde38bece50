//! Hosts that name the service of an agent: `agent:ID/SERVICE`. On a route, the id may have placeholders of its path.

use crate::config::{Diagnostics, Spanned, codes};
use crate::net::agents::{
    address::AgentAddress,
    names::{is_agent_id, is_service_name},
};
use crate::plan::check::template::placeholders;
use crate::plan::document::{HostAndPort, TunnelsDocument};

/// An endpoint behind an agent: its host. `None` for other endpoints; `names` are the placeholders that the id may have.
pub fn agent_host(
    entry: &HostAndPort,
    host: &Spanned<String>,
    tunnels: Option<&Spanned<TunnelsDocument>>,
    may_have_placeholders: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Option<String>> {
    if !AgentAddress::has_agent_scheme(host.trim()) {
        return None;
    }
    if let Some(port) = entry.port.as_ref().filter(|port| port.value != 0) {
        let message = format!("Port {} has no effect: Host is the service of an agent", port.value);
        diagnostics.error(codes::BAD_AGENT_HOST, port.span, message).help("remove it");
    }
    let Some((id, _)) = AgentAddress::split(host.trim()).filter(|(_, service)| is_service_name(service))
    else {
        return Some(invalid(host, diagnostics));
    };
    let is_template = id.contains('{');
    let literal: String = if is_template { without_placeholders(id) } else { id.to_owned() };
    if is_template && !may_have_placeholders || !(is_agent_id(&literal) || is_template && literal.is_empty())
    {
        return Some(invalid(host, diagnostics));
    }
    if !is_template && !has_entry(tunnels, id) {
        let message = format!("no entry of Tunnels.Agents fits the agent \"{id}\"");
        diagnostics.error(codes::UNKNOWN_AGENT, host.span, message).help(format!(
            "add it: \"Tunnels\": {{ \"Agents\": {{ \"{id}\": {{ \"Keys\": [\"${{AGENT_KEY}}\"] }} }} }}"
        ));
    }
    Some(Some(host.trim().to_owned()))
}

fn invalid(host: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<String> {
    let message = format!("invalid Host \"{}\"", host.value);
    diagnostics.error(codes::BAD_AGENT_HOST, host.span, message).help(
        "expected agent:ID/SERVICE, such as agent:dev1/http; on a route the id may have placeholders, as in agent:{id}/http",
    );
    None
}

fn without_placeholders(id: &str) -> String {
    let mut literal = String::new();
    let mut rest = id;
    while let Some((before, after)) = rest.split_once('{') {
        literal.push_str(before);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    literal + rest
}

fn has_entry(tunnels: Option<&Spanned<TunnelsDocument>>, id: &str) -> bool {
    let names = tunnels.into_iter().flat_map(|tunnels| &tunnels.agents).flat_map(|agents| agents.iter());
    names.into_iter().any(|(name, _)| match name.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix),
        None => name.value == id,
    })
}

/// The placeholders of a host that names an agent by the path.
pub fn host_placeholders(host: &str) -> Vec<String> {
    if !AgentAddress::has_agent_scheme(host) || !host.contains('{') {
        return Vec::new();
    }
    let spanned = host.to_owned();
    placeholders(&spanned).0.into_iter().map(|found| found.name.to_owned()).collect()
}
