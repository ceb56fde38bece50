//! A document that is kept in a store, over the files: it says which routes there are; the files say how the process is
//! set up and where the store is.

use super::codes;
use super::diagnostics::Diagnostics;
use super::node::{Member, Node, Value};
use std::sync::Arc;

/// A document from a store, and what it is called in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteDocument {
    pub name: String,
    pub text: Arc<str>,
}

/// The sections that are the store's alone: where it has none there are none.
const SECTIONS: [&str; 5] = ["Routes", "DynamicRoutes", "Aggregates", "Clusters", GLOBAL];
const GLOBAL: &str = "GlobalConfiguration";
/// Where the store is: never what the store says, or it could send the files' token elsewhere.
const SERVICE_DISCOVERY_PROVIDER: &str = "ServiceDiscoveryProvider";
const COMPATIBILITY: &str = "Compatibility";
const CONFIGURATION_STORE: &str = "ConfigurationStore";

/// Puts the stored document over the tree of the files.
pub fn overlay(root: &mut Node, stored: Node, diagnostics: &mut Diagnostics) {
    let Value::Object(members) = stored.value else {
        let message = format!("a configuration is an object, not {}", stored.type_name());
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
    let Some(all) = root.members_mut() else { return };
    for member in members.into_iter().filter(|m| !name_matches(m, CONFIGURATION_STORE)) {
        all.retain(|known| !name_matches(known, &member.key.value));
        all.push(member);
    }
    preserve_local_sections(all, global, span);
}

/// The files' part of `GlobalConfiguration` stays.
fn preserve_local_sections(all: &mut Vec<Member>, kept: Vec<Member>, span: super::Span) {
    let at = all.iter().position(|m| name_matches(m, GLOBAL) && matches!(m.value.value, Value::Object(_)));
    let Some(at) = at else {
        if !kept.is_empty() && !all.iter().any(|m| name_matches(m, GLOBAL) && !m.value.is_null()) {
            all.retain(|m| !name_matches(m, GLOBAL));
            let key = super::Spanned::new(GLOBAL.into(), span);
            all.push(Member { key, value: Node::new(span, Value::Object(kept)) });
        }
        return;
    };
    let stored = &mut all[at].value;
    stored.remove_ignore_case(SERVICE_DISCOVERY_PROVIDER);
    for member in kept {
        let said = stored.get_ignore_case(&member.key.value).is_some();
        if let Some(members) = stored.members_mut().filter(|_| !said) {
            members.push(member);
        }
    }
}

fn name_matches(member: &Member, name: &str) -> bool {
    member.key.value.eq_ignore_ascii_case(name)
}

/// What an empty store is given: the sections that are the store's, as the files write them (placeholders stay
/// placeholders), without the registry. None where the files name no store.
pub fn initial_value(root: &Node) -> Option<String> {
    root.get_ignore_case(CONFIGURATION_STORE)
        .and_then(Node::as_str)
        .filter(|name| !name.trim().is_empty())?;
    let of_store = |member: &&Member| SECTIONS.iter().any(|name| name_matches(member, name));
    let mut members: Vec<Member> = root.members().iter().filter(of_store).cloned().collect();
    for global in members.iter_mut().filter(|m| name_matches(m, GLOBAL)) {
        global.value.remove_ignore_case(SERVICE_DISCOVERY_PROVIDER);
    }
    let mut text = String::new();
    write(&Node::new(root.span, Value::Object(members)), &mut text);
    Some(text)
}

/// As JSON.
fn write(node: &Node, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, member) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                out.push_str(&quoted(&member.key.value));
                out.push(':');
                write(&member.value, out);
            }
            out.push('}');
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
        let mut text = String::new();
        write(node, &mut text);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_stored_document_says_the_routes_and_the_files_where_the_store_is() {
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
    fn a_stored_document_without_global_options_keeps_the_files_registry() {
        let tree = json(loaded(Some("{}")).root.as_ref().unwrap());
        assert_eq!(tree["GlobalConfiguration"]["ServiceDiscoveryProvider"]["Host"], "here");
        assert!(tree["GlobalConfiguration"]["RequestIdKey"].is_null() && tree["Routes"].is_null());
    }

    #[test]
    fn a_seed_holds_what_is_the_stores_with_its_placeholders_and_no_token() {
        let seed = loaded(None).initial_store_value.unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&seed).unwrap(),
            serde_json::json!({ "Routes": [{ "Key": "a\"${A}", "Priority": 1.50, "RouteIsCaseSensitive": false,
                "Key2": null }], "Aggregates": [1],
                "globalconfiguration": { "Compatibility": "Ocelot", "RequestIdKey": "old" } })
        );
    }

    #[test]
    fn a_stored_document_that_is_none_has_errors_at_its_own_place() {
        for text in ["[]", "{ \"Routes\": [ }", ""] {
            let loaded = loaded(Some(text));
            assert!(loaded.diagnostics.has_errors(), "{text}");
            let place = loaded.diagnostics.list[0].span.map(|span| loaded.sources.location(span).to_string());
            assert!(place.is_some_and(|place| place.starts_with("consul:key")), "{text}");
        }
    }
}
