//! Invalid HTTP/2 heads (RFC 9113 8.1 to 8.3 and 8.5, RFC 9110 5, RFC 7541), one by one: none reaches a backend,
//! each gets a 400 or the required error code, and the next request on the connection is
//! served. Unusual but valid heads pass.

use super::gateway;
use crate::support::gateway::Gateway;
use crate::support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, SETTINGS,
};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
/// RFC 9113 4.3 requires the second; the `h2` crate sends the first.
const COMPRESSION: &[u32] = &[PROTOCOL_ERROR, COMPRESSION_ERROR];
const WHOLE: u8 = END_HEADERS | END_STREAM;

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const PATH: Field = (b":path", b"/bad");
const HOST: Field = (b":authority", b"gw.test");

/// The type, flags and payload of a frame.
type Written = (u8, u8, Vec<u8>);

/// An invalid head and what is invalid about it.
struct InvalidHead {
    what: String,
    frames: Vec<Written>,
    /// The accepted error codes, when the connection cannot continue.
    codes: &'static [u32],
}

/// RFC 7541 5.1 with a prefix of this many bits below `first`.
fn integer(first: u8, bits: u8, mut n: usize) -> Vec<u8> {
    let max = (1 << bits) - 1;
    if n < max {
        return vec![first | n as u8];
    }
    let mut out = vec![first | max as u8];
    n -= max;
    while n >= 128 {
        out.push((n % 128 + 128) as u8);
        n /= 128;
    }
    out.push(n as u8);
    out
}

/// Literal fields that are not indexed.
fn block(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.extend(integer(0, 7, text.len()));
            out.extend_from_slice(text);
        }
    }
    out
}

fn plain() -> Vec<u8> {
    block(&[METHOD, SCHEME, PATH, HOST])
}

fn head(what: impl Into<String>, fields: &[Field]) -> InvalidHead {
    InvalidHead { what: what.into(), frames: vec![(HEADERS, WHOLE, block(fields))], codes: &[] }
}

/// A GET with more fields.
fn with_fields(what: impl Into<String>, fields: &[Field]) -> InvalidHead {
    head(what, &[&[METHOD, SCHEME, PATH, HOST], fields].concat())
}

/// A GET with one field replaced.
fn with_field(field: Field) -> InvalidHead {
    let what = format!("{} {:?}", name_of(field.0), name_of(field.1));
    let fields: Vec<Field> = [METHOD, SCHEME, PATH, HOST]
        .into_iter()
        .map(|usual| if usual.0 == field.0 { field } else { usual })
        .collect();
    head(what, &fields)
}

fn name_of(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[rustfmt::skip]
fn pseudo_fields() -> Vec<InvalidHead> {
    let mut all = vec![
        head("no field at all", &[]),
        head("no method", &[SCHEME, PATH, HOST]),
        head("no scheme", &[METHOD, PATH, HOST]),
        head("no path", &[METHOD, SCHEME, HOST]),
        head("no path, with a Host", &[METHOD, SCHEME, (b"host", b"gw.test")]),
        head("no pseudo field but the path", &[PATH]),
        head("neither authority nor Host", &[METHOD, SCHEME, PATH]),
        head("only other fields", &[(b"host", b"gw.test"), (b"a", b"b")]),
        with_fields("two other paths", &[(b":path", b"/b")]),
        with_fields("two schemes", &[(b":scheme", b"https")]),
        with_fields("two methods", &[(b":method", b"POST")]),
        with_fields("two authorities", &[(b":authority", b"other.test")]),
        head("the path after a field", &[METHOD, SCHEME, HOST, (b"a", b"b"), PATH]),
        head("the method after a field", &[SCHEME, PATH, HOST, (b"a", b"b"), METHOD]),
        head("the scheme after a field", &[METHOD, PATH, HOST, (b"a", b"b"), SCHEME]),
        head("the authority after a field", &[METHOD, SCHEME, PATH, (b"a", b"b"), HOST]),
        head("everything after a field", &[(b"a", b"b"), METHOD, SCHEME, PATH, HOST]),
        with_fields("CONNECT's protocol with GET", &[(b":protocol", b"websocket")]),
        head("CONNECT", &[(b":method", b"CONNECT"), HOST]),
        head("CONNECT with a port", &[(b":method", b"CONNECT"), (b":authority", b"gw.test:443")]),
        head("CONNECT to nowhere", &[(b":method", b"CONNECT")]),
        head("CONNECT with a scheme", &[(b":method", b"CONNECT"), SCHEME, HOST]),
        head("CONNECT with a path", &[(b":method", b"CONNECT"), PATH, HOST]),
        head("CONNECT with everything", &[(b":method", b"CONNECT"), SCHEME, PATH, HOST]),
        head("extended CONNECT, which was not offered",
            &[(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, PATH, HOST]),
        head("extended CONNECT without a path", &[(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, HOST]),
    ];
    // A duplicate of the same value is invalid as well.
    all.extend([METHOD, SCHEME, PATH, HOST].map(|field| with_fields(format!("{} twice", name_of(field.0)), &[field])));
    for name in [
        &b":"[..], b"::", b":unknown", b":status", b":version", b":host", b":Path", b":METHOD", b":path ", b": path",
        b":auth\0ority", b":http2",
    ] {
        all.push(with_fields(format!("the pseudo field {:?}", name_of(name)), &[(name, b"200")]));
    }
    all
}

#[rustfmt::skip]
fn targets() -> Vec<InvalidHead> {
    let mut all: Vec<InvalidHead> = [
        &b""[..], b"*", b"a", b"bad/", b"?q", b"http://gw.test/", b"/a b", b"/a\tb", b"/a\0b", b"/a\rb",
        b"/a\nb", b"/a\r\nx: y", b"/\x7f", b" /", b"/ ", b"gw.test:443", b"/a?b c", b"/a?b\nc", b".", b"/<a>",
    ].into_iter().map(|path| with_field((b":path", path))).collect();
    all.push(head("a star with POST", &[(b":method", b"POST"), SCHEME, (b":path", b"*"), HOST]));
    all.push(head("an empty path with OPTIONS", &[(b":method", b"OPTIONS"), SCHEME, (b":path", b""), HOST]));
    all.push(head("a star with more behind it", &[(b":method", b"OPTIONS"), SCHEME, (b":path", b"*?a"), HOST]));
    all.extend([
        &b""[..], b"u@gw.test", b"u:p@gw.test", b"@gw.test", b"gw.test/x", b"gw.test?x", b"gw.test#x", b"gw test",
        b" gw.test", b"gw.test ", b"gw.test:a", b"gw.test:-1", b"gw.test:123456", b"gw.test:80:80", b"[::1", b"::1", b"[::g]",
        b":80", b"gw.test\\x", b"gw^test", b"gw.test\0", b"gw.test\r\nx: y", b"gw<test", b"http://gw.test",
    ].into_iter().map(|authority| with_field((b":authority", authority))));
    all.extend([
        &b""[..], b"GE T", b"GET ", b" GET", b"GET\0", b"GET\r\n", b"GET:", b"GET/", b"(GET)", b"G\xc3\x84T", b"GET\x7f",
        b"GET,POST", b"\"GET\"", b"G@T", b"GET HTTP/1.1",
    ].into_iter().map(|method| with_field((b":method", method))));
    all.extend([&b""[..], b"ht tp", b"1http", b"http:", b"http://", b"http\0", b"-", b"h\xc3\xa4"]
        .into_iter().map(|scheme| with_field((b":scheme", scheme))));
    all.extend([
        with_fields("another Host", &[(b"host", b"other.test")]),
        with_fields("a Host with its own port", &[(b"host", b"gw.test:81")]),
        with_fields("an empty Host", &[(b"host", b"")]),
        with_fields("two Hosts", &[(b"host", b"gw.test"), (b"host", b"gw.test")]),
        with_fields("two Hosts, one of them another", &[(b"host", b"gw.test"), (b"host", b"other.test")]),
        head("two Hosts and no authority", &[METHOD, SCHEME, PATH, (b"host", b"a"), (b"host", b"b")]),
        head("an empty Host and no authority", &[METHOD, SCHEME, PATH, (b"host", b"")]),
        head("user information in Host", &[METHOD, SCHEME, PATH, (b"host", b"u@gw.test")]),
        head("a Host that is an address of HTTP", &[METHOD, SCHEME, PATH, (b"host", b"http://gw.test")]),
    ]);
    all
}

#[rustfmt::skip]
fn fields() -> Vec<InvalidHead> {
    let mut all: Vec<InvalidHead> = [
        &b""[..], b"X-Upper", b"xUpper", b" a", b"a ", b"a b", b"a:b", b"a:", b"\0", b"a\0", b"a\tb", b"a\nb", b"a\rb", b"a\x7f",
        b"\xc3\xa4", b"a\x80", b"a(b)", b"a,b", b"a/b", b"a;b", b"a=b", b"a?b", b"a@b", b"a[b", b"a\\b", b"a]b", b"a{b", b"a}b",
        b"a\"b", b"a<b", b"a>b", b"a\x01",
    ].into_iter().map(|name| with_fields(format!("the name {:?}", name_of(name)), &[(name, b"1")])).collect();
    all.extend([
        &b"\0"[..], b"a\0b", b"\0a", b"a\0", b"a\rb", b"a\nb", b"a\r\nb: c", b"\r", b"\n", b" a", b"a ", b"\ta", b"a\t", b" ", b"\t",
        b"a\x01b", b"a\x1f", b"a\x7f",
    ].into_iter().map(|value| with_fields(format!("the value {:?}", name_of(value)), &[(b"a", value)])));
    let of_connection: [Field; 16] = [
        (b"connection", b"close"), (b"connection", b"keep-alive"), (b"connection", b""), (b"connection", b"te"),
        (b"keep-alive", b"timeout=5"), (b"proxy-connection", b"keep-alive"), (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"identity"), (b"transfer-encoding", b""), (b"upgrade", b"h2c"), (b"upgrade", b"websocket"),
        (b"te", b"gzip"), (b"te", b"trailers, deflate"), (b"te", b""), (b"te", b"trailers;q=0.5"), (b"te", b"chunked"),
    ];
    all.extend(of_connection.map(|field| with_fields(format!("{}: {}", name_of(field.0), name_of(field.1)), &[field])));
    all.extend([
        &b"1"[..], b"3", b"a", b"1a", b"-1", b"-0", b"+0", b"", b"0,0", b"0, 0", b"0x0", b"0.0", b"0e1", b"0 0",
        b"18446744073709551616", b"99999999999999999999999", b"\xd9\xa0",
    ].into_iter().map(|n| with_fields(format!("a length of {:?} without a body", name_of(n)), &[(b"content-length", n)])));
    all.push(with_fields("the same length twice", &[(b"content-length", b"0"), (b"content-length", b"0")]));
    all.push(with_fields("two lengths", &[(b"content-length", b"0"), (b"content-length", b"1")]));
    all
}

/// A POST with this length, if there is one, this body and these trailers.
fn post(what: &str, length: &'static [u8], body: &[u8], trailers: Option<(u8, &[Field])>) -> InvalidHead {
    let mut post = block(&[(b":method", b"POST"), SCHEME, PATH, HOST]);
    if !length.is_empty() {
        post.extend(block(&[(b"content-length", length)]));
    }
    let end = if trailers.is_none() { END_STREAM } else { 0 };
    let mut frames = vec![(HEADERS, END_HEADERS, post), (DATA, end, body.to_vec())];
    frames.extend(trailers.map(|(flags, fields)| (HEADERS, flags, block(fields))));
    InvalidHead { what: what.into(), frames, codes: &[] }
}

/// The path of the head is indexed in the table of the connection; the trailers refer to it by its number.
fn indexed_path_in_trailers() -> InvalidHead {
    let mut post = block(&[(b":method", b"POST"), SCHEME, HOST]);
    post.extend(b"\x44\x04/bad");
    let frames =
        vec![(HEADERS, END_HEADERS, post), (DATA, 0, b"hello".to_vec()), (HEADERS, WHOLE, vec![0xbe])];
    InvalidHead { what: "a pseudo field as a trailer, by its number".into(), frames, codes: &[] }
}

#[rustfmt::skip]
fn messages() -> Vec<InvalidHead> {
    let mut all = vec![
        post("more than was promised", b"3", b"hello", None),
        post("less than was promised", b"9", b"hello", None),
        post("something where nothing was promised", b"0", b"x", None),
        post("nothing where something was promised", b"5", b"", None),
        post("a length that is no number, with a body", b"five", b"hello", None),
        post("lengths in a list, with a body", b"5, 5", b"hello", None),
        post("less than was promised, then trailers", b"9", b"hello", Some((WHOLE, &[(b"a", b"b")]))),
        post("trailers that do not end the stream", b"", b"hello", Some((END_HEADERS, &[(b"a", b"b")]))),
        post("pseudo fields among trailers", b"", b"hello", Some((WHOLE, &[(b"a", b"b"), PATH]))),
        post("pseudo fields as trailers", b"", b"hello", Some((WHOLE, &[(b":status", b"200"), HOST]))),
        post("a pseudo field behind a body of a length", b"5", b"hello", Some((WHOLE, &[METHOD]))),
        indexed_path_in_trailers(),
    ];
    let trailers: [Field; 9] = [
        (b":unknown", b"1"), (b"X-Upper", b"1"), (b"", b"1"), (b"a b", b"1"), (b"a", b"b\0"), (b"a", b"b\r\nc: d"),
        (b"connection", b"close"), (b"transfer-encoding", b"chunked"), (b"a:b", b"1"),
    ];
    all.extend(trailers.iter().map(|field| {
        let what = format!("the trailer {}: {}", name_of(field.0), name_of(field.1));
        post(&what, b"", b"hello", Some((WHOLE, std::slice::from_ref(field))))
    }));
    all
}

fn compressed(what: &str, more: &[u8]) -> InvalidHead {
    let frames = vec![(HEADERS, WHOLE, [&plain(), more].concat())];
    InvalidHead { what: what.into(), frames, codes: COMPRESSION }
}

#[rustfmt::skip]
fn compression() -> Vec<InvalidHead> {
    let mut huge = vec![0xff_u8; 12];
    huge.push(0x7f);
    vec![
        compressed("index zero", &[0x80]),
        compressed("an index beyond both tables", &[0xbe]),
        compressed("an index far beyond", &[0xff, 0x80, 0x01]),
        compressed("an index that is too large for a number", &huge),
        compressed("an index that is cut off", &[0xff]),
        compressed("an index that is cut off later", &[0xff, 0x80]),
        compressed("a name of an index beyond both tables", &[0x7e, 0x01, b'a']),
        compressed("a name with an index beyond both tables", &[0x0f, 0x70, 0x01, b'a']),
        compressed("a name never to be remembered, beyond both tables", &[0x1f, 0x70, 0x01, b'a']),
        compressed("a literal without anything", &[0x00]),
        compressed("a name that is cut off", &[0x00, 0x05, b'a', b'b']),
        compressed("a name without a value", &[0x00, 0x01, b'a']),
        compressed("a value that is cut off", &[0x00, 0x01, b'a', 0x7f, 0x80, 0x01, b'b']),
        compressed("a value of a length that is too large for a number",
            &[0x00, 0x01, b'a', 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        compressed("the end of a string within it", &[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
        compressed("the end of a string behind it", &[0x00, 0x01, b'a', 0x85, 0x1f, 0xff, 0xff, 0xff, 0xff]),
        compressed("padding of more than seven bits", &[0x00, 0x01, b'a', 0x82, 0x1f, 0xff]),
        compressed("padding of zeros", &[0x00, 0x01, b'a', 0x81, 0x18]),
        compressed("a table that is larger than allowed", &[0x3f, 0xe2, 0x1f]),
        compressed("a table of a size behind a field", &[0x20]),
        compressed("a table of a size that is too large for a number", &[&[0x3f][..], &huge[1..]].concat()),
        InvalidHead { what: "three sizes of the table".into(),
            frames: vec![(HEADERS, WHOLE, [&[0x3f, 0xe2, 0x1f, 0x20, 0x20][..], &plain()].concat())],
            codes: COMPRESSION },
    ]
}

/// Blocks with invalid frames.
fn frames() -> Vec<InvalidHead> {
    let bad = |what: &str, frames, codes| InvalidHead { what: what.to_owned(), frames, codes };
    let (padded, priority) = (0x8, 0x20);
    vec![
        bad(
            "more padding than there is",
            vec![(HEADERS, WHOLE | padded, [&[0xff][..], &plain()].concat())],
            &[PROTOCOL_ERROR],
        ),
        bad("no length of padding", vec![(HEADERS, WHOLE | padded, Vec::new())], &[]),
        bad("a priority that is cut off", vec![(HEADERS, WHOLE | priority, vec![0, 0, 0, 3])], &[]),
        bad(
            "a stream that depends on itself",
            vec![(HEADERS, WHOLE | priority, [&[0, 0, 0, 1, 16][..], &plain()].concat())],
            &[],
        ),
        bad(
            "DATA within a block",
            vec![(HEADERS, END_STREAM, plain()), (DATA, END_STREAM, b"x".to_vec())],
            &[PROTOCOL_ERROR],
        ),
        bad(
            "HEADERS within a block",
            vec![(HEADERS, END_STREAM, plain()), (HEADERS, WHOLE, plain())],
            &[PROTOCOL_ERROR],
        ),
        bad(
            "a malformed field in a continuation",
            vec![(HEADERS, END_STREAM, plain()), (CONTINUATION, END_HEADERS, block(&[(b"A", b"b")]))],
            &[],
        ),
        bad("DATA before a head", vec![(DATA, END_STREAM, b"x".to_vec())], &[PROTOCOL_ERROR]),
    ]
}

/// The three digits of `:status`, the first field (RFC 7541, Appendix A and B).
fn status(block: &[u8]) -> u16 {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [first @ 0x88..=0x8e, ..] => KNOWN[usize::from(first - 0x88)],
        [0x48 | 0x08, 3, digits @ ..] => String::from_utf8_lossy(&digits[..3]).parse().expect("three digits"),
        [0x48 | 0x08, length @ 0x82..=0x83, text @ ..] => {
            let bits: String =
                text[..usize::from(length & 0x7f)].iter().map(|byte| format!("{byte:08b}")).collect();
            let (mut rest, mut number) = (&bits[..], 0);
            for _ in 0..3 {
                let five = u16::from_str_radix(&rest[..5], 2).expect("bits");
                let (digit, used) = if five < 3 {
                    (five, 5)
                } else {
                    (u16::from_str_radix(&rest[..6], 2).expect("bits") - 22, 6)
                };
                number = number * 10 + digit;
                rest = &rest[used..];
            }
            number
        }
        _ => panic!("no status in {block:02x?}"),
    }
}

/// The outcome of a stream.
#[derive(Debug, PartialEq)]
enum StreamOutcome {
    Answer(u16),
    Reset(u32),
    /// The connection ended with this code.
    Over(Option<u32>),
}

fn outcome(raw: &mut Raw, stream: u32) -> StreamOutcome {
    loop {
        let Some(frame) = raw.frame() else { return StreamOutcome::Over(None) };
        match frame.kind {
            GOAWAY if frame.code() != 0 => return StreamOutcome::Over(Some(frame.code())),
            RST_STREAM if frame.stream == stream => return StreamOutcome::Reset(frame.code()),
            HEADERS if frame.stream == stream => return StreamOutcome::Answer(status(&frame.payload)),
            _ => {}
        }
    }
}

/// What is wrong with the outcome, if anything.
fn violation(bad: &InvalidHead, gateway: &Gateway) -> Option<String> {
    let mut raw = Raw::connect(gateway.address);
    for (kind, flags, payload) in &bad.frames {
        raw.send(*kind, *flags, 1, payload);
    }
    let first = outcome(&mut raw, 1);
    let fits = match (&first, bad.codes) {
        (StreamOutcome::Answer(status), []) => matches!(status, 400 | 501),
        (StreamOutcome::Reset(code), []) => *code == PROTOCOL_ERROR,
        (StreamOutcome::Over(Some(code)), []) => {
            matches!(*code, PROTOCOL_ERROR | COMPRESSION_ERROR | FRAME_SIZE_ERROR)
        }
        (StreamOutcome::Over(Some(code)), codes) => codes.contains(code),
        _ => false,
    };
    if !fits {
        return Some(format!("{}: {first:?}", bad.what));
    }
    if matches!(first, StreamOutcome::Over(_)) {
        return None;
    }
    raw.send(HEADERS, WHOLE, 3, &block(&[METHOD, SCHEME, (b":path", b"/good"), HOST]));
    let next = outcome(&mut raw, 3);
    (next != StreamOutcome::Answer(200)).then(|| format!("{}: then {next:?}", bad.what))
}

#[test]
fn malformed_heads_are_rejected_and_the_next_request_is_served() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    let all = [pseudo_fields(), targets(), fields(), messages(), compression(), frames()];
    let all: Vec<InvalidHead> = all.into_iter().flatten().collect();
    assert!(all.len() > 200, "{}", all.len());
    let bad: Vec<String> = all.iter().filter_map(|bad| violation(bad, &gateway)).collect();
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), all.len(), bad.join("\n"));
    let reached: Vec<_> = origin.seen().into_iter().filter(|seen| seen.path != "/good").collect();
    assert!(reached.is_empty(), "{reached:?}");
}

#[rustfmt::skip]
fn valid_heads() -> Vec<(&'static str, Vec<Written>)> {
    let whole = |block: Vec<u8>| vec![(HEADERS, WHOLE, block)];
    let with = |fields: &[Field]| whole(block(&[&[METHOD, SCHEME, PATH, HOST], fields].concat()));
    let bytes = plain();
    let mut pieces = vec![(HEADERS, END_STREAM, bytes[..1].to_vec())];
    pieces.extend(bytes[1..].chunks(16).map(|part| (CONTINUATION, 0, part.to_vec())));
    pieces.push((CONTINUATION, END_HEADERS, Vec::new()));
    vec![
        ("a plain GET", with(&[])),
        ("pseudo fields in another order", whole(block(&[HOST, PATH, SCHEME, METHOD]))),
        ("Host instead of an authority", whole(block(&[METHOD, SCHEME, PATH, (b"host", b"gw.test")]))),
        ("Host in addition to the same authority", with(&[(b"host", b"GW.test")])),
        ("a custom method", whole(block(&[(b":method", b"Find!"), SCHEME, PATH, HOST]))),
        ("an address in brackets", whole(block(&[METHOD, SCHEME, PATH, (b":authority", b"[::1]:80")]))),
        ("segments and a query that are empty", whole(block(&[METHOD, SCHEME, (b":path", b"/bad//a/?"), HOST]))),
        ("te: trailers", with(&[(b"te", b"trailers")])),
        ("an empty value", with(&[(b"a", b"")])),
        ("a name of every sign that is allowed", with(&[(b"!#$%&'*+-.^_`|~0", b"1")])),
        ("blanks within a value", with(&[(b"a", b"b \t c")])),
        ("bytes beyond ASCII in a value", with(&[(b"a", b"\x80\xff\xc3\xa4")])),
        ("a length of nothing", with(&[(b"content-length", b"0")])),
        ("a cookie in crumbs", with(&[(b"cookie", b"a=1"), (b"cookie", b"b=2")])),
        ("the same field twice", with(&[(b"a", b"1"), (b"a", b"2")])),
        ("indexed fields", whole([&[0x82, 0x86][..], &block(&[PATH, HOST])].concat())),
        ("a smaller table, then the usual one", whole([&[0x20, 0x3f, 0xe1, 0x1f][..], &plain()].concat())),
        ("a value never to be remembered", whole([&plain()[..], &[0x10, 1, b'a', 1, b'b']].concat())),
        ("a field that is remembered and named", whole([&plain()[..], &[0x40, 1, b'a', 1, b'b', 0xbe, 0xbe]].concat())),
        ("a value in Huffman's code", whole([&plain()[..], &[0x00, 1, b'a', 0x81, 0x1f]].concat())),
        ("padding", vec![(HEADERS, WHOLE | 0x8, [&[3][..], &plain(), &[0; 3]].concat())]),
        ("a priority", vec![(HEADERS, WHOLE | 0x20, [&[0x80, 0, 0, 0, 255][..], &plain()].concat())]),
        ("a block in pieces", pieces),
        ("trailers", vec![
            (HEADERS, END_HEADERS, block(&[(b":method", b"POST"), SCHEME, PATH, HOST])),
            (DATA, 0, b"hello".to_vec()), (HEADERS, WHOLE, block(&[(b"a", b"b")])),
        ]),
        ("an empty DATA frame at the end", vec![
            (HEADERS, END_HEADERS, block(&[(b":method", b"POST"), SCHEME, PATH, HOST, (b"content-length", b"5")])),
            (DATA, 0, b"hello".to_vec()), (DATA, END_STREAM, Vec::new()),
        ]),
    ]
}

#[test]
fn unusual_but_valid_heads_pass() {
    let origin = Origin::with(|_| StubResponse::new(200, "hello"));
    let gateway = gateway(origin.port());
    for (what, frames) in valid_heads() {
        let mut raw = Raw::connect(gateway.address);
        for (kind, flags, payload) in &frames {
            raw.send(*kind, *flags, 1, payload);
        }
        assert_eq!(outcome(&mut raw, 1), StreamOutcome::Answer(200), "{what}");
        assert_eq!(origin.calls(), 1, "{what}");
        origin.forget();
    }
}

#[test]
fn websocket_over_http_2_is_not_offered() {
    const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    let gateway = gateway(Origin::hello().port());
    let settings = Raw::connect(gateway.address).wait_for(SETTINGS).expect("settings");
    let offered = settings.payload.chunks(6).map(|setting| u16::from_be_bytes([setting[0], setting[1]]));
    assert!(offered.into_iter().all(|id| id != ENABLE_CONNECT_PROTOCOL), "{:?}", settings.payload);
}

#[test]
fn a_fragment_in_the_path_reaches_no_backend() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body));
    let gateway = gateway(origin.port());
    let mut raw = Raw::connect(gateway.address);
    raw.send(HEADERS, WHOLE, 1, &block(&[METHOD, SCHEME, (b":path", b"/a#b?c"), HOST]));
    assert_eq!(outcome(&mut raw, 1), StreamOutcome::Answer(400));
    assert_eq!(origin.calls(), 0);
}
