//! HTTP/2 to backends: many requests share one connection, whatever the protocol of the clients.

use super::document;
use crate::support::client::Request as Plain;
use crate::support::gateway::Gateway;
use crate::support::h2::{Client, Respond, drain, origin, request, run, whole};
use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

fn exact(port: u16, route: &Value) -> Gateway {
    let version_options =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
    Gateway::with(&document(port, &super::over(version_options, route), &json!({})))
}

/// The gateway in front of an HTTP/2 backend; started outside the runtime, which must continue.
async fn before(service: SocketAddr) -> Gateway {
    tokio::task::spawn_blocking(move || exact(service.port(), &json!({}))).await.expect("a gateway")
}

/// Sends an HTTP/1.1 request outside the runtime.
async fn ask(gateway: &Arc<Gateway>, request: Plain) -> crate::support::client::Response {
    let gateway = gateway.clone();
    tokio::task::spawn_blocking(move || gateway.ask(&request)).await.expect("a response")
}

/// Responds with the received body, the method, the path and a trailer.
async fn echo(mut request: Request<RecvStream>, mut respond: Respond) {
    let received = format!("{} {}", request.method(), request.uri().path_and_query().expect("a path"));
    let te = request.headers().contains_key("te");
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let Ok((body, trailers)) = drain(request.body_mut()).await else { return };
    let response = Response::builder()
        .header("x-received", received)
        .header("x-te", te.to_string())
        .header("x-host", host);
    let mut stream = respond.send_response(response.body(()).expect("a head"), false).expect("sent");
    stream.send_data(Bytes::from(body), false).expect("sent");
    let mut sum = HeaderMap::new();
    let check = trailers.and_then(|fields| fields.get("x-check").cloned());
    sum.insert("x-sum", check.unwrap_or_else(|| "none".parse().expect("a value")));
    stream.send_trailers(sum).expect("sent");
}

#[test]
fn clients_of_both_versions_are_served_with_their_trailers() {
    run(async {
        let service = origin(echo).await;
        let gateway = Arc::new(before(service).await);
        let old = Plain::new("POST", "/a?b=c")
            .header("TE", "trailers")
            .header("Trailer", "X-Check")
            .chunks(&["he", "llo"])
            .trailer("X-Check", "7");
        let answer = ask(&gateway, old).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.head.get("x-received"), Some("POST /a?b=c"));
        assert_eq!(answer.head.get("x-host"), Some(&*service.to_string()));
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
        let mut client = Client::connect(gateway.address).await;
        let answer = client.get("/x").await.expect("a response");
        assert_eq!((answer.header("x-received"), answer.trailer("x-sum")), (Some("GET /x"), Some("none")));
    });
}

#[test]
fn concurrent_requests_share_one_connection() {
    run(async {
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let service = listener.local_addr().expect("an address");
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            respond.send_response(Response::new(()), true).expect("sent");
                        });
                    }
                });
            }
        });
        let gateway = before(service).await;
        let mut client = Client::connect(gateway.address).await;
        let mut waiting = Vec::new();
        for _ in 0..50 {
            waiting.push(client.begin(request("GET", "/", &[]), true).await.0);
        }
        for answer in waiting {
            assert_eq!(answer.await.expect("a response").status(), 200);
        }
        assert_eq!(connections.load(SeqCst), 1);
    });
}

#[test]
fn refused_streams_and_goaway_are_retried_on_another_connection() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let service = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        match number {
                            0 => {
                                respond.send_reset(h2::Reason::REFUSED_STREAM);
                                connection.graceful_shutdown();
                            }
                            _ => drop(respond.send_response(Response::new(()), true).expect("sent")),
                        }
                    }
                });
            }
        });
        let gateway = Arc::new(before(service).await);
        for _ in 0..3 {
            assert_eq!(ask(&gateway, Plain::new("POST", "/")).await.status, 200);
        }
    });
}

#[test]
fn a_refused_post_is_sent_again_with_its_body() {
    run(async {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let service = origin(move |mut request, mut respond| {
            let number = counted.fetch_add(1, SeqCst);
            async move {
                if number.is_multiple_of(2) {
                    // The body was received, and was not processed.
                    let _ = drain(request.body_mut()).await;
                    return respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
                echo(request, respond).await;
            }
        })
        .await;
        let gateway = Arc::new(before(service).await);
        for body in ["hello", "", "again"] {
            let answer = ask(&gateway, Plain::new("POST", "/").body(body)).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, body));
        }
        assert_eq!(calls.load(SeqCst), 6);
    });
}

#[test]
fn a_client_disconnect_resets_only_its_own_stream() {
    run(async {
        let reset = Arc::new(AtomicUsize::new(0));
        let counted = reset.clone();
        let service = origin(move |request, mut respond| {
            let counted = counted.clone();
            async move {
                if request.uri().path() != "/slow" {
                    return drop(respond.send_response(Response::new(()), true));
                }
                let why = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                counted.fetch_add(usize::from(why.is_ok()), SeqCst);
            }
        })
        .await;
        let gateway = before(service).await;
        let mut client = Client::connect(gateway.address).await;
        let (answer, mut stream) = client.begin(request("GET", "/slow", &[]), true).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        crate::support::h2::until(|| reset.load(SeqCst) == 1).await;
        assert_eq!(client.get("/").await.expect("a response").status(), 200);
    });
}

#[test]
fn a_canceled_upload_is_reset_even_if_the_backend_does_not_read() {
    run(async {
        let (begun, reset) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counts, resets) = (begun.clone(), reset.clone());
        let service = origin(move |request, mut respond| {
            let (counts, resets) = (counts.clone(), resets.clone());
            async move {
                counts.fetch_add(1, SeqCst);
                let why = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                resets.fetch_add(usize::from(why.is_ok()), SeqCst);
                drop(request);
            }
        })
        .await;
        let gateway = before(service).await;
        let mut client = Client::connect(gateway.address).await;
        for number in 1..=2 {
            let (answer, mut stream) = client.begin(request("POST", "/", &[]), false).await;
            stream.send_data(Bytes::from(vec![b'x'; 1 << 20]), false).expect("sent");
            crate::support::h2::until(|| begun.load(SeqCst) == number).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            if number == 1 {
                stream.send_reset(h2::Reason::CANCEL);
            } else {
                // The whole connection is lost.
                client = Client::connect(gateway.address).await;
            }
            drop((answer, stream));
            crate::support::h2::until(|| reset.load(SeqCst) == number).await;
        }
    });
}

#[test]
fn large_bodies_pass_in_both_directions() {
    run(async {
        let gateway = Arc::new(before(origin(echo).await).await);
        let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 5) as u8).collect();
        let answer = ask(&gateway, Plain::new("PUT", "/").body(&sent)).await;
        assert!(answer.body == sent, "{} bytes came back", answer.body.len());
        let (answer, mut stream) =
            Client::connect(gateway.address).await.begin(request("PUT", "/", &[]), false).await;
        stream.send_data(Bytes::from(sent.clone()), true).expect("sent");
        let answer = whole(answer.await.expect("a response")).await.expect("a body");
        assert!(answer.body == sent, "{} bytes came back", answer.body.len());
    });
}

#[test]
fn an_http_1_backend_is_a_502_where_http_2_is_required() {
    let service = crate::support::origin::Origin::hello();
    let gateway = exact(service.port(), &json!({}));
    assert_eq!(gateway.get("/").status, 502);
}
