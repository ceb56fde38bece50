//! `Roles`, `RoleOptions` and `TrafficRules` → the roles of the blueprint. Pure; clusters are added later, by `plan::compile`.

use super::blueprint::{
    EndpointKind, InternalListener, Registration, RoleBlueprint, RoleOptions, RolesBlueprint, Visibility,
};
use super::compile_endpoint::EndpointCompiler;
use super::compile_instances::{check_identities, instances};
use super::compile_rules::matrix;
use super::server_names::{endpoint_name, label};
use super::snapshot::{RoleSnapshot, is_internal};
use super::values::{address, choice};
use crate::config::ranges::RangeChecker;
use crate::config::values::{items, non_blank};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::document::{Document, RoleDocument, RoleOptionsDocument};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Maximum numbers of the directory.
const MAX_ROLES: usize = 1_000;
const MAX_INSTANCES: usize = 10_000;
const MAX_ENDPOINTS: usize = 64;
/// Maximum length of the name of a role or an endpoint.
const MAX_NAME_LENGTH: usize = 63;

/// Compiles the roles of a document. `base_dir` finds the folder of the file that contains a span.
pub fn compile<'p>(
    document: &Document,
    base_dir: &dyn Fn(Span) -> Option<&'p Path>,
    diagnostics: &mut Diagnostics,
) -> RolesBlueprint {
    let nothing = RoleOptionsDocument::default();
    let options = document.role_options.as_ref().map_or(&nothing, |options| &options.value);
    let options = options_of(options, base_dir, diagnostics);
    let documents: Vec<_> = document.roles.iter().flat_map(|roles| roles.iter()).collect();
    let mut seen = HashMap::new();
    let mut roles = Vec::with_capacity(documents.len());
    for (name, document) in &documents {
        check_name("role", name, &mut seen, diagnostics);
        roles.push(role(name, document, &options, diagnostics));
    }
    check_counts(&roles, document.roles.as_ref().map(|roles| roles.span), diagnostics);
    check_labels(&roles, diagnostics);
    let blueprint = RolesBlueprint { roles, options, ..RolesBlueprint::default() };
    check_identities(&blueprint, &documents, document.traffic_rules.is_some(), diagnostics);
    let matrix = Arc::new(matrix(&blueprint, document.traffic_rules.as_ref(), diagnostics));
    RolesBlueprint { matrix, ..blueprint }
}

fn role(
    name: &Spanned<String>,
    document: &Spanned<RoleDocument>,
    options: &RoleOptions,
    diagnostics: &mut Diagnostics,
) -> RoleBlueprint {
    let role: Arc<str> = name.value.as_str().into();
    let mut seen = HashMap::new();
    let mut endpoints = Vec::new();
    for (name, endpoint) in document.endpoints.iter().flat_map(|endpoints| endpoints.iter()) {
        check_name("endpoint", name, &mut seen, diagnostics);
        let mut compiler = EndpointCompiler { role: &role, name, document: endpoint, options, diagnostics };
        endpoints.extend(compiler.endpoint());
    }
    let instances = instances(&role, items(&document.instances), &endpoints, diagnostics);
    RoleBlueprint { name: role, instances, endpoints }
}

/// The form of a name, and that it differs from the others by more than its case.
fn check_name(
    what: &str,
    name: &Spanned<String>,
    seen: &mut HashMap<String, String>,
    diagnostics: &mut Diagnostics,
) {
    let is_valid = (1..=MAX_NAME_LENGTH).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_valid {
        let message = format!("invalid name \"{}\" of {}", name.value, with_article(what));
        diagnostics
            .error(codes::ROLE_NAME, name.span, message)
            .help("must have 1 to 63 letters, digits, hyphens or underscores");
    }
    if let Some(other) = seen.insert(name.to_ascii_lowercase(), name.value.clone()) {
        let message = format!("\"{}\" and \"{other}\" differ in case only", name.value);
        diagnostics.error(codes::ROLE_NAME, name.span, message).help("rename one of them");
    }
}

fn with_article(what: &str) -> String {
    format!("{} {what}", if what.starts_with('e') { "an" } else { "a" })
}

fn check_counts(roles: &[RoleBlueprint], span: Option<Span>, diagnostics: &mut Diagnostics) {
    let instances = roles.iter().map(|role| role.instances.len()).sum();
    let endpoints = roles.iter().map(|role| role.endpoints.len()).max().unwrap_or(0);
    for (what, count, max) in [
        ("roles", roles.len(), MAX_ROLES),
        ("instances", instances, MAX_INSTANCES),
        ("endpoints of one role", endpoints, MAX_ENDPOINTS),
    ] {
        if count > max {
            diagnostics
                .error(codes::ROLE_COUNT, span, format!("{count} {what}"))
                .help(format!("must be at most {max}"));
        }
    }
}

/// Endpoints and instances whose server names are equal cannot be distinguished.
fn check_labels(roles: &[RoleBlueprint], diagnostics: &mut Diagnostics) {
    let mut seen: HashMap<String, String> = HashMap::new();
    for endpoint in roles.iter().flat_map(|role| &role.endpoints).filter(is_internal) {
        let (name, full_name) = (endpoint_name(endpoint), &endpoint.full_name);
        if let Some(other) = seen.insert(name.clone(), full_name.value.clone()) {
            let message = format!("{} and {other} have the same server name {name}", full_name.value);
            diagnostics.error(codes::ROLE_NAME, full_name.span, message).help("rename one of them");
        }
    }
    for role in roles {
        let mut labels: HashMap<String, &str> = HashMap::new();
        for instance in &role.instances {
            let same = labels.insert(label(&instance.id), &instance.id);
            if let Some(other) = same.filter(|other| *other != &*instance.id) {
                let message = format!(
                    "the instances {} and {other} of {} have the same server name",
                    instance.id, role.name
                );
                let span = role.endpoints.first().map(|endpoint| endpoint.full_name.span);
                diagnostics.error(codes::ROLE_NAME, span, message).help("rename one of them");
            }
        }
    }
}

const REGISTRATIONS: [(&str, Registration); 3] =
    [("Off", Registration::Off), ("Self", Registration::SelfOnly), ("Any", Registration::Any)];
const VISIBILITIES: [(&str, Visibility); 3] =
    [("Reachable", Visibility::Reachable), ("Original", Visibility::Original), ("All", Visibility::All)];

fn options_of<'p>(
    document: &RoleOptionsDocument,
    base_dir: &dyn Fn(Span) -> Option<&'p Path>,
    diagnostics: &mut Diagnostics,
) -> RoleOptions {
    let default = RoleOptions::default();
    let state_file = non_blank(&document.state_file).map(|file| {
        let path = PathBuf::from(file.trim());
        base_dir(file.span).map_or_else(|| path.clone(), |folder| folder.join(&path))
    });
    let ttl = RangeChecker::for_code(codes::ROLE_OPTION, diagnostics).time(
        "RegistrationTtl",
        &document.registration_ttl,
        default.registration_ttl,
        Duration::from_secs(10),
        Duration::from_secs(86_400),
    );
    RoleOptions {
        bind_address: address(&document.bind_address, diagnostics).unwrap_or(default.bind_address),
        internal_bind_address: address(&document.internal_bind_address, diagnostics)
            .unwrap_or(default.internal_bind_address),
        state_file,
        registration: choice("Registration", &document.registration, &REGISTRATIONS, diagnostics),
        registration_ttl: ttl,
        visibility: choice("Visibility", &document.visibility, &VISIBILITIES, diagnostics),
        internal_listener: internal_listener(document, diagnostics),
    }
}

fn internal_listener(
    document: &RoleOptionsDocument,
    diagnostics: &mut Diagnostics,
) -> Option<InternalListener> {
    let listener = document.internal_listener.as_ref()?;
    let mut report = |span, message: &str, help: &str| {
        diagnostics.error(codes::ROLE_OPTION, span, message).help(help);
    };
    if non_blank(&listener.address).is_none_or(|text| text.trim().parse::<SocketAddr>().is_err()) {
        let span = listener.address.as_ref().map_or(listener.span, |set| set.span);
        report(span, "InternalListener needs an Address", "set an address such as 127.0.0.1:8443");
    }
    let clients = listener.tls.as_ref().and_then(|tls| tls.client_certificates.as_ref());
    if clients.is_none() {
        let span = listener.tls.as_ref().map_or(listener.span, |set| set.span);
        let help =
            "set \"Tls\": { \"Certificates\": [...], \"ClientCertificates\": { \"CaFile\": \"ca.pem\" } }";
        report(span, "InternalListener needs Tls with ClientCertificates", help);
    }
    let domain = non_blank(&listener.domain);
    let is_domain = |domain: &&Spanned<String>| crate::net::tls::sni::is_host_pattern(domain.trim());
    let Some(domain) = domain.filter(is_domain) else {
        let span = listener.domain.as_ref().map_or(listener.span, |set| set.span);
        report(span, "InternalListener needs a Domain", "set a domain such as \"roles.internal\"");
        return None;
    };
    Some(InternalListener { domain: domain.trim().to_ascii_lowercase(), endpoints: BTreeMap::new() })
}

/// Whether an endpoint with public ports has fewer of them than its role has instances.
pub fn check_public_ports(blueprint: &RolesBlueprint, diagnostics: &mut Diagnostics) {
    let snapshot = RoleSnapshot::new(blueprint, &Default::default());
    for (role, instances) in blueprint.roles.iter().zip(&snapshot.roles) {
        let inputs = role.endpoints.iter().filter(|endpoint| endpoint.kind == EndpointKind::InstanceInput);
        for (endpoint, ports) in inputs.filter_map(|endpoint| Some((endpoint, endpoint.public_ports?))) {
            if ports.len() < instances.len() {
                let message = format!(
                    "{} has {} public ports for {} instances",
                    endpoint.full_name.value,
                    ports.len(),
                    instances.len()
                );
                diagnostics
                    .warning(codes::ROLE_PORTS, endpoint.full_name.span, message)
                    .help("extend PublicPorts; instances without a port are reached by no client");
            }
        }
    }
}
