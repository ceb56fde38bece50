//! Streams: every chunk is relayed before the next one is sent, whatever the stages of the route.

use super::{document, over};
use crate::support::becomes_true;
use crate::support::client::{Client, RESPONSE_TIMEOUT, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2;
use crate::support::http1_reader::{Http1Stream, find};
use crate::support::scripted_backend::ScriptedBackend;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The number of events of a backend.
const EVENTS: usize = 4;
const ANN: (&str, &str) = ("Authorization", "Basic YW5uOnNlY3JldA==");

fn event(number: usize) -> String {
    format!("data: {number}\n\n")
}

/// The settings of a route, by the first segment of its path; the second selects the framing of the
/// response.
fn routes() -> Vec<(&'static str, Value)> {
    let name = |route: &str| json!({ "UpstreamHeaderTransform": { "X-Route": route } });
    vec![
        ("plain", json!({})),
        ("cached", json!({ "CacheOptions": { "Mode": "Http", "TtlSeconds": 60 } })),
        ("known", json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["Staff"] } })),
        (
            "shaped",
            over(
                name("shaped"),
                &json!({ "DownstreamHeaderTransform": { "X-Seen": "{BaseUrl}", "Server": null } }),
            ),
        ),
        ("again", json!({ "RetryOptions": { "Attempts": 3, "OnStatus": [503] } })),
        (
            "limited",
            json!({ "ConcurrencyLimitOptions": { "Limit": 5 }, "QoSOptions": { "TimeoutValue": 2000 } }),
        ),
    ]
}

/// A gateway with all these routes to one backend.
fn gateway(port: u16, limits: &Value) -> Gateway {
    let route = |(name, settings): (&str, Value)| {
        over(
            json!({
                "Key": name, "UpstreamPathTemplate": format!("/{name}/{{rest}}"), "DownstreamPathTemplate": "/{rest}",
                "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": port }],
            }),
            &settings,
        )
    };
    let document = json!({
        "AuthenticationSchemes": { "Staff": { "Type": "Basic", "UsersFile": "staff" } },
        "Routes": routes().into_iter().map(route).collect::<Vec<_>>(),
        "Limits": limits,
    });
    let staff = format!("ann:{}\n", bcrypt::hash("secret", 4).expect("a hash"));
    Gateway::start(&Setup::json(&document).file("staff", &staff))
}

/// A backend that sends an event only after the previous one was received.
fn event_backend() -> (ScriptedBackend, Sender<()>) {
    let (heard, hear) = channel();
    let hear = Mutex::new(hear);
    (ScriptedBackend::start(move |wire, _| while tell(wire, &hear).is_some() {}), heard)
}

/// Responds to one request, framed as its path selects.
fn tell(wire: &mut Http1Stream, hear: &Mutex<Receiver<()>>) -> Option<()> {
    let head = wire.head().ok()?;
    let hear = hear.lock().expect("no panic");
    let chunked = head.start.contains("/chunked");
    let framing = match () {
        () if chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        () if head.start.contains("/counted") => format!("Content-Length: {}\r\n", EVENTS * event(1).len()),
        () => String::new(),
    };
    wire.send(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: max-age=60\r\n{framing}\r\n"
        )
        .as_bytes(),
    );
    for number in 1..=EVENTS {
        let event = event(number);
        let event = if chunked { format!("{:x}\r\n{event}\r\n", event.len()) } else { event };
        wire.send(event.as_bytes()).then_some(())?;
        hear.recv_timeout(RESPONSE_TIMEOUT).ok()?;
    }
    if chunked {
        wire.send(b"0\r\n\r\n");
    }
    (!framing.is_empty()).then_some(())
}

/// Reads until this text has arrived.
fn await_text(client: &mut Client, heard: &mut Vec<u8>, text: &str) {
    heard.extend(client.wire.take());
    while find(heard, text.as_bytes()).is_none() {
        let read = client.wire.fill();
        heard.extend(client.wire.take());
        assert!(
            matches!(read, Ok(1..)),
            "{read:?} before {text:?}, after {:?}",
            String::from_utf8_lossy(heard)
        );
    }
}

#[test]
fn every_event_reaches_the_client_before_the_next_is_sent() {
    let (service, heard) = event_backend();
    let gateway = gateway(service.port(), &json!({}));
    for (route, _) in routes() {
        for framing in ["chunked", "counted", "closed"] {
            let mut client = gateway.connect();
            client.send(Request::get(&format!("/{route}/{framing}?h1")).header(ANN.0, ANN.1).bytes("gw"));
            let head = client.wire.head().expect("a head");
            assert!(head.start.contains(" 200 "), "{route} {framing}: {}", head.start);
            let mut all = Vec::new();
            for number in 1..=EVENTS {
                await_text(&mut client, &mut all, &event(number));
                heard.send(()).expect("the service waits");
            }
        }
    }
}

#[test]
fn every_event_reaches_an_http_2_client_before_the_next_is_sent() {
    let (service, heard) = event_backend();
    let gateway = gateway(service.port(), &json!({}));
    h2::run(async {
        let mut client = h2::Client::connect(gateway.address).await;
        for (route, _) in routes() {
            for framing in ["chunked", "counted", "closed"] {
                let request =
                    h2::request("GET", &format!("/{route}/{framing}?h2"), &[("authorization", ANN.1)]);
                let answer = client.begin(request, true).await.0.await.expect("a response");
                assert_eq!(answer.status(), 200, "{route} {framing}");
                let mut body = answer.into_body();
                for number in 1..=EVENTS {
                    let data = body.data().await.expect("an event").expect("no reset");
                    assert_eq!(data, event(number), "{route} {framing}");
                    heard.send(()).expect("the service waits");
                }
                assert_eq!(h2::drain(&mut body).await.expect("a clean end").0, b"", "{route} {framing}");
            }
        }
    });
}

#[test]
fn every_event_of_an_http_2_backend_is_relayed_at_once() {
    h2::run(async {
        let (heard, hear) = tokio::sync::mpsc::channel::<()>(1);
        let hear = Arc::new(tokio::sync::Mutex::new(hear));
        let service = h2::origin(move |_, mut respond| {
            let hear = hear.clone();
            async move {
                let mut body = respond.send_response(http::Response::new(()), false).expect("sent");
                for number in 1..=EVENTS {
                    body.send_data(Bytes::from(event(number)), number == EVENTS).expect("sent");
                    hear.lock().await.recv().await;
                }
            }
        })
        .await;
        let route =
            json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
        let gateway = Gateway::with(&document(service.port(), &route, &json!({})));
        let mut client = h2::Client::connect(gateway.address).await;
        let answer = client.begin(h2::request("GET", "/", &[]), true).await.0.await.expect("a response");
        let mut body = answer.into_body();
        for number in 1..=EVENTS {
            assert_eq!(body.data().await.expect("an event").expect("no reset"), event(number));
            heard.send(()).await.expect("the service waits");
        }
        let address = gateway.address;
        let plain = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(address);
            client.send(Request::get("/").bytes("gw"));
            let mut all = Vec::new();
            for number in 1..=EVENTS {
                await_text(&mut client, &mut all, &event(number));
                heard.blocking_send(()).expect("the service waits");
            }
        });
        plain.await.expect("every event");
    });
}

#[test]
fn an_idle_stream_outlives_every_timeout_except_the_idle_timeout() {
    let service = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
        std::thread::sleep(Duration::from_millis(900));
        wire.send(b"9\r\ndata: 2\n\n\r\n");
        let _ = wire.drain();
    });
    let document = document(
        service.port(),
        &json!({ "Timeout": "400ms", "QoSOptions": { "TimeoutValue": 300 } }),
        &json!({ "Limits": { "BodyIdleTimeout": "1500ms", "KeepAliveTimeout": "1s", "RequestHeadersTimeout": "300ms" } }),
    );
    let gateway = Gateway::with(&document);
    let mut client = gateway.connect();
    client.send(Request::get("/").bytes("gw"));
    let mut all = Vec::new();
    await_text(&mut client, &mut all, "data: 2\n\n");
    let quiet = Instant::now();
    assert_eq!(client.wire.fill(), Ok(0), "and no clean end");
    let lived = quiet.elapsed();
    assert!(lived > Duration::from_millis(1200) && lived < Duration::from_secs(5), "{lived:?}");
}

#[test]
fn a_client_disconnect_ends_the_backend_request_at_once() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let service = ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        if wire.fill() == Ok(0) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let gateway = gateway(service.port(), &json!({ "BodyIdleTimeout": "1h" }));
    for (n, (route, _)) in routes().into_iter().enumerate() {
        let mut client = gateway.connect();
        client.send(Request::get(&format!("/{route}/x")).header(ANN.0, ANN.1).bytes("gw"));
        await_text(&mut client, &mut Vec::new(), "data: 1\n\n");
        drop(client);
        assert!(becomes_true(Duration::from_secs(3), || ended.load(Ordering::SeqCst) == n + 1), "{route}");
    }
    let so_far = ended.load(Ordering::SeqCst);
    h2::run(async {
        let mut client = h2::Client::connect(gateway.address).await;
        let (answer, _) = client.begin(h2::request("GET", "/plain/x", &[]), true).await;
        let mut body = answer.await.expect("a response").into_body();
        assert_eq!(body.data().await.expect("an event").expect("no reset"), "data: 1\n\n");
        drop(body);
        h2::until(|| ended.load(Ordering::SeqCst) == so_far + 1).await;
    });
}

/// A backend that reports every received chunk of a body, and responds at its end.
fn listener() -> (ScriptedBackend, Receiver<String>) {
    let (came, coming) = channel();
    let service = ScriptedBackend::start(move |wire, _| {
        let Ok(head) = wire.head() else { return };
        let say = |part: &[u8]| drop(came.send(String::from_utf8_lossy(part).into_owned()));
        if head.has("content-length") {
            for _ in 0..EVENTS {
                let mut piece = Vec::new();
                let _ = wire.exactly(9, &mut |part| piece.extend_from_slice(part));
                say(&piece);
            }
        } else {
            let _ = wire.chunked(&mut |part| say(part));
        }
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
    (service, coming)
}

#[test]
fn every_chunk_of_an_upload_reaches_the_backend_before_the_next_is_sent() {
    let (service, coming) = listener();
    let gateway = gateway(service.port(), &json!({}));
    for (route, _) in routes() {
        for chunked in [true, false] {
            let mut client = gateway.connect();
            let length = if chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", "36") };
            client.send(
                Request::new("POST", &format!("/{route}/x"))
                    .header(ANN.0, ANN.1)
                    .header(length.0, length.1)
                    .bytes("gw"),
            );
            for number in 1..=EVENTS {
                let event = event(number);
                client.send(if chunked { format!("9\r\n{event}\r\n") } else { event.clone() });
                assert_eq!(coming.recv_timeout(RESPONSE_TIMEOUT).expect("it came alone"), event, "{route}");
            }
            if chunked {
                client.send(b"0\r\n\r\n");
            }
            assert_eq!(client.answer("POST").map(|a| a.text()), Ok("ok".into()), "{route}");
        }
    }
}

#[test]
fn every_chunk_of_an_http_2_upload_reaches_the_backend_before_the_next_is_sent() {
    let (service, coming) = listener();
    let gateway = gateway(service.port(), &json!({}));
    let coming = Arc::new(Mutex::new(coming));
    h2::run(async {
        let mut client = h2::Client::connect(gateway.address).await;
        for (route, _) in routes() {
            let request = h2::request("POST", &format!("/{route}/x"), &[("authorization", ANN.1)]);
            let (answer, mut body) = client.begin(request, false).await;
            for number in 1..=EVENTS {
                body.send_data(Bytes::from(event(number)), number == EVENTS).expect("sent");
                let coming = coming.clone();
                let came = tokio::task::spawn_blocking(move || {
                    coming.lock().expect("no panic").recv_timeout(RESPONSE_TIMEOUT)
                });
                assert_eq!(came.await.expect("no panic").expect("it came alone"), event(number), "{route}");
            }
            assert_eq!(h2::whole(answer.await.expect("a response")).await.expect("a body").text(), "ok");
        }
    });
}

#[test]
fn a_long_poll_is_answered_when_the_backend_responds() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let service = ScriptedBackend::start(move |wire, _| {
        while wire.head().is_ok() {
            let _ = wait.lock().expect("no panic").recv_timeout(RESPONSE_TIMEOUT);
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnews");
        }
    });
    let gateway = gateway(service.port(), &json!({ "KeepAliveTimeout": "1s", "BodyIdleTimeout": "300ms" }));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(Request::get("/plain/poll").bytes("gw"));
        client.wire.read_timeout(Duration::from_millis(1300));
        assert!(client.wire.fill().is_err(), "nothing yet, and the connection stays");
        client.wire.read_timeout(RESPONSE_TIMEOUT);
        go.send(()).expect("the service waits");
        assert_eq!(client.answer("GET").map(|a| a.text()), Ok("news".into()));
    }
}
