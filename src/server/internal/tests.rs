use super::*;
use crate::{
    pipeline::{body::Chunk, exchange::Peer, upgrade::UpgradePeer},
    server::scripted_client::ScriptedClient,
};
use axum::{Router, body::Body as ServiceBody, response::IntoResponse, routing::any};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

const TIMEOUT: Duration = Duration::from_secs(90);

fn exchange(method: &[u8], fields: &[(&str, &str)]) -> Exchange {
    let address = "127.0.0.1:5".parse().unwrap();
    let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    exchange.request = Head::request(method, b"/path?query");
    exchange.request.append(b"Host", b"gw.test");
    fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
    exchange
}

/// A service of one handler.
macro_rules! service {
    ($handler:expr) => {
        InternalService::new("test", Router::new().fallback(any($handler)))
    };
}

async fn request(service: &InternalService, method: &[u8], client: &mut ScriptedClient) -> RouteResult {
    call(service, TIMEOUT, &mut exchange(method, &[]), HopByHop::default(), client).await
}

/// Reads the response body while the request body is sent.
async fn read_to_end(response: Response, client: &mut ScriptedClient) -> Result<Vec<u8>, GatewayError> {
    let Body::Stream(mut stream) = response.body else { return Ok(Vec::new()) };
    let mut body = Vec::new();
    poll_fn(|cx| {
        loop {
            let n = match stream.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => {
                    body.extend_from_slice(data);
                    data.len()
                }
                Poll::Ready(Chunk::End) => return Poll::Ready(Ok(std::mem::take(&mut body))),
                Poll::Pending => {
                    let _ = stream.poll_upload(cx, client)?;
                    return Poll::Pending;
                }
            };
            stream.consume(n);
        }
    })
    .await
}

fn code(outcome: RouteResult) -> ErrorCode {
    outcome.expect_err("an error").code
}

/// Sets a flag when it is dropped.
#[derive(Clone, Default)]
struct DropFlag(Arc<AtomicBool>);

struct SetOnDrop(Arc<AtomicBool>);

impl DropFlag {
    fn guard(&self) -> SetOnDrop {
        SetOnDrop(self.0.clone())
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_service_receives_the_request_and_its_response_is_delivered() {
    let service = service!(|request: Request| async move {
        let client = *request.extensions().get::<ClientInfo>().unwrap();
        assert_eq!(client.address.to_string(), "127.0.0.1");
        let line = format!("{} {} {:?}", request.method(), request.uri(), request.headers()["host"]);
        (StatusCode::CREATED, [("x-own", "1"), ("connection", "x-own")], line)
    });
    let mut client = ScriptedClient::with_body(&[]);
    let response = request(&service, b"GET", &mut client).await.unwrap();
    assert_eq!((response.status(), response.head.get(b"connection")), (201, None));
    assert!(response.head.get(b"date").is_some());
    assert_eq!(read_to_end(response, &mut client).await.unwrap(), b"GET /path?query \"gw.test\"");
}

#[tokio::test]
async fn bodies_stream_in_both_directions() {
    let service = service!(|request: Request| async move { ServiceBody::new(request.into_body()) });
    let mut client = ScriptedClient::with_body(&[b"one ", b"two ", b"three"]);
    let response = request(&service, b"POST", &mut client).await.unwrap();
    assert_eq!(response.body.length(), None);
    assert_eq!(client.bytes_received(), 0, "the service has not read the body yet");
    assert_eq!(read_to_end(response, &mut client).await.unwrap(), b"one two three");
}

#[tokio::test]
async fn only_chunks_that_the_service_reads_are_received_from_the_client() {
    let service = service!(|request: Request| async move {
        let mut body = request.into_body().into_data_stream();
        body.next().await.unwrap().unwrap()
    });
    let mut client = ScriptedClient::with_body(&[b"one", b"two", b"three"]);
    let response = request(&service, b"POST", &mut client).await.unwrap();
    assert_eq!(client.chunks.len(), 2);
    assert_eq!(read_to_end(response, &mut client).await.unwrap(), b"one");
}

#[tokio::test(start_paused = true)]
async fn events_are_delivered_as_they_are_produced() {
    let service = service!(|| async {
        let events = stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Some((Ok::<_, Infallible>(format!("data: {n}\n\n")), n + 1))
        });
        ([("content-type", "text/event-stream")], ServiceBody::from_stream(events))
    });
    let response = request(&service, b"GET", &mut ScriptedClient::with_body(&[])).await.unwrap();
    let Body::Stream(mut stream) = response.body else { panic!("a stream") };
    for expected in [b"data: 0\n\n", b"data: 1\n\n"] {
        assert!(stream.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending());
        let n = poll_fn(|cx| match stream.poll_fill(cx) {
            Poll::Ready(Ok(Chunk::Data(data))) => {
                assert_eq!(data, expected);
                Poll::Ready(data.len())
            }
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => Poll::Pending,
        })
        .await;
        stream.consume(n);
    }
}

#[tokio::test]
async fn the_future_is_dropped_when_the_client_closes() {
    let dropped = DropFlag::default();
    let flag = dropped.clone();
    let service = service!(move || {
        let guard = flag.guard();
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    let mut client = ScriptedClient { is_closed: true, ..ScriptedClient::with_body(&[]) };
    assert_eq!(code(request(&service, b"GET", &mut client).await), ErrorCode::ClientClosed);
    assert!(dropped.is_set());
}

#[tokio::test]
async fn the_response_stream_is_dropped_with_the_response() {
    let dropped = DropFlag::default();
    let flag = dropped.clone();
    let service = service!(move || {
        let guard = flag.guard();
        let events = stream::once(async move {
            let _guard = guard;
            std::future::pending::<Result<Bytes, Infallible>>().await
        });
        async move { ServiceBody::from_stream(events) }
    });
    let response = request(&service, b"GET", &mut ScriptedClient::with_body(&[])).await.unwrap();
    assert!(!dropped.is_set());
    drop(response);
    assert!(dropped.is_set());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_responds_times_out() {
    let service = service!(std::future::pending::<()>);
    let mut client = ScriptedClient { stalls: true, ..ScriptedClient::with_body(&[b"x"]) };
    assert_eq!(code(request(&service, b"POST", &mut client).await), ErrorCode::BackendTimeout);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_before_and_within_the_body() {
    let service = service!(|| async {
        if true {
            panic!("before");
        }
    });
    let mut client = ScriptedClient::with_body(&[]);
    assert_eq!(code(request(&service, b"GET", &mut client).await), ErrorCode::GatewayInternal);
    let service = service!(|| async {
        ServiceBody::from_stream(stream::once(async {
            if true {
                panic!("within");
            }
            Ok::<_, Infallible>("never")
        }))
    });
    let response = request(&service, b"GET", &mut client).await.unwrap();
    let cause = read_to_end(response, &mut client).await.unwrap_err();
    assert_eq!(cause.code, ErrorCode::GatewayInternal);
}

#[tokio::test]
async fn a_body_that_fails_breaks_the_response() {
    let service = service!(|| async {
        let parts = [Ok("one"), Err(std::io::Error::other("disk"))];
        ServiceBody::from_stream(stream::iter(parts))
    });
    let mut client = ScriptedClient::with_body(&[]);
    let response = request(&service, b"GET", &mut client).await.unwrap();
    let cause = read_to_end(response, &mut client).await.unwrap_err();
    assert!(cause.detail.contains("disk"), "{cause:?}");
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let service = service!(|| async { "hello" });
    let response = request(&service, b"HEAD", &mut ScriptedClient::with_body(&[])).await.unwrap();
    assert_eq!(response.head.get(b"content-length"), Some(&b"5"[..]));
    assert!(matches!(response.body, Body::Empty));
}

#[tokio::test]
async fn an_upgraded_connection_is_a_byte_stream() {
    let service = service!(|request: Request| async move {
        assert_eq!(request.headers()["upgrade"], "websocket");
        let upgrade = request.extensions().get::<OnUpgrade>().cloned().unwrap();
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(upgrade.stream().await.unwrap());
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("sec-websocket-accept", "proof")]).into_response()
    });
    let hop = HopByHop { websocket: true, ..HopByHop::default() };
    let mut client = ScriptedClient::with_body(&[]);
    let outcome = call(&service, TIMEOUT, &mut exchange(b"GET", &[]), hop, &mut client).await.unwrap();
    assert_eq!((outcome.status(), outcome.head.get(b"sec-websocket-accept")), (101, Some(&b"proof"[..])));
    let UpgradePeer::Backend(mut backend) = outcome.upgrade.unwrap().peer else { panic!("a byte stream") };
    assert_eq!(poll_fn(|cx| backend.poll_write(cx, b"echo")).await.unwrap(), 4);
    let echoed = poll_fn(|cx| backend.poll_read(cx).map_ok(<[u8]>::to_vec)).await.unwrap();
    assert_eq!(echoed, b"echo");
    backend.consume(4);
    poll_fn(|cx| backend.poll_close(cx)).await.unwrap();
    let end = poll_fn(|cx| backend.poll_read(cx).map_ok(<[u8]>::is_empty)).await.unwrap();
    assert!(end, "the service ends its side too");
}

#[tokio::test]
async fn an_unrequested_upgrade_is_an_internal_error() {
    let service = service!(|| async { StatusCode::SWITCHING_PROTOCOLS });
    let outcome = request(&service, b"GET", &mut ScriptedClient::with_body(&[])).await;
    assert_eq!(code(outcome), ErrorCode::GatewayInternal);
}
