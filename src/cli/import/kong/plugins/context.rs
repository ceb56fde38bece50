//! What converters of plugins read and write.

use crate::cli::import::kong::consumers::Consumer;
use serde_json::{Map, Value, json};

/// What the converters share.
pub struct PluginContext<'c> {
    pub consumers: &'c [Consumer],
    /// `AuthenticationSchemes` of the result.
    pub schemes: Map<String, Value>,
    /// The plugin that is converted, for the report.
    pub position: String,
    /// The entity with the plugin: routes of one scope share its counters.
    pub scope: String,
}

/// What the plugins of a route change.
#[derive(Clone, Debug, Default)]
pub struct RouteEffects {
    /// Settings of the route.
    pub settings: Map<String, Value>,
    /// The path of requests to the backend, if a plugin replaces it.
    pub path: Option<String>,
    /// The query of the path to the backend, with `?`; empty if it has none.
    pub query: String,
    /// Why the route is not imported.
    pub reason_to_omit: Option<String>,
}

impl RouteEffects {
    /// Adds an entry to a setting that is a map.
    pub fn insert_entry(&mut self, setting: &str, name: &str, value: Value) {
        let map = self.settings.entry(setting).or_insert_with(|| json!({}));
        if let Some(map) = map.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    }

    /// Requires one of several schemes.
    pub fn add_scheme(&mut self, name: &str) {
        let options = self.settings.entry("AuthenticationOptions").or_insert_with(|| json!({}));
        if let Some(options) = options.as_object_mut() {
            let keys = options.entry("AuthenticationProviderKeys").or_insert_with(|| json!([]));
            if let Some(keys) = keys.as_array_mut() {
                keys.push(name.into());
            }
        }
    }

    /// Whether a scheme authenticates callers.
    pub fn is_authenticated(&self) -> bool {
        self.settings.contains_key("AuthenticationOptions")
    }

    /// Adds a condition on the caller.
    pub fn add_condition(&mut self, condition: &str) {
        let all = match self.settings.get("RouteClaimsExpression").and_then(Value::as_str) {
            Some(other) => format!("({other}) && ({condition})"),
            None => condition.to_owned(),
        };
        self.settings.insert("RouteClaimsExpression".to_owned(), all.into());
    }
}

impl PluginContext<'_> {
    /// The name of a scheme with these settings: an equal scheme, or a new one.
    pub fn scheme(&mut self, name: &str, settings: Value) -> String {
        let numbered = (2_u32..).map(|n| format!("{name}-{n}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let is_free = |candidate: &String| self.schemes.get(candidate).is_none_or(|other| *other == settings);
        let name = candidates.find(is_free).unwrap_or_else(|| name.to_owned());
        self.schemes.insert(name.clone(), settings);
        name
    }
}
