//! The document of a remote configuration store, merged over the files: the store defines the routes; the files define
//! the process and the location of the store.

use super::codes;
use super::diagnostics::Diagnostics;
use super::node::{Member, Node, Value};
use std::sync::Arc;

/// A document from a store, and its name in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteDocument {
    pub name: String,
    pub text: Arc<str>,
}

/// Sections that come from the store only; those of the files are ignored.
const SECTIONS: [&str; 5] = ["Routes", "DynamicRoutes", "Aggregates", "Clusters", GLOBAL];
const GLOBAL: &str = "GlobalConfiguration";
/// The location of the store: never taken from the store, which could redirect the token of the files.
const SERVICE_DISCOVERY_PROVIDER: &str = "ServiceDiscoveryProvider";
const COMPATIBILITY: &str = "Compatibility";
const CONFIGURATION_STORE: &str = "ConfigurationStore";

/// Merges the stored document over the tree of the files.
pub fn overlay(root: &mut Node, stored: Node, diagnostics: &mut Diagnostics) {
    let Value::Object(stored_members) = stored.value else {
        let message = format!("configuration: expected an object, found {}", stored.type_name());
        diagnostics.error(codes::WRONG_TYPE, stored.span, message);
        return;
    };
    let mut global = Vec::new();
    if let Some(mut files) = root.remove_ignore_case(GLOBAL) {
        global.extend(
            [SERVICE_DISCOVERY_PROVIDER, COMPATIBILITY]
                .map(|name| files.value.remove_ignore_case(name))
                .into_iter()
                .flatten(),
        );
    }
    for section in SECTIONS {
        root.remove_ignore_case(section);
    }
    let span = root.span;
    let Some(members) = root.members_mut() else { return };
    for member in stored_members.into_iter().filter(|m| !name_matches(m, CONFIGURATION_STORE)) {
        members.retain(|known| !name_matches(known, &member.key.value));
        members.push(member);
    }
    preserve_local_sections(members, global, span);
}

/// Keeps the local settings of `GlobalConfiguration`.
fn preserve_local_sections(members: &mut Vec<Member>, preserved: Vec<Member>, span: super::Span) {
    let at =
        members.iter().position(|m| name_matches(m, GLOBAL) && matches!(m.value.value, Value::Object(_)));
    let Some(at) = at else {
        if !preserved.is_empty() && !members.iter().any(|m| name_matches(m, GLOBAL) && !m.value.is_null()) {
            members.retain(|m| !name_matches(m, GLOBAL));
            let key = super::Spanned::new(GLOBAL.into(), span);
            members.push(Member { key, value: Node::new(span, Value::Object(preserved)) });
        }
        return;
    };
    let stored = &mut members[at].value;
    stored.remove_ignore_case(SERVICE_DISCOVERY_PROVIDER);
    for member in preserved {
        let is_set = stored.get_ignore_case(&member.key.value).is_some();
        if let Some(members) = stored.members_mut().filter(|_| !is_set) {
            members.push(member);
        }
    }
}

fn name_matches(member: &Member, name: &str) -> bool {
    member.key.value.eq_ignore_ascii_case(name)
}

/// The initial value of an empty store: the sections of the store as written in the files (placeholders are not
/// interpolated), without the discovery provider. `None` if the files have no `ConfigurationStore`.
pub fn initial_value(root: &Node) -> Option<String> {
    root.get_ignore_case(CONFIGURATION_STORE)
        .and_then(Node::as_str)
        .filter(|name| !name.trim().is_empty())?;
    let of_store = |member: &&Member| SECTIONS.iter().any(|name| name_matches(member, name));
    let mut members: Vec<Member> = root.members().iter().filter(of_store).cloned().collect();
    for global in members.iter_mut().filter(|m| name_matches(m, GLOBAL)) {
        global.value.remove_ignore_case(SERVICE_DISCOVERY_PROVIDER);
    }
    Some(Node::new(root.span, Value::Object(members)).to_json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, InMemoryFiles, Loaded, Vocabulary, load_texts};

    const FILE: &str = r#"{ "ConfigurationStore": "Consul", "AccessLog": true, "Listeners": [],
        "Routes": [{ "Key": "a\"${A}", "Priority": 1.50, "RouteIsCaseSensitive": false, "Key2": null }],
        "Aggregates": [1], "globalconfiguration": { "Compatibility": "Ocelot", "RequestIdKey": "old",
            "ServiceDiscoveryProvider": { "Host": "here", "Token": "secret" } } }"#;

    fn loaded(stored: Option<&str>) -> Loaded {
        let stored = stored.map(|text| RemoteDocument { name: "consul:key".into(), text: text.into() });
        let texts = InMemoryFiles {
            files: &[("gateway.json", FILE)],
            stored: stored.as_ref(),
            ..InMemoryFiles::default()
        };
        let none = |_: &str| Some("value".to_owned());
        load_texts(
            &texts,
            Environment { variable: &none, read: &|_, _| Err(std::io::ErrorKind::NotFound.into()) },
            &Vocabulary::of::<(), (), (), (), ()>(),
        )
    }

    fn json(node: &Node) -> serde_json::Value {
        serde_json::from_str(&node.to_json()).unwrap()
    }

    #[test]
    fn the_store_defines_the_routes_and_the_files_the_location_of_the_store() {
        let stored = r#"{ "Routes": [{ "Key": "b" }], "AccessLog": false, "ConfigurationStore": "",
            "GlobalConfiguration": { "RequestIdKey": "new", "ServiceDiscoveryProvider": { "Host": "elsewhere" } } }"#;
        let loaded = loaded(Some(stored));
        assert_eq!(
            json(loaded.root.as_ref().unwrap()),
            serde_json::json!({ "ConfigurationStore": "Consul", "Listeners": [], "Routes": [{ "Key": "b" }],
                "AccessLog": false, "GlobalConfiguration": { "RequestIdKey": "new", "Compatibility": "Ocelot",
                "ServiceDiscoveryProvider": { "Host": "here", "Token": "secret" } } })
        );
        assert!(loaded.ocelot);
    }

    #[test]
    fn a_stored_document_without_global_options_keeps_the_provider_of_the_files() {
        let tree = json(loaded(Some("{}")).root.as_ref().unwrap());
        assert_eq!(tree["GlobalConfiguration"]["ServiceDiscoveryProvider"]["Host"], "here");
        assert!(tree["GlobalConfiguration"]["RequestIdKey"].is_null() && tree["Routes"].is_null());
    }

    #[test]
    fn the_initial_value_has_the_sections_of_the_store_with_placeholders_and_no_token() {
        let initial = loaded(None).initial_store_value.unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&initial).unwrap(),
            serde_json::json!({ "Routes": [{ "Key": "a\"${A}", "Priority": 1.50, "RouteIsCaseSensitive": false,
                "Key2": null }], "Aggregates": [1],
                "globalconfiguration": { "Compatibility": "Ocelot", "RequestIdKey": "old" } })
        );
    }

    #[test]
    fn an_invalid_stored_document_has_errors_with_its_own_location() {
        for text in ["[]", "{ \"Routes\": [ }", ""] {
            let loaded = loaded(Some(text));
            assert!(loaded.diagnostics.has_errors(), "{text}");
            let place = loaded.diagnostics.list[0].span.map(|span| loaded.sources.location(span).to_string());
            assert!(place.is_some_and(|place| place.starts_with("consul:key")), "{text}");
        }
    }
}
