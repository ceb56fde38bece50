//! Hosts that name the service of an agent: `agent:ID/SERVICE`. On a route, the id may have placeholders of its path.

use crate::config::{
    Diagnostics, Spanned, codes,
    values::{List, items},
};
use crate::net::agents::{
    address::AgentAddress,
    names::{is_agent_id, is_service_name},
};
use crate::plan::check::template::placeholders;
use crate::plan::document::{AgentDocument, HostAndPort, TunnelsDocument};

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
    let Some((id, service)) =
        AgentAddress::split(host.trim()).filter(|(_, service)| is_service_name(service))
    else {
        return Some(invalid(host, diagnostics));
    };
    let is_template = id.contains('{');
    let literal: String = if is_template { without_placeholders(id) } else { id.to_owned() };
    if is_template && !may_have_placeholders || !(is_agent_id(&literal) || is_template && literal.is_empty())
    {
        return Some(invalid(host, diagnostics));
    }
    let entries = fitting_entries(tunnels, id);
    if entries.is_empty() {
        let message = format!("no entry of Tunnels.Agents fits the agent \"{id}\"");
        let name = id.split_once('{').map_or(id.to_owned(), |(prefix, _)| format!("{prefix}*"));
        diagnostics.error(codes::UNKNOWN_AGENT, host.span, message).help(format!(
            "add it: \"Tunnels\": {{ \"Agents\": {{ \"{name}\": {{ \"Keys\": [\"${{AGENT_KEY}}\"] }} }} }}"
        ));
    }
    warn_unreachable(host, service, &entries, diagnostics);
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

/// An entry of `Tunnels.Agents`: its name and its settings.
type AgentEntry<'d> = (&'d str, &'d AgentDocument);

/// The entry of an agent, or with placeholders all entries that may apply.
fn fitting_entries<'d>(tunnels: Option<&'d Spanned<TunnelsDocument>>, id: &str) -> Vec<AgentEntry<'d>> {
    let all = tunnels.into_iter().flat_map(|tunnels| &tunnels.agents).flat_map(|agents| agents.iter());
    let all = all.into_iter().map(|(name, agent)| (name.value.as_str(), &agent.value));
    if let Some((prefix, rest)) = id.split_once('{') {
        let suffix = rest.rsplit_once('}').map_or("", |(_, suffix)| suffix);
        let may_fit = |name: &str| match name.strip_suffix('*') {
            Some(start) => start.starts_with(prefix) || prefix.starts_with(start),
            None => name.starts_with(prefix) && name[prefix.len()..].ends_with(suffix),
        };
        return all.filter(|(name, _)| may_fit(name)).collect();
    }
    let rank = |name: &str| match name.strip_suffix('*') {
        Some(start) => id.starts_with(start).then_some(start.len()),
        None => (name == id).then_some(usize::MAX),
    };
    all.filter_map(|entry| Some((rank(entry.0)?, entry)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, e)| e)
        .into_iter()
        .collect()
}

/// Reports a host to which no request gets, because of the settings of its agents.
fn warn_unreachable(
    host: &Spanned<String>,
    service: &str,
    entries: &[AgentEntry<'_>],
    diagnostics: &mut Diagnostics,
) {
    let Some((name, _)) = entries.first() else { return };
    let has = |list: &List<String>, known: &str| {
        list.is_none() || items(list).iter().any(|entry| ["*", known].contains(&entry.trim()))
    };
    if !entries.iter().any(|(_, agent)| has(&agent.services, service)) {
        let message = format!("Services of the agent \"{name}\" does not contain \"{service}\"");
        diagnostics
            .warning(codes::UNREACHABLE_SERVICE, host.span, message)
            .help(format!("add \"{service}\" to Services of the agent, or correct the name of the service"));
    }
    if !entries.iter().any(|(_, agent)| has(&agent.connect, "routes")) {
        let message = format!("Connect of the agent \"{name}\" does not admit routes");
        diagnostics
            .warning(codes::UNREACHABLE_SERVICE, host.span, message)
            .help("add \"routes\" to Connect of the agent");
    }
}

/// The placeholders of a host that names an agent by the path.
pub fn host_placeholders(host: &str) -> Vec<String> {
    if !AgentAddress::has_agent_scheme(host) || !host.contains('{') {
        return Vec::new();
    }
    let spanned = host.to_owned();
    placeholders(&spanned).0.into_iter().map(|found| found.name.to_owned()).collect()
}
