//! Cache poisoning: no client gets a response that was made for another one, whatever the request contains.

use super::{document, over, to};
use crate::support::client::Request;
use crate::support::gateway::Gateway;
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "a key that only these tests know, 1234";

/// A backend that copies a request field into a cacheable response.
fn reflecting(field: &'static str, fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::with(move |seen| {
        let answer = StubResponse::new(200, seen.header(field).unwrap_or("nothing"));
        fields.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    })
}

const FRESH: &[(&str, &str)] = &[("Cache-Control", "public, max-age=60")];

fn http(port: u16) -> Gateway {
    Gateway::with(&document(port, &json!({ "CacheOptions": { "Mode": "Http" } }), &json!({})))
}

#[test]
fn forwarded_fields_never_reach_a_shared_response() {
    for field in [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Scheme",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Forwarded",
        "Front-End-Https",
    ] {
        let origin = reflecting(field, FRESH);
        let gateway = http(origin.port());
        let plain = Request::get("/").header("Host", "shop.test");
        gateway.ask(&plain.clone().header(field, "evil.test"));
        assert!(!gateway.ask(&plain).text().contains("evil"), "{field}");
    }
}

#[test]
fn hosts_have_separate_entries_in_every_spelling() {
    let origin = reflecting("x-forwarded-host", FRESH);
    let gateway = http(origin.port());
    let ask = |host: &str| gateway.ask(&Request::get("/").header("Host", host)).text();
    assert_eq!((ask("evil.test").as_str(), ask("shop.test").as_str()), ("evil.test", "shop.test"));
    assert_eq!((ask("shop.test:81").as_str(), ask("shop.test").as_str()), ("shop.test:81", "shop.test"));
}

#[test]
fn a_response_with_vary_star_is_not_reused() {
    let origin = reflecting("x-me", &[("Cache-Control", "max-age=60"), ("Vary", "*")]);
    let gateway = http(origin.port());
    gateway.ask(&Request::get("/").header("X-Me", "a"));
    assert_eq!(gateway.get("/").text(), "nothing");
}

#[test]
fn set_cookie_responses_are_not_shared() {
    let origin = reflecting("x-me", &[("Cache-Control", "max-age=60"), ("Set-Cookie", "session=1")]);
    for options in [json!({ "Mode": "Http" }), json!({ "TtlSeconds": 60 })] {
        let gateway =
            Gateway::with(&document(origin.port(), &json!({ "CacheOptions": options }), &json!({})));
        assert_eq!(gateway.get("/").header("set-cookie"), Some("session=1"));
        let again = gateway.get("/");
        assert_eq!(again.header("set-cookie"), None);
    }
}

#[test]
fn partial_and_head_responses_are_never_served_as_complete_ones() {
    let origin = Origin::with(|seen| {
        match seen.header("range") {
            Some(_) => StubResponse::new(206, "ab").header("Content-Range", "bytes 0-1/6"),
            None => StubResponse::new(200, "abcdef"),
        }
        .header("Cache-Control", "max-age=60")
    });
    for options in [json!({ "Mode": "Http" }), json!({ "TtlSeconds": 60 })] {
        let gateway =
            Gateway::with(&document(origin.port(), &json!({ "CacheOptions": options }), &json!({})));
        assert_eq!(gateway.ask(&Request::new("HEAD", "/")).status, 200);
        assert_eq!(gateway.ask(&Request::get("/").header("Range", "bytes=0-1")).status, 206);
        let whole = gateway.get("/");
        assert_eq!((whole.status, whole.text().as_str()), (200, "abcdef"));
        let part = gateway.ask(&Request::get("/").header("Range", "bytes=4-5"));
        assert_eq!((part.status, part.text().as_str()), (206, "ef"));
    }
}

#[test]
fn a_get_with_a_body_stores_nothing() {
    let origin = Origin::with(|seen| {
        StubResponse::new(200, if seen.body.is_empty() { "plain" } else { "evil" })
            .header("Cache-Control", "max-age=60")
    });
    let gateway = http(origin.port());
    assert_eq!(gateway.ask(&Request::get("/").body("evil")).text(), "evil");
    assert_eq!(gateway.get("/").text(), "plain");
    assert_eq!(gateway.ask(&Request::get("/").chunks(&["evil"])).text(), "evil");
}

#[test]
fn requests_with_different_credentials_are_not_coalesced() {
    let origin = Origin::with(|seen| {
        StubResponse::new(200, seen.header("authorization").unwrap_or("nobody"))
            .header("Cache-Control", "max-age=60")
            .after(Duration::from_millis(300))
    });
    let gateway = Arc::new(http(origin.port()));
    let asking: Vec<_> = (0..8)
        .map(|n| {
            let gateway = gateway.clone();
            std::thread::spawn(move || {
                let me = format!("Basic {n}");
                gateway.ask(&Request::get("/").header("Authorization", &me)).text() == me
            })
        })
        .collect();
    assert!(asking.into_iter().all(|request| request.join().is_ok_and(|own| own)));
}

fn token(sub: &str) -> String {
    let claims = json!({ "iss": "i", "aud": "a", "exp": 4_102_444_800_u64, "sub": sub, "role": "reader" });
    let key = EncodingKey::from_secret(KEY.as_bytes());
    format!("Bearer {}", encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token"))
}

fn authenticated_gateway(port: u16, options: &Value, rest: &Value) -> Gateway {
    let scheme = json!({ "Type": "JwtBearer", "Issuer": "i", "Audience": "a", "SigningKey": KEY });
    let route = json!({
        "AuthenticationOptions": { "AuthenticationProviderKeys": ["Bearer"] }, "CacheOptions": options,
        "AddHeadersToRequest": { "X-User": "Claims[sub] > value" },
    });
    let document =
        json!({ "AuthenticationSchemes": { "Bearer": scheme }, "Routes": [over(to(port), &route)] });
    Gateway::with(&over(document, rest))
}

#[test]
fn authenticated_responses_are_private_unless_configured_as_shared() {
    let origin = reflecting("x-user", FRESH);
    let nothing = json!({});
    let ask = |gateway: &Gateway, sub: &str| {
        gateway.ask(&Request::get("/").header("Authorization", &token(sub))).text()
    };
    for options in [json!({ "Mode": "Http" }), json!({ "TtlSeconds": 60 })] {
        let gateway = authenticated_gateway(origin.port(), &options, &nothing);
        assert_eq!((ask(&gateway, "a").as_str(), ask(&gateway, "b").as_str()), ("a", "b"), "{options}");
        origin.forget();
        assert_eq!((ask(&gateway, "a").as_str(), origin.calls()), ("a", 0), "{options}");
        for more in [json!({ "VaryByClaim": ["role"] }), json!({ "VaryByIdentity": false })] {
            let shared = authenticated_gateway(origin.port(), &over(options.clone(), &more), &nothing);
            assert_eq!((ask(&shared, "a").as_str(), ask(&shared, "b").as_str()), ("a", "a"), "{more}");
        }
    }
    let ocelot = authenticated_gateway(origin.port(), &json!({ "TtlSeconds": 60 }), &super::ocelot());
    assert_eq!((ask(&ocelot, "a").as_str(), ask(&ocelot, "b").as_str()), ("a", "a"));
}

#[test]
fn credentials_read_only_by_the_backend_separate_clients() {
    let origin = reflecting("authorization", &[]);
    let route = json!({ "CacheOptions": { "TtlSeconds": 60 } });
    let gateway = Gateway::with(&document(origin.port(), &route, &json!({})));
    let ask = |me: &str| gateway.ask(&Request::get("/").header("Authorization", me)).text();
    assert_eq!((ask("Basic a").as_str(), ask("Basic b").as_str()), ("Basic a", "Basic b"));
    assert_eq!(gateway.get("/").text(), "nothing");
}
