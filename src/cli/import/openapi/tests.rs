//! Documents and what they become.

use super::*;
use serde_json::json;

const PETSTORE: &str = include_str!("../../../../tests/golden/import/petstore.yaml");

fn imported(document: &Value) -> (Value, Report) {
    import(document, &OpenapiOptions::default()).unwrap()
}

fn document(paths: Value) -> Value {
    json!({ "openapi": "3.0.3", "servers": [{ "url": "https://api.example.com/v1" }], "paths": paths })
}

fn field(document: &Value, name: &str) -> Vec<String> {
    let routes = document["Routes"].as_array().unwrap().iter();
    routes.map(|route| route[name].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn each_operation_is_a_route_to_the_server_with_its_base_path() {
    let source = super::super::source_text::parse_source("petstore.yaml", PETSTORE).unwrap();
    let (document, report) = imported(&source);
    assert_eq!(
        field(&document, "Key"),
        ["listPets", "createPet", "pets.get-pets-mine", "getPet", "getPet-2", "getPhoto"]
    );
    let paths =
        ["/pets", "/pets", "/pets/mine", "/pets/{petId}/", "/pets/{petId}/", "/pets/{petId}/photo.{format}/"];
    assert_eq!(field(&document, "UpstreamPathTemplate"), paths);
    assert_eq!(document["Routes"][0]["DownstreamPathTemplate"], "/v2/pets");
    assert_eq!(document["Routes"][5]["DownstreamCluster"], "images.example.com");
    assert_eq!(
        document["Clusters"]["eu.example.com"]["Endpoints"],
        json!([{ "Host": "eu.example.com", "Port": 443 }])
    );
    assert_eq!(document["Routes"][0]["Metadata"], json!({ "tags": "pets,public" }));
    assert_eq!(report.counts[..2], [("operations", 6), ("routes", 6)]);
}

#[test]
fn security_schemes_are_skeletons_that_reject_every_caller() {
    let source = super::super::source_text::parse_source("petstore.yaml", PETSTORE).unwrap();
    let (document, report) = imported(&source);
    let schemes = &document["AuthenticationSchemes"];
    assert_eq!(schemes["key"], json!({ "Type": "ApiKey", "Header": "X-Api-Key", "Keys": [] }));
    assert_eq!(schemes["oidc"]["Authority"], "https://id.example.com/realm");
    assert!(schemes.get("unused").is_none());
    let options = |at: usize| &document["Routes"][at]["AuthenticationOptions"];
    assert_eq!(options(0), &Value::Null, "security: []");
    assert_eq!(
        options(1),
        &json!({ "AllowedScopes": ["pets:write"], "AuthenticationProviderKeys": ["oidc"] })
    );
    assert_eq!(options(2)["AuthenticationProviderKeys"], json!(["key"]));
    let text = report.to_text();
    assert!(text.contains("security scheme that no operation requires"), "{text}");
    assert!(text.contains("Keys` of the ApiKey scheme is empty"), "{text}");
}

#[test]
fn unusual_documents_are_imported_as_far_as_possible_and_reported() {
    let (document, report) = imported(&document(json!({
        "/a/{b}.json": { "get": {} },
        "/{x}{y}": { "get": { "operationId": "same" } },
        "/c": { "get": { "operationId": "same" } },
        "/d/{x}": { "get": {} },
        "/d/{y}": { "get": {} },
        "e": { "get": {} },
        "/f": { "$ref": "#/paths/~1c" },
        "/g": { "$ref": "other.yaml" },
        "/h": { "$ref": "#/paths/~1h" },
        "/i": { "get": null, "post": "text" },
        "x-ignored": {}
    })));
    assert_eq!(
        field(&document, "UpstreamPathTemplate"),
        ["/a/{b}.json/", "/c", "/d/{x}/", "/f", "/{x}{y}/"],
        "concrete paths first"
    );
    assert_eq!(field(&document, "Key"), ["get-a-b-json", "same-2", "get-d-x", "same-3", "same"]);
    let text = report.to_text();
    for reason in [
        "does not begin with a slash",
        "bundle the document",
        "leads to itself",
        "matches the same requests",
        "not an object",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
}

#[test]
fn required_headers_with_one_value_select_the_operation() {
    let operation = |target: &str| {
        json!({ "post": { "operationId": target, "parameters": [
            { "name": "X-Amz-Target", "in": "header", "required": true, "schema": { "enum": [target] } },
            { "name": "q", "in": "query", "required": true, "schema": { "type": "string" } }
        ] } })
    };
    let (document, report) =
        imported(&document(json!({ "/#A.One": operation("A.One"), "/#A.Two": operation("A.Two") })));
    assert_eq!(document["Routes"].as_array().unwrap().len(), 2);
    assert_eq!(document["Routes"][1]["UpstreamHeaderTemplates"], json!({ "X-Amz-Target": r"A\.Two" }));
    assert!(report.to_text().contains("required query parameters"));
}

#[test]
fn alternatives_of_schemes_are_tried_in_order_and_all_scopes_are_required() {
    let mut source = document(json!({
        "/a": { "get": { "security": [{ "k": [] }, { "t": ["x", "y"] }] } },
        "/b": { "get": { "security": [{ "t": ["x", "y"] }] } },
        "/c": { "get": { "security": [{ "digest": [] }] } },
        "/d": { "get": { "security": [{}, { "k": [] }] } }
    }));
    source["components"] = json!({ "securitySchemes": {
        "k": { "type": "apiKey", "in": "query", "name": "key" },
        "t": { "type": "http", "scheme": "bearer" },
        "digest": { "type": "http", "scheme": "digest" }
    } });
    let (document, report) = imported(&source);
    let routes = &document["Routes"];
    assert_eq!(routes[0]["AuthenticationOptions"]["AuthenticationProviderKeys"], json!(["k", "t"]));
    assert_eq!(routes[1]["RouteClaimsExpression"], "'x' in scopes && 'y' in scopes");
    assert_eq!(routes[2]["AuthenticationOptions"]["AuthenticationProviderKeys"], json!(["not-imported"]));
    assert!(routes[3].get("AuthenticationOptions").is_none());
    assert!(report.to_text().contains("\"digest\" is not supported"));
}

#[test]
fn the_command_line_sets_server_prefix_and_base_path() {
    let source = document(json!({ "/a": { "get": {} } }));
    let options = OpenapiOptions {
        server: Some("http://localhost:9000/base/".to_owned()),
        prefix: Some("shop/".to_owned()),
        keep_base_path: true,
    };
    let (result, _) = import(&source, &options).unwrap();
    assert_eq!(field(&result, "UpstreamPathTemplate"), ["/shop/base/a"]);
    assert_eq!(field(&result, "DownstreamPathTemplate"), ["/base/a"]);
    let wrong = OpenapiOptions { server: Some("localhost".to_owned()), ..OpenapiOptions::default() };
    assert!(import(&source, &wrong).unwrap_err().starts_with("--server: expected an absolute URL"));
}

#[test]
fn other_documents_are_refused_with_a_cure() {
    for (document, reason) in [
        (json!({ "swagger": "2.0" }), "swagger2openapi"),
        (json!({ "openapi": "4.0.0" }), "found \"openapi\": \"4.0.0\""),
        (json!({ "openapi": 3.1, "paths": {} }), ""),
        (json!([]), "no member `openapi`"),
    ] {
        match import(&document, &OpenapiOptions::default()) {
            Err(error) => assert!(error.contains(reason) && !reason.is_empty(), "{error}"),
            Ok(_) => assert!(reason.is_empty(), "{document}"),
        }
    }
}
