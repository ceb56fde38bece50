//! Sign-ins, and the life of sessions.

use super::{
    scheme::LOGIN_TTL,
    testing::{Scene, TokenResponse, finish, forwarded_cookies, gateway, jar, settings},
};
use crate::base::secret::Secret;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

fn tokens(change: Value) -> TokenResponse {
    TokenResponse::Tokens(change)
}

#[tokio::test]
async fn a_sign_in_returns_to_its_page_with_a_session_that_attaches_the_token() {
    let scene = Scene::start().await;
    let (callback, login) = scene.begin("/orders%3Fpage%3D2").await;
    let done = scene.endpoint("GET", &callback, &[("Cookie", &login)]).await;
    assert_eq!(done.location, "/orders?page=2");
    assert!(done.cookies.iter().any(|cookie| {
        cookie.starts_with("__Host-session=1.")
            && cookie.ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax")
    }));
    let body = scene.provider.bodies.lock().unwrap()[0].clone();
    assert!(body.contains("grant_type=authorization_code") && body.contains("code_verifier="), "{body}");
    let cookie = format!("theme=dark; {}", jar(&done.cookies));
    let fields = [("Cookie", cookie.as_str()), ("Authorization", "Bearer forged")];
    let mut exchange = scene.request("GET", "/api", &fields);
    assert_eq!(scene.session_of(&mut exchange).await, "active");
    let authorization: Vec<_> = exchange.request.get_all(b"authorization").collect();
    assert!(authorization.len() == 1 && authorization[0].starts_with(b"Bearer access-"));
    assert_eq!(forwarded_cookies(&exchange), ["theme"], "the backend gets no session cookie");
    let user = scene.endpoint("GET", "/bff/user", &[("Cookie", &cookie)]).await;
    let user: Value = serde_json::from_str(&user.body).unwrap();
    assert_eq!((&user["claims"]["name"], user["claims"].get("nonce")), (&json!("Ann"), None));
    assert!(!user.to_string().contains("access-"));
}

#[tokio::test]
async fn a_callback_is_used_once_and_only_for_some_time() {
    let scene = Scene::start().await;
    let (callback, login) = scene.begin("/").await;
    assert_eq!(scene.endpoint("GET", &callback, &[("Cookie", &login)]).await.status, 302);
    let again = scene.endpoint("GET", &callback, &[("Cookie", &login)]).await;
    assert_eq!(again.code, "session.callback", "replayed");
    assert_eq!(scene.provider.calls.load(SeqCst), 1);
    let (callback, login) = scene.begin("/").await;
    scene.clock.advance(LOGIN_TTL + Duration::from_secs(1));
    assert_eq!(
        scene.endpoint("GET", &callback, &[("Cookie", &login)]).await.code,
        "session.callback",
        "late"
    );
}

#[tokio::test]
async fn two_tabs_sign_in_independently() {
    let scene = Scene::start().await;
    let (first, login) = scene.begin("/one").await;
    let nonce = scene.provider.nonce.lock().unwrap().clone();
    let (second, other) = scene.begin("/two").await;
    let both = format!("{login}; {other}");
    let done = scene.endpoint("GET", &second, &[("Cookie", &both)]).await;
    assert_eq!(done.location, "/two");
    *scene.provider.nonce.lock().unwrap() = nonce;
    let done = scene.endpoint("GET", &first, &[("Cookie", &both)]).await;
    assert_eq!(done.location, "/one");
}

#[tokio::test]
async fn pages_are_redirected_and_scripts_get_a_401() {
    let scene = Scene::start().await;
    let challenge = async |fields: &[(&str, &str)]| {
        let mut exchange = scene.request("GET", "/orders?page=2", fields);
        let step = scene.sessions.challenge(super::endpoints::required(), &exchange);
        finish(step, &mut exchange).await
    };
    let page = challenge(&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]).await;
    assert!(page.status == 302 && page.location.starts_with(&format!("{}/authorize?", scene.provider.url)));
    for parameter in [
        "code_challenge_method=S256",
        "redirect_uri=https%3A%2F%2Fapp.example%2Fbff%2Fcallback",
        "response_type=code",
    ] {
        assert!(page.location.contains(parameter), "{}", page.location);
    }
    let script = challenge(&[("Accept", "application/json")]).await;
    assert_eq!((script.status, script.code), (401, "session.required"));
    let tries = page.cookies.iter().find(|cookie| cookie.starts_with("__Host-session-tries=1.")).unwrap();
    let many = tries.split(';').next().unwrap().replace("=1.", "=5.");
    let looped = challenge(&[("Accept", "text/html"), ("Cookie", &many)]).await;
    assert_eq!((looped.status, looped.code), (508, "session.loop"));
}

#[tokio::test]
async fn tokens_are_refreshed_once_however_many_requests_wait() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    scene.clock.advance(Duration::from_secs(301));
    scene.provider.respond(tokens(json!({ "nonce": null })));
    let outcomes = futures_util::future::join_all((0..100).map(|_| scene.session(&cookie))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == "active"), "{outcomes:?}");
    assert_eq!(scene.provider.calls.load(SeqCst), 2, "the sign-in and one refresh");
    let mut exchange = scene.request("GET", "/orders", &[("Cookie", &cookie)]);
    assert_eq!(scene.session_of(&mut exchange).await, "active");
    assert!(exchange.response.fields.iter().any(|(name, _)| &**name == "Set-Cookie"), "the browser gets it");
    assert_eq!(scene.provider.calls.load(SeqCst), 2, "an old cookie after the refresh");
}

#[tokio::test]
async fn a_refused_refresh_ends_the_session_and_an_absent_provider_does_not() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    scene.clock.advance(Duration::from_secs(301));
    for (response, expected) in [
        (TokenResponse::Raw(503, String::new()), "session.provider_unavailable"),
        (TokenResponse::Raw(200, "nonsense".into()), "session.provider_unavailable"),
        (tokens(json!({ "sub": "eve" })), "session.expired"),
        (TokenResponse::Raw(400, r#"{"error":"invalid_client"}"#.into()), "session.provider_unavailable"),
        (TokenResponse::Raw(400, r#"{"error":"invalid_grant"}"#.into()), "session.expired"),
    ] {
        scene.provider.respond(response);
        assert_eq!(scene.session(&cookie).await, expected);
    }
}

#[tokio::test]
async fn a_route_with_an_audience_gets_a_token_by_exchange_once() {
    let mut scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    scene.sessions.audience = Some("orders".into());
    let body = json!({ "access_token": "for-orders", "token_type": "Bearer", "expires_in": 60 });
    scene.provider.respond(TokenResponse::Raw(200, body.to_string()));
    let outcomes = futures_util::future::join_all((0..20).map(|_| scene.session(&cookie))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == "active"), "{outcomes:?}");
    let mut exchange = scene.request("GET", "/orders", &[("Cookie", &cookie)]);
    assert_eq!(scene.session_of(&mut exchange).await, "active");
    assert_eq!(exchange.request.get(b"authorization"), Some(&b"Bearer for-orders"[..]));
    assert_eq!(scene.provider.calls.load(SeqCst), 2, "the sign-in and one exchange");
    let sent = scene.provider.bodies.lock().unwrap()[1].clone();
    assert!(sent.contains("token-exchange") && sent.contains("audience=orders"), "{sent}");
    scene.provider.respond(TokenResponse::Raw(400, r#"{"error":"invalid_target"}"#.into()));
    scene.sessions.audience = Some("payments".into());
    assert_eq!(scene.session(&cookie).await, "session.audience");
}

#[tokio::test]
async fn sessions_end_by_their_lifetimes() {
    let scene = Scene::with(|settings| settings.idle_timeout = Duration::from_secs(200)).await;
    let cookie = scene.sign_in().await;
    scene.clock.advance(Duration::from_secs(100));
    let mut exchange = scene.request("GET", "/orders", &[("Cookie", &cookie)]);
    assert_eq!(scene.session_of(&mut exchange).await, "active");
    let fields =
        exchange.response.fields.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let renewed = jar(&fields.collect::<Vec<_>>());
    scene.clock.advance(Duration::from_secs(150));
    assert_eq!(scene.session(&cookie).await, "session.expired", "idle");
    assert_eq!(scene.session(&renewed).await, "active");
    let short = Scene::with(|settings| settings.absolute_timeout = Duration::from_secs(100)).await;
    let cookie = short.sign_in().await;
    short.clock.advance(Duration::from_secs(101));
    assert_eq!(short.session(&cookie).await, "session.expired", "absolute");
}

#[tokio::test]
async fn a_rotated_key_opens_old_cookies_and_seals_new_ones() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    let rotated = |keys: &[&str]| {
        let mut settings = settings(&scene.provider.url);
        settings.keys_for_cookies = keys.iter().map(|key| Secret::new(key.repeat(32))).collect();
        let sessions = gateway(settings, &scene.clock);
        Scene { sessions, provider: scene.provider.share(), clock: scene.clock.clone() }
    };
    let second = rotated(&["n", "k"]);
    let mut exchange = second.request("GET", "/", &[("Cookie", &cookie)]);
    assert_eq!(second.session_of(&mut exchange).await, "active");
    let fields =
        exchange.response.fields.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let resealed = jar(&fields.collect::<Vec<_>>());
    let third = rotated(&["n"]);
    assert_eq!(third.session(&resealed).await, "active");
    assert_eq!(third.session(&cookie).await, "session.invalid");
}

#[tokio::test]
async fn a_sign_out_ends_every_copy_of_the_cookie() {
    let scene = Scene::start().await;
    let cookie = scene.sign_in().await;
    let forged =
        scene.endpoint("GET", "/bff/logout", &[("Cookie", &cookie), ("Sec-Fetch-Site", "cross-site")]).await;
    assert_eq!(forged.code, "session.csrf");
    let guessed = scene.endpoint("GET", "/bff/logout?sid=1", &[("Cookie", &cookie)]).await;
    assert_eq!(guessed.code, "session.csrf");
    assert_eq!(scene.endpoint("POST", "/bff/logout", &[("Cookie", &cookie)]).await.code, "session.csrf");
    assert_eq!(scene.session(&cookie).await, "active");
    let user = scene.endpoint("GET", "/bff/user", &[("Cookie", &cookie)]).await;
    let user: Value = serde_json::from_str(&user.body).unwrap();
    let done = scene.endpoint("GET", user["logout_url"].as_str().unwrap(), &[("Cookie", &cookie)]).await;
    assert!(done.location.starts_with(&format!("{}/logout?id_token_hint=", scene.provider.url)), "{done:?}");
    assert!(
        done.cookies.iter().any(|field| field.starts_with("__Host-session=;") && field.contains("Max-Age=0"))
    );
    assert_eq!(scene.session(&cookie).await, "session.expired", "a copy of the cookie");
}

#[tokio::test]
async fn a_provider_that_is_away_is_a_503_without_a_redirect() {
    let scene = Scene::start().await;
    let mut settings = settings("http://127.0.0.1:9");
    settings.timeout = Duration::from_millis(100);
    let away = Scene { sessions: gateway(settings, &scene.clock), ..scene };
    let outcome = away.endpoint("GET", "/bff/login", &[("Accept", "text/html")]).await;
    assert_eq!((outcome.status, outcome.code), (503, "session.provider_unavailable"));
}
