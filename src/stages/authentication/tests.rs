//! Tests of the stage: order of schemes, challenges, changes to the request.

use super::{
    keys::KeyData,
    settings::{
        ApiKey, ApiKeySettings, BasicSettings, CredentialLocations, JwtSettings, KeySource, SchemeConfig,
        SchemeKind, User,
    },
    testing::exchange,
    *,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn locations(header: &str, query: &str) -> CredentialLocations {
    CredentialLocations { header: header.into(), query: Some(query.into()), ..CredentialLocations::default() }
}

fn jwt(name: &str, secret: &[u8]) -> Arc<SchemeConfig> {
    let jwt = JwtSettings {
        locations: locations("Authorization", "access_token"),
        keys: KeySource::Fixed(vec![KeyData::secret(secret).unwrap()]),
        algorithms: vec![Algorithm::HS256],
        issuers: Vec::new(),
        max_keys_tried: 3,
        audiences: Vec::new(),
        clock_skew: Duration::ZERO,
        token_types: Vec::new(),
        possession: super::settings::PossessionSettings::default(),
        requires_expiry: true,
        verifies_signature_first: false,
    };
    Arc::new(SchemeConfig { name: name.into(), kind: SchemeKind::Jwt(Box::new(jwt)) })
}

fn api_key() -> Arc<SchemeConfig> {
    let key = ApiKey { sha256: Sha256::digest("k").into(), owner: "anna".into(), claims: Vec::new() };
    let settings = ApiKeySettings { locations: locations("X-Api-Key", "key"), keys: vec![key] };
    Arc::new(SchemeConfig { name: "partners".into(), kind: SchemeKind::ApiKey(settings) })
}

fn basic() -> Arc<SchemeConfig> {
    let user = User { name: "ann".into(), hash: bcrypt::hash("pw", 4).unwrap(), claims: Vec::new() };
    Arc::new(SchemeConfig {
        name: "staff".into(),
        kind: SchemeKind::Basic(BasicSettings { users: vec![user], max_failure_delay: Duration::ZERO }),
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
    let settings = AuthenticationConfig { schemes, ocelot, token_audience: None };
    Authentication::new(&settings, &AuthState::default(), &background, &Clock::default(), None)
}

/// The scheme that authenticates the request, or the error code with the challenges.
async fn authenticate(
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
                return Err((cause.code.name(), fields.into_iter().map(|(_, value)| value).collect()));
            }
            Step::Respond(_) | Step::ReadBody(_) | Step::InspectBody(_) => panic!("unexpected step"),
        }
    }
}

#[tokio::test]
async fn schemes_are_tried_in_order_and_the_first_success_decides() {
    let other = b"another-secret-another-secret-an";
    let stage = stage(vec![jwt("one", other), jwt("two", SECRET), api_key(), basic()], false);
    let bearer = format!("Bearer {}", token(SECRET));
    for (field, scheme) in [
        (("Authorization", bearer.as_str()), "two"),
        (("X-Api-Key", "k"), "partners"),
        (("Authorization", "Basic YW5uOnB3"), "staff"),
    ] {
        assert_eq!(authenticate(&stage, &mut exchange("/", &[field])).await.as_deref(), Ok(scheme));
    }
}

#[tokio::test]
async fn a_401_has_a_challenge_for_each_scheme_and_the_bearer_error() {
    let schemes = vec![jwt("one", SECRET), api_key(), basic()];
    let default = stage(schemes.clone(), false);
    let plain =
        ["Bearer realm=\"one\"", "ApiKey realm=\"partners\"", "Basic realm=\"staff\", charset=\"UTF-8\""];
    let nothing = authenticate(&default, &mut exchange("/", &[])).await.unwrap_err();
    assert_eq!(
        (nothing.0, nothing.1.iter().map(String::as_str).collect::<Vec<_>>()),
        ("identity.missing", plain.to_vec())
    );
    let bad = [("Authorization", "Bearer x.y.z")];
    let headers = authenticate(&default, &mut exchange("/", &bad)).await.unwrap_err();
    let error = "Bearer realm=\"one\", error=\"invalid_token\", error_description=\"the token header is not a JSON object in base64url\"";
    assert_eq!((headers.0, headers.1[0].as_str(), headers.1.len()), ("identity.malformed", error, 3));
    let ocelot = stage(schemes, true);
    assert_eq!(
        authenticate(&ocelot, &mut exchange("/", &bad)).await,
        Err(("identity.malformed", Vec::new()))
    );
}

#[tokio::test]
async fn a_preflight_needs_no_credentials() {
    let stage = stage(vec![jwt("one", SECRET)], true);
    let mut exchange = exchange("/", &[]);
    exchange.request.set_method(b"OPTIONS");
    assert_eq!(authenticate(&stage, &mut exchange).await.as_deref(), Ok(""));
}

#[tokio::test]
async fn credentials_are_removed_from_the_query() {
    let stage = stage(vec![jwt("one", SECRET), api_key()], false);
    let mut exchange = exchange(&format!("/p?a=1&access_token={}&key=zzz&b=2", token(SECRET)), &[]);
    assert_eq!(authenticate(&stage, &mut exchange).await.as_deref(), Ok("one"));
    assert_eq!(exchange.request.target(), b"/p?a=1&b=2");
}

#[test]
fn a_kept_parameter_is_not_removed() {
    let removing = CredentialLocations { query: Some("key".into()), ..CredentialLocations::default() };
    assert_eq!(removing.removed_parameter(), Some("key"));
    assert_eq!(CredentialLocations { keeps_query: true, ..removing }.removed_parameter(), None);
}

#[tokio::test]
async fn equal_settings_share_a_scheme_and_changed_ones_do_not() {
    let (state, background, clock) = (AuthState::default(), BackgroundRuntime::default(), Clock::default());
    let scheme = |settings: &Arc<SchemeConfig>| state.scheme(settings, &background, &clock);
    let first = scheme(&jwt("one", SECRET));
    assert!(Arc::ptr_eq(&first, &scheme(&jwt("one", SECRET))));
    assert!(!Arc::ptr_eq(&first, &scheme(&jwt("one", b"another-secret-another-secret-an"))));
}

#[tokio::test]
async fn a_revoked_token_is_rejected() {
    let stage = stage(vec![jwt("customers", SECRET)], false);
    let bearer = format!("Bearer {}", token(SECRET));
    let fields = [("Authorization", bearer.as_str())];
    assert!(authenticate(&stage, &mut exchange("/", &fields)).await.is_ok());
    let (claim, value) = (revocations::RevokedClaim::Sub, "u".to_owned());
    let expires_at = revocations::unix_now() + 60;
    assert!(stage.chain.revocations.add(revocations::Revocation {
        claim,
        value,
        issued_before: None,
        expires_at
    }));
    let (code, challenges) = authenticate(&stage, &mut exchange("/", &fields)).await.unwrap_err();
    assert_eq!(code, "identity.revoked");
    assert!(challenges.iter().any(|challenge| challenge.contains("invalid_token")), "{challenges:?}");
}
