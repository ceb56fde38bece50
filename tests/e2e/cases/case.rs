//! One case of the file, and the configuration it requires.

use serde_json::{Map, Value, json};

/// A case; ports are still tokens (`PORT1`).
pub struct Case {
    pub id: String,
    pub feature: String,
    /// Whether it is a case of API management.
    pub is_api_management: bool,
    pub all: Value,
}

impl Case {
    pub fn read(line: &str, is_api_management: bool) -> Case {
        let all: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("a case is no JSON: {e}\n{line}"));
        let text = |key: &str| all[key].as_str().expect("id and feature").to_owned();
        Case { id: text("id"), feature: text("feature"), is_api_management, all }
    }

    pub fn list(&self, key: &str) -> &[Value] {
        self.all[key].as_array().map_or(&[], Vec::as_slice)
    }

    pub fn requires(&self, key: &str) -> &Value {
        &self.all["requires"][key]
    }

    /// Whether it describes a gateway without a feature that is built in here.
    pub fn is_for_another_build(&self) -> bool {
        let requires = self.all["requires"].as_object();
        requires.is_some_and(|r| r.iter().any(|(k, v)| k != "reload_on_change" && v == &json!(false)))
    }

    /// Whether it is in margay's own vocabulary, with further files next to the configuration.
    pub fn is_own(&self) -> bool {
        self.feature.starts_with("fabric-")
    }

    pub fn must_fail(&self) -> bool {
        self.all["start"]["must_fail"] == json!(true)
    }

    /// Ocelot's reasons for not starting.
    pub fn reasons(&self) -> Vec<String> {
        if let Some(list) = self.all["start"]["message_contains"].as_array() {
            return list.iter().map(|m| m.as_str().unwrap_or_default().to_owned()).collect();
        }
        self.all["notes"].as_str().map(|n| n.split("; ").map(str::to_owned).collect()).unwrap_or_default()
    }

    /// The files of a merge case: name and text.
    pub fn files(&self) -> Option<Vec<(String, Value)>> {
        let start = &self.all["start"];
        let map = start["config_files"].as_object().or_else(|| start["config_files_raw"].as_object())?;
        Some(map.iter().map(|(name, content)| (name.clone(), content.clone())).collect())
    }

    /// A document of the case for margay: Ocelot's statuses, and the requirements in our own sections.
    pub fn document(&self, config: &Value) -> Value {
        let mut document = config.clone();
        if self.is_own() {
            return document;
        }
        let Value::Object(map) = &mut document else { return document };
        let global = map.entry("GlobalConfiguration").or_insert_with(|| json!({}));
        if global.is_null() {
            *global = json!({});
        }
        global["Compatibility"] = json!("Ocelot");
        self.require(map);
        document
    }

    fn require(&self, map: &mut Map<String, Value>) {
        let mut set = |key: &str, value: Value| {
            map.insert(key.to_owned(), value);
        };
        if let Some(schemes) = self.requires("auth_schemes").as_object() {
            let all: Map<String, Value> = schemes.iter().map(|(name, s)| (name.clone(), scheme(s))).collect();
            set("AuthenticationSchemes", Value::Object(all));
        }
        if self.requires("forwarded_headers").is_array() {
            let headers = self.requires("forwarded_headers");
            set("ForwardedHeaders", json!({ "Headers": headers, "TrustedProxies": ["127.0.0.1", "::1"] }));
        }
        if !self.requires("max_request_body_bytes").is_null() {
            set("Limits", json!({ "MaxRequestBodySize": self.requires("max_request_body_bytes") }));
        }
        if self.requires("reload_on_change").is_boolean() {
            set("ReloadOnChange", self.requires("reload_on_change").clone());
        }
        if self.requires("consul_config_store") == &json!(true) {
            set("ConfigurationStore", json!("Consul"));
        }
    }
}

fn scheme(wanted: &Value) -> Value {
    if wanted["type"] == json!("AlwaysFail") {
        return json!({ "Type": "JwtBearer", "Issuer": "nobody", "Audience": "nobody",
            "SigningKey": "b7c1f0f4a3de4f0f9f3a6f1c25d7c9e0" });
    }
    let mut ours = json!({ "Type": wanted["type"] });
    for (theirs, our) in
        [("issuer", "Issuer"), ("audience", "Audience"), ("key", "SigningKey"), ("header", "Header")]
    {
        if let Some(value) = wanted[theirs].as_str() {
            ours[our] = json!(value);
        }
    }
    ours
}
