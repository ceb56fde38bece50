//! Parses responses of Consul's health endpoint; invalid entries are skipped with a warning.

use super::settings::ConsulSettings;
use crate::backend::{discovery::validate, endpoint::Instance};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The maximum number of warnings of one response; more are only counted.
const MAX_WARNINGS: usize = 8;

/// An entry of `/v1/health/service/NAME`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Option<Node>,
    service: Option<Service>,
}

/// A node, of an entry or of `/v1/catalog/nodes`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub struct Node {
    /// The name of the node.
    node: Option<String>,
    address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: Option<String>,
    address: Option<String>,
    port: i64,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    weights: Option<Weights>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Weights {
    passing: i64,
}

/// The instances, and the warnings about invalid entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedInstances {
    pub instances: Vec<Instance>,
    pub warnings: Vec<String>,
}

/// Parses a response. `nodes` is the catalog if the settings require it.
pub fn parse(body: &[u8], nodes: &[Node], settings: &ConsulSettings) -> Result<ParsedInstances, String> {
    let entries: Vec<Value> = serde_json::from_slice(body)
        .map_err(|e| format!("invalid response: expected a list of instances: {e}"))?;
    let (mut parsed, mut invalid) = (ParsedInstances::default(), 0);
    for entry in entries {
        match serde_json::from_value(entry)
            .map_err(|e| e.to_string())
            .and_then(|e| to_instance(e, nodes, settings))
        {
            Ok(instance) => parsed.instances.extend(instance),
            Err(_) if invalid >= MAX_WARNINGS => invalid += 1,
            Err(warning) => {
                invalid += 1;
                parsed.warnings.push(warning);
            }
        }
    }
    if invalid > MAX_WARNINGS {
        parsed.warnings.push(format!("{} more invalid instances", invalid - MAX_WARNINGS));
    }
    Ok(parsed)
}

/// Parses `/v1/catalog/nodes`.
pub fn parse_nodes(body: &[u8]) -> Result<Vec<Node>, String> {
    serde_json::from_slice(body).map_err(|e| format!("invalid response: expected a list of nodes: {e}"))
}

/// The instance of an entry; `None` if the settings do not select it.
fn to_instance(entry: Entry, nodes: &[Node], settings: &ConsulSettings) -> Result<Option<Instance>, String> {
    let service = entry.service.ok_or("entry without `Service`")?;
    if !matches_filters(&service, settings) {
        return Ok(None);
    }
    let address = service.address.as_deref().unwrap_or_default();
    let host = if settings.node_name {
        if settings.ocelot {
            check_as_ocelot(address, service.port, &service)?;
        }
        node_name(entry.node.as_ref(), address, nodes).unwrap_or(address)
    } else if address.is_empty() {
        // An instance without an address has the address of its node.
        entry.node.as_ref().and_then(|node| node.address.as_deref()).unwrap_or_default()
    } else {
        address
    };
    let mut instance = validate::to_instance(host, service.port)
        .ok_or_else(|| unusable_warning(host, service.port, &service))?;
    if let Some(weights) = service.weights.filter(|_| !settings.ocelot) {
        instance.weight = u32::try_from(weights.passing.clamp(1, 65_535)).unwrap_or(1);
    }
    Ok(Some(instance))
}

fn matches_filters(service: &Service, settings: &ConsulSettings) -> bool {
    let tags = service.tags.as_deref().unwrap_or_default();
    let has = |key: &str| service.meta.as_ref().and_then(|meta| meta.get(key)).map(String::as_str);
    settings.tags.iter().all(|tag| tags.contains(tag))
        && settings.metadata.iter().all(|(key, value)| has(key) == Some(value))
}

/// The name of the node of the entry, or of the catalog's node with the address of the service.
fn node_name<'n>(own: Option<&'n Node>, address: &str, nodes: &'n [Node]) -> Option<&'n str> {
    let in_catalog = || nodes.iter().find(|node| node.address.as_deref() == Some(address));
    own.or_else(in_catalog).map(|node| node.node.as_deref().unwrap_or_default())
}

/// Ocelot validates the address of the service even if it uses the name of the node.
fn check_as_ocelot(address: &str, port: i64, service: &Service) -> Result<(), String> {
    let has_scheme = address.starts_with("http://") || address.starts_with("https://");
    if address.is_empty() || has_scheme || port <= 0 {
        Err(unusable_warning(address, port, service))
    } else {
        Ok(())
    }
}

fn unusable_warning(address: &str, port: i64, service: &Service) -> String {
    let (id, address) = (service.id.as_deref().unwrap_or_default(), printable(address));
    format!(
        "instance \"{}\" ignored: invalid address \"{address}:{port}\": must be a host name or IP address and a port \
         from 1 to 65535",
        printable(id)
    )
}

/// Foreign text, made safe for a line of the log.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
#[path = "health_response_tests.rs"]
mod tests;
