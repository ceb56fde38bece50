//! Eureka's registry: all applications, changes to them, and the check that both sides still mean the same.

use super::super::validate;
use crate::backend::endpoint::Instance;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// The most instances of a registry.
const MAX_INSTANCES: usize = 100_000;
/// The longest name that is kept; longer ones cannot be asked for.
const MAX_TEXT: usize = 512;

/// What the registry holds, by application and instance.
#[derive(Debug, Default)]
pub struct Registry {
    instances: HashMap<(String, String), Entry>,
}

/// An instance as it is kept.
#[derive(Clone, Debug)]
struct Entry {
    status: String,
    /// The names under which it is asked for, in small letters.
    names: Vec<String>,
    host: String,
    plain: Option<i64>,
    secure: Option<i64>,
}

#[derive(Deserialize)]
struct Answer {
    applications: Applications,
}

#[derive(Deserialize)]
struct Applications {
    #[serde(rename = "apps__hashcode", default)]
    hash: String,
    #[serde(default, deserialize_with = "one_or_many")]
    application: Vec<Application>,
}

#[derive(Deserialize)]
struct Application {
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "one_or_many")]
    instance: Vec<InstanceJson>,
}

/// An instance as Eureka writes it.
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
    /// A text in most versions.
    #[serde(rename = "@enabled", default)]
    enabled: serde_json::Value,
}

/// Some versions write a list of one as what is in it, and an empty one as `null`.
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

impl Registry {
    /// Reads the whole registry.
    pub fn parse_full(body: &[u8]) -> Result<Registry, String> {
        let mut registry = Registry::default();
        for application in read(body)?.application {
            for instance in application.instance {
                registry.upsert(&application.name, instance)?;
            }
        }
        Ok(registry)
    }

    /// Reads changes; false when the result is not what the server has, so that everything must be read again.
    pub fn apply_delta(&mut self, body: &[u8]) -> Result<bool, String> {
        let changes = read(body)?;
        for application in changes.application {
            for instance in application.instance {
                if instance.action_type.as_deref() == Some("DELETED") {
                    self.instances.remove(&instance_key(&application.name, &instance));
                } else {
                    self.upsert(&application.name, instance)?;
                }
            }
        }
        Ok(changes.hash == self.apps_hashcode())
    }

    /// The instances of a service that are up, by the name of the application or by its virtual address.
    pub fn instances(&self, service: &str, secure: bool) -> Vec<Instance> {
        let service = service.to_ascii_lowercase();
        let up =
            self.instances.values().filter(|entry| entry.status == "UP" && entry.names.contains(&service));
        let port = |entry: &Entry| if secure { entry.secure } else { entry.plain };
        let mut all: Vec<Instance> =
            up.filter_map(|entry| validate::to_instance(&entry.host, port(entry)?)).collect();
        all.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        all
    }

    /// How many instances have each status, as the server writes it: `DOWN_1_UP_12_`.
    fn apps_hashcode(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        self.instances.values().for_each(|entry| *counts.entry(&entry.status).or_default() += 1);
        counts.iter().fold(String::new(), |mut text, (status, n)| {
            let _ = write!(text, "{status}_{n}_");
            text
        })
    }

    fn upsert(&mut self, application: &str, written: InstanceJson) -> Result<(), String> {
        let key = instance_key(application, &written);
        if self.instances.len() >= MAX_INSTANCES && !self.instances.contains_key(&key) {
            return Err(format!("the registry has more than {MAX_INSTANCES} instances"));
        }
        self.instances.insert(key, Entry::of(application, written));
        Ok(())
    }
}

impl Entry {
    fn of(application: &str, written: InstanceJson) -> Entry {
        let virtual_names = [written.vip_address.as_deref(), written.secure_vip_address.as_deref()];
        let names = virtual_names.into_iter().flatten().flat_map(|list| list.split(','));
        let mut names: Vec<String> = std::iter::once(application)
            .chain(names)
            .map(str::trim)
            .filter(|name| !name.is_empty() && name.len() <= MAX_TEXT)
            .map(str::to_ascii_lowercase)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(16);
        let open =
            |port: Option<Port>, usually: bool| port.filter(|p| p.is_enabled(usually)).map(|p| p.number);
        Entry {
            status: written.status,
            names,
            host: written.host_name,
            plain: open(written.port, true),
            secure: open(written.secure_port, false),
        }
    }
}

impl Port {
    fn is_enabled(&self, usually: bool) -> bool {
        match &self.enabled {
            serde_json::Value::Bool(enabled) => *enabled,
            serde_json::Value::String(text) => text.eq_ignore_ascii_case("true"),
            _ => usually,
        }
    }
}

fn instance_key(application: &str, instance: &InstanceJson) -> (String, String) {
    (application.to_owned(), instance.instance_id.clone().unwrap_or_else(|| instance.host_name.clone()))
}

fn read(body: &[u8]) -> Result<Applications, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("the answer is no list of applications: {error}"))?;
    Ok(answer.applications)
}

#[cfg(test)]
#[path = "apps_tests.rs"]
mod tests;
