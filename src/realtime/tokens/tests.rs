use super::*;
use crate::{
    base::secret::Secret,
    realtime::{
        config::ServiceConfig,
        testing::{KEY, OTHER_KEY, service_config as config},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn signed(header: &Value, claims: &Value, key: &str) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, KEY)
}

fn with_audience(audience: impl Into<Value>) -> String {
    token(&json!({ "aud": audience.into(), "exp": NOW + 600 }))
}

/// A handshake of the hub `chat` of a service at `/rt`.
fn handshake(config: &ServiceConfig, token: &str) -> Result<ClientToken, TokenError> {
    let request = TokenRequest {
        authorization: None,
        query_token: Some(token),
        path: "/rt/client/hubs/chat",
        service_path: "/client/hubs/chat",
        hub: "chat",
    };
    verify_client(config, &request, now())
}

/// A request of the data plane to this path of a service at `/rt`.
fn server(config: &ServiceConfig, token: &str, service_path: &str) -> Result<(), TokenError> {
    let path = format!("/rt{service_path}");
    let authorization = format!("Bearer {token}");
    let request = TokenRequest {
        authorization: Some(&authorization),
        query_token: None,
        path: &path,
        service_path,
        hub: "chat",
    };
    verify_server(config, &request, now())
}

const PUBLIC: &str = "http://rt.example:8080/rt";
const AUDIENCE: &str = "http://rt.example:8080/rt/client/hubs/chat";

#[test]
fn a_token_contains_user_roles_groups_and_claims() {
    let claims = json!({
        "aud": AUDIENCE, "exp": NOW as f64 + 0.5, "sub": "ann", "role": ["r1", "r2"], "webpubsub.group": "g",
        "n": 7, "o": { "a": 1.5 }, "l": ["x", true],
    });
    let parsed = handshake(&config(&[PUBLIC]), &token(&claims)).unwrap();
    assert_eq!(parsed.user_id.as_deref(), Some("ann"));
    assert_eq!((parsed.roles, parsed.groups), (vec!["r1".to_owned(), "r2".into()], vec!["g".to_owned()]));
    let claim = |name: &str| parsed.claims.iter().find(|(known, _)| &**known == name).unwrap().1.join("|");
    assert_eq!((claim("n"), claim("o"), claim("l")), ("7".into(), "{\"a\":1.5}".into(), "x|true".into()));
    assert_eq!((claim("sub"), claim("aud")), ("ann".into(), AUDIENCE.into()));
}

#[test]
fn audiences_that_are_the_url_of_the_handshake() {
    let config = config(&["https://other.example", PUBLIC]);
    for audience in [
        AUDIENCE,
        "ws://rt.example:8080/rt/client/hubs/chat",
        "wss://RT.EXAMPLE:8080/rt/client/hubs/chat",
        "http://rt.example:8080/rt/client/hubs/chat/",
        "http://rt.example:8080/rt/client/hubs/CHAT?x=y",
        "http://rt.example:8080/rt/client/hubs/ch%61t",
        "http://rt.example:8080/rt/client/?hub=Chat",
        "http://rt.example:8080/rt/client?a=b&hub=chat",
        "http://rt.example:8080/rt/./client/x/../hubs/chat",
    ] {
        assert!(handshake(&config, &with_audience(audience)).is_ok(), "{audience}");
    }
    let several = json!(["https://else.example/x", AUDIENCE]);
    assert!(handshake(&config, &with_audience(several)).is_ok());
}

/// Audiences of another URL than [`AUDIENCE`].
const OTHER_AUDIENCES: &[&str] = &[
    "http://rt.example:8080/rt/client/hubs/other",
    "http://evil.example:8080/rt/client/hubs/chat",
    "http://rt.example/rt/client/hubs/chat",
    "http://rt.example:8081/rt/client/hubs/chat",
    "http://rt.example.evil.example:8080/rt/client/hubs/chat",
    "http://rt.example:8080@evil.example/rt/client/hubs/chat",
    "http://user@rt.example:8080/rt/client/hubs/chat",
    "http://user:password@rt.example:8080/rt/client/hubs/chat",
    "http://rt.example:8080/client/hubs/chat",
    "http://rt.example:8080/RT/client/hubs/chat",
    "http://rt.example:8080/rt/Client/hubs/chat",
    "http://rt.example:8080/rt/client/hubs/chat/x",
    "http://rt.example:8080/rt/client/hubs",
    "http://rt.example:8080/rt/client/hubs/cha",
    "http://rt.example:8080/rt/client/hubs/chat//",
    "http://rt.example:8080/rt//client/hubs/chat",
    "http://rt.example:8080/rt/client/hubs%2Fchat",
    "http://rt.example:8080/rt/client/hubs/%63%68%61%74%00",
    "http://rt.example:8080/rt/client/x/%2e%2e/hubs/chat",
    "http://rt.example:8080/rt/client/hubs/chat/..",
    "http://rt.example:8080/rt/client/?hub=chat&hub=chat",
    "http://rt.example:8080/rt/client/?hub=other&hub=chat",
    "http://rt.example:8080/rt/client/?HUB=chat",
    "http://rt.example:8080/rt/client/",
    "http://rt.example:8080/rt/client/hubs/other?hub=chat",
    "http://rt.example:8080/rt/client/hubs/chat#x",
    "http://rt.example:8080/rt/client/hubs/other#/../chat",
    "http://rt.example:8080\\rt/client/hubs/chat",
    "ftp://rt.example:8080/rt/client/hubs/chat",
    "//rt.example:8080/rt/client/hubs/chat",
    "rt.example:8080/rt/client/hubs/chat",
    "/rt/client/hubs/chat",
    "http:/rt.example:8080/rt/client/hubs/chat",
    " http://rt.example:8080/rt/client/hubs/chat",
    "http://rt.example:8080/rt/api/hubs/chat/:send",
    "http://rt.example:8080/rt/api/hubs/chat",
    "",
    "*",
];

#[test]
fn audiences_that_are_another_url() {
    let config = config(&[PUBLIC]);
    for audience in OTHER_AUDIENCES {
        let rejected = handshake(&config, &with_audience(*audience));
        assert_eq!(
            rejected,
            Err(TokenError::Invalid("the audience of the token is another URL")),
            "{audience}"
        );
    }
    for audience in [json!(null), json!(5), json!({ "a": AUDIENCE }), json!([AUDIENCE, 5]), json!([])] {
        assert!(handshake(&config, &with_audience(audience.clone())).is_err(), "{audience}");
    }
    let nested = token(&json!({ "aud": [[AUDIENCE]], "exp": NOW + 600 }));
    assert!(handshake(&config, &nested).is_err());
}

#[test]
fn without_public_urls_every_host_is_accepted_and_the_requested_path_is_compared() {
    let config = config(&[]);
    assert!(handshake(&config, &with_audience("https://any.example/rt/client/hubs/chat")).is_ok());
    assert!(handshake(&config, &with_audience("https://any.example/client/hubs/chat")).is_err());
}

#[test]
fn a_public_url_may_have_another_path_than_the_gateway() {
    let config = config(&["https://rt.example/hubs-of-ours"]);
    let public = "https://rt.example:443/hubs-of-ours/client/hubs/chat";
    assert!(handshake(&config, &with_audience(public)).is_ok());
    assert!(handshake(&config, &with_audience("https://rt.example/rt/client/hubs/chat")).is_ok());
    assert!(handshake(&config, &with_audience("http://rt.example/rt/client/hubs/chat")).is_err(), "port 80");
    assert!(handshake(&config, &with_audience("https://rt.example/client/hubs/chat")).is_err());
}

#[test]
fn the_legacy_form_of_the_path_has_the_same_audience() {
    let config = config(&[PUBLIC]);
    for path in ["/client/", "/client"] {
        let token = with_audience(AUDIENCE);
        let request = TokenRequest {
            authorization: None,
            query_token: Some(&token),
            path: &format!("/rt{path}"),
            service_path: path,
            hub: "chat",
        };
        assert!(verify_client(&config, &request, now()).is_ok(), "{path}");
        assert!(verify_client(&config, &TokenRequest { hub: "other", ..request }, now()).is_err());
    }
}

#[test]
fn a_server_token_permits_one_operation_and_no_handshake() {
    let config = config(&[PUBLIC]);
    let api = |path: &str| with_audience(format!("http://rt.example:8080/rt/api/hubs/chat{path}"));
    for (audience, path) in [
        ("/:send", "/api/hubs/chat/:send"),
        ("/:send?api-version=2024-12-01&filter=x", "/api/hubs/chat/:send"),
        ("/users/us%20er%2F1/:send", "/api/hubs/Chat/users/us%20er%2f1/:send"),
        ("/groups/g%25/:send", "/api/hubs/chat/groups/g%25/:send"),
    ] {
        assert_eq!(server(&config, &api(audience), path), Ok(()), "{audience}");
    }
    for (audience, path) in [
        ("/:send", "/api/hubs/other/:send"),
        ("/:send", "/api/hubs/chat/users/u/:send"),
        ("/users/u/:send", "/api/hubs/chat/:send"),
        ("/users/U/:send", "/api/hubs/chat/users/u/:send"),
        ("/users/a/b/:send", "/api/hubs/chat/users/a%2Fb/:send"),
        ("/users/x/../u/:send", "/api/hubs/chat/users/v/:send"),
        ("/groups/%2525/:send", "/api/hubs/chat/groups/%25/:send"),
        ("", "/api/hubs/chat/:send"),
        ("/", "/api/hubs/chat/:send"),
        ("/:send/x", "/api/hubs/chat/:send"),
    ] {
        assert!(server(&config, &api(audience), path).is_err(), "{audience} {path}");
    }
    assert!(server(&config, &with_audience(AUDIENCE), "/api/hubs/chat/:send").is_err(), "a client's token");
    assert!(handshake(&config, &api("/:send")).is_err(), "a server's token");
}

#[test]
fn algorithms_and_critical_parameters_are_pinned() {
    let config = config(&[PUBLIC]);
    let claims = json!({ "aud": AUDIENCE, "exp": NOW + 600 });
    for header in [
        json!({ "alg": "HS256" }),
        json!({ "alg": "HS256", "kid": "x", "jku": "https://evil.example", "typ": "other" }),
    ] {
        assert!(handshake(&config, &signed(&header, &claims, KEY)).is_ok(), "{header}");
    }
    for header in [
        json!({}),
        json!({ "alg": "none" }),
        json!({ "alg": "hs256" }),
        json!({ "alg": "HS512" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": ["HS256"] }),
        json!({ "alg": null }),
        json!({ "alg": "HS256", "crit": [] }),
        json!({ "alg": "HS256", "crit": ["exp"] }),
    ] {
        assert!(handshake(&config, &signed(&header, &claims, KEY)).is_err(), "{header}");
    }
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let doubled = format!("{}.{}", encode(r#"{"alg":"HS256","alg":"none"}"#), encode(&claims.to_string()));
    assert!(handshake(&config, &format!("{doubled}.")).is_err());
}

#[test]
fn signatures_of_both_keys_are_accepted_and_no_others() {
    let config = config(&[PUBLIC]);
    let (header, claims) = (json!({ "alg": "HS256" }), json!({ "aud": AUDIENCE, "exp": NOW + 600 }));
    assert!(handshake(&config, &signed(&header, &claims, OTHER_KEY)).is_ok(), "the second key");
    let valid = signed(&header, &claims, KEY);
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let decoded = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut flipped = decoded.clone();
    flipped[31] ^= 1;
    for token in [
        signed(&header, &claims, &"x".repeat(32)),
        signed(&header, &claims, ""),
        format!("{message}."),
        format!("{message}.{}", &signature[..signature.len() - 4]),
        format!("{message}.{signature}="),
        format!("{message}.{signature}AAAA"),
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(&flipped)),
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(&decoded[..16])),
        format!("{}x.{signature}", message),
        format!("{valid}.{signature}"),
        String::new(),
        "...".to_owned(),
        "nonsense".to_owned(),
    ] {
        assert!(handshake(&config, &token).is_err(), "{token}");
    }
    let rotated = ServiceConfig { keys: vec![Secret::new(OTHER_KEY)], ..config };
    assert!(handshake(&rotated, &valid).is_err(), "a key that was removed");
}

#[test]
fn times_are_checked_with_the_clock_skew() {
    let config = config(&[PUBLIC]);
    let with = |times: Value| {
        let mut claims = json!({ "aud": AUDIENCE });
        claims.as_object_mut().unwrap().append(&mut times.as_object().unwrap().clone());
        handshake(&config, &token(&claims))
    };
    for times in [
        json!({ "exp": NOW - 59 }),
        json!({ "exp": NOW as f64 - 59.5 }),
        json!({ "exp": 1e12 }),
        json!({ "exp": NOW + 1, "nbf": NOW + 60, "iat": NOW + 9999 }),
        json!({ "exp": NOW + 1, "nbf": 0 }),
    ] {
        assert!(with(times.clone()).is_ok(), "{times}");
    }
    for times in [
        json!({}),
        json!({ "exp": NOW - 60 }),
        json!({ "exp": NOW as f64 - 60.5 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": null }),
        json!({ "exp": (NOW + 600).to_string() }),
        json!({ "exp": [NOW + 600] }),
        json!({ "exp": true }),
        json!({ "exp": NOW + 600, "nbf": NOW + 61 }),
        json!({ "exp": NOW + 600, "nbf": "0" }),
        json!({ "exp": NOW + 600, "nbf": null }),
    ] {
        assert!(with(times.clone()).is_err(), "{times}");
    }
}

#[test]
fn the_header_wins_over_the_query() {
    let config = config(&[PUBLIC]);
    let (valid, invalid) = (with_audience(AUDIENCE), with_audience("http://rt.example:8080/"));
    let verified = |authorization: Option<&str>, query_token| {
        let (path, service_path) = ("/rt/client/hubs/chat", "/client/hubs/chat");
        let request = TokenRequest { authorization, query_token, path, service_path, hub: "chat" };
        verify_client(&config, &request, now())
    };
    let (bearer, other) = (format!("bearer {valid}"), format!("Bearer {invalid}"));
    assert!(verified(Some(&bearer), Some(&invalid)).is_ok());
    assert!(verified(Some(&other), Some(&valid)).is_err());
    assert!(verified(Some("Basic dTpw"), Some(&valid)).is_ok(), "not a bearer token");
    assert_eq!(verified(Some("Basic dTpw"), None), Err(TokenError::Missing));
    assert_eq!(verified(None, None), Err(TokenError::Missing));
    assert!(matches!(verified(None, Some("")), Err(TokenError::Invalid(_))));
}

#[test]
fn claims_of_wrong_types_are_rejected() {
    let config = config(&[PUBLIC]);
    for (name, value) in [
        ("sub", json!(5)),
        ("sub", json!("x".repeat(1025))),
        ("role", json!(5)),
        ("role", json!(["a", 5])),
        ("webpubsub.group", json!({})),
    ] {
        let mut claims = json!({ "aud": AUDIENCE, "exp": NOW + 600 });
        claims[name] = value;
        assert!(handshake(&config, &token(&claims)).is_err(), "{claims}");
    }
    let empty = token(&json!({ "aud": AUDIENCE, "exp": NOW + 600, "sub": "" }));
    assert_eq!(handshake(&config, &empty).unwrap().user_id, None);
}

#[test]
fn an_issued_token_opens_its_hub() {
    let config = config(&[PUBLIC]);
    let grant = ClientGrant {
        user_id: Some("ann".to_owned()),
        roles: vec!["webpubsub.sendToGroup".to_owned()],
        groups: Vec::new(),
        lifetime: Duration::from_secs(60),
    };
    let token = sign_client(&config, PUBLIC, "chat", &grant, now());
    let opened = handshake(&config, &token).unwrap();
    assert_eq!((opened.user_id, opened.roles), (grant.user_id.clone(), grant.roles.clone()));
    let other = sign_client(&config, PUBLIC, "other", &grant, now());
    assert!(handshake(&config, &other).is_err());
    let expired = sign_client(&config, PUBLIC, "chat", &grant, now() - Duration::from_secs(121));
    assert!(handshake(&config, &expired).is_err());
}
