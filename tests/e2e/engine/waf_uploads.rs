//! Large and split bodies behind the firewall: nothing passes uninspected.

use super::waf::{echo, inspected, multipart, prevention};
use crate::support::gateway::Gateway;
use crate::support::h2;
use bytes::Bytes;
use serde_json::json;

const SCRIPT: &str = "<script>alert(1)</script>";

/// Sends a body in pieces over HTTP/2; returns the status, also of a response that arrives before the end.
fn send_h2(gateway: &Gateway, content_type: &str, pieces: Vec<Bytes>) -> u16 {
    h2::run(async {
        let mut client = h2::Client::connect(gateway.address).await;
        let fields = [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("accept", "*/*"),
            ("content-type", content_type),
        ];
        let (response, mut body) = client.begin(h2::request("POST", "/upload", &fields), false).await;
        let count = pieces.len();
        let sending = async move {
            for (at, mut piece) in pieces.into_iter().enumerate() {
                while !piece.is_empty() {
                    body.reserve_capacity(piece.len());
                    let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else {
                        return;
                    };
                    let part = piece.split_to(room.min(piece.len()));
                    let is_last = at + 1 == count && piece.is_empty();
                    if body.send_data(part, is_last).is_err() {
                        return;
                    }
                }
            }
        };
        let (response, ()) = tokio::join!(response, sending);
        response.expect("a response").status().as_u16()
    })
}

/// Pieces of a body.
fn pieces(body: &[u8], size: usize) -> Vec<Bytes> {
    body.chunks(size).map(Bytes::copy_from_slice).collect()
}

#[test]
fn a_field_behind_a_large_file_is_blocked_over_http2() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let file = vec![b'x'; 20 << 20];
    let content_type = "multipart/form-data; boundary=b";
    assert_eq!(send_h2(&gateway, content_type, pieces(&multipart(&file, "hello"), 1 << 20)), 200);
    assert_eq!(origin.seen().len(), 1);
    origin.forget();
    assert_eq!(send_h2(&gateway, content_type, pieces(&multipart(&file, SCRIPT), 1 << 20)), 403);
    assert_eq!(origin.seen().len(), 0, "no complete body reaches the backend");
}

#[test]
fn a_keyword_that_is_split_over_data_frames_is_found() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let body = json!({ "q": SCRIPT }).to_string();
    assert_eq!(send_h2(&gateway, "application/json", pieces(body.as_bytes(), 1)), 403);
    let form = "q=%3Cscript%3Ealert(1)%3C/script%3E";
    assert_eq!(send_h2(&gateway, "application/x-www-form-urlencoded", pieces(form.as_bytes(), 3)), 403);
    let small = multipart(b"x", SCRIPT);
    assert_eq!(send_h2(&gateway, "multipart/form-data; boundary=b", pieces(&small, 7)), 403);
    assert_eq!(origin.calls(), 0);
}
