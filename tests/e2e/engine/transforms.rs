//! Transformations of requests and responses, and the requirements of a route on its callers.

use super::{document, to};
use crate::support::client::{Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

const KEY: &str = "a key that only these tests know, 1234";

/// A backend with its own headers.
fn service() -> Origin {
    Origin::with(|_| {
        StubResponse::new(200, "hello")
            .header("Server", "insides/1.0")
            .header("X-Frame-Options", "SAMEORIGIN")
            .header("Location", "http://internal/a")
            .header("Set-Cookie", "a=internal")
            .header("Set-Cookie", "b=internal")
    })
}

fn shaped(origin: &Origin, route: &Value) -> Gateway {
    Gateway::with(&document(origin.port(), route, &json!({})))
}

#[test]
fn request_headers_are_set_edited_and_removed() {
    let origin = service();
    let route = json!({ "UpstreamPathTemplate": "/t/{tenant}/{everything}", "UpstreamHeaderTransform": {
        "X-Tenant": "tenant {tenant} of {RemoteIpAddress}", "Cookie": null, "Accept": { "Set": "a/b, c/d" },
        "X-Lines": "one,1", "X-More": { "Append": "2" }, "X-Kept": { "Default": "never" },
    } });
    let gateway = shaped(&origin, &route);
    let request = Request::get("/t/a%20b/x").header("Cookie", "secret=1").header("Accept", "*/*");
    let request = request.header("X-Lines", "one one").header("X-Lines", "two one").header("X-More", "1");
    assert_eq!(gateway.ask(&request.header("X-Kept", "mine")).status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("x-tenant"), Some("tenant a%20b of 127.0.0.1"));
    assert!(!seen.head.has("cookie"));
    assert_eq!(seen.head.all("accept"), ["a/b, c/d"]);
    assert_eq!(seen.head.all("x-lines"), ["1 1", "two 1"]);
    assert_eq!(seen.head.all("x-more"), ["1", "2"]);
    assert_eq!(seen.head.all("x-kept"), ["mine"]);
}

#[test]
fn responses_are_transformed_and_gateway_errors_are_not() {
    let origin = service();
    let changes = json!({
        "Server": null, "X-Frame-Options": "DENY", "X-Path": "{everything}",
        "Location": "http://internal,{BaseUrl}", "Set-Cookie": { "Find": "internal", "Replace": "1, 2" },
    });
    let gateway = shaped(&origin, &json!({ "DownstreamHeaderTransform": changes }));
    let answer = gateway.get("/some/path?x=1");
    assert!(!answer.head.has("server"));
    assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(answer.header("x-path"), Some("some/path"));
    assert_eq!(answer.header("location"), Some("http://localhost:5000/a"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1, 2", "b=1, 2"]);
    let closed = Gateway::with(&document(9, &json!({ "DownstreamHeaderTransform": changes }), &json!({})));
    let failed = closed.get("/");
    assert_eq!((failed.status, failed.head.has("x-path")), (502, false));
}

#[test]
fn the_edge_policy_adds_security_headers_and_removes_revealing_ones() {
    let policy = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/edge.json")).unwrap();
    let origin = service();
    let global = json!({ "GlobalConfiguration": { "Policies": ["edge"] } });
    let document = document(origin.port(), &json!({}), &global);
    let gateway = Gateway::start(&Setup::json(&document).file("policies/edge.json", &policy));
    let answer = gateway.get("/");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.head.all("x-frame-options"), ["SAMEORIGIN"]);
    assert!(!answer.head.has("server"));
}

#[test]
fn a_trace_is_continued_or_started_and_its_id_is_in_errors() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let origin = service();
    let gateway = shaped(&origin, &json!({ "UpstreamHeaderTransform": { "X-Trace": "{TraceId}" } }));
    gateway.ask(&Request::get("/").header("traceparent", parent).header("tracestate", "a=1"));
    let seen = origin.last();
    let traceparent = seen.header("traceparent").unwrap();
    assert!(
        traceparent.starts_with(&parent[..36]) && traceparent.ends_with("-01") && traceparent != parent,
        "{traceparent}"
    );
    assert_eq!(seen.header("tracestate"), Some("a=1"));
    assert_eq!(seen.header("x-trace"), Some(&parent[3..35]));
    gateway.get("/");
    assert_eq!(origin.last().header("traceparent").map(str::len), Some(55));
    let closed = Gateway::with(&document(9, &json!({}), &json!({})));
    let failed = closed.ask(&Request::get("/").header("traceparent", parent));
    assert_eq!(failed.json()["requestId"], &parent[3..35]);
    let off = json!({ "TraceContext": "Off" });
    let passed_on = Gateway::with(&document(origin.port(), &json!({}), &off));
    passed_on.ask(&Request::get("/").header("traceparent", parent));
    assert_eq!(origin.last().header("traceparent"), Some(parent));
}

/// A gateway whose route requires a token.
fn authenticated_gateway(origin: &Origin, route: &Value) -> Gateway {
    let scheme = json!({ "Type": "JwtBearer", "Issuer": "i", "Audience": "a", "SigningKey": KEY });
    let keys = json!({ "AuthenticationProviderKeys": ["Bearer"] });
    let mut route = super::over(to(origin.port()), route);
    let options = route.as_object_mut().unwrap().entry("AuthenticationOptions").or_insert(json!({}));
    *options = super::over(keys, options);
    Gateway::with(&json!({ "AuthenticationSchemes": { "Bearer": scheme }, "Routes": [route] }))
}

fn token(claims: &Value) -> String {
    let claims = super::over(json!({ "iss": "i", "aud": "a", "exp": 4_102_444_800_u64 }), claims);
    let key = EncodingKey::from_secret(KEY.as_bytes());
    format!("Bearer {}", encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap())
}

fn response_for(gateway: &Gateway, target: &str, claims: &Value) -> Response {
    gateway.ask(&Request::get(target).header("Authorization", &token(claims)))
}

/// Status and error code of a response.
fn status_and_code(gateway: &Gateway, target: &str, claims: &Value) -> (u16, String) {
    let answer = response_for(gateway, target, claims);
    let why =
        if answer.status == 200 { String::new() } else { answer.json()["code"].as_str().unwrap().into() };
    (answer.status, why)
}

fn refused(why: &str) -> (u16, String) {
    (403, why.to_owned())
}

fn passed() -> (u16, String) {
    (200, String::new())
}

#[test]
fn scopes_are_read_from_scope_and_scp() {
    let origin = service();
    let route = json!({ "AuthenticationOptions": { "AllowedScopes": ["read", "write"] } });
    let gateway = authenticated_gateway(&origin, &route);
    for claims in [
        json!({ "scope": "read" }),
        json!({ "scope": "other write" }),
        json!({ "scp": "read other" }),
        json!({ "scp": ["other", "write"] }),
    ] {
        assert_eq!(status_and_code(&gateway, "/", &claims), passed(), "{claims}");
    }
    for claims in [json!({}), json!({ "scope": "readwrite" }), json!({ "roles": "read" })] {
        assert_eq!(status_and_code(&gateway, "/", &claims), refused("access.scope"), "{claims}");
    }
    assert_eq!(gateway.get("/").status, 401);
}

#[test]
fn claims_are_compared_with_lists_and_with_the_path() {
    let origin = service();
    let route = json!({
        "UpstreamPathTemplate": "/t/{tenant}/{everything}",
        "RouteClaimsRequirement": { "role": ["admin", "support"], "urn:tenant": "{tenant}" },
    });
    let gateway = authenticated_gateway(&origin, &route);
    let caller = |role: Value, tenant: &str| json!({ "role": role, "urn:tenant": tenant });
    assert_eq!(status_and_code(&gateway, "/t/a%20b/x", &caller(json!("support"), "a b")), passed());
    assert_eq!(status_and_code(&gateway, "/t/t1/x", &caller(json!(["user", "admin"]), "t1")), passed());
    assert_eq!(status_and_code(&gateway, "/t/t2/x", &caller(json!("admin"), "t1")), refused("access.claim"));
    assert_eq!(status_and_code(&gateway, "/t/t1/x", &caller(json!("user"), "t1")), refused("access.claim"));
    let preflight = gateway.ask(&Request::new("OPTIONS", "/t/t1/x"));
    assert!(preflight.status == 200 || preflight.status == 401, "{}", preflight.status);
}

#[test]
fn an_authorization_condition_allows_or_denies() {
    let origin = service();
    let condition =
        "int(claims.level) >= 5 && (path.everything.startsWith('open') || 'admin' in claim_values.role)";
    let gateway = authenticated_gateway(&origin, &json!({ "RouteClaimsExpression": condition }));
    assert_eq!(status_and_code(&gateway, "/open/x", &json!({ "level": 7 })), passed());
    assert_eq!(
        status_and_code(&gateway, "/x", &json!({ "level": "5", "role": ["user", "admin"] })),
        passed()
    );
    for claims in [json!({ "level": 4 }), json!({}), json!({ "level": "many" })] {
        assert_eq!(status_and_code(&gateway, "/open/x", &claims), refused("access.condition"), "{claims}");
    }
    assert_eq!(status_and_code(&gateway, "/x", &json!({ "level": 7 })), refused("access.condition"));
}

#[test]
fn identity_headers_are_set_by_the_gateway_only() {
    let origin = service();
    let route = json!({
        "UpstreamPathTemplate": "/users/{who}", "DownstreamPathTemplate": "/v1/{who}?kind={kind}",
        "AddClaimsToRequest": { "name": "Claims[sub] > value[1] > |" },
        "AddHeadersToRequest": { "X-User": "Claims[name] > value" },
        "AddQueriesToRequest": { "user": "Claims[name] > value", "all": "Claims[role] > value" },
        "ChangeDownstreamPathTemplate": { "who": "Claims[name] > value", "kind": "Claims[sub] > value[0] > |" },
    });
    let gateway = authenticated_gateway(&origin, &route);
    let caller = json!({ "sub": "human|ann & bob/../x", "role": ["a", "b"] });
    let request = Request::get("/users/me?user=forged&q=1").header("x-user", "forged");
    let answer = gateway.ask(&request.header("Authorization", &token(&caller)));
    assert_eq!(answer.status, 200);
    let seen = origin.last();
    assert_eq!(seen.head.all("x-user"), ["ann & bob/../x"]);
    assert_eq!(seen.target, "/v1/x?kind=human&user=ann%20%26%20bob/../x&q=1&all=a,b",);
    assert_eq!(status_and_code(&gateway, "/users/me", &json!({ "sub": "human" })), refused("access.claim"));
}
