use super::{
    super::{
        incomplete::{check_incomplete, check_incomplete_response},
        trailers::trailers,
    },
    *,
};
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { max_line_bytes: 100, max_fields_bytes: 400, max_fields: 4 };

fn parse(text: &str) -> Result<(Head, Framing), GatewayError> {
    let mut head = Head::default();
    let framing = request(text.as_bytes(), &mut head, &LIMITS, false)?;
    Ok((head, framing))
}

fn why(text: &str) -> ErrorCode {
    parse(text).expect_err("the request is invalid").code
}

#[test]
fn a_valid_request_is_parsed() {
    let (head, framing) = parse("GET /a?b HTTP/1.1\r\nhost: h \r\nX-A:\t1\r\n\r\n").unwrap();
    assert_eq!((head.method(), head.target()), (&b"GET"[..], &b"/a?b"[..]));
    assert_eq!(head.get(b"x-a"), Some(&b"1"[..]));
    assert_eq!(head.get_known(KnownHeader::Host), Some(&b"h"[..]));
    assert_eq!(framing, Framing::None);
}

#[test]
fn a_body_is_framed_by_one_length_or_by_chunked_alone() {
    assert_eq!(
        parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 010\r\n\r\n").unwrap().1,
        Framing::Length(10)
    );
    assert_eq!(
        parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n").unwrap().1,
        Framing::Chunked
    );
    for bad in [
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding:",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(
            why(&format!("POST / HTTP/1.1\r\nHost: h\r\n{bad}\r\n\r\n")),
            ErrorCode::RequestMalformed,
            "{bad}"
        );
    }
    assert_eq!(
        why("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        ErrorCode::RequestCoding
    );
    assert_eq!(
        why("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ErrorCode::RequestMalformed
    );
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let (head, _) = parse("GET http://other:81?x HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!((head.target(), head.get_known(KnownHeader::Host)), (&b"/?x"[..], Some(&b"other:81"[..])));
    assert_eq!(why("GET http://other/ HTTP/1.1\r\n\r\n"), ErrorCode::RequestMalformed);
    assert_eq!(why("GET ftp://other/ HTTP/1.1\r\nHost: h\r\n\r\n"), ErrorCode::RequestMalformed);
}

#[test]
fn each_limit_has_its_own_error() {
    assert_eq!(why(&format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(100))), ErrorCode::RequestLine);
    assert_eq!(
        why(&format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "a".repeat(400))),
        ErrorCode::RequestHeaders
    );
    assert_eq!(why("GET / HTTP/1.1\r\nHost: h\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n"), ErrorCode::RequestHeaders);
}

#[test]
fn an_invalid_request_is_rejected_before_its_end() {
    for bad in
        ["\x16\x03\x01", "GET / HTTP/1.1\nHost", "SSH-2.0-x\r\n", "GET /x\r\n", "GET / HTTP/1.1\r\nA: b\n"]
    {
        assert!(check_incomplete(bad.as_bytes(), 0, &LIMITS).is_err(), "{bad:?}");
    }
    for good in ["", "GE", "GET /x HT", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\nHo"] {
        assert!(check_incomplete(good.as_bytes(), 0, &LIMITS).is_ok(), "{good:?}");
    }
}

#[test]
fn response_framing_depends_on_the_status_first() {
    let framing = |text: &str, for_head| response(text.as_bytes(), &mut Head::default(), &LIMITS, for_head);
    assert_eq!(
        framing("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false).unwrap(),
        Framing::None
    );
    assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).unwrap(), Framing::None);
    assert_eq!(
        framing("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false).unwrap(),
        Framing::Chunked
    );
    assert_eq!(framing("HTTP/1.1 200\r\n\r\n", false).unwrap(), Framing::UntilClose);
    for bad in [
        "HTTP/1.1 1000 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
    ] {
        assert!(framing(bad, false).is_err(), "{bad:?}");
    }
}

#[test]
fn trailers_never_contain_framing_or_credentials() {
    let head = trailers(
        b"X-T: 1\r\nContent-Length: 100\r\nAuthorization: x\r\nHost: h\r\nX-Forwarded-For: 6\r\n\r\n",
        10,
    )
    .unwrap();
    assert_eq!(head.fields().map(|(_, n, _)| n).collect::<Vec<_>>(), [b"X-T"]);
    assert!(trailers(b"X-T : 1\r\n\r\n", 10).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut head = Head::default();
        let _ = check_incomplete(&bytes, 0, &LIMITS);
        let _ = request(&bytes, &mut head, &LIMITS, true);
        let _ = response(&bytes, &mut head, &LIMITS, false);
        let _ = trailers(&bytes, 3);
    }

    #[test]
    fn arbitrary_tokens_never_panic(text in "(GET|POST| |/|:|\r\n|\n|\r|HTTP/1.1|Host|h|\t|\u{0}|http://|chunked){0,40}") {
        let mut head = Head::default();
        let _ = check_incomplete(text.as_bytes(), 0, &LIMITS);
        let _ = request(text.as_bytes(), &mut head, &LIMITS, false);
        let _ = response(text.as_bytes(), &mut head, &LIMITS, true);
    }
}

#[test]
fn connect_is_refused_and_https_targets_need_tls() {
    for target in ["/t", "h:443", "http://h/t"] {
        assert_eq!(why(&format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n")), ErrorCode::RequestMethod);
    }
    let text = b"GET https://a.example/b HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut head = Head::default();
    assert!(request(text, &mut head, &LIMITS, false).is_err());
    assert!(request(text, &mut head, &LIMITS, true).is_ok());
    assert_eq!((head.target(), head.get(b"host")), (&b"/b"[..], Some(&b"a.example"[..])));
}

#[test]
fn a_response_that_is_not_http_is_detected_by_its_first_bytes() {
    for bad in [
        "S",
        "-ERR",
        "HTTP/2 200",
        "HTTP/1.1 200 OK\n",
        "HTTP/1.1 200 OK\rA",
        "HTTP/1.1 OK\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rC",
        "\r\n",
    ] {
        assert!(check_incomplete_response(bad.as_bytes(), 0).is_err(), "{bad:?}");
    }
    for good in ["", "H", "HTTP/1.", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
        assert!(check_incomplete_response(good.as_bytes(), 0).is_ok(), "{good:?}");
    }
}

#[test]
fn an_incomplete_head_is_not_scanned_again() {
    let limits = HeadLimits { max_line_bytes: 100, max_fields_bytes: 1 << 20, max_fields: 9 };
    let mut bytes = b"GET / HTTP/1.1\r\n\n".to_vec();
    assert!(check_incomplete(&bytes, 0, &limits).is_err());
    assert!(check_incomplete(&bytes, bytes.len(), &limits).is_ok(), "the first bytes were checked before");
    bytes.extend_from_slice(b"a\n");
    assert!(check_incomplete(&bytes, bytes.len() - 1, &limits).is_err());
    let split = b"GET / HTTP/1.1\r\nA: b\rC";
    assert!(check_incomplete(split, split.len() - 1, &limits).is_err(), "the CR was the last byte before");
}
