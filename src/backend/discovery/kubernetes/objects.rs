//! Endpoints and EndpointSlices as Kubernetes shows them, and the events of a watch.

use super::super::validate;
use crate::backend::endpoint::Instance;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Objects of one service beyond which the rest is left out.
const MAX_OBJECTS: usize = 1000;

/// The two ways in which Kubernetes says where a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Endpoints,
    Slices,
}

/// What is known of one service.
#[derive(Debug)]
pub struct Objects {
    resource: Resource,
    scheme: String,
    /// The state that a watch may begin behind; empty: none.
    pub version: String,
    objects: BTreeMap<String, Vec<Instance>>,
}

/// What an event of a watch means.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Instances may have changed.
    Changed,
    /// Nothing that matters.
    Bookmark,
    /// The server has forgotten the state that the watch began behind: look at everything again.
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
struct Endpoints {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "null_as_default")]
    subsets: Vec<Subset>,
}

#[derive(Deserialize)]
struct Subset {
    #[serde(default, deserialize_with = "null_as_default")]
    addresses: Vec<Address>,
    #[serde(default, deserialize_with = "null_as_default")]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Deserialize)]
struct Slice {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "null_as_default")]
    endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "null_as_default")]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default, deserialize_with = "null_as_default")]
    addresses: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
struct Conditions {
    /// Unknown counts as yes, says the documentation of EndpointSlice.
    #[serde(default)]
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Port {
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

/// An absent list and `null` are the same to Kubernetes.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// An object that has a name, a version and instances.
trait Object: DeserializeOwned {
    fn meta(&self) -> &Meta;
    /// The instances with the port for that scheme.
    fn instances(&self, scheme: &str) -> Vec<(&str, i64)>;
}

impl Object for Endpoints {
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

impl Object for Slice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn instances(&self, scheme: &str) -> Vec<(&str, i64)> {
        let Some(port) = port(&self.ports, scheme) else { return Vec::new() };
        let ready = self.endpoints.iter().filter(|endpoint| endpoint.conditions.ready != Some(false));
        // The addresses of one endpoint are the same instance: the first is enough.
        ready.filter_map(|endpoint| Some((endpoint.addresses.first()?.as_str(), port))).collect()
    }
}

/// The port that is called like the scheme, else the first one.
fn port(ports: &[Port], scheme: &str) -> Option<i64> {
    let tcp = || ports.iter().filter(|port| port.protocol.is_empty() || port.protocol == "TCP");
    let named = tcp().find(|port| port.name.eq_ignore_ascii_case(scheme));
    named.or_else(|| tcp().next()).map(|port| port.port)
}

impl Objects {
    /// Of a service that is spoken to in that scheme, nothing is known yet.
    pub fn new(resource: Resource, scheme: &str) -> Objects {
        Objects { resource, scheme: scheme.to_owned(), version: String::new(), objects: BTreeMap::new() }
    }

    /// All instances.
    pub fn instances(&self) -> Vec<Instance> {
        self.objects.values().flatten().cloned().collect()
    }

    /// There is nothing any more.
    pub fn clear(&mut self) {
        self.objects.clear();
    }

    /// Reads the list of all objects.
    pub fn parse_list(&mut self, body: &[u8]) -> Result<(), String> {
        match self.resource {
            Resource::Endpoints => self.apply_list(&json::<List<Endpoints>>(body)?),
            Resource::Slices => self.apply_list(&json::<List<Slice>>(body)?),
        }
        Ok(())
    }

    /// Reads the only object there is.
    pub fn parse_single(&mut self, body: &[u8]) -> Result<(), String> {
        let object: Endpoints = json(body)?;
        self.clear();
        self.put(&object);
        Ok(())
    }

    /// Reads an event of a watch.
    pub fn parse_event(&mut self, line: &[u8]) -> Result<Event, String> {
        match self.resource {
            Resource::Endpoints => self.apply_event::<Endpoints>(line),
            Resource::Slices => self.apply_event::<Slice>(line),
        }
    }

    fn apply_list<T: Object>(&mut self, list: &List<T>) {
        self.clear();
        self.version.clone_from(&list.metadata.resource_version);
        list.items.iter().for_each(|object| self.put(object));
    }

    fn apply_event<T: Object>(&mut self, line: &[u8]) -> Result<Event, String> {
        let kind = json::<WatchEvent<serde::de::IgnoredAny>>(line)?.kind;
        if kind == "ERROR" {
            let status = json::<WatchEvent<Status>>(line)?.object;
            let said: String = status.message.chars().filter(|c| !c.is_control()).take(200).collect();
            return if status.code == 410 {
                Ok(Event::Expired)
            } else {
                Err(format!("the watch ended: {said}"))
            };
        }
        let object = json::<WatchEvent<T>>(line)?.object;
        self.version.clone_from(&object.meta().resource_version);
        match kind.as_str() {
            "ADDED" | "MODIFIED" => self.put(&object),
            "DELETED" => drop(self.objects.remove(&object.meta().name)),
            _ => return Ok(Event::Bookmark),
        }
        Ok(Event::Changed)
    }

    fn put(&mut self, object: &impl Object) {
        let name = &object.meta().name;
        if self.objects.len() >= MAX_OBJECTS && !self.objects.contains_key(name) {
            return log::warn!(
                "Kubernetes: more than {MAX_OBJECTS} objects of one service: {name} is left out"
            );
        }
        let mut odd = 0;
        let mut instances = Vec::new();
        for (host, port) in object.instances(&self.scheme) {
            match validate::to_instance(host, port) {
                Some(instance) => instances.push(instance),
                None => odd += 1,
            }
        }
        if odd > 0 {
            log::warn!("Kubernetes: {odd} addresses of {name:?} are no host and port, and are left out");
        }
        self.objects.insert(name.clone(), instances);
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the answer is not what it should be: {error}"))
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
