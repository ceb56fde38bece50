//! Options of `GlobalConfiguration` in the routes and clusters that inherit them (plan::inherit, config::options).

use super::schema::{self, ObjectSchema, SettingKind};
use crate::control::effective::EffectiveConfig;
use serde_json::{Map, Value};

/// Global settings that routes do not inherit.
const NOT_INHERITED: [&str; 4] =
    ["DownstreamScheme", "DownstreamHttpVersion", "DownstreamHttpVersionPolicy", "Policies"];

/// Adds what routes, dynamic routes and clusters inherit, with its origin.
pub fn resolve(effective: &mut EffectiveConfig) {
    let Some((global_name, global)) = schema::member(&effective.config, "GlobalConfiguration") else {
        return;
    };
    let (global_name, global) = (global_name.to_owned(), global.clone());
    let mut config = std::mem::take(&mut effective.config);
    let prefix = format!("/{}/", escape(&global_name));
    let global_origins = effective.origins.iter().filter(|(pointer, _)| pointer.starts_with(&prefix));
    let mut resolver = Resolver {
        global: &global,
        global_name: &global_name,
        global_origins: global_origins.map(|(pointer, origin)| (pointer.clone(), origin.clone())).collect(),
        origins: &mut effective.origins,
    };
    for (section, definition, excluded) in [
        ("Routes", "RouteDocument", &NOT_INHERITED[..]),
        ("DynamicRoutes", "DynamicRouteDocument", &NOT_INHERITED[3..]),
        ("Clusters", "ClusterDocument", &NOT_INHERITED[..]),
    ] {
        let Some(schema) = ObjectSchema::definition(definition) else { continue };
        let Some(name) = schema::member(&config, section).map(|(name, _)| name.to_owned()) else { continue };
        resolver.section(&mut config[name.as_str()], &format!("/{name}"), schema, excluded);
    }
    effective.config = config;
}

struct Resolver<'e> {
    global: &'e Value,
    global_name: &'e str,
    /// The origins of the global options.
    global_origins: Vec<(String, Value)>,
    origins: &'e mut Map<String, Value>,
}

impl Resolver<'_> {
    fn section(&mut self, section: &mut Value, pointer: &str, schema: ObjectSchema, excluded: &[&str]) {
        match section {
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.object(item, &format!("{pointer}/{at}"), schema, excluded);
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    self.object(member, &format!("{pointer}/{}", escape(name)), schema, excluded);
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, own: &mut Value, pointer: &str, schema: ObjectSchema, excluded: &[&str]) {
        let key = schema::member(own, "Key").and_then(|(_, key)| key.as_str()).map(str::to_owned);
        let global = self.global;
        for (name, value) in global.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            if excluded.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                continue;
            }
            let Some(setting) = schema.setting(name) else { continue };
            let from = format!("/{}/{}", escape(self.global_name), escape(name));
            let target = schema::member(own, name).map_or_else(|| name.clone(), |(name, _)| name.to_owned());
            let to = format!("{pointer}/{}", escape(&target));
            let Some(own) = own.as_object_mut() else { return };
            match schema::kind(setting) {
                SettingKind::Group(_) if !applies_to(value, key.as_deref()) => {}
                SettingKind::Group(_) => self.merge(own, &target, value, (&from, &to), true),
                SettingKind::Map => self.merge(own, &target, value, (&from, &to), false),
                SettingKind::Value => {
                    if own.get(&target).is_none_or(is_blank) {
                        self.copy(own, &target, value, (&from, &to));
                    }
                }
            }
        }
    }

    /// Adds the members of a global object that the own one does not have; blank values of groups count as absent.
    fn merge(
        &mut self,
        own: &mut Map<String, Value>,
        name: &str,
        global: &Value,
        (from, to): (&str, &str),
        is_group: bool,
    ) {
        let target = own.entry(name).or_insert_with(|| Value::Object(Map::new()));
        let Some(target) = target.as_object_mut() else { return };
        for (member, value) in global.as_object().into_iter().flatten() {
            if is_group && member.eq_ignore_ascii_case("RouteKeys") {
                continue;
            }
            let is_same =
                |key: &&String| if is_group { key.eq_ignore_ascii_case(member) } else { *key == member };
            let existing = target.keys().find(is_same).cloned();
            let is_absent =
                existing.as_ref().is_none_or(|key| is_group && target.get(key).is_none_or(is_blank));
            if is_absent {
                let key = existing.unwrap_or_else(|| member.clone());
                let pointers = (format!("{from}/{}", escape(member)), format!("{to}/{}", escape(&key)));
                self.copy(target, &key, value, (&pointers.0, &pointers.1));
            }
        }
    }

    /// Copies a value with the origins of all its parts.
    fn copy(&mut self, target: &mut Map<String, Value>, name: &str, value: &Value, (from, to): (&str, &str)) {
        target.insert(name.to_owned(), value.clone());
        for (pointer, origin) in &self.global_origins {
            let inside = pointer.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if let Some(rest) = inside {
                self.origins.insert(format!("{to}{rest}"), origin.clone());
            }
        }
    }
}

/// Whether a group applies to a route with this key.
fn applies_to(group: &Value, key: Option<&str>) -> bool {
    let keys = schema::member(group, "RouteKeys").and_then(|(_, keys)| keys.as_array());
    match keys.filter(|keys| !keys.is_empty()) {
        None => true,
        Some(keys) => key.is_some_and(|key| keys.iter().any(|other| other.as_str() == Some(key))),
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn global_options_apply_property_by_property_to_the_routes_of_their_keys() {
        let config = json!({
            "GlobalConfiguration": {
                "Timeout": 5, "DownstreamScheme": "https",
                "UpstreamHeaderTransform": { "X-A": "global", "X-B": "global" },
                "CacheOptions": { "TtlSeconds": 9, "Region": "all", "RouteKeys": ["a"] }
            },
            "Routes": [
                { "Key": "a", "cacheoptions": { "Region": " " }, "UpstreamHeaderTransform": { "X-A": null } },
                { "Key": "b", "Timeout": 7 }
            ]
        });
        let origin = |pointer: &str| (pointer.to_owned(), Value::from(pointer));
        let origins = Map::from_iter(
            ["/GlobalConfiguration/Timeout", "/GlobalConfiguration/CacheOptions/TtlSeconds"].map(origin),
        );
        let mut effective = EffectiveConfig { config, origins };
        resolve(&mut effective);
        let routes = &effective.config["Routes"];
        assert_eq!(routes[0]["cacheoptions"], json!({ "Region": "all", "TtlSeconds": 9 }));
        assert_eq!(routes[0]["UpstreamHeaderTransform"], json!({ "X-A": null, "X-B": "global" }));
        assert_eq!((&routes[0]["Timeout"], &routes[1]["Timeout"]), (&json!(5), &json!(7)));
        assert!(routes[1].get("CacheOptions").is_none() && routes[0].get("DownstreamScheme").is_none());
        assert_eq!(
            effective.origins["/Routes/0/cacheoptions/TtlSeconds"],
            "/GlobalConfiguration/CacheOptions/TtlSeconds"
        );
        assert_eq!(effective.origins["/Routes/0/Timeout"], "/GlobalConfiguration/Timeout");
    }
}
