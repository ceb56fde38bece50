//! What becomes of answers: who gets which coding, and what the fields say then.

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
    let nobody = "127.0.0.1:0".parse().expect("address");
    let mut x = Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now());
    x.request = Head::request(method.as_bytes(), b"/");
    fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
    x
}

/// An answer with a body of that many bytes.
fn reply(status: u16, n: usize, fields: &[(&str, &str)]) -> Response {
    let mut answer = Response::local(status, "text/plain", Bytes::from(vec![b'a'; n]));
    for (name, value) in fields {
        answer.head.set(name.as_bytes(), value.as_bytes());
    }
    answer
}

/// What becomes of the answer for that request.
fn through(method: &str, asked: &[(&str, &str)], answer: Response) -> Response {
    let (stage, mut x) = (stage(), exchange(method, asked));
    assert!(matches!(stage.on_request(&mut x), Step::Next));
    let mut outcome = Ok(answer);
    stage.on_response(&mut x, &mut outcome);
    outcome.expect("an answer")
}

fn field<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.head.get(name.as_bytes()).map_or("-", |value| std::str::from_utf8(value).expect("text"))
}

const ASKED: &[(&str, &str)] = &[("Accept-Encoding", "gzip, br")];

#[test]
fn an_answer_is_compressed_and_its_fields_say_so() {
    let digests = [("Content-Digest", "x"), ("Repr-Digest", "x"), ("Digest", "x"), ("Content-MD5", "x")];
    let more = [("ETag", "\"v1\""), ("Accept-Ranges", "bytes"), ("Vary", "Origin")];
    let answer = through("GET", ASKED, reply(200, 500, &[&digests[..], &more].concat()));
    assert_eq!(field(&answer, "content-encoding"), "br");
    assert_eq!(field(&answer, "etag"), "W/\"v1\"");
    for (name, _) in digests {
        assert_eq!(field(&answer, name), "-", "{name}");
    }
    assert_eq!(field(&answer, "accept-ranges"), "-");
    assert_eq!(answer.head.get_all(b"vary").collect::<Vec<_>>(), [&b"Origin"[..], b"Accept-Encoding"]);
    let Body::Bytes(bytes) = &answer.body else { panic!("a short body has a length") };
    assert_eq!(field(&answer, "content-length"), bytes.len().to_string());
    assert_eq!(stream::tests::decoded(bytes, ContentCoding::Brotli), (vec![b'a'; 500], true));
}

#[test]
fn who_does_not_ask_gets_it_as_it_is_and_caches_are_told_that_others_may_not() {
    for asked in [&[][..], &[("Accept-Encoding", "zstd")], &[("Accept-Encoding", "gzip;q=0")]] {
        let answer = through("GET", asked, reply(200, 500, &[("ETag", "\"v1\"")]));
        assert_eq!((field(&answer, "content-encoding"), field(&answer, "vary")), ("-", "Accept-Encoding"));
        assert_eq!((field(&answer, "etag"), answer.body.length()), ("\"v1\"", Some(500)));
    }
    for vary in ["*", "accept-encoding, Origin"] {
        let answer = through("GET", ASKED, reply(200, 500, &[("Vary", vary)]));
        assert_eq!(answer.head.get_all(b"vary").count(), 1, "{vary}");
    }
}

#[test]
fn some_answers_are_never_touched() {
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
        let lines = |answer: &Response| -> Vec<String> {
            let line = |(_, name, value): (_, &[u8], &[u8])| {
                format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            };
            answer.head.fields().map(line).collect()
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
fn short_answers_stay_unless_the_client_takes_nothing_else() {
    let answer = through("GET", ASKED, reply(200, 99, &[]));
    assert_eq!((field(&answer, "content-encoding"), field(&answer, "vary")), ("-", "Accept-Encoding"));
    let only = [("Accept-Encoding", "gzip, identity;q=0")];
    assert_eq!(field(&through("GET", &only, reply(200, 3, &[])), "content-encoding"), "gzip");
    assert_eq!(field(&through("GET", &only, reply(200, 0, &[])), "vary"), "-");
}

#[test]
fn a_client_may_ask_that_nothing_is_changed() {
    let answer =
        through("GET", &[ASKED, &[("Cache-Control", "no-transform")]].concat(), reply(200, 500, &[]));
    assert_eq!((field(&answer, "content-encoding"), field(&answer, "vary")), ("-", "Accept-Encoding"));
}

#[test]
fn errors_with_a_body_are_answers_like_others() {
    let problem = reply(404, 500, &[("Content-Type", "application/problem+json")]);
    assert_eq!(field(&through("GET", ASKED, problem), "content-encoding"), "br");
}

#[test]
fn head_gets_the_fields_that_get_would() {
    let of_head = |length: &str| {
        let mut answer =
            reply(200, 0, &[("Content-Type", "text/css"), ("Content-Length", length), ("ETag", "\"a\"")]);
        answer.body = Body::Empty;
        through("HEAD", ASKED, answer)
    };
    let long = of_head("5000");
    assert_eq!((field(&long, "content-encoding"), field(&long, "content-length")), ("br", "-"));
    assert_eq!((field(&long, "etag"), field(&long, "vary")), ("W/\"a\"", "Accept-Encoding"));
    let short = of_head("50");
    assert_eq!((field(&short, "content-encoding"), field(&short, "content-length")), ("-", "50"));
    assert_eq!(field(&of_head("0"), "vary"), "-");
}

#[test]
fn that_nothing_changed_is_said_of_the_tag_that_the_client_has() {
    let unchanged = |asked: &[(&str, &str)]| {
        let mut answer = reply(304, 0, &[("ETag", "\"a\"")]);
        answer.body = Body::Empty;
        let answer = through("GET", asked, answer);
        assert_eq!(field(&answer, "vary"), "Accept-Encoding");
        assert_eq!(field(&answer, "content-encoding"), "-");
        field(&answer, "etag").to_owned()
    };
    let with = |tag| [ASKED[0], ("If-None-Match", tag)];
    assert_eq!(unchanged(&with("\"b\", W/\"a\"")), "W/\"a\"");
    assert_eq!(unchanged(&with("\"a\"")), "\"a\"");
    assert_eq!(unchanged(ASKED), "W/\"a\"");
    assert_eq!(
        unchanged(&[("If-None-Match", "W/\"a\"")]),
        "\"a\"",
        "who takes no coding has what the service gave"
    );
}

#[test]
fn long_bodies_go_piece_by_piece() {
    let answer = through("GET", ASKED, reply(200, MAX_BUFFERED_BODY_BYTES + 1, &[]));
    assert_eq!((field(&answer, "content-length"), answer.body.length()), ("-", None));
    assert!(matches!(answer.body, Body::Stream(_)));
}

#[test]
fn the_wishes_of_the_client_are_heard_before_transforms_change_the_request() {
    let (stage, mut x) = (stage(), exchange("GET", ASKED));
    stage.on_request(&mut x);
    x.request.remove(b"accept-encoding");
    let mut outcome = Ok(reply(200, 500, &[]));
    stage.on_response(&mut x, &mut outcome);
    assert_eq!(field(outcome.as_ref().expect("an answer"), "content-encoding"), "br");
    assert_eq!(stage.describe(), "br 4, gzip 5; from 100B");
}
