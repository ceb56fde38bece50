//! The instances of a role, and their identities.

use super::blueprint::{InstanceIdentity, InstancePort, RoleEndpoint, RoleInstance, RolesBlueprint};
use super::identity::{IdentityTable, InstanceRef};
use super::values::choice;
use crate::base::ip_set::IpRange;
use crate::config::values::{Setting, items, non_blank};
use crate::config::{Diagnostics, Spanned, codes};
use crate::plan::check::values;
use crate::plan::document::{RoleDocument, RoleIdentityDocument, RoleInstanceDocument};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Maximum length of an id.
const MAX_ID_LENGTH: usize = 128;

/// Whether a text can be the id of an instance.
pub fn is_instance_id(id: &str) -> bool {
    (1..=MAX_ID_LENGTH).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Compiles the instances of a role.
pub fn instances(
    role: &Arc<str>,
    documents: &[Spanned<RoleInstanceDocument>],
    endpoints: &[RoleEndpoint],
    diagnostics: &mut Diagnostics,
) -> Vec<RoleInstance> {
    let mut ids = HashSet::new();
    let mut compiled = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        let id = non_blank(&document.id);
        let text = id.map_or_else(|| format!("{role}_IN_{index}"), |id| id.value.clone());
        let span = id.map_or(document.span, |id| id.span);
        if !is_instance_id(&text) {
            diagnostics
                .error(codes::ROLE_INSTANCE, span, format!("invalid Id \"{text}\""))
                .help("must have 1 to 128 letters, digits, hyphens, underscores or dots");
        }
        if !ids.insert(text.clone()) {
            diagnostics
                .error(codes::ROLE_INSTANCE, span, format!("two instances of {role} have the Id \"{text}\""))
                .help("give each instance its own Id");
        }
        let Some(host) = host(document, diagnostics) else { continue };
        compiled.push(RoleInstance {
            id: text.into(),
            ports: ports(document, endpoints, diagnostics),
            fault_domain: document.fault_domain.as_ref().map_or(0, |set| set.value),
            update_domain: document.update_domain.as_ref().map_or(0, |set| set.value),
            identity: identity(&document.identity, &host, diagnostics),
            host,
            is_busy: choice("Status", &document.status, &[("Ready", false), ("Busy", true)], diagnostics),
        });
    }
    compiled
}

fn host(document: &Spanned<RoleInstanceDocument>, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(host) = non_blank(&document.host) else {
        let span = document.host.as_ref().map_or(document.span, |host| host.span);
        diagnostics
            .error(codes::NO_HOST, span, "the instance has no Host")
            .help("set a host name or an IP address");
        return None;
    };
    values::host(host).map_err(|error| error.report(diagnostics, false, host.span)).ok()
}

/// The ports of endpoints whose port is dynamic.
fn ports(
    document: &RoleInstanceDocument,
    endpoints: &[RoleEndpoint],
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, u16> {
    let mut ports = BTreeMap::new();
    for (name, port) in document.ports.iter().flat_map(|ports| ports.iter()) {
        let is_dynamic = |endpoint: &&RoleEndpoint| endpoint.instance_port == InstancePort::Dynamic;
        let found = endpoints.iter().find(|endpoint| *endpoint.name == *name.value);
        if found.filter(is_dynamic).is_none() {
            let message = match found {
                Some(_) => format!("the port of \"{}\" is not dynamic", name.value),
                None => format!("the role has no endpoint \"{}\"", name.value),
            };
            let help = "Ports is for endpoints without a port of their own; remove the entry";
            diagnostics.error(codes::ROLE_INSTANCE, name.span, message).help(help);
        }
        let Some(port) = port else { continue };
        match u16::try_from(port.value).ok().filter(|port| *port > 0) {
            Some(number) => drop(ports.insert(name.value.clone(), number)),
            None => drop(
                diagnostics
                    .error(codes::BAD_PORT, port.span, format!("invalid port {}", port.value))
                    .help("must be between 1 and 65535"),
            ),
        }
    }
    ports
}

fn identity(
    document: &Setting<RoleIdentityDocument>,
    host: &str,
    diagnostics: &mut Diagnostics,
) -> InstanceIdentity {
    let Some(document) = document else { return InstanceIdentity::of_host(host) };
    let mut networks = Vec::new();
    for text in items(&document.addresses) {
        match IpRange::parse(text).filter(|_| !text.contains('-')).and_then(|range| range.as_network()) {
            Some(network) => networks.push(network),
            None => drop(
                diagnostics
                    .error(codes::ROLE_IDENTITY, text.span, format!("invalid address \"{}\"", text.value))
                    .help("expected an address or a network such as 10.0.0.0/8"),
            ),
        }
    }
    let texts = |list| items(list).iter().map(|text: &Spanned<String>| text.value.clone()).collect();
    InstanceIdentity {
        certificate_names: texts(&document.certificate_names),
        networks,
        subjects: texts(&document.subjects),
    }
}

/// Reports identities of two roles, and instances without one while there are rules.
pub fn check_identities(
    blueprint: &RolesBlueprint,
    documents: &[(&Spanned<String>, &Spanned<RoleDocument>)],
    has_rules: bool,
    diagnostics: &mut Diagnostics,
) {
    let mut table = IdentityTable::default();
    for (role, (compiled, (_, document))) in blueprint.roles.iter().zip(documents).enumerate() {
        let spans = items(&document.instances);
        for instance in &compiled.instances {
            let place = spans.iter().find(|written| is_place(written, instance));
            let span = place.map_or(document.span, |written| written.span);
            let reference = InstanceRef { role, id: instance.id.clone() };
            if let Err(shared) = table.add(&reference, &instance.identity) {
                let other = &blueprint.roles[shared.other.role].name;
                let message = format!(
                    "{} is the identity of instances of {} and of {other}",
                    shared.text, compiled.name
                );
                diagnostics
                    .error(codes::ROLE_IDENTITY, span, message)
                    .help("set another Identity, such as CertificateNames");
            }
            if has_rules && instance.identity.is_empty() {
                let message = format!("the instance {} is never recognized as a source", instance.id);
                diagnostics
                    .warning(codes::ROLE_WITHOUT_IDENTITY, span, message)
                    .help("set Identity: CertificateNames, Addresses or Subjects");
            }
        }
    }
}

fn is_place(document: &RoleInstanceDocument, instance: &RoleInstance) -> bool {
    match non_blank(&document.id) {
        Some(id) => *id.value == *instance.id,
        None => document.host.as_ref().is_some_and(|host| {
            host.value == instance.host
                || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_string() == instance.host)
        }),
    }
}
