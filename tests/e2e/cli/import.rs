//! Imports: the result passes `check`, and `explain` sends requests where the source would.

use super::{margay, margay_with};
use serde_json::Value;
use std::path::Path;

/// A request, and the expected route and request line to the backend; `None`: no route.
type Expected<'t> = (&'t str, &'t [&'t str], Option<(&'t str, &'t str)>);

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import").join(name).to_str().unwrap().to_owned()
}

fn check(format: &str, source: &str, expected: &[Expected]) {
    let folder = tempfile::tempdir().unwrap();
    let imported = margay(folder.path(), &["import", format, source, "--output", "gateway.json", "--tests"]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let tested = margay(folder.path(), &["test", "gateway.json"]);
    assert!(tested.code == Some(0) && tested.stdout.contains("all passed"), "{}", tested.stdout);
    let checked = margay(folder.path(), &["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let formatted = margay(folder.path(), &["fmt", "--check"]);
    assert_eq!(formatted.code, Some(0), "{}", formatted.stdout);
    for (request, headers, result) in expected {
        let (method, url) = request.split_once(' ').unwrap();
        let mut arguments = vec!["explain", method, url, "--json"];
        headers.iter().for_each(|header| arguments.extend(["-H", header]));
        let explained = margay(folder.path(), &arguments);
        let page: Value =
            serde_json::from_str(&explained.stdout).unwrap_or_else(|_| panic!("{}", explained.stderr));
        let route = page["route"]["name"].as_str();
        assert_eq!(route, result.map(|(route, _)| route), "{request} {headers:?}: {page:#}");
        if let Some((_, line)) = result.filter(|(_, line)| !line.is_empty()) {
            let sent = page["request"][0].as_str().unwrap_or_default();
            assert!(sent.starts_with(&format!("{line} ")), "{request}: {sent}: {page:#}");
        }
    }
}

#[test]
fn openapi_operations_are_routed_by_path_and_method() {
    check(
        "openapi",
        &golden("petstore.yaml"),
        &[
            ("GET /pets?limit=3", &[], Some(("listPets", "GET /v2/pets?limit=3"))),
            ("GET /pets/mine", &[], Some(("pets.get-pets-mine", ""))),
            ("GET /pets/7", &[], Some(("getPet", ""))),
            ("DELETE /pets/7", &[], Some(("getPet-2", ""))),
            ("GET /pets/7/photo.png", &[], Some(("getPhoto", ""))),
            ("GET /pets/7/toys", &[], None),
            ("GET /PETS", &[], None),
            ("PATCH /pets", &[], None),
        ],
    );
}

#[test]
fn yarp_routes_are_matched_in_its_order() {
    check(
        "yarp",
        &golden("yarp.json"),
        &[
            ("GET /items/7", &[], Some(("item", "GET /base/catalog/7"))),
            ("GET /ITEMS/7/", &[], Some(("item", ""))),
            ("GET /items/7/parts?a=b", &[], Some(("items", "GET /base/v1/7/parts?source=gateway&a=b"))),
            ("POST /items", &[], Some(("items", ""))),
            ("PUT /items/7/parts", &[], Some(("fallback", "PUT /base/items/7/parts"))),
            ("GET /items/7", &["X-First: 1"], Some(("first", "GET /base/items/7"))),
            ("GET /other", &[], Some(("fallback", "GET /base/other"))),
            ("GET http://admin.example.com/", &[], Some(("admin", ""))),
            ("GET http://admin.example.com/items/7/x", &[], Some(("items@admin.example.com", ""))),
        ],
    );
}

#[test]
fn kong_routes_are_matched_by_its_priority() {
    check(
        "kong",
        &golden("kong.yaml"),
        &[
            ("GET /orders", &[], Some(("orders", ""))),
            ("GET /orders/7/lines", &[], Some(("orders", ""))),
            ("GET /orders/7", &[], Some(("item", ""))),
            ("POST /orders/7", &[], Some(("post", ""))),
            ("GET /kept/x", &[], Some(("kept", ""))),
            ("GET /a?b=c", &[], Some(("root", "GET /site/a?b=c"))),
            ("GET http://shop.example.com/w/x", &[], Some(("wild", "GET /site/x"))),
            ("GET /w/x", &[], Some(("root", "GET /site/w/x"))),
            ("GET /gone", &[], Some(("root", ""))),
        ],
    );
}

#[test]
fn a_stdin_document_is_printed_with_its_report_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let document = r#"{ "openapi": "3.0.0", "servers": [{ "url": "http://a.example" }], "paths": { "/a": { "get": {} }, "b": { "get": {} } } }"#;
    let imported = margay_with(folder.path(), &["import", "openapi", "-", "--json"], document, &[]);
    let (document, report): (Value, Value) =
        (serde_json::from_str(&imported.stdout).unwrap(), serde_json::from_str(&imported.stderr).unwrap());
    assert_eq!(document["Routes"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&report["counts"]["operations"], &report["notes"][0]["kind"]),
        (&2.into(), &"skipped".into())
    );
}

#[test]
fn bad_sources_are_refused_with_the_reason_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (format, document, code, reason) in [
        ("openapi", "swagger: '2.0'", 2, "swagger2openapi"),
        ("openapi", "{ \"openapi\": ", 2, "error[MG"),
        ("openapi", "a: [", 2, "line 1"),
        ("yarp", "{}", 2, "section ReverseProxy"),
        ("kong", "a: 1", 2, "expected a declarative file"),
    ] {
        let arguments = ["import", format, "-", "--output", "gateway.json"];
        let imported = margay_with(folder.path(), &arguments, document, &[]);
        assert_eq!(imported.code, Some(code), "{document}: {}", imported.stderr);
        assert!(imported.stderr.contains(reason), "{document}: {}", imported.stderr);
        assert!(!folder.path().join("gateway.json").exists());
    }
    let missing = margay(folder.path(), &["import", "kong", "missing.yaml"]);
    assert_eq!(
        (missing.code, missing.stderr.contains("cannot read missing.yaml")),
        (Some(1), true),
        "{}",
        missing.stderr
    );
    std::fs::write(folder.path().join("gateway.json"), "{}").unwrap();
    let kept = margay(folder.path(), &["import", "kong", &golden("kong.yaml"), "--output", "gateway.json"]);
    assert_eq!((kept.code, kept.stderr.contains("--force")), (Some(1), true));
}
