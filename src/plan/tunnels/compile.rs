//! `Tunnels` → the settings of the registry of agents.

use super::{
    agents::{agent, keys},
    checks::{check_entrances, check_listeners, check_routes, warn_written_keys},
    device_streams::device_streams,
    limits::limits,
};
use crate::config::{Diagnostics, Span, Spanned, codes, values::items};
use crate::net::agents::config::{
    AgentConfig, ConnectRule, PolicyConfig, Rights, TunnelLimits, TunnelsConfig,
};
use crate::pipeline::sas::SasKey;
use crate::plan::blueprint::{Listener, RouteBlueprint};
use crate::plan::check::CheckContext;
use crate::plan::document::{TunnelRight, TunnelsDocument};
use std::sync::Arc;

/// The settings, with the checks of routes and listeners that use them.
pub fn compile(
    scope: &CheckContext,
    routes: &[RouteBlueprint],
    listeners: &[Listener],
    diagnostics: &mut Diagnostics,
) -> Arc<TunnelsConfig> {
    let document = scope.document.tunnels.as_ref();
    check_listeners(document, listeners, diagnostics);
    check_routes(document, routes, listeners, diagnostics);
    if let Some(document) = document {
        check_entrances(document, routes, listeners, diagnostics);
        warn_written_keys(document, scope.sources, diagnostics);
    }
    Arc::new(document.map_or_else(TunnelsConfig::default, |document| config(document, diagnostics)))
}

fn config(document: &Spanned<TunnelsDocument>, diagnostics: &mut Diagnostics) -> TunnelsConfig {
    let policies = policies(document, diagnostics);
    let limits = limits(&document.limits, TunnelLimits::default(), false, diagnostics);
    let entries = document.agents.iter().flat_map(|agents| agents.iter());
    let mut agents: Vec<(Span, AgentConfig)> = Vec::new();
    for (name, entry) in entries {
        let agent = agent(name, entry, &policies, limits, diagnostics);
        warn_shared_keys((entry.span, &agent), &agents, &policies, diagnostics);
        agents.push((entry.span, agent));
    }
    if agents.is_empty() {
        let message = "Tunnels has no Agents";
        diagnostics
            .error(codes::BAD_AGENT, document.span, message)
            .help("add one: \"Agents\": { \"dev1\": { \"Keys\": [\"${DEV1_KEY}\"] } }");
    }
    warn_unused_policies(document, &agents, &policies, diagnostics);
    let agents = agents.into_iter().map(|(_, agent)| agent).collect();
    let device_streams = document.device_streams.as_ref().map(|streams| device_streams(streams, diagnostics));
    TunnelsConfig::new(policies, agents, limits, device_streams)
}

fn policies(document: &TunnelsDocument, diagnostics: &mut Diagnostics) -> Vec<PolicyConfig> {
    let entries = document.policies.iter().flat_map(|policies| policies.iter());
    let mut policies = Vec::new();
    for (name, entry) in entries {
        let has = |right| items(&entry.rights).iter().any(|known| known.value == right);
        let policy = PolicyConfig {
            name: name.value.as_str().into(),
            rights: Rights {
                service_connect: has(TunnelRight::ServiceConnect),
                device_connect: has(TunnelRight::DeviceConnect),
                registry_read: has(TunnelRight::RegistryRead),
            },
            keys: keys(&entry.keys, diagnostics),
        };
        if policy.keys.is_empty() || policy.rights == Rights::default() {
            let message = format!("the policy \"{}\" has no Keys or no Rights", name.value);
            diagnostics
                .error(codes::BAD_AGENT, entry.span, message)
                .help("set \"Rights\": [\"ServiceConnect\"] and \"Keys\": [\"${SERVICE_KEY}\"]");
        }
        policies.push(policy);
    }
    policies
}

/// One key for two agents lets each be the other.
fn warn_shared_keys(
    (span, agent): (Span, &AgentConfig),
    others: &[(Span, AgentConfig)],
    policies: &[PolicyConfig],
    diagnostics: &mut Diagnostics,
) {
    let shares = |keys: &[SasKey]| keys.iter().any(|key| agent.keys.contains(key));
    let other = others.iter().find(|(_, other)| shares(&other.keys)).map(|(_, other)| other.label());
    let policy = policies.iter().find(|policy| shares(&policy.keys)).map(|policy| policy.name.to_string());
    if let Some(other) = other.or(policy) {
        let message = format!("\"{}\" has the same key as \"{other}\"", agent.label());
        diagnostics
            .warning(codes::SHARED_AGENT_KEY, span, message)
            .help("use another key, or a pattern, whose agents have derived keys");
    }
}

/// A policy with `ServiceConnect` that no agent names is most likely a mistake.
fn warn_unused_policies(
    document: &TunnelsDocument,
    agents: &[(Span, AgentConfig)],
    policies: &[PolicyConfig],
    diagnostics: &mut Diagnostics,
) {
    let names = |rule: &ConnectRule, name: &str| match rule {
        ConnectRule::Policy(None) | ConnectRule::Anyone => true,
        ConnectRule::Policy(Some(known)) => **known == *name,
        _ => false,
    };
    for policy in policies.iter().filter(|policy| {
        let Rights { service_connect, device_connect, registry_read } = policy.rights;
        service_connect && !device_connect && !registry_read
    }) {
        let is_used =
            agents.iter().any(|(_, agent)| agent.connect.iter().any(|rule| names(rule, &policy.name)));
        let entries = document.policies.iter().flat_map(|policies| policies.iter());
        let span =
            entries.into_iter().find(|(name, _)| *name.value == *policy.name).map(|(name, _)| name.span);
        if let Some(span) = span.filter(|_| !is_used) {
            let message = format!("no agent names the policy \"{}\" in Connect", policy.name);
            diagnostics
                .warning(codes::UNUSED_TUNNEL_POLICY, span, message)
                .help(format!("add \"policy:{}\" to Connect of an agent, or remove the policy", policy.name));
        }
    }
}
