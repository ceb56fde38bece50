//! Documents: reading, merging and descriptions.

use super::*;

mod load;
mod overlay;
mod policies;
mod schema;

fn keys(schema: &serde_json::Value, name: &str) -> Vec<String> {
    let object = if name == "Document" { schema } else { &schema["$defs"][name] };
    object["properties"].as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn a_route_document_is_small() {
    let size = size_of::<RouteDocument>();
    // 16 bytes belong to the feature of the tests, 64 to the service and the negotiation of hubs, 24 to the affinity of SignalR.
    assert!(size <= 1848 + 16 + 64 + 24, "{size} bytes");
}

#[test]
fn the_schema_has_ocelots_names_and_describes_every_setting() {
    let schema = schemars::schema_for!(Document).to_value();
    let route = keys(&schema, "RouteDocument");
    assert!(route.contains(&"UpstreamPathTemplate".to_owned()), "{route:?}");
    assert!(keys(&schema, "QosOptions").contains(&"ExceptionsAllowedBeforeBreaking".to_owned()));
    assert!(keys(&schema, "GlobalQosOptions").contains(&"RouteKeys".to_owned()));
    assert!(keys(&schema, "Document").contains(&"ReloadOnChange".to_owned()));
    let objects = schema["$defs"].as_object().expect("definitions");
    for (name, object) in objects {
        // A setting that is a text or an object has no properties.
        for (key, setting) in object["properties"].as_object().into_iter().flatten() {
            assert!(setting["description"].is_string(), "{name}.{key} has no description");
        }
    }
}
