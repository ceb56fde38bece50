//! The stage: schemes in order, challenges, and what becomes of the request.

use super::{
    keys::KeyData,
    settings::{ApiKey, ApiKeySettings, BasicSettings, CredentialLocations, JwtSettings, User},
    testing::exchange,
    *,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn places(header: &str, query: &str) -> CredentialLocations {
    CredentialLocations { header: header.into(), query: Some(query.into()), cookie: None }
}

fn jwt(name: &str, secret: &[u8]) -> Arc<SchemeConfig> {
    let jwt = JwtSettings {
        places: places("Authorization", "access_token"),
        keys: KeySource::Fixed(vec![KeyData::secret(secret).unwrap()]),
        algorithms: vec![Algorithm::HS256],
        issuer: None,
        audiences: Vec::new(),
        clock_skew: Duration::ZERO,
        token_types: Vec::new(),
    };
    Arc::new(SchemeConfig { name: name.into(), kind: SchemeKind::Jwt(Box::new(jwt)) })
}

fn api_key() -> Arc<SchemeConfig> {
    let key = ApiKey { sha256: Sha256::digest("k").into(), owner: "anna".into(), claims: Vec::new() };
    let settings = ApiKeySettings { places: places("X-Api-Key", "key"), keys: vec![key] };
    Arc::new(SchemeConfig { name: "partners".into(), kind: SchemeKind::ApiKey(settings) })
}

fn basic() -> Arc<SchemeConfig> {
    let user = User { name: "ann".into(), hash: bcrypt::hash("pw", 4).unwrap(), claims: Vec::new() };
    Arc::new(SchemeConfig {
        name: "staff".into(),
        kind: SchemeKind::Basic(BasicSettings { users: vec![user] }),
    })
}

fn token(secret: &[u8]) -> String {
    let claims = json!({ "sub": "u", "exp": 4_000_000_000u64 });
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn stage(schemes: Vec<Arc<SchemeConfig>>, ocelot: bool) -> Authentication {
    let background = BackgroundRuntime::default();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        background.attach(runtime);
    }
    let settings = AuthenticationConfig { schemes, ocelot };
    Authentication::new(&settings, &AuthState::default(), &background, &Clock::default())
}

/// The scheme that vouches, or why nobody does with the challenges.
async fn asked(
    stage: &Authentication,
    exchange: &mut Exchange,
) -> Result<String, (&'static str, Vec<String>)> {
    let mut step = stage.on_request(exchange);
    loop {
        step = match step {
            Step::Next => {
                return Ok(exchange
                    .client
                    .user
                    .as_ref()
                    .map_or(String::new(), |user| user.scheme.to_string()));
            }
            Step::Suspend(wait) => wait.await,
            Step::ResumeAt(go_on) => go_on(exchange),
            Step::Fail(cause) => {
                let fields = cause.extra.map(|extra| extra.headers).unwrap_or_default();
                return Err((cause.why.name(), fields.into_iter().map(|(_, value)| value).collect()));
            }
            Step::Respond(_) | Step::ReadBody(_) => panic!("a stage that only judges"),
        }
    }
}

#[tokio::test]
async fn schemes_are_tried_in_order_and_the_first_success_wins() {
    let other = b"another-secret-another-secret-an";
    let stage = stage(vec![jwt("one", other), jwt("two", SECRET), api_key(), basic()], false);
    let bearer = format!("Bearer {}", token(SECRET));
    for (field, scheme) in [
        (("Authorization", bearer.as_str()), "two"),
        (("X-Api-Key", "k"), "partners"),
        (("Authorization", "Basic YW5uOnB3"), "staff"),
    ] {
        assert_eq!(asked(&stage, &mut exchange("/", &[field])).await.as_deref(), Ok(scheme));
    }
}

#[tokio::test]
async fn a_401_asks_for_every_scheme_and_tells_a_bearer_why() {
    let schemes = vec![jwt("one", SECRET), api_key(), basic()];
    let ours = stage(schemes.clone(), false);
    let plain =
        ["Bearer realm=\"one\"", "ApiKey realm=\"partners\"", "Basic realm=\"staff\", charset=\"UTF-8\""];
    let nothing = asked(&ours, &mut exchange("/", &[])).await.unwrap_err();
    assert_eq!(
        (nothing.0, nothing.1.iter().map(String::as_str).collect::<Vec<_>>()),
        ("identity.missing", plain.to_vec())
    );
    let bad = [("Authorization", "Bearer x.y.z")];
    let told = asked(&ours, &mut exchange("/", &bad)).await.unwrap_err();
    let says = "Bearer realm=\"one\", error=\"invalid_token\", error_description=\"the header of the token cannot be read\"";
    assert_eq!((told.0, told.1[0].as_str(), told.1.len()), ("identity.malformed", says, 3));
    let theirs = stage(schemes, true);
    assert_eq!(asked(&theirs, &mut exchange("/", &bad)).await, Err(("identity.malformed", Vec::new())));
}

#[tokio::test]
async fn a_preflight_carries_no_credentials_and_needs_none() {
    let stage = stage(vec![jwt("one", SECRET)], true);
    let mut x = exchange("/", &[]);
    x.request.set_method(b"OPTIONS");
    assert_eq!(asked(&stage, &mut x).await.as_deref(), Ok(""));
}

#[tokio::test]
async fn credentials_in_the_query_go_no_further() {
    let stage = stage(vec![jwt("one", SECRET), api_key()], false);
    let mut x = exchange(&format!("/p?a=1&access_token={}&key=zzz&b=2", token(SECRET)), &[]);
    assert_eq!(asked(&stage, &mut x).await.as_deref(), Ok("one"));
    assert_eq!(x.request.target(), b"/p?a=1&b=2");
}

#[tokio::test]
async fn equal_settings_share_what_they_remember_and_changed_ones_do_not() {
    let (kept, background, clock) = (AuthState::default(), BackgroundRuntime::default(), Clock::default());
    let scheme = |settings: &Arc<SchemeConfig>| kept.scheme(settings, &background, &clock);
    let first = scheme(&jwt("one", SECRET));
    assert!(Arc::ptr_eq(&first, &scheme(&jwt("one", SECRET))));
    assert!(!Arc::ptr_eq(&first, &scheme(&jwt("one", b"another-secret-another-secret-an"))));
}
