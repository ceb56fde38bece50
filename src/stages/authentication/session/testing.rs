//! A provider of sign-ins and a browser, for tests.

use super::{
    active::RouteSessions,
    cookies,
    scheme::SessionScheme,
    settings::{AudienceGrant, SameSite, SessionSettings},
};
use crate::{
    base::{clock::Clock, secret::Secret, url::HttpUrl},
    net::{background::BackgroundRuntime, tls::client::ClientTls, tls::trust::TrustAnchors},
    pipeline::{
        exchange::{Exchange, Peer},
        stage::Step,
    },
    stages::authentication::{
        jwks::{Fetch, HttpFetch, JwksCache},
        oauth::client::{ClientAuthentication, OauthClient},
        remote_keys::RemoteKeys,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The private key of the provider, or of another one.
pub fn private(seed: u8) -> EncodingKey {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([seed; 32]);
    EncodingKey::from_ed_der(&der)
}

/// A signed token.
pub fn token(header: &Value, claims: &Value, seed: u8) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = crypto::sign(message.as_bytes(), &private(seed), Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

/// The header of tokens.
pub fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT" })
}

/// Unix time in seconds.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the token endpoint does.
#[derive(Clone)]
pub enum TokenResponse {
    /// Tokens; the ID token has these claims over the usual ones.
    Tokens(Value),
    Raw(u16, String),
}

/// A provider on a socket.
pub struct FakeProvider {
    pub url: String,
    pub response: Arc<Mutex<TokenResponse>>,
    pub nonce: Arc<Mutex<String>>,
    /// Requests of tokens.
    pub calls: Arc<AtomicUsize>,
    pub bodies: Arc<Mutex<Vec<String>>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.task.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl FakeProvider {
    /// The same provider, for another gateway.
    pub fn share(&self) -> FakeProvider {
        FakeProvider {
            url: self.url.clone(),
            response: self.response.clone(),
            nonce: self.nonce.clone(),
            calls: self.calls.clone(),
            bodies: self.bodies.clone(),
            task: None,
        }
    }

    /// Starts a provider that issues tokens.
    pub async fn start() -> FakeProvider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let response = Arc::new(Mutex::new(TokenResponse::Tokens(json!({}))));
        let (nonce, calls, bodies) = (
            Arc::<Mutex<String>>::default(),
            Arc::<AtomicUsize>::default(),
            Arc::<Mutex<Vec<String>>>::default(),
        );
        let mut provider = FakeProvider { url, response, nonce, calls, bodies, task: None };
        let served = Arc::new(provider.share());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, served.clone()));
            }
        });
        provider.task = Some(task);
        provider
    }

    /// Changes what the token endpoint does.
    pub fn respond(&self, response: TokenResponse) {
        *self.response.lock().unwrap() = response;
    }

    /// A logout token with changed members.
    pub fn logout_token(&self, change: &Value) -> String {
        let claims = json!({
            "iss": self.url, "aud": "app", "iat": unix_now(), "exp": unix_now() + 120, "jti": "logout-1",
            "sid": "provider-session",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        token(&json!({ "alg": "EdDSA", "typ": "logout+jwt" }), &over(claims, change), 7)
    }
}

/// Responds to one request.
async fn serve(mut stream: TcpStream, provider: Arc<FakeProvider>) {
    let mut request = vec![0; 16384];
    let n = stream.read(&mut request).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&request[..n]).into_owned();
    let (status, body) = if text.starts_with("POST /token") {
        provider.calls.fetch_add(1, SeqCst);
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
        provider.bodies.lock().unwrap().push(body);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (response, nonce) =
            (provider.response.lock().unwrap().clone(), provider.nonce.lock().unwrap().clone());
        answer(response, &provider.url, &nonce)
    } else {
        (200, document(&provider.url, &text))
    };
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

/// Members of one object over those of another; `null` removes a member.
pub fn over(mut base: Value, change: &Value) -> Value {
    for (name, member) in change.as_object().unwrap() {
        match member {
            Value::Null => drop(base.as_object_mut().unwrap().remove(name)),
            member => base[name] = member.clone(),
        }
    }
    base
}

fn answer(response: TokenResponse, url: &str, nonce: &str) -> (u16, String) {
    let change = match response {
        TokenResponse::Raw(status, body) => return (status, body),
        TokenResponse::Tokens(change) => change,
    };
    let claims = json!({
        "iss": url, "aud": "app", "sub": "ann", "sid": "provider-session", "nonce": nonce,
        "iat": unix_now(), "exp": unix_now() + 300, "name": "Ann",
    });
    let id_token = token(&header(), &over(claims, &change), 7);
    let tokens = json!({
        "access_token": format!("access-{}", fastrand::u64(..)), "token_type": "Bearer", "expires_in": 300,
        "refresh_token": format!("refresh-{}", fastrand::u64(..)), "id_token": id_token,
    });
    (200, tokens.to_string())
}

fn document(url: &str, request: &str) -> String {
    if request.starts_with("GET /jwks") {
        return json!({ "keys": [Jwk::from_encoding_key(&private(7), Algorithm::EdDSA).unwrap()] })
            .to_string();
    }
    json!({
        "issuer": url, "jwks_uri": format!("{url}/jwks"),
        "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "end_session_endpoint": format!("{url}/logout"),
        "authorization_response_iss_parameter_supported": true,
    })
    .to_string()
}

/// The response of a step.
#[derive(Debug)]
pub struct Outcome {
    pub status: u16,
    /// The error code; empty for a response.
    pub code: &'static str,
    pub location: String,
    pub cookies: Vec<String>,
    pub body: String,
}

/// A gateway with its provider.
pub struct Scene {
    pub provider: FakeProvider,
    pub sessions: RouteSessions,
    pub clock: Clock,
}

/// The settings of a client of this provider.
pub fn settings(provider: &str) -> SessionSettings {
    let authority = HttpUrl::parse(provider).unwrap();
    SessionSettings {
        keys: RemoteKeys {
            url: authority.clone(),
            use_discovery: true,
            requires_own_issuer: true,
            trust: TrustAnchors::System,
            refresh: Duration::from_secs(300),
            min_refresh_interval: Duration::from_millis(100),
        },
        authority,
        requires_own_issuer: true,
        tls: ClientTls::default(),
        client: OauthClient {
            id: "app".into(),
            authentication: ClientAuthentication::Basic(Secret::new("s")),
        },
        timeout: Duration::from_millis(500),
        clock_skew: Duration::from_secs(5),
        scope: "openid".into(),
        parameters: Vec::new(),
        pushes_requests: false,
        path: "/bff".into(),
        public_origin: None,
        cookie: "__Host-session".into(),
        same_site: SameSite::Lax,
        idle_timeout: Duration::from_secs(3600),
        absolute_timeout: Duration::from_secs(28800),
        keys_for_cookies: vec![Secret::new("k".repeat(32))],
        is_shared: false,
        max_sessions_per_user: None,
        csrf_header: "X-CSRF".into(),
        audience_grant: AudienceGrant::TokenExchange,
        has_diagnostics: false,
    }
}

impl Scene {
    /// A gateway with the usual settings.
    pub async fn start() -> Scene {
        Scene::with(|_| {}).await
    }

    /// A gateway with changed settings.
    pub async fn with(change: impl FnOnce(&mut SessionSettings)) -> Scene {
        let provider = FakeProvider::start().await;
        let mut settings = settings(&provider.url);
        change(&mut settings);
        let clock = Clock::mock();
        let sessions = gateway(settings, &clock);
        Scene { provider, sessions, clock }
    }

    /// A request of the browser.
    pub fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Exchange {
        let address = ([127, 0, 0, 1], 1).into();
        let mut exchange = Exchange::new(Peer::new(address, address, true), 0, Instant::now());
        exchange.request.begin(method.as_bytes(), target.as_bytes());
        exchange.routing.path_len = target.find('?').unwrap_or(target.len());
        exchange.request.append(b"Host", b"app.example");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        exchange
    }

    /// The response of an endpoint.
    pub async fn endpoint(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Outcome {
        let mut exchange = self.request(method, target, fields);
        let step = self.sessions.serve_endpoint(&mut exchange).expect("an endpoint");
        finish(step, &mut exchange).await
    }

    /// Signs in; returns the `Cookie` field of the browser.
    pub async fn sign_in(&self) -> String {
        let (callback, login) = self.begin("/").await;
        let done = self.endpoint("GET", &callback, &[("Cookie", &login)]).await;
        assert_eq!((done.status, done.location.as_str()), (302, "/"), "{done:?}");
        jar(&done.cookies)
    }

    /// Begins a sign-in; returns the target of its callback and the cookie of the browser.
    pub async fn begin(&self, return_to: &str) -> (String, String) {
        let login = self.endpoint("GET", &format!("/bff/login?returnUrl={return_to}"), &[]).await;
        assert_eq!(login.status, 302, "{login:?}");
        let query = login.location.split_once('?').expect("a query").1.to_owned();
        let value = |name: &str| super::return_url::query_parameter(&query, name).expect(name);
        *self.provider.nonce.lock().unwrap() = value("nonce");
        let issuer = crate::base::percent::percent_encoded(&self.provider.url);
        (format!("/bff/callback?code=c&state={}&iss={issuer}", value("state")), jar(&login.cookies))
    }

    /// The error code of a request with this `Cookie` field, or `active`.
    pub async fn session(&self, cookie: &str) -> &'static str {
        self.session_of(&mut self.request("GET", "/orders", &[("Cookie", cookie)])).await
    }

    /// The same for a request.
    pub async fn session_of(&self, exchange: &mut Exchange) -> &'static str {
        use super::active::SessionOutcome;
        let outcome = match self.sessions.find(exchange) {
            SessionOutcome::Absent => return "absent",
            SessionOutcome::Rejected(cause) => Err(cause),
            SessionOutcome::Active(active) => Ok(active),
            SessionOutcome::Pending(wait) => wait.await,
        };
        match outcome {
            Ok(active) => {
                self.sessions.apply(&active, exchange);
                "active"
            }
            Err(cause) => cause.code.name(),
        }
    }
}

/// Another gateway with these settings.
pub fn gateway(settings: SessionSettings, clock: &Clock) -> RouteSessions {
    let background = BackgroundRuntime::default();
    background.attach(tokio::runtime::Handle::current());
    let keys = Arc::new(JwksCache::new(settings.keys.clone()));
    let fetch: Arc<dyn Fetch> = Arc::new(HttpFetch);
    JwksCache::start(&keys, &background, &fetch);
    let runtime = (clock.clone(), background);
    let scheme = SessionScheme::new("web", settings, keys, Arc::default(), runtime);
    RouteSessions { scheme: Arc::new(scheme), store: None, audience: None }
}

/// Runs a step to its end.
pub async fn finish(mut step: Step, exchange: &mut Exchange) -> Outcome {
    loop {
        step = match step {
            Step::Suspend(wait) => wait.await,
            Step::ResumeAt(resume) => resume(exchange),
            Step::Respond(response) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let body = match &response.body {
                    crate::pipeline::body::Body::Bytes(bytes) => text(bytes),
                    _ => String::new(),
                };
                return Outcome {
                    status: response.status(),
                    code: "",
                    location: text(response.head.get(b"location").unwrap_or_default()),
                    cookies: response.head.get_all(b"set-cookie").map(text).collect(),
                    body,
                };
            }
            Step::Fail(cause) => {
                let extra = cause.extra.clone().unwrap_or_default();
                let cookies = extra.headers.iter().filter(|(name, _)| name == "Set-Cookie");
                return Outcome {
                    status: cause.status(false),
                    code: cause.code.name(),
                    location: String::new(),
                    cookies: cookies.map(|(_, value)| value.clone()).collect(),
                    body: cause.detail.into_owned(),
                };
            }
            Step::Next => panic!("the request continues"),
            Step::ReadBody(_) | Step::InspectBody(_) => panic!("the body is read"),
        };
    }
}

/// The `Cookie` field of a browser with these cookies.
pub fn jar(fields: &[String]) -> String {
    let kept = fields.iter().filter(|field| !field.contains("Max-Age=0"));
    let pairs = kept.map(|field| field.split(';').next().unwrap_or_default());
    pairs.collect::<Vec<_>>().join("; ")
}

/// The cookies of a request that reach the backend.
pub fn forwarded_cookies(exchange: &Exchange) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    cookies::all(&exchange.request).map(|(name, _)| text(name)).collect()
}
