//! gRPC: all four kinds of calls, h2c on both sides, and gateway errors as gRPC clients receive them.

use super::{document, over};
use crate::support::gateway::Gateway;
use crate::support::h2::{Client, CompleteResponse, Respond, origin, request, run, whole};
use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

/// A message with its prefix: uncompressed, and its length.
fn message(text: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(text.len()).expect("fits"));
    out.put_slice(text.as_bytes());
    out.freeze()
}

/// Takes complete messages from the received bytes.
fn messages(bytes: &mut BytesMut) -> Vec<String> {
    let mut out = Vec::new();
    while bytes.len() >= 5 {
        let length = u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes")) as usize;
        if bytes.len() < 5 + length {
            break;
        }
        let message = bytes.split_to(5 + length);
        out.push(String::from_utf8_lossy(&message[5..]).into_owned());
    }
    out
}

fn texts(body: &[u8]) -> Vec<String> {
    messages(&mut BytesMut::from(body))
}

/// A backend: the path selects the kind of call. Every message is echoed at once, or counted, or multiplied.
async fn serve(request: Request<RecvStream>, mut respond: Respond) {
    let (parts, mut body) = request.into_parts();
    assert_eq!(parts.headers.get("te").map(|te| te.as_bytes()), Some(&b"trailers"[..]));
    if parts.uri.path() == "/echo.Echo/Fails" {
        let failed =
            Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        return drop(
            respond.send_response(failed.header("grpc-message", "not found").body(()).expect("a head"), true),
        );
    }
    let head = Response::builder().header("content-type", "application/grpc");
    let mut stream = respond.send_response(head.body(()).expect("a head"), false).expect("sent");
    let (mut bytes, mut count) = (BytesMut::new(), 0);
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).expect("released");
        bytes.extend_from_slice(&data);
        for text in messages(&mut bytes) {
            count += 1;
            match parts.uri.path() {
                "/echo.Echo/ClientStream" => {}
                "/echo.Echo/ServerStream" => {
                    for n in 0..3 {
                        stream.send_data(message(&format!("{text} {n}")), false).expect("sent");
                    }
                }
                _ => stream.send_data(message(&text), false).expect("sent"),
            }
        }
    }
    if parts.uri.path() == "/echo.Echo/ClientStream" {
        stream.send_data(message(&count.to_string()), false).expect("sent");
    }
    let mut status = HeaderMap::new();
    status.insert("grpc-status", "0".parse().expect("a value"));
    stream.send_trailers(status).expect("sent");
}

async fn gateway(port: u16, more: Value) -> Gateway {
    let version_options =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionOrHigher" });
    let document = document(port, &over(version_options, &more), &json!({}));
    tokio::task::spawn_blocking(move || Gateway::with(&document)).await.expect("a gateway")
}

fn call(path: &str) -> Request<()> {
    request("POST", path, &[("content-type", "application/grpc"), ("te", "trailers")])
}

/// Makes a call with these messages.
async fn call_with(client: &mut Client, path: &str, texts: &[&str]) -> CompleteResponse {
    let (answer, mut stream) = client.begin(call(path), false).await;
    for text in texts {
        stream.send_data(message(text), false).expect("sent");
    }
    stream.send_data(Bytes::new(), true).expect("sent");
    whole(answer.await.expect("a response")).await.expect("a body")
}

#[test]
fn unary_calls_and_streams_in_either_direction_end_with_their_status() {
    run(async {
        let gateway = gateway(origin(serve).await.port(), json!({})).await;
        let mut client = Client::connect(gateway.address).await;
        for (path, sent, came) in [
            ("/echo.Echo/Unary", &["one"][..], &["one"][..]),
            ("/echo.Echo/ServerStream", &["a"], &["a 0", "a 1", "a 2"]),
            ("/echo.Echo/ClientStream", &["a", "b", "c"], &["3"]),
        ] {
            let answer = call_with(&mut client, path, sent).await;
            assert_eq!(texts(&answer.body), came, "{path}");
            assert_eq!(answer.trailer("grpc-status"), Some("0"), "{path}");
        }
    });
}

#[test]
fn messages_in_both_directions_pass_one_by_one() {
    run(async {
        let gateway = gateway(origin(serve).await.port(), json!({})).await;
        let mut client = Client::connect(gateway.address).await;
        let (answer, mut stream) = client.begin(call("/echo.Echo/Both"), false).await;
        stream.send_data(message("0"), false).expect("sent");
        let mut body = answer.await.expect("a response").into_body();
        let mut bytes = BytesMut::new();
        for n in 0..5 {
            // The next message is sent only after the response to this one.
            while messages(&mut bytes.clone()).is_empty() {
                let data = body.data().await.expect("more").expect("sound");
                body.flow_control().release_capacity(data.len()).expect("released");
                bytes.extend_from_slice(&data);
            }
            assert_eq!(messages(&mut bytes), [n.to_string()]);
            stream.send_data(message(&(n + 1).to_string()), n == 4).expect("sent");
        }
        let (rest, trailers) = crate::support::h2::drain(&mut body).await.expect("a body");
        assert_eq!(texts(&rest), ["5"]);
        assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
    });
}

#[test]
fn a_backend_error_status_is_relayed_unchanged() {
    run(async {
        let gateway = gateway(origin(serve).await.port(), json!({})).await;
        let answer = call_with(&mut Client::connect(gateway.address).await, "/echo.Echo/Fails", &["x"]).await;
        assert_eq!(
            (answer.header("grpc-status"), answer.header("grpc-message")),
            (Some("5"), Some("not found"))
        );
        assert_eq!(answer.header("content-length"), None);
    });
}

#[test]
fn gateway_errors_have_a_grpc_status_and_no_body() {
    run(async {
        let unreachable = gateway(crate::support::ports::free(), json!({})).await;
        let answer =
            call_with(&mut Client::connect(unreachable.address).await, "/echo.Echo/Unary", &["x"]).await;
        assert_eq!((answer.status(), answer.header("grpc-status")), (200, Some("14")));
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        assert!(answer.body.is_empty() && answer.header("grpc-message").is_some());
        let blocked = json!({ "SecurityOptions": { "IPBlockedList": ["127.0.0.1"] } });
        let closed = gateway(origin(serve).await.port(), blocked).await;
        let answer = call_with(&mut Client::connect(closed.address).await, "/echo.Echo/Unary", &["x"]).await;
        assert_eq!((answer.status(), answer.header("grpc-status")), (200, Some("7")));
    });
}
