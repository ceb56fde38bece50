//! Documents and what they become.

use super::*;

const SHOP: &str = include_str!("../../../../tests/golden/import/yarp.json");

fn shop() -> (Value, Report) {
    import(&super::super::source_text::parse_source("appsettings.json", SHOP).unwrap()).unwrap()
}

fn route<'d>(document: &'d Value, key: &str) -> &'d Value {
    let routes = document["Routes"].as_array().unwrap();
    routes.iter().find(|route| route["Key"] == key).unwrap_or_else(|| panic!("no route {key} in {routes:#?}"))
}

#[test]
fn order_and_precedence_determine_the_order_of_the_file() {
    let (document, _) = shop();
    let keys: Vec<_> =
        document["Routes"].as_array().unwrap().iter().map(|route| route["Key"].as_str().unwrap()).collect();
    let position = |key: &str| {
        keys.iter().position(|other| *other == key).unwrap_or_else(|| panic!("{key} in {keys:?}"))
    };
    assert!(position("first") < position("item") && position("item") < position("items"), "{keys:?}");
    assert!(position("items") < position("fallback"), "{keys:?}");
    assert!(position("items@admin.example.com") < position("admin"), "{keys:?}");
}

#[test]
fn paths_transforms_and_settings_are_taken_over() {
    let (document, report) = shop();
    let items = route(&document, "items");
    assert_eq!(items["UpstreamPathTemplate"], "/items/{remainder}");
    assert_eq!(items["DownstreamPathTemplate"], "/base/v1/{remainder}?source=gateway");
    assert_eq!(items["UpstreamHttpMethod"], serde_json::json!(["GET", "POST"]));
    assert_eq!(items["UpstreamHeaderTransform"]["X-Added"], serde_json::json!({ "Set": "yes" }));
    assert_eq!(items["UpstreamHeaderTransform"]["Cookie"], Value::Null);
    assert_eq!(items["DownstreamHeaderTransform"]["X-Server"], serde_json::json!({ "Append": "a" }));
    assert_eq!((&items["PreserveHost"], &items["Timeout"]), (&true.into(), &"30s".into()));
    assert_eq!(route(&document, "item")["DownstreamPathTemplate"], "/base/catalog/{id}");
    assert_eq!(route(&document, "admin")["AuthenticationOptions"]["AuthenticationProviderKeys"][0], "admins");
    assert!(report.to_text().contains("its rules are in the code"), "{}", report.to_text());
}

#[test]
fn clusters_have_their_balancing_and_health_checks() {
    let (document, report) = shop();
    let cluster = &document["Clusters"]["catalog"];
    assert_eq!(cluster["Endpoints"].as_array().unwrap().len(), 2);
    assert_eq!(cluster["LoadBalancerOptions"]["Type"], "RoundRobin");
    let active = &cluster["HealthCheckOptions"]["Active"];
    assert_eq!(active, &serde_json::json!({ "Path": "/health?full=1", "Interval": "10s", "Timeout": "5s" }));
    assert_eq!(cluster["HealthCheckOptions"]["Passive"]["EjectionTime"], "120s");
    assert_eq!(document["Clusters"]["admin"]["LoadBalancerOptions"]["Type"], "CookieStickySessions");
    assert!(report.to_text().contains("HttpClient.SslProtocols"));
}

#[test]
fn a_document_without_routes_is_refused() {
    assert!(import(&serde_json::json!({ "Logging": {} })).is_err());
}
