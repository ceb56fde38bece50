//! Hostile HTTP/2 clients: invalid frames reach no backend, floods are cut off, and all other clients
//! are served.

use super::{gateway, limited};
use crate::support::becomes_true;
use crate::support::gateway::Gateway;
use crate::support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, block, get_with,
};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::time::Duration;

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;
const WHOLE: u8 = END_HEADERS | END_STREAM;

fn hello() -> (Origin, Gateway) {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    (origin, gateway)
}

/// The backend got no request, and other clients are served.
fn assert_still_serving(origin: &Origin, gateway: &Gateway) {
    assert_eq!(origin.calls(), 0, "{:?}", origin.seen());
    assert_eq!(gateway.get("/").text(), "hello");
    origin.forget();
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of heads")]
fn malformed_heads_reach_no_backend() {
    let (origin, gateway) = hello();
    let (method, scheme, path, host) =
        ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test"));
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("an upper-case name", get_with(&[("X-Upper", "1")])),
        ("an empty name", get_with(&[("", "1")])),
        ("a name with a space", get_with(&[("a b", "1")])),
        ("a name with a colon", get_with(&[("a:b", "1")])),
        ("connection", get_with(&[("connection", "close")])),
        ("keep-alive", get_with(&[("keep-alive", "5")])),
        ("proxy-connection", get_with(&[("proxy-connection", "close")])),
        ("transfer-encoding", get_with(&[("transfer-encoding", "chunked")])),
        ("upgrade", get_with(&[("upgrade", "h2c")])),
        ("te that is more than trailers", get_with(&[("te", "trailers, deflate")])),
        ("a line feed in a value", get_with(&[("a", "b\nc: d")])),
        ("a carriage return in a value", get_with(&[("a", "b\rc")])),
        ("a zero byte in a value", get_with(&[("a", "b\0c")])),
        ("white space before a value", get_with(&[("a", " b")])),
        ("white space after a value", get_with(&[("a", "b\t")])),
        ("a pseudo field after a field", get_with(&[("a", "b"), (":path", "/x")])),
        ("an unknown pseudo field", get_with(&[(":unknown", "1")])),
        ("a pseudo field of answers", get_with(&[(":status", "200")])),
        ("two paths", get_with(&[(":path", "/b")])),
        ("no method", block(&[scheme, path, host])),
        ("no scheme", block(&[method, path, host])),
        ("no path", block(&[method, scheme, host])),
        ("no path, with a Host", block(&[method, scheme, ("host", "gw.test")])),
        ("an empty path", block(&[method, scheme, (":path", ""), host])),
        ("a path without a slash", block(&[method, scheme, (":path", "a"), host])),
        ("a path with a space", block(&[method, scheme, (":path", "/a b"), host])),
        ("an absolute path", block(&[method, scheme, (":path", "http://x/"), host])),
        ("a star that is not for OPTIONS", block(&[method, scheme, (":path", "*"), host])),
        ("an empty method", block(&[(":method", ""), scheme, path, host])),
        ("a method with a space", block(&[(":method", "GE T"), scheme, path, host])),
        ("neither authority nor Host", block(&[method, scheme, path])),
        ("a Host that is another one", get_with(&[("host", "other.test")])),
        ("two Hosts", get_with(&[("host", "gw.test"), ("host", "gw.test")])),
        ("user information", block(&[method, scheme, path, (":authority", "u@gw.test")])),
        ("an authority with a path", block(&[method, scheme, path, (":authority", "gw.test/x")])),
        ("CONNECT", block(&[(":method", "CONNECT"), host])),
        ("CONNECT with a protocol", get_with(&[(":protocol", "websocket")])),
        ("a length that is no number", get_with(&[("content-length", "1a")])),
        ("a length with a sign", get_with(&[("content-length", "+0")])),
        ("two lengths", get_with(&[("content-length", "0"), ("content-length", "0")])),
        ("a length without a body", get_with(&[("content-length", "3")])),
    ];
    for (what, fields) in bad {
        let mut raw = Raw::connect(gateway.address);
        raw.send(HEADERS, WHOLE, 1, &fields);
        let end = raw.ended(1).unwrap_or_else(|| panic!("{what}: no end"));
        // A reset, the end of the connection, or a response of the gateway.
        assert!(matches!(end.kind, RST_STREAM | GOAWAY | DATA), "{what}: {end:?}");
        assert_eq!(origin.calls(), 0, "{what} reached the service: {:?}", origin.seen());
    }
    assert_still_serving(&origin, &gateway);
}

#[test]
fn bodies_with_a_wrong_content_length_are_never_complete() {
    let (origin, gateway) = hello();
    let post = |length| {
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test")];
        block(&[&fields[..], &[("content-length", length)]].concat())
    };
    for (length, body) in [("4", "hello"), ("6", "hello"), ("0", "x")] {
        let mut raw = Raw::connect(gateway.address);
        raw.send(HEADERS, END_HEADERS, 1, &post(length));
        raw.send(DATA, END_STREAM, 1, body.as_bytes());
        let end = raw.ended(1).expect("an end");
        assert!(matches!(end.kind, RST_STREAM | GOAWAY), "{length}: {end:?}");
    }
    assert_still_serving(&origin, &gateway);
}

#[test]
fn invalid_frames_end_the_connection_with_their_error_code() {
    let (origin, gateway) = hello();
    let get = get_with(&[]);
    let block_of = |kind: u8, flags: u8, stream: u32, payload: &[u8]| (kind, flags, stream, payload.to_vec());
    let bad = vec![
        ("PING of seven bytes", vec![block_of(PING, 0, 0, &[0; 7])], FRAME_SIZE_ERROR),
        ("SETTINGS of five bytes", vec![block_of(SETTINGS, 0, 0, &[0; 5])], FRAME_SIZE_ERROR),
        ("SETTINGS on a stream", vec![block_of(SETTINGS, 0, 1, &[])], PROTOCOL_ERROR),
        ("an acknowledgement with a payload", vec![block_of(SETTINGS, 1, 0, &[0; 6])], FRAME_SIZE_ERROR),
        ("DATA on no stream", vec![block_of(DATA, 0, 0, b"x")], PROTOCOL_ERROR),
        ("a frame that is too large", vec![block_of(DATA, 0, 1, &[0; 16_385])], FRAME_SIZE_ERROR),
        ("PUSH_PROMISE", vec![block_of(5, END_HEADERS, 1, &[0, 0, 0, 2])], PROTOCOL_ERROR),
        ("CONTINUATION of nothing", vec![block_of(CONTINUATION, END_HEADERS, 1, &get)], PROTOCOL_ERROR),
        (
            "a PING within a header block",
            vec![block_of(HEADERS, END_STREAM, 1, &get), block_of(PING, 0, 0, &[0; 8])],
            PROTOCOL_ERROR,
        ),
        ("a stream of the server's", vec![block_of(HEADERS, WHOLE, 2, &get)], PROTOCOL_ERROR),
    ];
    for (what, frames, code) in bad {
        let mut raw = Raw::connect(gateway.address);
        for (kind, flags, stream, payload) in &frames {
            raw.send(*kind, *flags, *stream, payload);
        }
        assert_eq!(raw.wait_for(GOAWAY).map(|frame| frame.code()), Some(code), "{what}");
    }
    assert_still_serving(&origin, &gateway);
    assert!(gateway.admin("/metrics").text().contains(r#"code="request.frame""#));
}

/// What a flood sends with its number `n`.
type Frames = Vec<(u8, u8, u32, Vec<u8>)>;

/// The stream with this number.
fn id(n: u32) -> u32 {
    2 * n + 1
}

/// A flood, by its name.
struct Flood {
    what: &'static str,
    frames: Box<dyn Fn(u32) -> Frames>,
}

fn flood_of(what: &'static str, frames: impl Fn(u32) -> Frames + 'static) -> Flood {
    Flood { what, frames: Box::new(frames) }
}

/// The same frame again and again.
fn repeated(what: &'static str, kind: u8, flags: u8, payload: &[u8]) -> Flood {
    let payload = payload.to_vec();
    flood_of(what, move |_| vec![(kind, flags, 0, payload.clone())])
}

/// The same frame again and again, on one stream that a POST opens.
fn on_one_stream(what: &'static str, kind: u8, flags: u8, payload: &[u8]) -> Flood {
    let payload = payload.to_vec();
    flood_of(what, move |n| match n {
        0 => vec![(HEADERS, END_HEADERS, 1, post())],
        _ => vec![(kind, flags, 1, payload.clone())],
    })
}

/// A stream for each frame.
fn on_new_streams(what: &'static str, head: u8, kind: u8, payload: &[u8]) -> Flood {
    let payload = payload.to_vec();
    flood_of(what, move |n| vec![(HEADERS, head, id(n), post()), (kind, 0, id(n), payload.clone())])
}

/// A header block that does not end.
fn continued(what: &'static str, payload: Vec<u8>) -> Flood {
    flood_of(what, move |n| match n {
        0 => vec![(HEADERS, END_STREAM, 1, get_with(&[]))],
        _ => vec![(CONTINUATION, 0, 1, payload.clone())],
    })
}

/// A new stream with each frame.
fn heads(what: &'static str, flags: u8, fields: Vec<u8>) -> Flood {
    flood_of(what, move |n| vec![(HEADERS, flags, id(n), fields.clone())])
}

/// The head of a request of about 96 kB.
fn large_head(n: u32) -> Frames {
    let part = get_with(&[("x-large", &"x".repeat(16_000))]);
    let more = |flags: u8| (CONTINUATION, flags, id(n), part.clone());
    vec![(HEADERS, END_STREAM, id(n), part.clone()), more(0), more(0), more(0), more(0), more(END_HEADERS)]
}

/// Floods: their frames are abusive one by one, whatever their content.
fn floods() -> Vec<Flood> {
    const PADDED: u8 = 8;
    let padding = [&[200][..], &[0; 200]].concat();
    vec![
        on_new_streams("resets", WHOLE, RST_STREAM, &[0, 0, 0, 8]),
        on_new_streams("resets of uploads", END_HEADERS, RST_STREAM, &[0, 0, 0, 8]),
        repeated("PING", PING, 0, &[0; 8]),
        repeated("acknowledgments of no PING", PING, 1, &[0; 8]),
        repeated("SETTINGS", SETTINGS, 0, &[]),
        repeated("SETTINGS that change the windows", SETTINGS, 0, &[0, 4, 0, 0, 0, 9]),
        repeated("acknowledgments of no SETTINGS", SETTINGS, 1, &[]),
        // While a stream is open: without one the connection ends with the first of them.
        flood_of("GOAWAY", |n| match n {
            0 => vec![(HEADERS, END_HEADERS, 1, post())],
            _ => vec![(GOAWAY, 0, 0, vec![0; 8])],
        }),
        repeated("PRIORITY_UPDATE", 0x10, 0, &[0, 0, 0, 1, b'u', b'=', b'1']),
        repeated("unknown frames", 0xbe, 0, &[]),
        repeated("unknown frames with a payload", 0xbe, 0xff, &[7; 1000]),
        repeated("WINDOW_UPDATE", WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        on_one_stream("WINDOW_UPDATE of a stream", WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        on_new_streams("WINDOW_UPDATE of zero", END_HEADERS, WINDOW_UPDATE, &[0; 4]),
        on_new_streams("WINDOW_UPDATE beyond 2^31", END_HEADERS, WINDOW_UPDATE, &[0x7f, 255, 255, 255]),
        on_one_stream("empty DATA", DATA, 0, &[]),
        on_one_stream("DATA of one byte", DATA, 0, b"x"),
        on_one_stream("DATA of padding", DATA, PADDED, &padding),
        on_new_streams("DATA on ended streams", WHOLE, DATA, b"xx"),
    ]
    .into_iter()
    .chain(floods_of_heads())
    .collect()
}

/// Floods of header blocks.
fn floods_of_heads() -> Vec<Flood> {
    const WITH_PRIORITY: u8 = 0x20;
    let depends_on_itself = |n: u32| [&id(n).to_be_bytes()[..], &[9], &get_with(&[])].concat();
    vec![
        continued("CONTINUATION", block(&[("x-bomb", &"x".repeat(4000))])),
        continued("small CONTINUATION", block(&[("x", "y")])),
        continued("empty CONTINUATION", vec![]),
        on_one_stream("heads on one stream", HEADERS, END_HEADERS, &post()),
        on_one_stream("trailers on one stream", HEADERS, WHOLE, &block(&[("x", "y")])),
        heads("streams that never end", END_HEADERS, post()),
        heads("streams without fields", WHOLE, vec![]),
        flood_of("PRIORITY", |n| vec![(PRIORITY, 0, id(n), vec![0, 0, 0, 0, 1])]),
        flood_of("streams that depend on themselves", move |n| {
            vec![(HEADERS, WHOLE | WITH_PRIORITY, id(n), depends_on_itself(n))]
        }),
        flood_of("streams without a window", |n| match n {
            0 => vec![(SETTINGS, 0, 0, vec![0, 4, 0, 0, 0, 0])],
            _ => vec![(HEADERS, WHOLE, id(n), get_with(&[]))],
        }),
        flood_of("heads that are too large", large_head),
        flood_of("PUSH_PROMISE", |n| vec![(5, END_HEADERS, id(n), vec![0, 0, 0, 2])]),
    ]
}

/// The head of a POST.
fn post() -> Vec<u8> {
    block(&[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test")])
}

/// Sends 200 frames; the error code of the GOAWAY for them.
fn flood(gateway: &Gateway, frames: &dyn Fn(u32) -> Frames) -> Option<u32> {
    let mut raw = Raw::connect(gateway.address);
    let sent = (0..).flat_map(frames).take(200);
    let all_sent = sent.map(|(kind, flags, stream, payload)| raw.send(kind, flags, stream, &payload));
    all_sent.take_while(|sent| *sent).for_each(drop);
    raw.wait_for(GOAWAY).map(|frame| frame.code())
}

#[test]
fn each_flood_ends_its_connection_within_200_frames() {
    let origin = Origin::with(|seen| match seen.method.as_str() {
        // Streams of the floods stay open.
        "GET" if seen.target == "/" => StubResponse::new(200, "hello"),
        _ => StubResponse::new(200, "late").after(Duration::from_millis(300)),
    });
    let gateway = gateway(origin.port());
    let missing: Vec<_> = floods()
        .into_iter()
        .filter_map(|Flood { what, frames }| match flood(&gateway, &*frames) {
            Some(code) if code != 0 => None,
            // A client that sends GOAWAY ends the connection itself.
            Some(_) if what == "GOAWAY" => None,
            other => Some((what, other)),
        })
        .collect();
    assert!(missing.is_empty(), "no GOAWAY within 200 frames: {missing:?}");
    assert_eq!(gateway.get("/").text(), "hello");
    assert!(gateway.admin("/metrics").text().contains(r#"code="request.frame_flood""#));
}

#[test]
fn rapid_resets_reach_the_backend_at_most_as_often_as_the_limit() {
    let origin = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_millis(200)));
    let gateway = limited(origin.port(), &json!({ "MaxStreamResetsPerSecond": 50 }));
    let get = get_with(&[]);
    let code = flood(&gateway, &|n| {
        vec![(HEADERS, WHOLE, id(n), get.clone()), (RST_STREAM, 0, id(n), vec![0, 0, 0, 8])]
    });
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(origin.calls() <= 60, "{} requests got through", origin.calls());
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_client_that_cancels_all_of_its_streams_at_once_is_no_flood() {
    let origin = Origin::with(|seen| {
        let delay = if seen.path == "/" { 0 } else { 3000 };
        StubResponse::new(200, "late").after(Duration::from_millis(delay))
    });
    let gateway = gateway(origin.port());
    let slow =
        block(&[(":method", "GET"), (":scheme", "http"), (":path", "/slow"), (":authority", "gw.test")]);
    let mut raw = Raw::connect(gateway.address);
    let streams = || (0..100).map(|n| 2 * n + 1);
    streams().for_each(|id| assert!(raw.send(HEADERS, WHOLE, id, &slow)));
    assert!(becomes_true(Duration::from_secs(10), || origin.calls() == 100), "{}", origin.calls());
    let reset = |raw: &mut Raw, id| raw.send(RST_STREAM, 0, id, &[0, 0, 0, 8]);
    streams().for_each(|id| assert!(reset(&mut raw, id)));
    // A reset stream counts until its request is released.
    let all_released =
        || gateway.admin("/metrics").text().contains("margay_http2_streams{side=\"client\"} 0\n");
    assert!(becomes_true(Duration::from_secs(10), all_released));
    raw.send(HEADERS, WHOLE, 201, &get_with(&[]));
    let end = raw.ended(201).expect("a response");
    assert!(end.kind != GOAWAY && end.kind != RST_STREAM, "{end:?}");
    // To reset them once more is one.
    streams().for_each(|id| {
        reset(&mut raw, id);
    });
    assert_eq!(raw.wait_for(GOAWAY).map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn small_messages_and_steady_control_frames_are_no_flood() {
    let origin = Origin::with(|seen| StubResponse::new(200, seen.body.len().to_string()));
    let gateway = gateway(origin.port());
    let mut raw = Raw::connect(gateway.address);
    raw.send(HEADERS, END_HEADERS, 1, &post());
    // The smallest message of gRPC, and the occasional PING.
    for n in 0..2000_u32 {
        assert!(raw.send(DATA, 0, 1, b"hello"));
        if n.is_multiple_of(20) {
            assert!(raw.send(PING, 0, 0, &[0; 8]));
        }
    }
    raw.send(DATA, END_STREAM, 1, b"");
    let answer = std::iter::from_fn(|| raw.frame()).find(|frame| frame.kind == DATA).expect("a response");
    assert_eq!(answer.payload, b"10000");
}

#[test]
fn a_header_bomb_of_one_indexed_field_is_too_large() {
    let (origin, gateway) = hello();
    let mut raw = Raw::connect(gateway.address);
    // A field of 3 kB that is indexed, then repeated a thousand times with one byte each.
    let mut bomb = get_with(&[]);
    let field = block(&[("x-bomb", &"x".repeat(3000))]);
    bomb.push(0x40);
    bomb.extend(&field[1..]);
    bomb.extend([0xbe; 1000]);
    raw.send(HEADERS, WHOLE, 1, &bomb);
    assert!(raw.ended(1).is_some());
    assert_still_serving(&origin, &gateway);
}

#[test]
fn a_slow_header_block_times_out() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "RequestHeadersTimeout": "300ms" }));
    let mut raw = Raw::connect(gateway.address);
    raw.send(HEADERS, END_STREAM, 1, &get_with(&[]));
    while raw.frame().is_some() {}
    assert_still_serving(&origin, &gateway);
}

#[test]
fn bytes_that_are_not_http_close_the_connection() {
    let (origin, gateway) = hello();
    let mut client = gateway.connect();
    client.send(b"INVALID CONNECTION PREFACE\r\n\r\n");
    assert!(client.closes_within(Duration::from_secs(5)));
    assert_still_serving(&origin, &gateway);
}
