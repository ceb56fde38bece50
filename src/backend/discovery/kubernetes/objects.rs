//! Endpoints and EndpointSlices as the API server sends them, and the events of a watch.

use super::super::validate;
use crate::backend::endpoint::Instance;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The maximum number of objects of one service; more are ignored.
const MAX_OBJECTS: usize = 1000;

/// The resources that contain the instances of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Endpoints,
    Slices,
}

/// The objects of one service.
#[derive(Debug)]
pub struct Objects {
    resource: Resource,
    scheme: String,
    /// The resource version that a watch follows; empty: none.
    pub version: String,
    objects: BTreeMap<String, Vec<Instance>>,
}

/// The effect of an event of a watch.
#[derive(Debug, PartialEq, Eq)]
pub enum WatchOutcome {
    /// The instances may have changed.
    Changed,
    /// No change.
    Bookmark,
    /// The resource version is too old: list the objects again.
    Expired,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    resource_version: String,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct List<T> {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "null_as_default")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct EndpointsJson {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "null_as_default")]
    subsets: Vec<SubsetJson>,
}

#[derive(Deserialize)]
struct SubsetJson {
    #[serde(default, deserialize_with = "null_as_default")]
    addresses: Vec<AddressJson>,
    #[serde(default, deserialize_with = "null_as_default")]
    ports: Vec<PortJson>,
}

#[derive(Deserialize)]
struct AddressJson {
    ip: String,
}

#[derive(Deserialize)]
struct SliceJson {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "null_as_default")]
    endpoints: Vec<EndpointJson>,
    #[serde(default, deserialize_with = "null_as_default")]
    ports: Vec<PortJson>,
}

#[derive(Deserialize)]
struct EndpointJson {
    #[serde(default, deserialize_with = "null_as_default")]
    addresses: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
struct Conditions {
    /// Unknown counts as ready (documentation of EndpointSlice).
    #[serde(default)]
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
struct PortJson {
    #[serde(default, deserialize_with = "null_as_default")]
    name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    port: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    protocol: String,
}

#[derive(Deserialize)]
struct WatchEvent<T> {
    #[serde(rename = "type")]
    kind: String,
    object: T,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// The API treats an absent list and `null` alike.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// An object with a name, a resource version and instances.
trait Object: DeserializeOwned {
    fn meta(&self) -> &Meta;
    /// The addresses with the port for the scheme.
    fn instances(&self, scheme: &str) -> Vec<(&str, i64)>;
}

impl Object for EndpointsJson {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn instances(&self, scheme: &str) -> Vec<(&str, i64)> {
        let mut all = Vec::new();
        for subset in &self.subsets {
            let Some(port) = port(&subset.ports, scheme) else { continue };
            all.extend(subset.addresses.iter().map(|address| (address.ip.as_str(), port)));
        }
        all
    }
}

impl Object for SliceJson {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn instances(&self, scheme: &str) -> Vec<(&str, i64)> {
        let Some(port) = port(&self.ports, scheme) else { return Vec::new() };
        let ready = self.endpoints.iter().filter(|endpoint| endpoint.conditions.ready != Some(false));
        // The addresses of one endpoint are the same instance: the first one is enough.
        ready.filter_map(|endpoint| Some((endpoint.addresses.first()?.as_str(), port))).collect()
    }
}

/// The port with the name of the scheme, or the first one.
fn port(ports: &[PortJson], scheme: &str) -> Option<i64> {
    let tcp = || ports.iter().filter(|port| port.protocol.is_empty() || port.protocol == "TCP");
    let named = tcp().find(|port| port.name.eq_ignore_ascii_case(scheme));
    named.or_else(|| tcp().next()).map(|port| port.port)
}

impl Objects {
    /// The objects of a service with the given scheme; empty.
    pub fn new(resource: Resource, scheme: &str) -> Objects {
        Objects { resource, scheme: scheme.to_owned(), version: String::new(), objects: BTreeMap::new() }
    }

    /// All instances.
    pub fn instances(&self) -> Vec<Instance> {
        self.objects.values().flatten().cloned().collect()
    }

    /// Removes all objects.
    pub fn clear(&mut self) {
        self.objects.clear();
    }

    /// Parses a list of all objects.
    pub fn parse_list(&mut self, body: &[u8]) -> Result<(), String> {
        match self.resource {
            Resource::Endpoints => self.apply_list(&json::<List<EndpointsJson>>(body)?),
            Resource::Slices => self.apply_list(&json::<List<SliceJson>>(body)?),
        }
        Ok(())
    }

    /// Parses a single object.
    pub fn parse_single(&mut self, body: &[u8]) -> Result<(), String> {
        let object: EndpointsJson = json(body)?;
        self.clear();
        self.put(&object);
        Ok(())
    }

    /// Parses an event of a watch.
    pub fn parse_event(&mut self, line: &[u8]) -> Result<WatchOutcome, String> {
        match self.resource {
            Resource::Endpoints => self.apply_event::<EndpointsJson>(line),
            Resource::Slices => self.apply_event::<SliceJson>(line),
        }
    }

    fn apply_list<T: Object>(&mut self, list: &List<T>) {
        self.clear();
        self.version.clone_from(&list.metadata.resource_version);
        list.items.iter().for_each(|object| self.put(object));
    }

    fn apply_event<T: Object>(&mut self, line: &[u8]) -> Result<WatchOutcome, String> {
        let kind = json::<WatchEvent<serde::de::IgnoredAny>>(line)?.kind;
        if kind == "ERROR" {
            let status = json::<WatchEvent<Status>>(line)?.object;
            let message: String = status.message.chars().filter(|c| !c.is_control()).take(200).collect();
            return if status.code == 410 {
                Ok(WatchOutcome::Expired)
            } else {
                Err(format!("the watch ended: {message}"))
            };
        }
        let object = json::<WatchEvent<T>>(line)?.object;
        self.version.clone_from(&object.meta().resource_version);
        match kind.as_str() {
            "ADDED" | "MODIFIED" => self.put(&object),
            "DELETED" => drop(self.objects.remove(&object.meta().name)),
            _ => return Ok(WatchOutcome::Bookmark),
        }
        Ok(WatchOutcome::Changed)
    }

    fn put(&mut self, object: &impl Object) {
        let name = &object.meta().name;
        if self.objects.len() >= MAX_OBJECTS && !self.objects.contains_key(name) {
            return log::warn!(
                "Kubernetes: more than {MAX_OBJECTS} objects of one service; {name:?} is ignored"
            );
        }
        let mut invalid = 0;
        let mut instances = Vec::new();
        for (host, port) in object.instances(&self.scheme) {
            match validate::to_instance(host, port) {
                Some(instance) => instances.push(instance),
                None => invalid += 1,
            }
        }
        if invalid > 0 {
            log::warn!("Kubernetes: {invalid} invalid addresses of {name:?} are ignored");
        }
        self.objects.insert(name.clone(), instances);
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("invalid response: {error}"))
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
