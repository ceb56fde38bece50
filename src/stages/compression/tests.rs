//! Compression of responses: the negotiated coding and the response fields.

use super::*;
use crate::{
    pipeline::{exchange::Peer, head::Head},
    telemetry::Metrics,
};
use bytes::Bytes;
use std::time::Instant;

fn stage() -> Compression {
    let encodings = vec![(ContentCoding::Brotli, 4), (ContentCoding::Gzip, 5)];
    let settings = CompressionConfig { encodings, min_size: 100, media_types: MediaTypes::default() };
    Compression::new(&settings, MemoryLimit::new(&Arc::default(), 1 << 30), Metrics::new(1).compression())
}

fn exchange(method: &str, fields: &[(&str, &str)]) -> Exchange {
    let address = "127.0.0.1:0".parse().expect("address");
    let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    exchange.request = Head::request(method.as_bytes(), b"/");
    fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
    exchange
}

/// A response with a body of `n` bytes.
fn reply(status: u16, n: usize, fields: &[(&str, &str)]) -> Response {
    let mut response = Response::local(status, "text/plain", Bytes::from(vec![b'a'; n]));
    for (name, value) in fields {
        response.head.set(name.as_bytes(), value.as_bytes());
    }
    response
}

/// The response after the stage, for that request.
fn through(method: &str, fields: &[(&str, &str)], response: Response) -> Response {
    let (stage, mut exchange) = (stage(), exchange(method, fields));
    assert!(matches!(stage.on_request(&mut exchange), Step::Next));
    let mut outcome = Ok(response);
    stage.on_response(&mut exchange, &mut outcome);
    outcome.expect("a response")
}

fn field<'a>(response: &'a Response, name: &str) -> &'a str {
    response.head.get(name.as_bytes()).map_or("-", |value| std::str::from_utf8(value).expect("text"))
}

const ASKED: &[(&str, &str)] = &[("Accept-Encoding", "gzip, br")];

#[test]
fn a_response_is_compressed_and_its_fields_are_updated() {
    let digests = [("Content-Digest", "x"), ("Repr-Digest", "x"), ("Digest", "x"), ("Content-MD5", "x")];
    let more = [("ETag", "\"v1\""), ("Accept-Ranges", "bytes"), ("Vary", "Origin")];
    let response = through("GET", ASKED, reply(200, 500, &[&digests[..], &more].concat()));
    assert_eq!(field(&response, "content-encoding"), "br");
    assert_eq!(field(&response, "etag"), "W/\"v1\"");
    for (name, _) in digests {
        assert_eq!(field(&response, name), "-", "{name}");
    }
    assert_eq!(field(&response, "accept-ranges"), "-");
    assert_eq!(response.head.get_all(b"vary").collect::<Vec<_>>(), [&b"Origin"[..], b"Accept-Encoding"]);
    let Body::Bytes(bytes) = &response.body else { panic!("a short body has a length") };
    assert_eq!(field(&response, "content-length"), bytes.len().to_string());
    assert_eq!(stream::tests::decoded(bytes, ContentCoding::Brotli), (vec![b'a'; 500], true));
}

#[test]
fn a_response_without_an_accepted_coding_is_unchanged_except_for_vary() {
    for fields in [&[][..], &[("Accept-Encoding", "zstd")], &[("Accept-Encoding", "gzip;q=0")]] {
        let response = through("GET", fields, reply(200, 500, &[("ETag", "\"v1\"")]));
        assert_eq!(
            (field(&response, "content-encoding"), field(&response, "vary")),
            ("-", "Accept-Encoding")
        );
        assert_eq!((field(&response, "etag"), response.body.length()), ("\"v1\"", Some(500)));
    }
    for vary in ["*", "accept-encoding, Origin"] {
        let response = through("GET", ASKED, reply(200, 500, &[("Vary", vary)]));
        assert_eq!(response.head.get_all(b"vary").count(), 1, "{vary}");
    }
}

#[test]
fn some_responses_are_never_compressed() {
    for (status, fields) in [
        (200, &[("Content-Encoding", "gzip")][..]),
        (206, &[("Content-Range", "bytes 0-499/1000")]),
        (200, &[("Content-Range", "bytes 0-499/1000")]),
        (200, &[("Cache-Control", "max-age=5, No-Transform")]),
        (200, &[("Content-Type", "image/png")]),
        (200, &[("Content-Type", "application/grpc+proto")]),
        (206, &[("Content-Type", "multipart/byteranges; boundary=x")]),
        (204, &[]),
        (205, &[]),
        (101, &[]),
    ] {
        let before = reply(status, 500, fields);
        let lines = |response: &Response| -> Vec<String> {
            let line = |(_, name, value): (_, &[u8], &[u8])| {
                format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            };
            response.head.fields().map(line).collect()
        };
        let expected = lines(&before);
        let after = through("GET", ASKED, before);
        assert_eq!((lines(&after), after.body.length()), (expected, Some(500)), "{status} {fields:?}");
    }
    let mut untyped = reply(200, 500, &[]);
    untyped.head.remove(b"content-type");
    assert_eq!(field(&through("GET", ASKED, untyped), "vary"), "-");
}

#[test]
fn short_responses_are_unchanged_unless_identity_is_forbidden() {
    let response = through("GET", ASKED, reply(200, 99, &[]));
    assert_eq!((field(&response, "content-encoding"), field(&response, "vary")), ("-", "Accept-Encoding"));
    let only = [("Accept-Encoding", "gzip, identity;q=0")];
    assert_eq!(field(&through("GET", &only, reply(200, 3, &[])), "content-encoding"), "gzip");
    assert_eq!(field(&through("GET", &only, reply(200, 0, &[])), "vary"), "-");
}

#[test]
fn no_transform_of_the_client_is_respected() {
    let response =
        through("GET", &[ASKED, &[("Cache-Control", "no-transform")]].concat(), reply(200, 500, &[]));
    assert_eq!((field(&response, "content-encoding"), field(&response, "vary")), ("-", "Accept-Encoding"));
}

#[test]
fn errors_with_a_body_are_compressed() {
    let problem = reply(404, 500, &[("Content-Type", "application/problem+json")]);
    assert_eq!(field(&through("GET", ASKED, problem), "content-encoding"), "br");
}

#[test]
fn head_has_the_fields_of_get() {
    let of_head = |length: &str| {
        let mut response =
            reply(200, 0, &[("Content-Type", "text/css"), ("Content-Length", length), ("ETag", "\"a\"")]);
        response.body = Body::Empty;
        through("HEAD", ASKED, response)
    };
    let long = of_head("5000");
    assert_eq!((field(&long, "content-encoding"), field(&long, "content-length")), ("br", "-"));
    assert_eq!((field(&long, "etag"), field(&long, "vary")), ("W/\"a\"", "Accept-Encoding"));
    let short = of_head("50");
    assert_eq!((field(&short, "content-encoding"), field(&short, "content-length")), ("-", "50"));
    assert_eq!(field(&of_head("0"), "vary"), "-");
}

#[test]
fn a_304_has_the_entity_tag_of_the_clients_representation() {
    let unchanged = |fields: &[(&str, &str)]| {
        let mut response = reply(304, 0, &[("ETag", "\"a\"")]);
        response.body = Body::Empty;
        let response = through("GET", fields, response);
        assert_eq!(field(&response, "vary"), "Accept-Encoding");
        assert_eq!(field(&response, "content-encoding"), "-");
        field(&response, "etag").to_owned()
    };
    let with = |tag| [ASKED[0], ("If-None-Match", tag)];
    assert_eq!(unchanged(&with("\"b\", W/\"a\"")), "W/\"a\"");
    assert_eq!(unchanged(&with("\"a\"")), "\"a\"");
    assert_eq!(unchanged(ASKED), "W/\"a\"");
    assert_eq!(
        unchanged(&[("If-None-Match", "W/\"a\"")]),
        "\"a\"",
        "a client without codings has the backend's response"
    );
}

#[test]
fn long_bodies_are_streamed() {
    let response = through("GET", ASKED, reply(200, MAX_BUFFERED_BODY_BYTES + 1, &[]));
    assert_eq!((field(&response, "content-length"), response.body.length()), ("-", None));
    assert!(matches!(response.body, Body::Stream(_)));
}

#[test]
fn the_coding_is_negotiated_before_header_transforms() {
    let (stage, mut exchange) = (stage(), exchange("GET", ASKED));
    stage.on_request(&mut exchange);
    exchange.request.remove(b"accept-encoding");
    let mut outcome = Ok(reply(200, 500, &[]));
    stage.on_response(&mut exchange, &mut outcome);
    assert_eq!(field(outcome.as_ref().expect("a response"), "content-encoding"), "br");
    assert_eq!(stage.describe(), "br 4, gzip 5; from 100B");
}
