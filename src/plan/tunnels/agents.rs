//! The entries of `Tunnels.Agents`.

use super::limits::limits;
use crate::base::{hex, secret::Secret};
use crate::config::{
    Diagnostics, Spanned, codes,
    ranges::RangeChecker,
    values::{List, items},
};
use crate::net::agents::{
    config::{AgentConfig, CertificateProof, ConnectRule, PolicyConfig, TunnelLimits},
    names::{is_agent_id, is_service_name},
};
use crate::pipeline::sas::SasKey;
use crate::plan::document::AgentDocument;

const MAX_INSTANCES: u64 = 1000;
/// Most keys of an agent or a policy: the current and the next one.
const MAX_KEYS: usize = 2;

/// The keys of an agent or a policy; empty texts are none.
pub fn keys(list: &List<Secret>, diagnostics: &mut Diagnostics) -> Vec<SasKey> {
    let written = items(list).iter().filter(|key| !key.value.reveal().trim().is_empty());
    let mut keys = Vec::new();
    for key in written {
        match SasKey::parse(key.value.reveal()) {
            Some(parsed) if keys.len() < MAX_KEYS => keys.push(parsed),
            Some(_) => {
                let message = "more than two Keys";
                diagnostics
                    .error(codes::BAD_AGENT_KEY, key.span, message)
                    .help("keep the current and the next key");
            }
            None => {
                diagnostics
                    .error(
                        codes::BAD_AGENT_KEY,
                        key.span,
                        "invalid key: must be the Base64 of 32 to 128 bytes",
                    )
                    .help("create one with: openssl rand -base64 32");
            }
        }
    }
    keys
}

/// One entry; `name` is its key.
pub fn agent(
    name: &Spanned<String>,
    document: &Spanned<AgentDocument>,
    policies: &[PolicyConfig],
    base: TunnelLimits,
    diagnostics: &mut Diagnostics,
) -> AgentConfig {
    let (prefix, is_pattern) = match name.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (name.as_str(), false),
    };
    if !(is_agent_id(prefix) || is_pattern && prefix.is_empty()) {
        let message = format!("invalid agent \"{}\"", name.value);
        diagnostics
            .error(codes::BAD_AGENT, name.span, message)
            .help("expected 1 to 128 letters, digits and -._~:@, or such a beginning and *");
    }
    let agent = AgentConfig {
        name: prefix.into(),
        is_pattern,
        keys: keys(&document.keys, diagnostics),
        certificates: certificates(&document.certificates, diagnostics),
        subjects: items(&document.subjects).iter().map(|subject| subject.value.as_str().into()).collect(),
        is_enabled: document.enabled.as_ref().is_none_or(|on| on.value),
        services: services(&document.services, diagnostics),
        connect: connect(&document.connect, policies, diagnostics),
        instances: RangeChecker::for_code(codes::BAD_AGENT, diagnostics)
            .count("Instances", &document.instances, MAX_INSTANCES)
            .unwrap_or(1) as usize,
        limits: limits(&document.limits, base, true, diagnostics),
    };
    if agent.keys.is_empty() && agent.certificates.is_empty() && agent.subjects.is_empty() {
        let message = format!("the agent \"{}\" has no proof of its identity", name.value);
        diagnostics
            .error(codes::AGENT_WITHOUT_PROOF, document.span, message)
            .help("set Keys, such as [\"${AGENT_KEY}\"], Certificates or Subjects");
    }
    agent
}

fn certificates(list: &List<String>, diagnostics: &mut Diagnostics) -> Vec<CertificateProof> {
    let mut proofs = Vec::new();
    for entry in items(list) {
        let text = entry.trim();
        match (text.strip_prefix("name:"), sha256(text)) {
            (Some("{id}"), _) => proofs.push(CertificateProof::OwnId),
            (Some(name), _) if !name.is_empty() => proofs.push(CertificateProof::Name(name.into())),
            (None, Some(hash)) => proofs.push(CertificateProof::Sha256(hash)),
            _ => {
                let message = format!("invalid certificate \"{text}\" of an agent");
                diagnostics
                    .error(codes::BAD_AGENT, entry.span, message)
                    .help("expected 64 hexadecimal digits (SHA-256), name:NAME, or name:{id}");
            }
        }
    }
    proofs
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    hex::decode(&text.replace(':', ""))?.try_into().ok()
}

/// `None`: any service.
fn services(list: &List<String>, diagnostics: &mut Diagnostics) -> Option<Vec<Box<str>>> {
    let entries = items(list);
    if list.is_none() || entries.iter().any(|entry| entry.trim() == "*") {
        return None;
    }
    for entry in entries.iter().filter(|entry| !is_service_name(entry.trim())) {
        let message = format!("invalid service \"{}\"", entry.value);
        let help = "expected 1 to 64 letters, digits and -_., or *";
        diagnostics.error(codes::BAD_AGENT, entry.span, message).help(help);
    }
    Some(entries.iter().map(|entry| entry.trim().into()).collect())
}

fn connect(
    list: &List<String>,
    policies: &[PolicyConfig],
    diagnostics: &mut Diagnostics,
) -> Vec<ConnectRule> {
    if list.is_none() {
        return vec![ConnectRule::Policy(None), ConnectRule::Routes];
    }
    let mut rules = Vec::new();
    for entry in items(list) {
        let text = entry.trim();
        let rule = match text.split_once(':') {
            Some(("policy", "*")) => Some(ConnectRule::Policy(None)),
            Some(("policy", name)) if policies.iter().any(|policy| *policy.name == *name) => {
                Some(ConnectRule::Policy(Some(name.into())))
            }
            Some(("sub", subject)) if !subject.is_empty() => Some(ConnectRule::Subject(subject.into())),
            _ if text == "routes" => Some(ConnectRule::Routes),
            _ if text == "*" => Some(ConnectRule::Anyone),
            _ => None,
        };
        if rule.is_none() {
            let names: Vec<String> =
                policies.iter().map(|policy| format!("policy:{}", policy.name)).collect();
            diagnostics
                .error(codes::BAD_CONNECT_RULE, entry.span, format!("unknown rule \"{text}\" in Connect"))
                .help(format!(
                    "expected policy:NAME, sub:VALUE, routes or *; policies: [{}]",
                    names.join(", ")
                ));
        }
        rules.extend(rule);
    }
    rules
}
