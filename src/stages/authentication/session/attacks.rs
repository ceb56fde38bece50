//! Attacks on cookies, callbacks, tokens, sign-outs and requests of other sites: all of them are refused.

use super::testing::{Scene, TokenResponse, finish, header, over, token};
use crate::{base::secret::Secret, pipeline::error::ErrorCode};
use serde_json::{Value, json};

#[tokio::test]
async fn every_changed_cookie_is_refused() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    assert_eq!(scene.session(&cookie).await, "active");
    let other = Scene::with(|settings| settings.keys_for_cookies = vec![Secret::new("x".repeat(32))]).await;
    let foreign = other.sign_in().await;
    let (_, login) = scene.begin("/").await;
    let sealed_login = login.split_once('=').unwrap().1;
    for (name, cookie) in changed_cookies(&cookie, sealed_login, foreign) {
        assert_eq!(scene.session(&cookie).await, "session.invalid", "{name}");
    }
    for absent in ["", "other=1", "__Host-sessionx=1.AAAA", "session=1.AAAA", "__host-session=1.AAAA"] {
        assert_eq!(scene.session(absent).await, "absent", "{absent}");
    }
}

/// A valid cookie in every wrong form, and cookies of others.
fn changed_cookies(cookie: &str, sealed_login: &str, foreign: String) -> Vec<(&'static str, String)> {
    let flip = |at: usize| {
        let mut bytes = cookie.to_owned().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let start = "__Host-session=1.".len();
    let value = &cookie[start..];
    vec![
        ("a flipped bit in the version", flip(start)),
        ("a flipped bit in the key ID", flip(start + 3)),
        ("a flipped bit in the nonce", flip(start + 10)),
        ("a flipped bit in the text", flip(start + 60)),
        ("a flipped bit in the tag", flip(cookie.len() - 2)),
        ("a truncated text", cookie[..cookie.len() - 8].to_owned()),
        ("a very short text", "__Host-session=1.AAAA".to_owned()),
        ("an empty text", "__Host-session=1.".to_owned()),
        ("no number of pieces", format!("__Host-session={value}")),
        ("an empty value", "__Host-session=".to_owned()),
        ("zero pieces", format!("__Host-session=0.{value}")),
        ("too many pieces", format!("__Host-session=9.{value}")),
        ("a missing piece", format!("__Host-session=2.{value}")),
        ("a piece of another cookie", format!("__Host-session=2.{value}; __Host-session-2=AAAA")),
        ("two cookies of the name", format!("{cookie}; {cookie}")),
        (
            "two cookies of a piece",
            format!("__Host-session=2.{value}; __Host-session-2=A; __Host-session-2=B"),
        ),
        ("another encoding", format!("__Host-session=1.{}==", value)),
        ("quotes", format!("__Host-session=\"1.{value}\"")),
        ("a cookie of another gateway", foreign),
        ("the cookie of a sign-in", format!("__Host-session=1.{sealed_login}")),
        ("plain JSON", "__Host-session=1.{\"id\":\"1\"}".to_owned()),
    ]
}

/// Targets of callbacks with the cookies of the browser.
async fn wrong_callbacks(scene: &Scene) -> Vec<(&'static str, String, String)> {
    let (callback, login) = scene.begin("/").await;
    let (other_callback, other_login) = scene.begin("/").await;
    let state =
        |callback: &str| callback.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let (own, other) = (state(&callback), state(&other_callback));
    let other_value = other_login.split_once('=').unwrap().1;
    let name = |state: &str| format!("__Host-session-login-{}", &state[..8]);
    let issuer = callback.split("iss=").nth(1).unwrap().to_owned();
    let same_start = format!("{}{}", &own[..8], "A".repeat(35));
    vec![
        ("no cookie", callback.clone(), String::new()),
        ("the cookie of another sign-in", callback.clone(), other_login.clone()),
        (
            "the cookie of another sign-in under this name",
            callback.clone(),
            format!("{}={other_value}", name(&own)),
        ),
        ("a changed cookie", callback.clone(), format!("{login}A")),
        ("a truncated cookie", callback.clone(), login[..login.len() - 6].to_owned()),
        ("the cookie twice", callback.clone(), format!("{login}; {login}")),
        ("no state", format!("/bff/callback?code=c&iss={issuer}"), login.clone()),
        ("an empty state", format!("/bff/callback?code=c&state=&iss={issuer}"), login.clone()),
        ("another state", format!("/bff/callback?code=c&state={other}&iss={issuer}"), login.clone()),
        (
            "a state with the same start",
            format!("/bff/callback?code=c&state={same_start}&iss={issuer}"),
            login.clone(),
        ),
        ("the state twice", format!("{callback}&state={own}"), login.clone()),
        ("the code twice", format!("{callback}&code=d"), login.clone()),
        ("the issuer twice", format!("{callback}&iss=x"), login.clone()),
        (
            "a session cookie as that of a sign-in",
            callback.clone(),
            format!("{}={}", name(&own), &scene.sign_in().await[17..]),
        ),
    ]
}

#[tokio::test]
async fn every_callback_that_is_not_the_answer_to_this_browser_is_refused() {
    let scene = Scene::start().await;
    for (what, target, cookie) in wrong_callbacks(&scene).await {
        let outcome = scene.endpoint("GET", &target, &[("Cookie", &cookie)]).await;
        assert_eq!((outcome.status, outcome.code), (400, "session.callback"), "{what}: {outcome:?}");
        assert!(!outcome.cookies.iter().any(|cookie| cookie.starts_with("__Host-session=1")), "{what}");
    }
}

/// What a callback becomes, what the token endpoint responds, and the status.
type ProviderAttack = (&'static str, Box<dyn Fn(&str) -> String>, TokenResponse, u16);

fn wrong_responses() -> Vec<ProviderAttack> {
    vec![
        ("another issuer", Box::new(|c| c.replace("iss=", "iss=x")), tokens(json!({})), 400),
        ("no issuer", Box::new(|c| c.split("&iss=").next().unwrap().to_owned()), tokens(json!({})), 400),
        ("an error", Box::new(|c| c.replace("code=c", "error=access_denied")), tokens(json!({})), 400),
        (
            "an error with a script",
            Box::new(|c| c.replace("code=c", "error=<script>")),
            tokens(json!({})),
            400,
        ),
        ("no code", Box::new(|c| c.replace("code=c&", "")), tokens(json!({})), 400),
        ("a code that was used", same(), TokenResponse::Raw(400, r#"{"error":"invalid_grant"}"#.into()), 400),
        ("an error of the provider", same(), TokenResponse::Raw(500, String::new()), 503),
        ("nonsense", same(), TokenResponse::Raw(200, "<html>".into()), 503),
        ("a list", same(), TokenResponse::Raw(200, "[]".into()), 503),
        ("no token", same(), TokenResponse::Raw(200, r#"{"token_type":"Bearer"}"#.into()), 503),
        (
            "another token type",
            same(),
            TokenResponse::Raw(200, r#"{"access_token":"a","token_type":"mac"}"#.into()),
            503,
        ),
        (
            "a token with a line end",
            same(),
            TokenResponse::Raw(200, r#"{"access_token":"a\r\nX: y","token_type":"Bearer"}"#.into()),
            503,
        ),
        (
            "no ID token",
            same(),
            TokenResponse::Raw(200, r#"{"access_token":"a","token_type":"Bearer"}"#.into()),
            400,
        ),
    ]
}

/// Changed claims of ID tokens.
fn wrong_claims() -> Vec<(&'static str, Value)> {
    vec![
        ("another nonce", json!({ "nonce": "other" })),
        ("no nonce", json!({ "nonce": null })),
        ("the issuer of another ID token", json!({ "iss": "https://other" })),
        ("another audience", json!({ "aud": "other" })),
        ("several audiences without `azp`", json!({ "aud": ["app", "other"] })),
        ("another party", json!({ "azp": "other" })),
        ("an expired ID token", json!({ "exp": 1 })),
        ("an ID token without expiry", json!({ "exp": null })),
        ("an ID token of the future", json!({ "iat": 4_000_000_000u64 })),
        ("no user", json!({ "sub": null })),
        ("an empty user", json!({ "sub": "" })),
    ]
}

#[tokio::test]
async fn every_answer_of_the_provider_that_is_wrong_is_refused() {
    let scene = Scene::start().await;
    let claims = wrong_claims().into_iter().map(|(what, change)| (what, same(), tokens(change), 400));
    for (what, change, response, status) in wrong_responses().into_iter().chain(claims) {
        scene.provider.respond(response);
        let (callback, login) = scene.begin("/").await;
        let outcome = scene.endpoint("GET", &change(&callback), &[("Cookie", &login)]).await;
        assert_eq!(outcome.status, status, "{what}: {outcome:?}");
        assert!(!outcome.body.contains('<'), "{what}: {outcome:?}");
        assert!(!outcome.cookies.iter().any(|cookie| cookie.starts_with("__Host-session=1")), "{what}");
    }
}

fn same() -> Box<dyn Fn(&str) -> String> {
    Box::new(str::to_owned)
}

fn tokens(change: Value) -> TokenResponse {
    TokenResponse::Tokens(change)
}

#[tokio::test]
async fn forged_and_unsigned_id_tokens_are_refused() {
    let scene = Scene::start().await;
    for (what, header, seed) in [
        ("the key of another provider", header(), 8),
        ("no signature", json!({ "alg": "none" }), 7),
        ("a symmetric algorithm", json!({ "alg": "HS256" }), 7),
        ("an own key", over(header(), &json!({ "jwk": {} })), 7),
        ("a critical extension", over(header(), &json!({ "crit": ["x"] })), 7),
    ] {
        let (callback, login) = scene.begin("/").await;
        let nonce = scene.provider.nonce.lock().unwrap().clone();
        let claims = json!({ "iss": scene.provider.url, "aud": "app", "sub": "root", "nonce": nonce, "exp": 4_000_000_000u64 });
        let body =
            json!({ "access_token": "a", "token_type": "Bearer", "id_token": token(&header, &claims, seed) });
        scene.provider.respond(TokenResponse::Raw(200, body.to_string()));
        let outcome = scene.endpoint("GET", &callback, &[("Cookie", &login)]).await;
        assert_eq!(outcome.code, "session.callback", "{what}: {outcome:?}");
    }
}

/// A method, fields, and whether the request is allowed.
type SiteCase = (&'static str, &'static [(&'static str, &'static str)], bool);

#[tokio::test]
async fn requests_that_another_site_may_have_caused_are_refused() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    let cases: [SiteCase; 16] = [
        ("POST", &[], false),
        ("PUT", &[], false),
        ("DELETE", &[], false),
        ("PATCH", &[("Content-Type", "text/plain")], false),
        ("POST", &[("Origin", "https://evil.example")], false),
        ("POST", &[("Origin", "null")], false),
        ("POST", &[("Origin", "http://app.example")], false),
        ("POST", &[("Origin", "https://app.example.evil.example")], false),
        ("POST", &[("Origin", "https://app.example:8443")], false),
        ("POST", &[("Sec-Fetch-Site", "cross-site")], false),
        ("POST", &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://other.app.example")], false),
        ("POST", &[("Sec-Fetch-Site", "none")], false),
        ("POST", &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://evil.example")], false),
        ("POST", &[("X-CSRF", "")], false),
        ("POST", &[("X-CSRF", "1")], true),
        ("POST", &[("Sec-Fetch-Site", "same-origin")], true),
    ];
    for (method, fields, is_accepted) in cases {
        let mut exchange =
            scene.request(method, "/orders", &[&[("Cookie", cookie.as_str())], fields].concat());
        let expected = if is_accepted { "active" } else { "session.csrf" };
        assert_eq!(scene.session_of(&mut exchange).await, expected, "{method} {fields:?}");
    }
    for (origin, expected) in [
        (None, "session.csrf"),
        (Some("https://evil.example"), "session.csrf"),
        (Some("null"), "session.csrf"),
        (Some("https://app.example"), "active"),
    ] {
        let mut exchange = scene.request("GET", "/socket", &[("Cookie", &cookie)]);
        exchange.is_websocket = true;
        origin.iter().for_each(|origin| exchange.request.append(b"Origin", origin.as_bytes()));
        assert_eq!(scene.session_of(&mut exchange).await, expected, "a WebSocket of {origin:?}");
    }
}

#[tokio::test]
async fn return_urls_of_other_sites_are_refused() {
    let scene = Scene::start().await;
    for target in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "//evil.example",
        "/%5Cevil.example",
        "%5C%5Cevil.example",
        "javascript%3Aalert(1)",
        "%252F%252Fevil.example",
        "/%252F%252Fevil.example",
        "%09//evil.example",
        "/%09/evil.example",
        "/%0D%0ASet-Cookie:a",
        "evil.example",
        "%00/",
        "%ff",
        "/bff/login",
        "/bff/logout",
        "",
    ] {
        for endpoint in ["login", "logout"] {
            let outcome = scene.endpoint("GET", &format!("/bff/{endpoint}?returnUrl={target}"), &[]).await;
            let is_default = target == "%ff" && outcome.status == 302 && !outcome.location.contains("evil");
            assert!(outcome.code == "session.return_url" || is_default, "{endpoint} {target}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn the_provider_ends_a_session_and_forged_logout_tokens_do_not() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    let post = async |token: &str, media_type: &str| {
        let fields = [("Content-Type", media_type)];
        let mut exchange = scene.request("POST", "/bff/back-channel-logout", &fields);
        exchange.body.collected = Some(format!("logout_token={token}").into());
        let step = scene.sessions.serve_endpoint(&mut exchange).unwrap();
        finish(step, &mut exchange).await
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    for change in [
        json!({ "iss": "https://other" }),
        json!({ "aud": "other" }),
        json!({ "aud": null }),
        json!({ "iat": null }),
        json!({ "iat": 1 }),
        json!({ "exp": 1 }),
        json!({ "jti": null }),
        json!({ "events": null }),
        json!({ "events": {} }),
        json!({ "events": "x" }),
        json!({ "nonce": "n" }),
        json!({ "sid": null }),
        json!({ "sid": "" }),
        json!({ "iat": 4_000_000_000u64 }),
        json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": "x" } }),
    ] {
        let outcome = post(&scene.provider.logout_token(&change), FORM).await;
        assert_eq!((outcome.status, outcome.code), (400, "session.logout_token"), "{change}: {outcome:?}");
    }
    let valid = scene.provider.logout_token(&json!({}));
    assert_eq!(post(&valid[..valid.len() - 2], FORM).await.status, 400, "truncated");
    assert_eq!(post("", FORM).await.status, 400, "empty");
    assert_eq!(post(&valid, "application/json").await.status, 400, "no form");
    assert_eq!(scene.session(&cookie).await, "active");
    assert_eq!(post(&valid, FORM).await.status, 200);
    assert_eq!(scene.session(&cookie).await, "session.expired");
    assert_eq!(post(&valid, FORM).await.status, 400, "replayed");
}

#[tokio::test]
async fn front_channel_logout_requires_issuer_and_session() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    for query in ["", "?sid=provider-session", "?iss=https://other&sid=provider-session", "?iss=x", "?sid="] {
        let outcome = scene.endpoint("GET", &format!("/bff/front-channel-logout{query}"), &[]).await;
        assert_eq!(outcome.code, "session.logout_token", "{query}");
    }
    assert_eq!(scene.session(&cookie).await, "active");
    let issuer = crate::base::percent::percent_encoded(&scene.provider.url);
    let target = format!("/bff/front-channel-logout?iss={issuer}&sid=provider-session");
    assert_eq!(scene.endpoint("GET", &target, &[]).await.status, 200);
    assert_eq!(scene.session(&cookie).await, "session.expired");
}

#[tokio::test]
async fn unknown_endpoints_and_methods_are_refused() {
    let scene = Scene::start().await;
    for (method, target, status) in [
        ("GET", "/bff/", 404),
        ("GET", "/bff/admin", 404),
        ("GET", "/bff/diagnostics", 404),
        ("GET", "/bff/login/x", 404),
        ("POST", "/bff/login", 405),
        ("POST", "/bff/callback", 405),
        ("DELETE", "/bff/user", 405),
        ("GET", "/bff/back-channel-logout", 405),
    ] {
        let outcome = scene.endpoint(method, target, &[]).await;
        assert_eq!((outcome.status, outcome.code), (status, "session.endpoint"), "{method} {target}");
    }
    let mut other = scene.request("GET", "/bffs/login", &[]);
    assert!(scene.sessions.serve_endpoint(&mut other).is_none());
    assert_eq!(scene.endpoint("GET", "/bff/user", &[]).await.code, ErrorCode::SessionRequired.name());
}
