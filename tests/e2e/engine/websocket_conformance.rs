//! The checks of WebSocket conformance suites, run against the backend and through the gateway. Every byte received
//! must be the same. The numbers are those of the sections of the Autobahn test suite.

use super::document;
use crate::support::client::RESPONSE_TIMEOUT;
use crate::support::gateway::Gateway;
use crate::support::http1_reader::Http1Stream;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::websocket::{EchoBackend, agreement, opening};
use serde_json::json;
use std::net::{SocketAddr, TcpStream};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// A masked frame; `first` is its first byte.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn text(text: &str) -> Vec<u8> {
    frame(FIN | TEXT, text)
}

fn ping(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | PING, payload)
}

fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | CLOSE, [&code.to_be_bytes()[..], reason.as_ref()].concat())
}

/// A name and the pieces that are sent.
type Scenario = (String, Vec<Vec<u8>>);

fn one(name: impl Into<String>, frames: Vec<Vec<u8>>) -> Scenario {
    (name.into(), vec![frames.concat()])
}

/// The same bytes in pieces of this size.
fn in_pieces(name: impl Into<String>, size: usize, frames: Vec<Vec<u8>>) -> Scenario {
    (name.into(), frames.concat().chunks(size).map(<[u8]>::to_vec).collect())
}

fn framing() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (kind, opcode) in [("1.1 text", TEXT), ("1.2 binary", BINARY)] {
        for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
            all.push(one(format!("{kind} of {length}"), vec![frame(FIN | opcode, vec![b'*'; length])]));
        }
        let large = vec![frame(FIN | opcode, vec![b'*'; 65_536])];
        all.push(in_pieces(format!("{kind} of 65536 in pieces of 997"), 997, large));
    }
    all
}

fn pings_and_reserved_bits() -> Vec<Scenario> {
    let ten = || (0..10).map(|n| ping(format!("payload-{n}"))).collect::<Vec<_>>();
    let mut all = vec![
        one("2.1 ping without payload", vec![ping("")]),
        one("2.2 ping", vec![ping("Hello, world!")]),
        one("2.3 ping with odd bytes", vec![ping([0, 255, 254, 253, 252, 251, 0, 255])]),
        one("2.4 ping of 125", vec![ping([254; 125])]),
        one("2.5 ping of 126", vec![ping([254; 126])]),
        in_pieces("2.6 ping of 125, byte by byte", 1, vec![ping([254; 125])]),
        one("2.7 unsolicited pong", vec![frame(FIN | PONG, "")]),
        one("2.9 unsolicited pong, then ping", vec![frame(FIN | PONG, "x"), ping("y")]),
        one("2.10 ten pings", ten()),
        in_pieces("2.11 ten pings, byte by byte", 1, ten()),
    ];
    for rsv in 1..8_u8 {
        let odd = frame(FIN | rsv << 4 | TEXT, "Hello, world!");
        let name = format!("3.{rsv} reserved bits");
        all.push(one(&name, vec![text("before"), odd.clone(), ping("")]));
        all.push(in_pieces(format!("{name}, byte by byte"), 1, vec![text("before"), odd]));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let odd = vec![text("before"), frame(FIN | opcode, "odd"), ping("")];
        all.push(one(format!("4 opcode {opcode}"), odd));
    }
    all
}

fn fragments_and_utf_8() -> Vec<Scenario> {
    let kosme = "κόσμε".as_bytes();
    let two = || vec![frame(TEXT, "fragment1"), frame(FIN | CONTINUATION, "fragment2")];
    let between =
        || vec![frame(TEXT, "fragment1"), ping("ping"), frame(FIN | CONTINUATION, "fragment2"), ping("last")];
    vec![
        one("5.1 fragmented ping", vec![frame(PING, "a"), frame(FIN | CONTINUATION, "b")]),
        one("5.2 fragmented pong", vec![frame(PONG, "a"), frame(FIN | CONTINUATION, "b")]),
        one("5.3 two fragments", two()),
        in_pieces("5.5 two fragments, byte by byte", 1, two()),
        one("5.6 a ping between two fragments", between()),
        in_pieces("5.8 a ping between two fragments, byte by byte", 1, between()),
        one("5.9 nothing to continue", vec![frame(FIN | CONTINUATION, "lost"), text("x")]),
        one("5.12 nothing to continue, not the last", vec![frame(CONTINUATION, "lost"), text("x")]),
        one("5.15 continued after the end", [two(), vec![frame(FIN | CONTINUATION, "more")]].concat()),
        one("5.18 text within a text", vec![frame(TEXT, "a"), frame(FIN | TEXT, "b")]),
        one("6.1 empty fragments", vec![frame(TEXT, ""), frame(CONTINUATION, ""), frame(FIN, "")]),
        one("6.2.1 sound UTF-8", vec![frame(FIN | TEXT, "Hello-µ@ßöäüàá-UTF-8!!")]),
        in_pieces("6.2.3 sound UTF-8, byte by byte", 1, vec![text("Hello-µ@ßöäüàá-UTF-8!!")]),
        one(
            "6.2.4 a character in two fragments",
            vec![frame(TEXT, &kosme[..3]), frame(FIN | CONTINUATION, &kosme[3..])],
        ),
        one("6.3.1 unsound UTF-8", vec![frame(FIN | TEXT, b"\xce\xba\xed\xa0\x80edited")]),
        one(
            "6.4.1 unsound UTF-8 in the middle",
            vec![frame(TEXT, b"\xce\xba\xf4\x90\x80\x80"), frame(FIN, "x")],
        ),
    ]
}

fn closes() -> Vec<Scenario> {
    let mut all = vec![
        one("7.1.1 close", vec![text("Hello Environment!"), close(1000, "")]),
        one("7.1.2 two closes", vec![close(1000, ""), close(1000, "")]),
        one("7.1.3 ping after close", vec![close(1000, ""), ping("")]),
        one("7.1.4 text after close", vec![close(1000, ""), text("late")]),
        one("7.1.5 close within a message", vec![frame(TEXT, "fragment1"), close(1000, ""), frame(FIN, "x")]),
        one(
            "7.1.6 close behind 256K",
            vec![frame(FIN | TEXT, vec![b'*'; 256 * 1024]), close(1000, ""), ping("")],
        ),
        one("7.3.1 close without payload", vec![frame(FIN | CLOSE, "")]),
        one("7.3.2 close with half a code", vec![frame(FIN | CLOSE, "a")]),
        one("7.3.5 close with the longest reason", vec![close(1000, [b'*'; 123])]),
        one("7.3.6 close with a reason too long", vec![close(1000, [b'*'; 124])]),
        one("7.5.1 close with an unsound reason", vec![close(1000, b"\xce\xba\xed\xa0\x80")]),
    ];
    let codes = [0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1016];
    for code in codes.into_iter().chain([1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535]) {
        all.push(one(format!("7.7 close code {code}"), vec![close(code, "reason")]));
    }
    all
}

fn sizes() -> Vec<Scenario> {
    let mut all = Vec::new();
    for size in [64, 256, 1024, 4096] {
        let message = vec![b'*'; size << 10];
        all.push(one(format!("9.1 text of {size}K"), vec![frame(FIN | TEXT, &message)]));
        all.push(one(format!("9.2 binary of {size}K"), vec![frame(FIN | BINARY, &message)]));
    }
    for size in [256, 4096, 65_536] {
        let mut frames: Vec<_> =
            vec![b'*'; 1 << 20].chunks(size).map(|part| frame(CONTINUATION, part)).collect();
        frames[0][0] = BINARY;
        frames.push(frame(FIN | CONTINUATION, ""));
        all.push(one(format!("9.3 1M in fragments of {size}"), frames));
    }
    all.push(in_pieces("9.5 1M in pieces of 2048", 2048, vec![frame(FIN | TEXT, vec![b'*'; 1 << 20])]));
    for size in [0, 16, 125, 1024] {
        let message = frame(FIN | BINARY, vec![7; size]);
        all.push((format!("9.8 a thousand of {size}"), vec![message; 1000]));
    }
    all
}

/// Everything received until the end; input without a close frame gets one appended.
fn verdict(address: SocketAddr, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Http1Stream::new(TcpStream::connect(address).expect("a connection"));
    wire.read_timeout(RESPONSE_TIMEOUT);
    wire.send(&opening("/").bytes("gw"));
    let head = wire.head().expect("a response");
    assert!(head.start.contains(" 101 "), "{}", head.start);
    let mut writer = Http1Stream::new(wire.stream.try_clone().expect("a second handle"));
    let (pieces, bye) = (pieces.to_vec(), close(1000, "bye"));
    let writing = std::thread::spawn(move || {
        // A side that fails the connection need not read the rest.
        pieces.iter().chain([&bye]).all(|piece| writer.send(piece))
    });
    let came = wire.drain().expect("an end");
    let _ = writing.join();
    came
}

#[test]
fn the_conformance_results_are_the_same_through_the_gateway() {
    let server = EchoBackend::start(None);
    let gateway = Gateway::with(&document(server.port(), &json!({}), &json!({})));
    let all = [framing(), pings_and_reserved_bits(), fragments_and_utf_8(), closes(), sizes()].concat();
    assert!(all.len() >= 90, "{} scenarios", all.len());
    let mut silent = 0;
    for (name, pieces) in &all {
        let direct = verdict(server.address, pieces);
        let through = verdict(gateway.address, pieces);
        assert!(direct == through, "{name}: {} bytes, {} through the gateway", direct.len(), through.len());
        silent += usize::from(direct.is_empty());
    }
    assert!(silent < all.len() / 3, "{silent} of {} say nothing", all.len());
}

/// Raw deflate of a message, as in permessage-deflate (RFC 7692 7.2.1).
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut deflate = flate2::Compress::new(flate2::Compression::fast(), false);
    deflate.compress_vec(message, &mut out, flate2::FlushCompress::Sync).expect("deflate");
    out.truncate(out.len() - 4);
    out
}

#[test]
fn compressed_messages_pass_unchanged() {
    const AGREED: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n";
    // The echo is the same, bit by bit, except for the mask.
    let server = ScriptedBackend::start(|wire, _| {
        let head = wire.head().expect("a request");
        assert_eq!(head.get("sec-websocket-extensions"), Some("permessage-deflate"));
        wire.send(agreement(&head, AGREED).as_bytes());
        loop {
            let mut bytes = Vec::new();
            if wire.exactly(14, &mut |part| bytes.extend_from_slice(part)).is_err() {
                return;
            }
            let (length, mask) =
                (u64::from_be_bytes(bytes[2..10].try_into().expect("eight")), &bytes[10..14]);
            let mut payload = Vec::new();
            let _ = wire.exactly(length, &mut |part| payload.extend_from_slice(part));
            let mut back = vec![bytes[0], 127];
            back.extend(length.to_be_bytes());
            back.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            wire.send(&back);
        }
    });
    let gateway = Gateway::with(&document(server.port(), &json!({}), &json!({})));
    let mut wire = Http1Stream::new(TcpStream::connect(gateway.address).expect("a connection"));
    wire.read_timeout(RESPONSE_TIMEOUT);
    wire.send(&opening("/").header("Sec-WebSocket-Extensions", "permessage-deflate").bytes("gw"));
    let head = wire.head().expect("a response");
    assert_eq!(head.get("sec-websocket-extensions"), Some("permessage-deflate; client_no_context_takeover"));
    for size in [16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072] {
        let message: Vec<u8> = (0..size).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
        let payload = deflated(&message);
        let mut sent = vec![FIN | 0x40 | TEXT, 0x80 | 127];
        sent.extend((payload.len() as u64).to_be_bytes());
        sent.extend(MASK);
        sent.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        wire.send(&sent);
        let mut back = Vec::new();
        wire.exactly(10 + payload.len() as u64, &mut |part| back.extend_from_slice(part))
            .expect("a response");
        assert!(back[0] == FIN | 0x40 | TEXT && back[10..] == payload, "12 a message of {size}");
    }
}
