//! Defaults of settings that are absent, in the objects that are in effect.

use super::schema::{self, ObjectSchema, SettingKind};
use crate::control::effective::EffectiveConfig;
use serde_json::{Map, Value, json};

/// The origin of a default.
const ORIGIN: &str = "default";
/// Sections that are in effect although they are absent.
const SECTIONS: [&str; 4] = ["Administration", "Limits", "Dns", "ForwardedHeaders"];

/// Adds the defaults of the document, its routes and everything in them. A group of options that is absent is off, and
/// stays absent.
pub fn fill(effective: &mut EffectiveConfig, is_ocelot: bool) {
    let mut filler = Filler { origins: &mut effective.origins, is_ocelot };
    let Some(document) = effective.config.as_object_mut() else { return };
    let has =
        |document: &Map<String, Value>, name: &str| document.keys().any(|key| key.eq_ignore_ascii_case(name));
    if !has(document, "Listeners") {
        document.insert("Listeners".to_owned(), json!([{ "Address": "127.0.0.1:8080" }]));
        filler.origins.insert("/Listeners/0/Address".to_owned(), ORIGIN.into());
    }
    for section in SECTIONS {
        if !has(document, section) {
            document.insert(section.to_owned(), json!({}));
        }
    }
    filler.object(&mut effective.config, "", ObjectSchema::document());
}

struct Filler<'e> {
    origins: &'e mut Map<String, Value>,
    is_ocelot: bool,
}

impl Filler<'_> {
    fn object(&mut self, value: &mut Value, pointer: &str, schema: ObjectSchema) {
        let Some(members) = value.as_object_mut() else { return };
        for (name, setting) in schema.settings() {
            let existing = members.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
            let key = existing.clone().unwrap_or_else(|| name.to_owned());
            let place = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            match (existing, schema::default_value(setting, self.is_ocelot)) {
                (Some(key), _) => {
                    // Options under GlobalConfiguration are templates for routes, not in effect themselves.
                    if let Some(member) =
                        members.get_mut(&key).filter(|_| !key.eq_ignore_ascii_case("GlobalConfiguration"))
                    {
                        self.nested(member, &place, setting);
                    }
                }
                // An empty list or map sets nothing, and the default of a group describes its absence.
                (None, Some(default)) if is_shown(&default, setting) => {
                    members.insert(key, default);
                    self.origins.insert(place, ORIGIN.into());
                }
                (None, _) => {}
            }
        }
    }

    fn nested(&mut self, value: &mut Value, pointer: &str, setting: &'static Value) {
        if let SettingKind::Group(schema) = schema::kind(setting) {
            return self.object(value, pointer, schema);
        }
        let Some(schema) = schema::element(setting) else { return };
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.object(item, &format!("{pointer}/{at}"), schema);
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    self.object(member, &format!("{pointer}/{name}"), schema);
                }
            }
            _ => {}
        }
    }
}

fn is_shown(default: &Value, setting: &'static Value) -> bool {
    let is_empty =
        default.as_array().is_some_and(Vec::is_empty) || default.as_object().is_some_and(Map::is_empty);
    !is_empty && matches!(schema::kind(setting), SettingKind::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_settings_of_present_objects_have_their_defaults() {
        let config = json!({ "Routes": [{ "Key": "a", "RetryOptions": { "Attempts": 2 } }] });
        let mut effective = EffectiveConfig { config, origins: Map::new() };
        fill(&mut effective, false);
        let route = &effective.config["Routes"][0];
        assert_eq!((&route["Priority"], &route["RouteIsCaseSensitive"]), (&json!(1), &json!(false)));
        assert_eq!(
            (&route["RetryOptions"]["Attempts"], &route["RetryOptions"]["MinBackoff"]),
            (&json!(2), &json!("25ms"))
        );
        for absent in ["CacheOptions", "LoadBalancerOptions", "UpstreamHttpMethod", "Metadata"] {
            assert!(route.get(absent).is_none(), "{absent}: {route:#}");
        }
        assert_eq!(effective.origins["/Routes/0/Priority"], "default");
        assert_eq!(effective.config["Limits"]["ConnectTimeout"], "5s");
        assert_eq!(effective.config["Listeners"][0]["Address"], "127.0.0.1:8080");
    }
}
