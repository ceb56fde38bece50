//! Rotation of keys and outages of providers must not affect valid tokens. Tokio's clock is paused.

use super::super::{
    jwt::{Jwt, Keys},
    outcome::AuthOutcome,
    settings::{CredentialLocations, JwtSettings, KeySource},
    testing::{exchange, why},
    verification_pool::{PoolLimits, VerificationPool},
};
use super::*;
use crate::base::clock::Clock;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use std::{sync::Mutex, time::UNIX_EPOCH};

/// A provider with responses that a test sets.
#[derive(Debug, Default)]
struct MockProvider {
    answers: Mutex<Vec<(String, Result<Value, String>)>>,
    fetches: AtomicUsize,
}

impl MockProvider {
    fn set_response(&self, path: &str, answer: Result<Value, &str>) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| known != path);
        answers.push((path.to_owned(), answer.map_err(str::to_owned)));
    }

    fn publishes(&self, keys: &[u8]) {
        self.set_response(
            "/jwks",
            Ok(json!({ "keys": keys.iter().map(|key| public(*key)).collect::<Vec<_>>() })),
        );
    }

    fn fetch_count(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

impl Fetch for MockProvider {
    fn get(
        &self,
        url: HttpUrl,
        _: TrustAnchors,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().find(|(path, _)| *path == url.target);
        let answer = found.map_or(Err("404".to_owned()), |(_, answer)| answer.clone());
        Box::pin(async move {
            sleep(Duration::from_millis(20)).await;
            answer.map(|json| json.to_string().into_bytes())
        })
    }
}

fn private(key: u8) -> EncodingKey {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([key; 32]);
    EncodingKey::from_ed_der(&der)
}

fn public(key: u8) -> Value {
    let mut jwk = json!(Jwk::from_encoding_key(&private(key), Algorithm::EdDSA).unwrap());
    jwk["kid"] = json!(key.to_string());
    jwk
}

struct Scene {
    provider: Arc<JwksCache>,
    mock: Arc<MockProvider>,
    jwt: Arc<Jwt>,
    clock: Clock,
}

impl Scene {
    fn new(mock: MockProvider, url: &str, discover: bool) -> Scene {
        let mock = Arc::new(mock);
        let remote = RemoteKeys {
            url: HttpUrl::parse(url).unwrap(),
            use_discovery: discover,
            requires_own_issuer: true,
            trust: TrustAnchors::System,
            refresh: Duration::from_secs(300),
            min_refresh_interval: Duration::from_secs(2),
        };
        let background = BackgroundRuntime::default();
        background.attach(tokio::runtime::Handle::current());
        let provider = Arc::new(JwksCache::new(remote.clone()));
        let fetch: Arc<dyn Fetch> = mock.clone();
        JwksCache::start(&provider, &background, &fetch);
        let settings = JwtSettings {
            locations: CredentialLocations {
                header: "Authorization".into(),
                ..CredentialLocations::default()
            },
            keys: KeySource::Remote(remote),
            algorithms: vec![Algorithm::EdDSA],
            issuers: Vec::new(),
            max_keys_tried: 3,
            audiences: Vec::new(),
            clock_skew: Duration::ZERO,
            token_types: Vec::new(),
            possession: crate::stages::authentication::settings::PossessionSettings::default(),
            requires_expiry: true,
            verifies_signature_first: false,
        };
        let clock = Clock::mock();
        let limits = PoolLimits { max_parallel: 2, max_queued: 64, max_queued_bytes: 1 << 20 };
        let pool = VerificationPool::new(limits, background);
        let keys = Keys::Remote(provider.clone());
        let jwt = Arc::new(Jwt::new("jwt", settings, keys, clock.clone(), pool));
        Scene { provider, mock, jwt, clock }
    }

    fn with_keys(keys: &[u8]) -> Scene {
        let mock = MockProvider::default();
        mock.publishes(keys);
        Scene::new(mock, "http://id.test/jwks", false)
    }

    fn token(&self, key: u8, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.to_string());
        let now = self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({ "sub": "u", "exp": now + 86_400 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        jsonwebtoken::encode(&header, &all, &private(key)).unwrap()
    }

    async fn why(&self, token: &str) -> &'static str {
        let mut request = exchange("/", &[("Authorization", &format!("Bearer {token}"))]);
        request.now = self.clock.now();
        why(match self.jwt.authenticate(&request, None) {
            AuthOutcome::Pending(wait) => {
                wait.await.map_or_else(AuthOutcome::Rejected, AuthOutcome::Authenticated)
            }
            outcome => outcome,
        })
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        sleep(time).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_for_the_first_keys() {
    let scene = Scene::with_keys(&[1]);
    let token = scene.token(1, &json!({}));
    assert_eq!(scene.why(&token).await, "authenticated");
    assert_eq!(scene.why(&token).await, "authenticated");
    assert_eq!(scene.mock.fetch_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_rotation_under_load_rejects_no_valid_token() {
    let scene = Scene::with_keys(&[1]);
    for round in 1..40_u8 {
        scene.mock.publishes(&[round, round + 1]);
        let tokens: Vec<_> = (0..20).map(|n| scene.token(round + n % 2, &json!({ "jti": n }))).collect();
        let fetches = tokens.iter().map(|token| scene.why(token));
        for (token, why) in tokens.iter().zip(join(fetches).await) {
            assert_eq!(why, "authenticated", "round {round}: {token}");
        }
        scene.pass(Duration::from_millis(u64::from(round) * 97)).await;
    }
    assert!(scene.mock.fetch_count() <= 80, "{} fetches", scene.mock.fetch_count());
}

/// Awaits all futures concurrently.
async fn join<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (wait, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(out) = wait.as_mut().poll(cx) {
                *done = Some(out);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_rejects_no_valid_token() {
    let scene = Scene::with_keys(&[1]);
    let old = scene.token(1, &json!({}));
    assert_eq!(scene.why(&old).await, "authenticated");
    scene.mock.set_response("/jwks", Err("connection refused"));
    for minute in 0..60 {
        scene.pass(Duration::from_secs(60)).await;
        assert_eq!(scene.why(&old).await, "authenticated", "minute {minute}");
        let new = scene.token(1, &json!({ "jti": minute }));
        assert_eq!(scene.why(&new).await, "authenticated", "minute {minute}");
    }
    assert!(scene.mock.fetch_count() < 80, "{} fetches in an hour", scene.mock.fetch_count());
    assert_eq!(
        scene.why(&scene.token(2, &json!({}))).await,
        "identity.provider_unavailable",
        "the key is unknown during the outage"
    );
    scene.mock.publishes(&[2]);
    assert_eq!(
        scene.why(&scene.token(2, &json!({}))).await,
        "authenticated",
        "the provider is available again"
    );
    assert_eq!(scene.why(&old).await, "identity.key", "a withdrawn key is rejected");
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_cause_at_most_one_fetch_per_interval() {
    let scene = Scene::with_keys(&[1]);
    assert_eq!(scene.why(&scene.token(1, &json!({}))).await, "authenticated");
    let began = tokio::time::Instant::now();
    for n in 0..30 {
        let forged: Vec<_> = (0..50).map(|m| scene.token(2, &json!({ "jti": [n, m] }))).collect();
        for why in join(forged.iter().map(|token| scene.why(token))).await {
            assert_eq!(why, "identity.key");
        }
    }
    let max = 2 + began.elapsed().as_secs() as usize / 2;
    assert!(scene.mock.fetch_count() <= max, "{} fetches in {:?}", scene.mock.fetch_count(), began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_keys_requests_are_rejected_after_a_bounded_wait() {
    let scene = Scene::new(MockProvider::default(), "http://id.test/jwks", false);
    let token = scene.token(1, &json!({}));
    assert_eq!(scene.why(&token).await, "identity.provider_unavailable");
    let began = tokio::time::Instant::now();
    assert_eq!(scene.why(&token).await, "identity.provider_unavailable");
    assert!(began.elapsed() < Duration::from_millis(1));
    scene.mock.publishes(&[1]);
    scene.pass(Duration::from_secs(3)).await;
    assert_eq!(scene.why(&token).await, "authenticated");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_response_keeps_the_keys() {
    let scene = Scene::with_keys(&[1]);
    let token = |n: u8| scene.token(1, &json!({ "jti": n }));
    assert_eq!(scene.why(&token(0)).await, "authenticated");
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    for (n, answer) in [
        json!({ "keys": [] }),
        json!({}),
        json!("nonsense"),
        json!({ "keys": [{ "kty": "oct", "kid": "1", "k": secret }] }),
    ]
    .into_iter()
    .enumerate()
    {
        scene.mock.set_response("/jwks", Ok(answer));
        assert_eq!(scene.why(&scene.token(9, &json!({}))).await, "identity.provider_unavailable");
        assert_eq!(scene.why(&token(n as u8 + 1)).await, "authenticated");
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_provides_the_keys_and_the_issuer() {
    let mock = MockProvider::default();
    mock.publishes(&[1]);
    let document = json!({ "issuer": "https://id.test/a", "jwks_uri": "https://id.test/jwks" });
    mock.set_response("/a/.well-known/openid-configuration", Ok(document));
    let scene = Scene::new(mock, "https://id.test/a", true);
    assert_eq!(scene.why(&scene.token(1, &json!({ "iss": "https://id.test/a" }))).await, "authenticated");
    assert_eq!(scene.why(&scene.token(1, &json!({ "iss": "https://id.test" }))).await, "identity.issuer");
    for document in [
        json!({ "issuer": "https://evil.test/a", "jwks_uri": "https://id.test/jwks" }),
        json!({ "issuer": "https://id.test/a", "jwks_uri": "http://id.test/jwks" }),
        json!({ "issuer": "https://id.test/a" }),
    ] {
        let mock = MockProvider::default();
        mock.publishes(&[1]);
        mock.set_response("/a/.well-known/openid-configuration", Ok(document));
        let scene = Scene::new(mock, "https://id.test/a", true);
        assert_eq!(
            scene.why(&scene.token(1, &json!({ "iss": "https://id.test/a" }))).await,
            "identity.provider_unavailable"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_refresh_task_ends_with_the_last_scheme() {
    let scene = Scene::with_keys(&[1]);
    assert_eq!(scene.why(&scene.token(1, &json!({}))).await, "authenticated");
    let (mock, wanted) = (scene.mock.clone(), Arc::downgrade(&scene.provider.refresh_notify));
    drop(scene);
    sleep(Duration::from_secs(3)).await;
    assert!(wanted.upgrade().is_none(), "the task is gone");
    let fetches = mock.fetch_count();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(mock.fetch_count(), fetches);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_once_a_minute_on_change_and_at_its_end() {
    let scene = Scene::with_keys(&[1]);
    let cache = JwksCache::new(scene.provider.settings.clone());
    let failure = |why: &str| Some(why.to_owned());
    let mut lines = 0;
    for _ in 0..60 {
        lines += usize::from(cache.report(failure("connection refused").as_ref(), Instant::now()));
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    assert_eq!(lines, 2, "in two minutes with a fetch each two seconds");
    assert!(cache.report(failure("404").as_ref(), Instant::now()), "another reason");
    assert!(!cache.report(failure("404").as_ref(), Instant::now()));
    assert!(cache.report(None, Instant::now()), "the end");
    assert!(!cache.report(None, Instant::now()));
}
