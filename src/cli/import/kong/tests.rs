//! Documents and what they become.

use super::*;

const SHOP: &str = include_str!("../../../../tests/golden/import/kong.yaml");

fn shop() -> (Value, Report) {
    import(&super::super::source_text::parse_source("kong.yaml", SHOP).unwrap()).unwrap()
}

fn route<'d>(document: &'d Value, key: &str) -> &'d Value {
    let routes = document["Routes"].as_array().unwrap();
    routes.iter().find(|route| route["Key"] == key).unwrap_or_else(|| panic!("no route {key} in {routes:#?}"))
}

#[test]
fn strip_path_leaves_the_rest_behind_the_path_of_the_service() {
    let (document, _) = shop();
    let orders = route(&document, "orders");
    assert_eq!(
        (&orders["UpstreamPathTemplate"], &orders["DownstreamPathTemplate"]),
        (&"/orders/{rest}".into(), &"/api/{rest}".into())
    );
    let kept = route(&document, "kept");
    assert_eq!(kept["DownstreamPathTemplate"], "/api/kept/{rest}");
    let item = route(&document, "item");
    assert_eq!(
        (&item["UpstreamPathTemplate"], &item["DownstreamPathTemplate"]),
        (&"/orders/{id}/".into(), &"/api".into())
    );
    assert_eq!(item["PreserveHost"], true);
}

#[test]
fn attributes_regular_expressions_and_longer_paths_come_first() {
    let (document, _) = shop();
    let keys: Vec<_> =
        document["Routes"].as_array().unwrap().iter().map(|route| route["Key"].as_str().unwrap()).collect();
    let position = |key: &str| {
        keys.iter().position(|other| *other == key).unwrap_or_else(|| panic!("{key} in {keys:?}"))
    };
    assert!(position("post") < position("item") && position("item") < position("kept"), "{keys:?}");
    assert!(position("orders") < position("root"), "{keys:?}");
    assert_eq!(
        route(&document, "wild")["UpstreamHeaderTemplates"]["Host"],
        r"(?i:[^:]+\.example\.com)(:[0-9]+)?"
    );
}

#[test]
fn plugins_become_settings_and_the_nearest_instance_wins() {
    let (document, report) = shop();
    let orders = route(&document, "orders");
    let limits = &orders["RateLimitOptions"];
    assert_eq!(
        limits["Limits"],
        serde_json::json!([{ "Limit": 5, "Period": "1m" }]),
        "that of the route, not of the service"
    );
    assert_eq!(limits["PartitionBy"], serde_json::json!(["Claim:sub", "Route"]));
    assert_eq!(route(&document, "kept")["RateLimitOptions"]["Limits"][0]["Limit"], 100);
    assert_eq!(
        orders["AuthenticationOptions"]["AuthenticationProviderKeys"],
        serde_json::json!(["key-auth"])
    );
    assert_eq!(orders["RouteClaimsRequirement"], serde_json::json!({ "groups": ["staff"] }));
    let scheme = &document["AuthenticationSchemes"]["key-auth"];
    let key = &scheme["Keys"][0];
    assert_eq!((&key["Owner"], &key["Claims"]["groups"][0]), (&"ann".into(), &"staff".into()));
    assert_eq!(
        key["Sha256"], "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "of the text secret"
    );
    assert!(!document.to_string().contains("\"secret\""));
    assert_eq!(orders["CorsOptions"]["AllowedOrigins"], serde_json::json!(["https://app.example"]));
    assert_eq!(orders["UpstreamHeaderTransform"]["X-Env"], serde_json::json!({ "Default": "prod" }));
    let text = report.to_text();
    for reason in [
        "request-termination responds itself",
        "hmac-auth has no counterpart",
        "prefix matches whole segments",
        "metrics and traces",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert_eq!(
        route(&document, "guarded")["AuthenticationOptions"]["AuthenticationProviderKeys"][0],
        "not-imported"
    );
}

#[test]
fn weighted_targets_become_endpoints_with_health_checks() {
    let (document, _) = shop();
    let cluster = &document["Clusters"]["orders"];
    let expected = serde_json::json!([{ "Host": "10.0.0.1", "Port": 8080, "Weight": 3 }, { "Host": "10.0.0.2", "Port": 8080 }]);
    assert_eq!(cluster["Endpoints"], expected);
    assert_eq!(cluster["LoadBalancerOptions"], serde_json::json!({ "Type": "LeastConnection" }));
    let active = &cluster["HealthCheckOptions"]["Active"];
    assert_eq!(
        (&active["Path"], &active["Interval"], &active["HealthyThreshold"]),
        (&"/status".into(), &"5s".into(), &2.into())
    );
    assert_eq!(cluster["HealthCheckOptions"]["Passive"]["ConsecutiveFailures"], 3);
}

#[test]
fn another_document_is_refused() {
    assert!(import(&serde_json::json!({ "openapi": "3.0.0" })).is_err());
    assert!(import(&Value::Null).is_err());
}
