//! What Consul's health endpoint says, read and checked entry by entry: one that is odd is left out, with a warning.

use crate::backend::{
    discovery::{settings, validate},
    endpoint::Instance,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Warnings of one answer beyond which the rest is only counted.
const MAX_WARNINGS: usize = 8;

/// An entry of `/v1/health/service/NAME`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Option<Node>,
    service: Option<Service>,
}

/// A node, here or in `/v1/catalog/nodes`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub struct Node {
    /// Its name.
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

/// Instances, and what was wrong with others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedInstances {
    pub instances: Vec<Instance>,
    pub warnings: Vec<String>,
}

/// What decides which entries count, and what their host is.
#[derive(Clone, Copy, Debug)]
pub struct ParseOptions<'r> {
    pub consul: &'r settings::Consul,
    pub ocelot: bool,
}

/// Reads the answer. The nodes are those of the catalog, where the rules ask for them.
pub fn read(body: &[u8], nodes: &[Node], rules: ParseOptions) -> Result<ParsedInstances, String> {
    let entries: Vec<Value> =
        serde_json::from_slice(body).map_err(|e| format!("the answer is no list of instances: {e}"))?;
    let (mut found, mut odd) = (ParsedInstances::default(), 0);
    for entry in entries {
        match serde_json::from_value(entry)
            .map_err(|e| e.to_string())
            .and_then(|e| to_instance(e, nodes, rules))
        {
            Ok(instance) => found.instances.extend(instance),
            Err(_) if odd >= MAX_WARNINGS => odd += 1,
            Err(warning) => {
                odd += 1;
                found.warnings.push(warning);
            }
        }
    }
    if odd > MAX_WARNINGS {
        found.warnings.push(format!("{} more instances like these", odd - MAX_WARNINGS));
    }
    Ok(found)
}

/// Reads `/v1/catalog/nodes`.
pub fn nodes(body: &[u8]) -> Result<Vec<Node>, String> {
    serde_json::from_slice(body).map_err(|e| format!("the answer is no list of nodes: {e}"))
}

/// The instance of an entry; none when it is not one of those that are asked for.
fn to_instance(entry: Entry, nodes: &[Node], rules: ParseOptions) -> Result<Option<Instance>, String> {
    let service = entry.service.ok_or("an entry without a Service")?;
    if !matches_filters(&service, rules.consul) {
        return Ok(None);
    }
    let address = service.address.as_deref().unwrap_or_default();
    let host = if rules.consul.node_name {
        if rules.ocelot {
            is_listed_as_in_ocelot(address, service.port, &service)?;
        }
        node_name(entry.node.as_ref(), address, nodes).unwrap_or(address)
    } else if address.is_empty() {
        // An instance without an address of its own is at that of its node.
        entry.node.as_ref().and_then(|node| node.address.as_deref()).unwrap_or_default()
    } else {
        address
    };
    let mut instance = validate::to_instance(host, service.port)
        .ok_or_else(|| warn_unusable(host, service.port, &service))?;
    if let Some(weights) = service.weights.filter(|_| !rules.ocelot) {
        instance.weight = u32::try_from(weights.passing.clamp(1, 65_535)).unwrap_or(1);
    }
    Ok(Some(instance))
}

fn matches_filters(service: &Service, consul: &settings::Consul) -> bool {
    let tags = service.tags.as_deref().unwrap_or_default();
    let has = |key: &str| service.meta.as_ref().and_then(|meta| meta.get(key)).map(String::as_str);
    consul.tags.iter().all(|tag| tags.contains(tag))
        && consul.metadata.iter().all(|(key, value)| has(key) == Some(value))
}

/// The node of the entry, else the one of the catalog that has the address of the service.
fn node_name<'n>(own: Option<&'n Node>, address: &str, nodes: &'n [Node]) -> Option<&'n str> {
    let of_catalog = || nodes.iter().find(|node| node.address.as_deref() == Some(address));
    own.or_else(of_catalog).map(|node| node.node.as_deref().unwrap_or_default())
}

/// Ocelot looks at the address of the service even where the name of the node is used.
fn is_listed_as_in_ocelot(address: &str, port: i64, service: &Service) -> Result<(), String> {
    let has_scheme = address.starts_with("http://") || address.starts_with("https://");
    if address.is_empty() || has_scheme || port <= 0 {
        Err(warn_unusable(address, port, service))
    } else {
        Ok(())
    }
}

fn warn_unusable(address: &str, port: i64, service: &Service) -> String {
    let (id, address) = (service.id.as_deref().unwrap_or_default(), printable(address));
    format!(
        "unable to use the instance \"{}\" at \"{address}:{port}\": an address is a host only, such as localhost, and \
         the port is 1 to 65535",
        printable(id)
    )
}

/// A text of somebody else's in a line of the log.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
