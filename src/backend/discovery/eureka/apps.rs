//! A copy of Eureka's registry: all applications, deltas, and the check that the copy equals the server's
//! registry.

use super::super::validate;
use crate::backend::endpoint::Instance;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// The maximum number of instances of a registry.
const MAX_INSTANCES: usize = 100_000;
/// The maximum length of a name; services with longer names are not found.
const MAX_NAME_LEN: usize = 512;

/// The instances of all applications, by application and instance.
#[derive(Debug, Default)]
pub struct Applications {
    instances: HashMap<(String, String), KnownInstance>,
}

/// An instance.
#[derive(Clone, Debug)]
struct KnownInstance {
    status: String,
    /// Application name and virtual addresses, in lowercase.
    names: Vec<String>,
    host: String,
    port: Option<i64>,
    secure_port: Option<i64>,
}

#[derive(Deserialize)]
struct AppsResponse {
    applications: ApplicationsJson,
}

#[derive(Deserialize)]
struct ApplicationsJson {
    #[serde(rename = "apps__hashcode", default)]
    apps_hashcode: String,
    #[serde(default, deserialize_with = "one_or_many")]
    application: Vec<ApplicationJson>,
}

#[derive(Deserialize)]
struct ApplicationJson {
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "one_or_many")]
    instance: Vec<InstanceJson>,
}

/// An instance as Eureka serializes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstanceJson {
    #[serde(default)]
    instance_id: Option<String>,
    host_name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    vip_address: Option<String>,
    #[serde(default)]
    secure_vip_address: Option<String>,
    #[serde(default)]
    port: Option<Port>,
    #[serde(default)]
    secure_port: Option<Port>,
    #[serde(default)]
    action_type: Option<String>,
}

#[derive(Deserialize)]
struct Port {
    #[serde(rename = "$", default, deserialize_with = "number")]
    number: i64,
    /// A string in most versions.
    #[serde(rename = "@enabled", default)]
    enabled: serde_json::Value,
}

/// Some versions serialize a list of one element as the element, and an empty list as `null`.
fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        Many(Vec<T>),
        One(T),
        None,
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::Many(all) => all,
        OneOrMany::One(one) => vec![one],
        OneOrMany::None => Vec::new(),
    })
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0))
}

impl Applications {
    /// Parses the whole registry.
    pub fn parse_full(body: &[u8]) -> Result<Applications, String> {
        let mut applications = Applications::default();
        for application in read(body)?.application {
            for instance in application.instance {
                applications.upsert(&application.name, instance)?;
            }
        }
        Ok(applications)
    }

    /// Applies a delta; returns false if the result differs from the server's registry.
    pub fn apply_delta(&mut self, body: &[u8]) -> Result<bool, String> {
        let delta = read(body)?;
        for application in delta.application {
            for instance in application.instance {
                if instance.action_type.as_deref() == Some("DELETED") {
                    self.instances.remove(&instance_key(&application.name, &instance));
                } else {
                    self.upsert(&application.name, instance)?;
                }
            }
        }
        Ok(delta.apps_hashcode == self.apps_hashcode())
    }

    /// The names of all services, in lower case.
    pub fn service_names(&self) -> HashSet<String> {
        self.instances.values().flat_map(|instance| &instance.names).cloned().collect()
    }

    /// The instances of a service with status `UP`, by application name or virtual address.
    pub fn instances(&self, service: &str, secure: bool) -> Vec<Instance> {
        let service = service.to_ascii_lowercase();
        let up = self
            .instances
            .values()
            .filter(|instance| instance.status == "UP" && instance.names.contains(&service));
        let port = |instance: &KnownInstance| if secure { instance.secure_port } else { instance.port };
        let mut all: Vec<Instance> =
            up.filter_map(|instance| validate::to_instance(&instance.host, port(instance)?)).collect();
        all.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        all
    }

    /// The number of instances per status, in the server's format: `DOWN_1_UP_12_`.
    fn apps_hashcode(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        self.instances.values().for_each(|instance| *counts.entry(&instance.status).or_default() += 1);
        counts.iter().fold(String::new(), |mut text, (status, n)| {
            let _ = write!(text, "{status}_{n}_");
            text
        })
    }

    fn upsert(&mut self, application: &str, json: InstanceJson) -> Result<(), String> {
        let key = instance_key(application, &json);
        if self.instances.len() >= MAX_INSTANCES && !self.instances.contains_key(&key) {
            return Err(format!("the registry has more than {MAX_INSTANCES} instances"));
        }
        self.instances.insert(key, KnownInstance::from_json(application, json));
        Ok(())
    }
}

impl KnownInstance {
    fn from_json(application: &str, json: InstanceJson) -> KnownInstance {
        let virtual_names = [json.vip_address.as_deref(), json.secure_vip_address.as_deref()];
        let names = virtual_names.into_iter().flatten().flat_map(|list| list.split(','));
        let mut names: Vec<String> = std::iter::once(application)
            .chain(names)
            .map(str::trim)
            .filter(|name| !name.is_empty() && name.len() <= MAX_NAME_LEN)
            .map(str::to_ascii_lowercase)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(16);
        let open =
            |port: Option<Port>, default: bool| port.filter(|p| p.is_enabled(default)).map(|p| p.number);
        KnownInstance {
            status: json.status,
            names,
            host: json.host_name,
            port: open(json.port, true),
            secure_port: open(json.secure_port, false),
        }
    }
}

impl Port {
    fn is_enabled(&self, default: bool) -> bool {
        match &self.enabled {
            serde_json::Value::Bool(enabled) => *enabled,
            serde_json::Value::String(text) => text.eq_ignore_ascii_case("true"),
            _ => default,
        }
    }
}

fn instance_key(application: &str, instance: &InstanceJson) -> (String, String) {
    (application.to_owned(), instance.instance_id.clone().unwrap_or_else(|| instance.host_name.clone()))
}

fn read(body: &[u8]) -> Result<ApplicationsJson, String> {
    let response: AppsResponse = serde_json::from_slice(body)
        .map_err(|error| format!("invalid response: expected applications: {error}"))?;
    Ok(response.applications)
}

#[cfg(test)]
#[path = "apps_tests.rs"]
mod tests;
