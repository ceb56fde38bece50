use super::*;
use crate::config::{Environment, InMemoryFiles, Loaded};
use crate::plan::blueprint::Blueprint;
use crate::plan::compile;
use crate::plan::document::load_texts;
use serde_json::{Value, json};

fn loaded(text: &str) -> (Loaded, Blueprint) {
    let files = [("gateway.json", text)];
    let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
    let variable = |name: &str| Some(format!("value of {name}"));
    let environment = Environment { variable: &variable, ..Environment::of_process() };
    let mut loaded = load_texts(&files, environment);
    let blueprint = compile(&mut loaded);
    let report = crate::config::render::text(&loaded.diagnostics, &loaded.sources, Default::default());
    (loaded, blueprint.unwrap_or_else(|| panic!("{report}")))
}

fn compare(old: &Value, new: &Value) -> Diff {
    let (old, new) = (loaded(&old.to_string()), loaded(&new.to_string()));
    diff(&Configuration::new(&old.0, &old.1).unwrap(), &Configuration::new(&new.0, &new.1).unwrap())
}

#[track_caller]
fn expect(old: &Value, new: &Value, lines: &[&str]) {
    assert_eq!(compare(old, new).lines(), lines);
}

/// A route with more settings.
fn route(key: &str, more: &Value) -> Value {
    let mut route = json!({
        "Key": key, "UpstreamPathTemplate": format!("/{key}"), "DownstreamPathTemplate": "/",
        "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "10.0.0.1", "Port": 80 }],
    });
    for (name, value) in more.as_object().unwrap() {
        route[name] = value.clone();
    }
    route
}

fn document(routes: &[Value]) -> Value {
    json!({ "Routes": routes })
}

#[test]
fn a_changed_setting_of_a_route_is_named_with_both_values() {
    let old = document(&[route("orders", &json!({ "Timeout": 30 })), route("legacy", &json!({}))]);
    let new = document(&[route("orders", &json!({ "Timeout": "5s" }))]);
    expect(&old, &new, &["route legacy removed", "route orders: timeout 30s -> 5s"]);
    expect(&new, &old, &["route legacy added (* /legacy)", "route orders: timeout 5s -> 30s"]);
}

#[test]
fn a_default_that_is_written_out_is_no_change() {
    let old = document(&[route("a", &json!({}))]);
    let explicit = json!({ "Timeout": 90, "Priority": 1, "RouteIsCaseSensitive": false, "UpstreamHttpMethod": [],
        "PreserveHost": false, "LoadBalancerOptions": { "Type": "NoLoadBalancer" }, "DownstreamHttpVersion": "1.1",
        "HttpHandlerOptions": { "PooledConnectionLifetimeSeconds": 120 },
        "DownstreamHostAndPorts": [{ "Host": "10.0.0.1" }] });
    let mut new = document(&[route("a", &explicit)]);
    new["Limits"] = json!({ "DrainTimeout": "30s", "MaxRequestLineSize": "16384B" });
    new["Listeners"] = json!([{ "Address": "127.0.0.1:8080" }]);
    new["AccessLog"] = json!(false);
    new["GlobalConfiguration"] = json!({ "Timeout": "90s" });
    expect(&old, &new, &[]);
}

#[test]
fn an_option_that_moves_to_the_global_configuration_is_no_change() {
    let options = json!({ "RateLimitOptions": { "Limit": 5, "Period": "1s", "EnableRateLimiting": true } });
    let old = document(&[route("a", &options), route("b", &options)]);
    let mut new = document(&[route("a", &json!({})), route("b", &json!({}))]);
    new["GlobalConfiguration"] = options;
    expect(&old, &new, &[]);
    let mut other = new.clone();
    other["GlobalConfiguration"]["RateLimitOptions"]["Limit"] = json!(6);
    expect(
        &new,
        &other,
        &["route a: RateLimitOptions.Limit 5 -> 6", "route b: RateLimitOptions.Limit 5 -> 6"],
    );
}

#[test]
fn the_same_change_of_many_routes_is_one_line() {
    let routes: Vec<_> = ["a", "b", "c", "d", "e"].map(|key| route(key, &json!({}))).into();
    let old = document(&routes);
    let mut new = old.clone();
    new["GlobalConfiguration"] = json!({ "Timeout": 5 });
    expect(&old, &new, &["5 routes (a, b, c and 2 more): timeout 90s (default) -> 5s"]);
    assert_eq!(compare(&old, &new).routes.len(), 5);
}

#[test]
fn endpoints_of_clusters_are_compared_by_their_addresses() {
    let cluster = |hosts: &[&str]| {
        let endpoints: Vec<_> = hosts.iter().map(|host| json!({ "Host": host, "Port": 80 })).collect();
        json!({ "Clusters": { "users": { "Endpoints": endpoints, "DownstreamScheme": "http",
                "LoadBalancerOptions": { "Type": "RoundRobin" } } },
            "Routes": [{ "Key": "u", "UpstreamPathTemplate": "/u", "DownstreamPathTemplate": "/", "DownstreamCluster": "users" }] })
    };
    let (old, new) = (cluster(&["10.0.0.2"]), cluster(&["10.0.0.2", "10.0.0.3"]));
    expect(&old, &new, &["cluster users: endpoint 10.0.0.3:80 added"]);
    assert!(compare(&old, &new).routes.contains("u"), "its routes change");
}

#[test]
fn a_reordering_without_effect_is_no_change() {
    let (a, b) = (route("a", &json!({})), route("b", &json!({})));
    expect(&document(&[a.clone(), b.clone()]), &document(&[b, a]), &[]);
}

#[test]
fn a_reordering_that_decides_which_route_matches_is_a_change() {
    let (a, b) = (route("new", &json!({})), route("id", &json!({ "UpstreamPathTemplate": "/{id}" })));
    let b = {
        let mut b = b;
        b["UpstreamHttpMethod"] = json!(["GET"]);
        b
    };
    let (one, other) = (document(&[a.clone(), b.clone()]), document(&[b, a]));
    expect(
        &one,
        &other,
        &["route id: order changed (now matched before new, which matches some of the same requests)"],
    );
}

#[test]
fn a_global_option_is_a_change_of_routes_whose_documents_are_the_same() {
    let with = |timeout: &str| {
        let mut document = document(&[route("a", &json!({})), route("b", &json!({ "Timeout": "9s" }))]);
        document["GlobalConfiguration"] = json!({ "Timeout": timeout });
        document
    };
    expect(&with("3s"), &with("4s"), &["route a: timeout 3s -> 4s"]);
    expect(&with("3s"), &with("3s"), &[]);
}

#[test]
fn a_route_with_other_methods_is_the_same_route() {
    let with = |methods: &[&str]| document(&[route("a", &json!({ "UpstreamHttpMethod": methods }))]);
    expect(&with(&["GET"]), &with(&["POST", "GET"]), &["route a: methods POST added"]);
    expect(&with(&["GET", "POST"]), &with(&["POST", "GET"]), &[]);
}

#[test]
fn secrets_are_masked() {
    let with = |key: &str| {
        json!({ "AuthenticationSchemes": { "s": { "Type": "JwtBearer", "SigningKey": key, "Audience": "a" },
            "w": { "Type": "HmacSignature", "Sender": "GitHub", "Secrets": [key] } },
        "Tunnels": { "Agents": { "a": { "Keys": [key.repeat(2)] } } },
        "Subscriptions": { "a": { "PrimaryKey": key } },
        "Routes": [route("a", &json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["s"] },
            "SignalROptions": { "Key": key }, "UpstreamHeaderTransform": { "Authorization": key } }))] })
    };
    let (old, new) = ("0123456789012345678901234567890one", "0123456789012345678901234567890two");
    let diff = compare(&with(old), &with(new));
    let (text, json) = (diff.text(), serde_json::to_string(&diff).unwrap());
    assert!(text.contains("authentication scheme s: SigningKey changed (hidden)"), "{text}");
    assert!(text.contains("UpstreamHeaderTransform.Authorization changed (hidden)"), "{text}");
    assert!(!text.contains("0123456789") && !json.contains("0123456789"), "{text}{json}");
}

#[test]
fn limits_listeners_and_new_features_are_changes() {
    let old = json!({ "Listeners": [{ "Name": "main", "Address": "127.0.0.1:1" }], "Routes": [route("a", &json!({}))] });
    let new = json!({ "Listeners": [{ "Name": "main", "Address": "127.0.0.1:2" }, { "Name": "b", "Address": "127.0.0.1:3" }],
        "Limits": { "DrainTimeout": "10s" }, "Routes": [route("a", &json!({ "RetryOptions": { "Attempts": 3 } }))] });
    expect(
        &old,
        &new,
        &[
            "route a: RetryOptions added",
            "listener b added",
            "listener main: address 127.0.0.1:1 -> 127.0.0.1:2",
            "gateway: Limits.DrainTimeout 30s (default) -> 10s",
        ],
    );
}

#[test]
fn tests_are_not_traffic() {
    let old = document(&[route("a", &json!({}))]);
    let mut new = old.clone();
    new["Tests"] = json!([{ "Request": "GET /a", "Expect": { "Route": "a" } }]);
    expect(&old, &new, &[]);
}
