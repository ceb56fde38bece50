//! Backends that end their connections lose no request, and no POST is processed twice: 400 POSTs in front of backends that
//! record what they process.

use super::{document, over};
use crate::support::client::{Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2::{
    Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, SETTINGS, block, request, run, whole,
};
use crate::support::http1_reader::{Fault, Http1Stream};
use crate::support::scripted_backend::ScriptedBackend;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CLIENTS: usize = 20;
const POSTS_PER_CLIENT: usize = 20;
const POSTS: usize = CLIENTS * POSTS_PER_CLIENT;
/// Requests that the backends serve on one connection.
const PER_CONNECTION: usize = 5;

/// How often each POST was processed, by its body.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<BTreeMap<String, usize>>>);

impl Ledger {
    fn record(&self, body: &[u8]) {
        *self.0.lock().expect("no panic").entry(String::from_utf8_lossy(body).into_owned()).or_default() += 1;
    }

    fn processed(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// The POSTs that were processed more than once.
    fn repeated(&self) -> Vec<String> {
        let ledger = self.0.lock().expect("no panic");
        ledger.iter().filter(|(_, times)| **times > 1).map(|(body, _)| body.clone()).collect()
    }
}

/// Sends all POSTs from concurrent HTTP/1.1 clients; returns the responses that are not 200, and failures.
fn post_all(gateway: &Gateway) -> Vec<Result<Response, Fault>> {
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let failed = &failed;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for n in 0..POSTS_PER_CLIENT {
                    let answer = connection.ask(&Request::new("POST", "/").body(format!("{client}-{n}")));
                    if !answer.as_ref().is_ok_and(Response::keeps_alive) {
                        connection = gateway.connect();
                    }
                    if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                        failed.lock().expect("no panic").push(answer);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no panic")
}

/// When an HTTP/2 backend sends GOAWAY, and how it closes.
#[derive(Clone, Copy)]
enum End {
    /// With the head of the fifth request; the gateway closes.
    Early,
    /// After the fifth response; the gateway closes.
    Late,
    /// After the fifth response; the backend closes at once, which resets the connection if requests are unread.
    Reset,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Serves five requests of an HTTP/2 connection, and reports in GOAWAY that it processed no others.
fn serve_http2(stream: &mut TcpStream, end: End, ledger: &Ledger) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let goaway = |id: u32| frame(GOAWAY, 0, 0, &[id.to_be_bytes(), [0; 4]].concat());
    let (mut bodies, mut served) = (BTreeMap::<u32, Vec<u8>>::new(), 0);
    while served < PER_CONNECTION {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload)?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == HEADERS && bodies.len() < PER_CONNECTION {
            bodies.insert(id, Vec::new());
            if bodies.len() == PER_CONNECTION && matches!(end, End::Early) {
                stream.write_all(&goaway(id))?;
            }
        }
        let Some(body) = bodies.get_mut(&id).filter(|_| head[3] == DATA) else { continue };
        body.extend(payload);
        if head[4] & END_STREAM != 0 {
            served += 1;
            ledger.record(body);
            stream.write_all(&frame(HEADERS, END_HEADERS, id, &block(&[(":status", "200")])))?;
            stream.write_all(&frame(DATA, END_STREAM, id, b"ok"))?;
        }
    }
    let last = bodies.last_key_value().map_or(0, |(id, _)| *id);
    if !matches!(end, End::Early) {
        stream.write_all(&goaway(last))?;
    }
    match end {
        End::Reset => Ok(()),
        End::Early | End::Late => std::io::copy(stream, &mut std::io::sink()).map(drop),
    }
}

/// A gateway in front of an HTTP/2 backend that ends its connections, and the record of the backend.
fn ending(end: End) -> (Gateway, Ledger, ScriptedBackend) {
    let ledger = Ledger::default();
    let record = ledger.clone();
    let backend = ScriptedBackend::start(move |wire, _| drop(serve_http2(&mut wire.stream, end, &record)));
    let http2 =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
    (start(backend.port(), &http2), ledger, backend)
}

fn start(port: u16, route: &Value) -> Gateway {
    Gateway::start(&Setup::json(&document(port, &over(json!({}), route), &json!({}))).threads(2))
}

#[test]
fn no_post_is_lost_or_sent_twice_when_an_http2_backend_sends_goaway() {
    for end in [End::Early, End::Late, End::Reset] {
        let (gateway, ledger, backend) = ending(end);
        let failed = post_all(&gateway);
        assert!(failed.is_empty(), "{} of {POSTS} failed: {:?}", failed.len(), failed[0]);
        assert_eq!((ledger.processed(), ledger.repeated()), (POSTS, vec![]));
        assert!(backend.connections() >= POSTS / PER_CONNECTION);
    }
}

#[test]
fn no_post_of_an_http2_client_is_lost_when_an_http2_backend_sends_goaway() {
    let (gateway, ledger, _backend) = ending(End::Reset);
    run(async {
        let client = Client::connect(gateway.address).await;
        let posts = (0..CLIENTS).map(|number| {
            let mut client = client.clone();
            tokio::spawn(async move {
                for n in 0..POSTS_PER_CLIENT {
                    let (answer, mut stream) = client.begin(request("POST", "/", &[]), false).await;
                    stream.send_data(Bytes::from(format!("{number}-{n}")), true).expect("sent");
                    let answer = whole(answer.await.expect("a response")).await.expect("a body");
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                }
            })
        });
        for posts in posts.collect::<Vec<_>>() {
            posts.await.expect("no panic");
        }
    });
    assert_eq!((ledger.processed(), ledger.repeated()), (POSTS, vec![]));
}

/// Serves five requests of an HTTP/1.1 connection, then closes it; `is_announced`: with `Connection: close`.
fn serve_http1(wire: &mut Http1Stream, is_announced: bool, ledger: &Ledger) -> Result<(), Fault> {
    for n in 1..=PER_CONNECTION {
        let head = wire.head()?;
        let mut body = Vec::new();
        let length = head.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        wire.exactly(length, &mut |part: &[u8]| body.extend_from_slice(part))?;
        ledger.record(&body);
        let close = if is_announced && n == PER_CONNECTION { "Connection: close\r\n" } else { "" };
        wire.send(format!("HTTP/1.1 200 OK\r\n{close}Content-Length: 2\r\n\r\nok").as_bytes());
    }
    Ok(())
}

#[test]
fn no_post_is_lost_or_sent_twice_when_an_http1_backend_announces_its_close() {
    let ledger = Ledger::default();
    let record = ledger.clone();
    let backend = ScriptedBackend::start(move |wire, _| drop(serve_http1(wire, true, &record)));
    let failed = post_all(&start(backend.port(), &json!({})));
    assert!(failed.is_empty(), "{} of {POSTS} failed: {:?}", failed.len(), failed[0]);
    assert_eq!((ledger.processed(), ledger.repeated()), (POSTS, vec![]));
}

#[test]
fn a_post_that_crosses_an_unannounced_close_is_a_502_and_is_not_sent_again() {
    let ledger = Ledger::default();
    let record = ledger.clone();
    let backend = ScriptedBackend::start(move |wire, _| drop(serve_http1(wire, false, &record)));
    let gateway = start(backend.port(), &json!({}));
    let failed = post_all(&gateway);
    for answer in &failed {
        let answer = answer.as_ref().expect("every POST gets a response");
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 502);
        assert!(["backend.reset", "backend.send"].contains(&code.as_str()), "{}", answer.text());
    }
    crate::support::announce(&format!("{} of {POSTS} POSTs crossed a close", failed.len()));
    assert_eq!(ledger.repeated(), Vec::<String>::new());
    assert!(ledger.processed() >= POSTS - failed.len());
}

#[test]
fn a_killed_gateway_has_sent_no_post_twice() {
    let ledger = Ledger::default();
    let record = ledger.clone();
    let backend = ScriptedBackend::start(move |wire, _| while serve_http1(wire, false, &record).is_ok() {});
    let gateway = start(backend.port(), &json!({}));
    std::thread::scope(|scope| {
        let gateway = &gateway;
        let clients: Vec<_> = (0..8)
            .map(|client| {
                scope.spawn(move || {
                    let mut connection = gateway.connect();
                    let posts = (0..).map(|n| Request::new("POST", "/").body(format!("{client}-{n}")));
                    posts.map_while(|post| connection.ask(&post).ok()).filter(|a| a.status == 200).count()
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        gateway.process.signal("KILL");
        let answered: usize = clients.into_iter().map(|client| client.join().expect("no panic")).sum();
        assert!(answered > 0 && ledger.processed() <= answered + 8, "one each may have lost its response");
    });
    assert_eq!(ledger.repeated(), Vec::<String>::new());
}
