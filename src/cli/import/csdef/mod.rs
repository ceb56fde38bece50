//! `margay import csdef`: the service definition and configuration of Azure Cloud Services (classic) → roles.

mod configuration;
mod definition;
mod endpoints;
mod findings;
mod limits;
mod xml;

use super::arguments::CsdefImport;
use crate::cli::{Exit, format, output};
use definition::{Definition, ImportedRole};
use findings::Findings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use xml::{Element, MAX_BYTES};

/// Objects down to this depth are on several lines.
const EXPANDED_DEPTH: usize = 4;

/// Imports a definition, and its configuration.
pub fn run(arguments: &CsdefImport) -> Exit {
    let mut findings = Findings::default();
    let hosts = match hosts(arguments.instances.as_deref()) {
        Ok(hosts) => hosts,
        Err(error) => return Exit::invalid(&error),
    };
    let texts = [Some(&arguments.definition), arguments.configuration.as_ref()];
    let mut roots: Vec<(String, Element)> = Vec::new();
    for path in texts.into_iter().flatten() {
        findings.file = path.display().to_string();
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return Exit::invalid(&format!("cannot read {}: {error}", path.display())),
        };
        match xml::parse(&text) {
            Ok(root) => roots.push((findings.file.clone(), root)),
            Err((line, error)) => findings.error_at(line, &error),
        }
    }
    let document = (!findings.has_errors())
        .then(|| convert(&roots, &hosts, (arguments.strict, arguments.gateway_ports), &mut findings));
    output::write_stderr(&findings.text());
    match document.filter(|_| !findings.has_errors()) {
        Some(document) => {
            output::write_stdout(&format::format_value(&document, EXPANDED_DEPTH));
            Exit::Done
        }
        None => Exit::Invalid,
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(text)
}

/// The hosts of `--instances`, by role.
fn hosts(path: Option<&Path>) -> Result<BTreeMap<String, Vec<String>>, String> {
    let Some(path) = path else { return Ok(BTreeMap::new()) };
    let text = read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        format!("{}: {error}; expected {{\"Role\": [\"10.0.0.4\", \"10.0.0.5\"]}}", path.display())
    })
}

/// Converts the roots of the definition and, if there is one, of the configuration.
fn convert(
    roots: &[(String, Element)],
    hosts: &BTreeMap<String, Vec<String>>,
    (is_strict, gateway_port): (bool, Option<u16>),
    findings: &mut Findings,
) -> Value {
    let Some((file, root)) = roots.first() else { return Value::Null };
    findings.file.clone_from(file);
    let mut definition = definition::read(root, is_strict, gateway_port, findings);
    let mut counts = BTreeMap::new();
    if let Some((file, configuration)) = roots.get(1) {
        findings.file.clone_from(file);
        counts = configuration::read(configuration, &mut definition, findings);
    }
    findings.file.clone_from(file);
    limits::report(root, &definition.roles, &counts, findings);
    let mut roles = Map::new();
    for role in &definition.roles {
        let count = counts.get(&role.name).copied().unwrap_or(1);
        let own = hosts.get(&role.name);
        if let Some(own) = own.filter(|own| own.len() < count) {
            let what = format!("--instances has {} hosts of {} for {count} instances", own.len(), role.name);
            findings.error(root, what);
        }
        roles.insert(role.name.clone(), document_of(role, count, own));
    }
    assemble(roles, definition)
}

fn assemble(roles: Map<String, Value>, definition: Definition) -> Value {
    let mut document = Map::new();
    document.insert("RoleOptions".into(), json!({ "BindAddress": "0.0.0.0" }));
    document.insert("Roles".into(), Value::Object(roles));
    if let Some(rules) = definition.traffic_rules {
        document.insert("TrafficRules".into(), rules);
    }
    if !definition.routes.is_empty() {
        document.insert("Routes".into(), json!(definition.routes));
    }
    Value::Object(document)
}

fn document_of(role: &ImportedRole, count: usize, hosts: Option<&Vec<String>>) -> Value {
    let instance = |at: usize| {
        let id = format!("{}_IN_{at}", role.name);
        let host = hosts.and_then(|hosts| hosts.get(at)).cloned().unwrap_or_else(|| placeholder(&id));
        json!({ "Id": id, "Host": host })
    };
    let instances: Vec<Value> = (0..count).map(instance).collect();
    let endpoints: Map<String, Value> = role.endpoints.iter().cloned().collect();
    json!({ "Instances": instances, "Endpoints": endpoints })
}

/// The name of the environment variable of a host.
fn placeholder(id: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("${{{}}}", id.chars().map(upper).collect::<String>())
}

#[cfg(test)]
mod tests;
