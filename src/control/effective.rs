//! The effective configuration: the files merged, with policies applied, secrets masked, and the origin of every value.

use crate::config::{Loaded, Node, Sources, Value as NodeValue};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What is shown instead of a secret.
pub const MASK: &str = "***";
/// Names of settings with secrets, in lower case; longer names may end in them (`ClientSecret`).
const SECRET_SUFFIXES: [&str; 13] = [
    "primarykey",
    "secondarykey",
    "sha256",
    "password",
    "secret",
    "secrets",
    "token",
    "signingkey",
    "apikey",
    "api-key",
    "hash",
    "authorization",
    "cookie",
];

/// Objects whose values are all secrets, in lower case.
const SECRET_OBJECTS: [&str; 2] = ["/otlp/headers/", "/namedvalues/"];

/// Sections in which `Keys` are secrets, in lower case.
const KEYED_SECTIONS: [&str; 2] = ["/hubservices/", "/tunnels/"];

/// A configuration as data.
#[derive(Clone, Debug, Default)]
pub struct EffectiveConfig {
    /// The merged document. A placeholder is shown as it is written, never its value.
    pub config: Value,
    /// The JSON pointer of every value that is not an object or a list → `gateway.json:14:20`.
    pub origins: Map<String, Value>,
}

impl EffectiveConfig {
    /// The effective form of a loaded configuration.
    pub fn new(loaded: &Loaded) -> EffectiveConfig {
        let mut writer = Writer { sources: &loaded.sources, origins: Map::new() };
        let config =
            loaded.root.as_ref().map_or(Value::Null, |root| writer.value(root, "", &mut String::new()));
        EffectiveConfig { config, origins: writer.origins }
    }
}

struct Writer<'l> {
    sources: &'l Sources,
    origins: Map<String, Value>,
}

impl Writer<'_> {
    fn value(&mut self, node: &Node, key: &str, pointer: &mut String) -> Value {
        let leaf = match &node.value {
            NodeValue::Array(items) => {
                let items = items.iter().enumerate();
                return items.map(|(at, item)| self.child(item, key, &at.to_string(), pointer)).collect();
            }
            NodeValue::Object(members) => {
                let member = |member: &crate::config::Member| {
                    let name = &member.key.value;
                    (name.to_string(), self.child(&member.value, name, name, pointer))
                };
                return Value::Object(members.iter().map(member).collect());
            }
            NodeValue::String(_) if node.interpolated => Value::from(mask_url(&self.placeholder(node), key)),
            NodeValue::String(_) | NodeValue::Number(_) if is_secret(key) || is_in_secrets(pointer) => {
                Value::from(MASK)
            }
            NodeValue::String(text) => Value::from(mask_url(text, key)),
            NodeValue::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(&**text)),
            NodeValue::Bool(value) => Value::from(*value),
            NodeValue::Null => Value::Null,
        };
        self.origins.insert(pointer.clone(), Value::from(self.sources.location(node.span)));
        leaf
    }

    fn child(&mut self, node: &Node, key: &str, step: &str, pointer: &mut String) -> Value {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        let value = self.value(node, key, pointer);
        pointer.truncate(length);
        value
    }

    /// The text with the placeholder as it is written. Its default may be a secret too, and is masked.
    fn placeholder(&self, node: &Node) -> String {
        let written = self.sources.get(node.span.file).and_then(|source| {
            let text = source.text.get(node.span.start as usize..node.span.end as usize)?;
            serde_json::from_str::<String>(text).ok()
        });
        written.map_or_else(|| MASK.to_owned(), |text| mask_defaults(&text))
    }
}

/// Masks the text between `:-` and `}`.
fn mask_defaults(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, behind) = after.split_once('}').unwrap_or((after, ""));
        let shown =
            inner.split_once(":-").map_or_else(|| inner.to_owned(), |(name, _)| format!("{name}:-{MASK}"));
        masked.push_str(&format!("{before}${{{shown}}}"));
        rest = behind;
    }
    masked + rest
}

/// Masks the user and password of a URL, and the query of the URL of an event handler, which often contains its key.
fn mask_url<'t>(text: &'t str, key: &str) -> Cow<'t, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map(|at| at + 1);
    let query = rest.find('?').filter(|_| key.eq_ignore_ascii_case("UrlTemplate"));
    if host.is_none() && query.is_none() {
        return Cow::Borrowed(text);
    }
    let user = if host.is_some() { format!("{MASK}@") } else { String::new() };
    let address = &rest[host.unwrap_or(0)..query.unwrap_or(rest.len())];
    let query = if query.is_some() { format!("?{MASK}") } else { String::new() };
    Cow::Owned(format!("{scheme}://{user}{address}{query}"))
}

/// Whether the setting contains a secret, by its name.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_SUFFIXES.iter().any(|suffix| key.ends_with(suffix))
}

/// Whether the value with this pointer is in an object with secrets.
fn is_in_secrets(pointer: &str) -> bool {
    let pointer = pointer.to_ascii_lowercase();
    SECRET_OBJECTS.iter().any(|object| pointer.starts_with(object))
        || pointer.starts_with("/backends/") && pointer.contains("/credentials/")
        || KEYED_SECTIONS.iter().any(|section| pointer.starts_with(section)) && pointer.contains("/keys/")
        || pointer.ends_with("/signalroptions/key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Environment, InMemoryFiles},
        plan::document::load_texts,
    };
    use serde_json::json;

    fn effective(text: &str, policy: &str) -> EffectiveConfig {
        let files = [("gateway.json", text)];
        let policies = [("shared", policy)];
        let files = InMemoryFiles { files: &files, policies: &policies, ..InMemoryFiles::default() };
        let variable = |name: &str| (name == "TOKEN").then(|| "hunter2".to_owned());
        let read = |_: &std::path::Path, _| Err(std::io::ErrorKind::NotFound.into());
        EffectiveConfig::new(&load_texts(&files, Environment { variable: &variable, read: &read }))
    }

    #[test]
    fn every_value_has_its_origin_and_policies_are_applied() {
        let text = "{ \"Routes\": [{\n \"UpstreamPathTemplate\": \"/a~b/c\", \"Policies\": [\"shared\"] }] }";
        let effective = effective(text, "{ \"Timeout\": 7 }");
        assert_eq!(effective.config["Routes"][0]["Timeout"], json!(7));
        assert_eq!(effective.origins["/Routes/0/UpstreamPathTemplate"], "gateway.json:2:26");
        assert_eq!(effective.origins["/Routes/0/Timeout"], "policies/shared.json:1:14");
    }

    #[test]
    fn secrets_are_masked_and_placeholders_are_not_replaced() {
        let text = r#"{ "A": "${TOKEN}", "B": "x ${OTHER:-hunter2} y", "SigningKey": "hunter2", "Users": { "Password": 2 },
            "UpstreamHeaderTransform": { "Authorization": ["Bearer hunter2"] }, "Tokens": [{ "Hash": "sha256:hunter2" }],
            "Otlp": { "Headers": { "x-team": "hunter2" } }, "AuthenticationSchemes": { "w": { "Secrets": ["hunter2"] } },
            "Tunnels": { "Agents": { "a": { "Keys": ["hunter2"] } } }, "HubServices": { "h": { "Keys": ["hunter2"],
            "Hubs": { "c": { "EventHandlers": [{ "UrlTemplate": "http://h/e?code=hunter2" }] } } } },
            "SharedState": { "Url": "redis://user:hunter2@127.0.0.1:6379/0" },
            "Routes": [{ "SignalROptions": { "Key": "hunter2" } }] }"#;
        let config = effective(text, "{}").config;
        assert!(!config.to_string().contains("hunter2"), "{config}");
        assert_eq!((&config["A"], &config["B"]), (&json!("${TOKEN}"), &json!("x ${OTHER:-***} y")));
        assert_eq!(config["SharedState"]["Url"], "redis://***@127.0.0.1:6379/0");
        assert_eq!(
            config["HubServices"]["h"]["Hubs"]["c"]["EventHandlers"][0]["UrlTemplate"],
            "http://h/e?***"
        );
        assert_eq!(config["Users"]["Password"], MASK);
        assert_eq!(config["Tokens"][0]["Hash"], MASK);
    }

    #[test]
    fn names_of_secrets_are_recognized() {
        for name in ["Token", "SigningKey", "ClientSecret", "Hash", "X-Api-Key", "Authorization", "Cookie"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["TokenTypes", "KeyFile", "Host", "HashOn", "Tokens"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
