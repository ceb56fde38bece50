//! The path of a request from its head to the backend: hop-by-hop fields, route match, stages, rewrite.
//! No socket; the rest of a request's cost is the codec and the system.

use criterion::{Criterion, criterion_group, criterion_main};
use margay::config::{Environment, InMemoryFiles};
use margay::net::h1::hop_by_hop;
use margay::pipeline::body::NoClient;
use margay::pipeline::exchange::{Exchange, Peer};
use margay::pipeline::head::Head;
use margay::pipeline::stage::run_request;
use margay::plan::document::load_texts;
use margay::plan::{Plan, compile};
use margay::plan::{ProcessState, build};
use margay::stages::authentication::session::seal::Sealer;
use margay::telemetry::Metrics;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// `global` enables stages.
fn plan(global: &str, foundation: &ProcessState) -> Plan {
    let text = format!(
        r#"{{ "GlobalConfiguration": {{ {global} }},
            "AuthenticationSchemes": {{
                "S": {{ "Type": "JwtBearer", "SigningKey": "{SECRET}" }},
                "web": {{ "Type": "OpenIdConnect", "Authority": "http://127.0.0.1:9", "ClientId": "app",
                    "ClientAuthentication": "None", "SessionKeys": ["session.key"] }} }}, "Routes": [{{
            "UpstreamPathTemplate": "/hello/{{name}}", "DownstreamPathTemplate": "/greet/{{name}}",
            "DownstreamScheme": "http", "DownstreamHostAndPorts": [{{ "Host": "127.0.0.1", "Port": 9104 }}] }}] }}"#
    );
    let mut loaded = load_texts(
        &InMemoryFiles { files: &[("gateway.json", &text)], ..InMemoryFiles::default() },
        Environment { variable: &|_| None, read: &|_, _| Ok(SECRET.into()) },
    );
    let blueprint = compile(&mut loaded).expect("a sound document");
    build(&blueprint, "bench".to_owned(), foundation).expect("a plan")
}

fn request() -> Head {
    let mut head = Head::request(b"GET", b"/hello/ann?verbose=1");
    let fields = [("Host", "localhost:8080"), ("User-Agent", "curl/7.88.1"), ("Accept", "*/*")];
    fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
    head.append(b"Connection", b"keep-alive");
    head
}

/// One request, up to the point where it would be sent.
fn pass(plan: &Plan, x: &mut Exchange, now: Instant) -> usize {
    x.reset(now);
    let _ = hop_by_hop::strip(&mut x.request, 32);
    let route = plan.find(x).expect("the route");
    let walked = {
        let mut client = NoClient;
        let mut walk = pin!(run_request(&route.stages, x, &mut client));
        walk.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    let Poll::Ready((ran, None)) = walked else { unreachable!("no stage of these waits or answers") };
    route.rewrite(x).expect("a path");
    ran
}

fn bench_plan(c: &mut Criterion, name: &str, global: &str) {
    let foundation = ProcessState::new(Metrics::new(1), usize::MAX);
    let plan = plan(global, &foundation);
    let address = "127.0.0.1:40000".parse().expect("an address");
    let mut x = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    let now = Instant::now();
    c.bench_function(name, |b| {
        b.iter(|| {
            x.request = request();
            pass(black_box(&plan), &mut x, now)
        });
    });
}

/// A token that was verified before: the cost of every request but the first.
fn bench_token(c: &mut Criterion) {
    let foundation = ProcessState::new(Metrics::new(1), usize::MAX);
    let plan = plan(r#""AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] }"#, &foundation);
    let claims = serde_json::json!({
        "iss": "https://issuer.example/realms/main", "sub": "4c1f6a0e-6a51-4a0f-9f0c-0d0b6f0a7b1e", "aud": "orders",
        "exp": 4_000_000_000_u64, "scope": "openid profile orders.read orders.write", "roles": ["a", "b", "c"],
        "name": "x".repeat(400),
    });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
    let line = format!("Bearer {token}");
    let address = "127.0.0.1:40000".parse().expect("an address");
    let mut x = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    let now = Instant::now();
    let mut run = |name: &str, line: &str, plan: &Plan| {
        c.bench_function(name, |b| {
            b.iter(|| {
                x.request = request();
                x.request.append(b"Authorization", line.as_bytes());
                pass(black_box(plan), &mut x, now)
            });
        });
    };
    let without = self::plan("", &foundation);
    run(&format!("walk/a token of {} bytes, not required", token.len()), &line, &without);
    run("walk/the same token, warm", &line, &plan);
}

/// A session in its cookie, which was opened before: the token is attached, and the cookie removed.
fn bench_session(c: &mut Criterion) {
    let foundation = ProcessState::new(Metrics::new(1), usize::MAX);
    let plan = plan(r#""AuthenticationOptions": { "AuthenticationProviderKeys": ["web"] }"#, &foundation);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let session = serde_json::json!({
        "id": "id", "claims": { "sub": "ann", "name": "Ann", "iat": now }, "it": "i".repeat(800), "at": "a".repeat(900),
        "ax": now + 3600, "rt": "r".repeat(60), "g": 0, "c": now, "s": now,
    });
    let sealer = Sealer::new([SECRET.as_bytes()].into_iter());
    let sealed = sealer.seal("session of web", session.to_string().as_bytes()).expect("a cookie");
    let cookie = format!("theme=dark; __Host-session=1.{sealed}");
    let address = "127.0.0.1:40000".parse().expect("an address");
    let mut x = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    let now = Instant::now();
    c.bench_function("walk/a sign-in session in its cookie", |b| {
        b.iter(|| {
            x.request = request();
            x.request.append(b"Cookie", cookie.as_bytes());
            pass(black_box(&plan), &mut x, now)
        });
    });
}

fn benchmark(c: &mut Criterion) {
    c.bench_function("walk/the head alone", |b| b.iter(request));
    bench_plan(c, "walk/as shipped", "");
    bench_plan(c, "walk/with a request id", r#""RequestIdKey": "X-Request-Id""#);
    bench_plan(
        c,
        "walk/three header transforms",
        r#""UpstreamHeaderTransform": { "X-Real-IP": "{RemoteIpAddress}", "X-Old": null, "Accept": "*,any" }"#,
    );
    bench_token(c);
    bench_session(c);
    bench_plan(c, "walk/ocelot, no stages", r#""Compatibility": "Ocelot""#);
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
