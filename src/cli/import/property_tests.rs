//! Any document is imported or refused, without a panic, and what is imported passes the check.

use super::openapi::OpenapiOptions;
use super::settle::settle;
use super::{Report, kong, openapi, yarp};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names and values that the importers read, so that random documents reach their branches.
const NAMES: [&str; 40] = [
    "get",
    "post",
    "parameters",
    "servers",
    "url",
    "variables",
    "security",
    "tags",
    "operationId",
    "$ref",
    "Match",
    "Path",
    "Hosts",
    "Methods",
    "Headers",
    "Transforms",
    "ClusterId",
    "Destinations",
    "Address",
    "Order",
    "name",
    "paths",
    "hosts",
    "methods",
    "headers",
    "plugins",
    "config",
    "routes",
    "service",
    "targets",
    "target",
    "weight",
    "healthchecks",
    "in",
    "required",
    "schema",
    "enum",
    "PathPattern",
    "QueryParameters",
    "strip_path",
];
const TEXTS: [&str; 26] = [
    "/a",
    "/a/{b}",
    "/{x}{y}",
    "/{**rest}",
    "~/v\\d+$",
    "/a?b=c",
    "",
    "#/paths",
    "#/paths/~1a",
    "http://a.example/v1",
    "*.example.com",
    "GET",
    "header",
    "query",
    "X-A",
    "a",
    "key-auth",
    "rate-limiting",
    "acl",
    "cors",
    "c",
    "s",
    "r",
    "00:00:05",
    "true",
    "{",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => (-5_i64..1000).prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 5, |inner| {
        let name = prop_oneof![
            3 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
            1 => prop::sample::select(&TEXTS[..]).prop_map(str::to_owned),
        ];
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::vec((name, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A map of paths, routes or services with random contents.
fn named(value: Value, others: Value) -> Value {
    json!({ "/a": value.clone(), "/a/{b}": others, "/{b}/c": value })
}

fn passes(imported: Result<(Value, Report), String>) -> Result<(), TestCaseError> {
    if let Ok((mut document, mut report)) = imported {
        let loaded = settle(&mut document, &mut report);
        prop_assert!(!loaded.diagnostics.has_errors(), "{:#} {:?}", document, loaded.diagnostics.list);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_openapi_document_is_imported_or_refused(paths in tree(), item in tree(), more in tree()) {
        let document = json!({
            "openapi": "3.1.0", "paths": named(item, paths), "servers": more.clone(), "security": more.clone(),
            "components": { "securitySchemes": { "a": more } }
        });
        passes(openapi::import(&document, &OpenapiOptions::default()))?;
    }

    #[test]
    fn any_yarp_section_is_imported_or_refused(route in tree(), condition in tree(), transforms in tree(), cluster in tree()) {
        let route = json!({ "ClusterId": "c", "Match": condition, "Transforms": [transforms], "Timeout": route });
        let cluster = json!({ "Destinations": { "a": { "Address": "http://a.example/v1" } }, "HealthCheck": cluster });
        passes(yarp::import(&json!({ "Routes": { "r": route }, "Clusters": { "c": cluster } })))?;
    }

    #[test]
    fn any_kong_file_is_imported_or_refused(route in tree(), plugin in tree(), config in tree(), health in tree()) {
        let names = ["key-auth", "rate-limiting", "acl", "cors", "request-transformer", "proxy-cache", "ip-restriction", "x"];
        let plugins: Vec<Value> = names.iter().map(|name| json!({ "name": name, "config": config })).collect();
        let document = json!({
            "services": [
                { "name": "s", "host": "u", "plugins": plugins, "routes": [route.clone(), { "paths": ["/a"], "plugins": [plugin] }] },
                { "name": "t", "url": "http://a.example/v1", "routes": [route, { "name": "n", "hosts": ["h"], "methods": ["GET"] }] }
            ],
            "upstreams": [{ "name": "u", "targets": [{ "target": "a:1" }], "healthchecks": health }]
        });
        passes(kong::import(&document))?;
    }
}
