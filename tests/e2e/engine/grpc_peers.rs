//! gRPC with another implementation (tonic) on both sides of the gateway: all kinds of calls, metadata, deadlines,
//! cancellation, and gateway errors, without TLS and with it on both sides.

use super::h2_secure::over_tls;
use super::{document, over};
use crate::support::gateway::Gateway;
use crate::support::h2::{run, until};
use crate::support::ports;
use crate::support::tls::{Authority, self_signed};
use crate::support::tonic::{Client, Seen, channel, service, streamed};
use bytes::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

/// A backend, the gateway in front of it, and a client.
struct Scene {
    client: Client,
    seen: Arc<Seen>,
    _gateway: Gateway,
}

/// Starts a gateway outside the runtime, which must continue.
async fn start(
    port: u16,
    secure: Option<Arc<Authority>>,
    route: Value,
    rest: Value,
) -> (Gateway, SocketAddr) {
    let scheme = if secure.is_some() { "https" } else { "http" };
    let version_options = json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact",
        "DownstreamScheme": scheme, "DangerousAcceptAnyServerCertificateValidator": secure.is_some() });
    let document = document(port, &over(version_options, &route), &rest);
    let start = move || match secure {
        Some(authority) => over_tls(&authority, &document),
        None => {
            let gateway = Gateway::with(&document);
            let address = gateway.address;
            (gateway, address)
        }
    };
    tokio::task::spawn_blocking(start).await.expect("a gateway")
}

async fn scene(secure: bool, route: Value, rest: Value) -> Scene {
    let own = secure.then(|| self_signed("localhost"));
    let (service, seen) = service(own.as_ref()).await;
    let authority = secure.then(|| Arc::new(Authority::new("ours")));
    let (_gateway, address) = start(service.port(), authority.clone(), route, rest).await;
    Scene { client: Client::connect(address, authority.as_deref()).await, seen, _gateway }
}

#[test]
fn all_four_kinds_of_calls_pass_without_tls_and_with_it() {
    for secure in [false, true] {
        run(async {
            let Scene { client, .. } = &scene(secure, json!({}), json!({})).await;
            assert_eq!(client.ask("hello").await.expect("a response").into_inner(), "hello");
            let large = Bytes::from(vec![7; 3_000_000]);
            let came = client.unary(Request::new(large.clone())).await.expect("a response").into_inner();
            assert!(came == large, "{} bytes came back", came.len());
            let all = streamed(client.server_stream("500").await.expect("a stream")).await;
            assert_eq!(all.messages, (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
            assert!(all.end.is_ok(), "{:?}", all.end);
            let messages = tokio_stream::iter((0..300).map(|_| Bytes::from(vec![1; 1000])));
            let counted = client.client_stream(messages).await.expect("a response").into_inner();
            assert_eq!(counted, "300 300000");
            let (send, messages) = channel();
            let mut stream = client.both(messages).await.expect("a stream");
            for n in 0..20 {
                // The next message is sent only after the response to this one.
                let message = Bytes::from(n.to_string());
                send.send(message.clone()).await.expect("sent");
                assert_eq!(stream.message().await.expect("a message"), Some(message));
            }
            drop(send);
            assert!(stream.message().await.expect("the end").is_none());
        });
    }
}

#[test]
fn backend_metadata_and_errors_are_relayed_unchanged() {
    for secure in [false, true] {
        run(async {
            let Scene { client, .. } = &scene(secure, json!({}), json!({})).await;
            let mut call = Request::new(Bytes::new());
            call.metadata_mut().insert("x-echo", "a, b".parse().expect("a value"));
            let binary = tonic::metadata::MetadataValue::from_bytes(&[0, 255, 128]);
            call.metadata_mut().insert_bin("x-echo-bin", binary.clone());
            let answer = client.unary(call).await.expect("a response");
            assert_eq!(answer.metadata().get("x-echo").map(|v| v.as_bytes()), Some(&b"a, b"[..]));
            assert_eq!(answer.metadata().get_bin("x-echo-bin"), Some(&binary));
            let failed = client.ask("fail").await.expect_err("it fails");
            assert_eq!((failed.code(), failed.message()), (Code::NotFound, "no such thing: 100 %"));
            assert_eq!(failed.details(), b"\x01\x02");
            assert_eq!(failed.metadata().get("x-why").map(|v| v.as_bytes()), Some(&b"so"[..]));
            let bytes = failed.metadata().get_bin("x-why-bin").expect("bytes").to_bytes();
            assert_eq!(bytes.expect("base64"), &[0, 159, 146, 150][..]);
            let broken = streamed(client.server_stream("3 break").await.expect("a stream")).await;
            assert_eq!(broken.messages, ["0", "1", "2"]);
            assert_eq!(broken.end.expect_err("it breaks").code(), Code::DataLoss);
            assert_eq!(client.unknown().await.expect_err("there is none").code(), Code::Unimplemented);
        });
    }
}

#[test]
fn a_deadline_reaches_the_backend_and_a_canceled_call_is_canceled_there() {
    for secure in [false, true] {
        run(async {
            let Scene { client, seen, .. } = &scene(secure, json!({}), json!({})).await;
            let mut call = Request::new(Bytes::new());
            call.set_timeout(Duration::from_secs(9));
            let answer = client.unary(call).await.expect("a response");
            assert!(answer.metadata().contains_key("x-time"), "{:?}", answer.metadata());
            let mut call = Request::new(Bytes::from_static(b"slow"));
            call.set_timeout(Duration::from_millis(200));
            let began = Instant::now();
            let late = client.unary(call).await.expect_err("it is late");
            assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
            assert!(began.elapsed() < Duration::from_secs(5));
            until(|| seen.cancelled.load(SeqCst) == 1).await;
            // Canceled while the backend waits, and while it sends.
            let waiting = tokio::time::timeout(Duration::from_millis(100), client.ask("slow")).await;
            assert!(waiting.is_err());
            until(|| seen.cancelled.load(SeqCst) == 2).await;
            let mut stream = client.server_stream("2 endless").await.expect("a stream");
            assert_eq!(stream.message().await.expect("a message"), Some(Bytes::from_static(b"0")));
            drop(stream);
            until(|| seen.cancelled.load(SeqCst) == 3).await;
            assert_eq!(client.ask("still there").await.expect("a response").into_inner(), "still there");
        });
    }
}

/// The status that a client of this gateway receives.
async fn told(port: u16, secure: bool, route: Value, rest: Value) -> Status {
    let authority = secure.then(|| Arc::new(Authority::new("ours")));
    let (_gateway, address) = start(port, authority.clone(), route, rest).await;
    let client = Client::connect(address, authority.as_deref()).await;
    client.ask("hello").await.expect_err("an error")
}

#[test]
fn gateway_errors_are_valid_grpc_statuses() {
    let scheme = json!({ "AuthenticationSchemes": { "S": {
        "Type": "JwtBearer", "SigningKey": "a key of at least thirty-two bytes", "Audience": "api" } } });
    let asks = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] } });
    let blocked = json!({ "SecurityOptions": { "IPBlockedList": ["127.0.0.1"] } });
    let nowhere = json!({ "UpstreamPathTemplate": "/elsewhere/{everything}" });
    let small = json!({ "Limits": { "MaxRequestBodySize": "3B" } });
    for secure in [false, true] {
        run(async {
            let own = secure.then(|| self_signed("localhost"));
            let (service, seen) = service(own.as_ref()).await;
            let unused_port = ports::free();
            let cases = [
                (unused_port, json!({}), json!({}), Code::Unavailable),
                (service.port(), asks.clone(), scheme.clone(), Code::Unauthenticated),
                (service.port(), blocked.clone(), json!({}), Code::PermissionDenied),
                (service.port(), nowhere.clone(), json!({}), Code::Unimplemented),
                (service.port(), json!({}), small.clone(), Code::ResourceExhausted),
            ];
            for (port, route, rest, code) in cases {
                let status = told(port, secure, route, rest).await;
                assert_eq!(status.code(), code, "{status:?}");
                assert!(!status.message().is_empty(), "{status:?}");
            }
            // Only the prefix of the oversized message arrived.
            assert!(seen.begun.load(SeqCst) <= 1);
        });
    }
}

#[test]
fn limits_and_timeouts_of_a_route_are_grpc_statuses() {
    for secure in [false, true] {
        run(async {
            let limit = json!({ "RateLimitOptions": { "Limit": 1, "Period": "1h" } });
            let Scene { client, .. } = &scene(secure, limit, json!({})).await;
            assert_eq!(client.ask("one").await.expect("a response").into_inner(), "one");
            let second = client.ask("two").await.expect_err("one is all");
            assert_eq!(second.code(), Code::ResourceExhausted, "{second:?}");
            assert!(second.metadata().contains_key("retry-after"), "{second:?}");
            let Scene { client, seen, .. } = &scene(secure, json!({ "Timeout": "300ms" }), json!({})).await;
            let late = client.ask("slow").await.expect_err("it is late");
            assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
            until(|| seen.cancelled.load(SeqCst) == 1).await;
        });
    }
}
