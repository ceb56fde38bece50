//! Tests of the codec; the numbers of sections are those of RFC 6455.

use super::*;
use proptest::prelude::*;

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 200, 13, 91];
    let mut frame = vec![first];
    match payload.len() {
        0..126 => frame.push(0x80 | payload.len() as u8),
        126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

/// Everything received, in pieces of this size.
fn read_all(bytes: &[u8], piece: usize) -> Result<Vec<Received>, FrameError> {
    let (mut reader, mut all) = (MessageReader::default(), Vec::new());
    for mut rest in bytes.chunks(piece.max(1)) {
        while !rest.is_empty() {
            let (n, received) = reader.read(rest, 1 << 20)?;
            rest = &rest[n..];
            all.extend(received);
        }
    }
    Ok(all)
}

fn error_code(bytes: &[u8]) -> u16 {
    let codes = [1, 3, bytes.len()].map(|piece| read_all(bytes, piece).unwrap_err().code);
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    codes[0]
}

fn text(body: &str) -> Received {
    Received::Message { is_text: true, body: Bytes::copy_from_slice(body.as_bytes()) }
}

#[test]
fn messages_control_frames_and_fragments_are_read_regardless_of_segmentation() {
    let bytes = [
        masked(0x81, b"hello"),
        masked(0x01, "h\u{e4}l".as_bytes()),
        masked(0x89, b"ping"),
        masked(0x80, b"lo"),
        masked(0x82, &[0; 70_000]),
        masked(0x8a, b""),
        masked(0x88, &[0x03, 0xe8, b'x']),
        masked(0x88, b""),
    ]
    .concat();
    let expected = [
        text("hello"),
        Received::Ping(Bytes::from_static(b"ping")),
        text("h\u{e4}llo"),
        Received::Message { is_text: false, body: vec![0; 70_000].into() },
        Received::Pong,
        Received::Close { code: 1000 },
        Received::Close { code: close_code::NO_STATUS },
    ];
    for piece in [1, 2, 3, 7, 64, bytes.len()] {
        assert_eq!(read_all(&bytes, piece).unwrap(), expected, "pieces of {piece} bytes");
    }
}

#[test]
fn violations_are_protocol_errors() {
    let cases: [(&str, Vec<u8>); 10] = [
        ("unmasked", vec![0x81, 0x01, b'x']),
        ("reserved bit", masked(0xc1, b"x")),
        ("reserved opcode", masked(0x83, b"x")),
        ("reserved control opcode", masked(0x8b, b"")),
        ("fragmented ping", masked(0x09, b"x")),
        ("long ping", masked(0x89, &[b'x'; 126])),
        ("continuation first", masked(0x80, b"x")),
        ("text inside of a text", [masked(0x01, b"x"), masked(0x81, b"y")].concat()),
        ("close of one byte", masked(0x88, b"x")),
        ("length not minimal", vec![0x81, 0xfe, 0, 5, 1, 2, 3, 4]),
    ];
    for (what, bytes) in cases {
        assert_eq!(error_code(&bytes), close_code::PROTOCOL_ERROR, "{what}");
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000] {
        assert_eq!(error_code(&masked(0x88, &code.to_be_bytes())), close_code::PROTOCOL_ERROR, "{code}");
    }
}

#[test]
fn invalid_text_is_detected_before_the_message_ends() {
    assert_eq!(error_code(&masked(0x81, &[0xff])), close_code::INVALID_PAYLOAD);
    assert_eq!(error_code(&masked(0x01, &[b'a', 0xed, 0xa0])), close_code::INVALID_PAYLOAD, "a surrogate");
    assert_eq!(error_code(&masked(0x81, &[0xc3])), close_code::INVALID_PAYLOAD, "an incomplete character");
    assert_eq!(error_code(&masked(0x88, &[0x03, 0xe8, 0xff])), close_code::INVALID_PAYLOAD);
}

#[test]
fn a_message_over_the_limit_is_rejected_by_its_header_without_memory() {
    let mut reader = MessageReader::default();
    let header = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    assert_eq!(reader.read(&header, 1 << 20).unwrap_err().code, close_code::TOO_LARGE);
    let mut reader = MessageReader::default();
    let fragments = [masked(0x02, &[0; 600]), masked(0x80, &[0; 500])].concat();
    assert_eq!(reader.read(&fragments, 1000).unwrap_err().code, close_code::TOO_LARGE);
    let mut reader = MessageReader::default();
    assert_eq!(reader.read(&header[..13], 1 << 62).unwrap(), (13, None));
    assert_eq!(reader.held_bytes(), 0);
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let frame = close_frame(1008, &"\u{e4}".repeat(100));
    assert_eq!(frame.len(), 2 + 2 + 122);
    assert!(std::str::from_utf8(&frame[4..]).is_ok());
    assert_eq!(close_frame(close_code::NO_STATUS, ""), [0x88, 0]);
}

#[test]
fn headers_have_the_shortest_length() {
    assert_eq!(&header(Opcode::Text, 125)[..], [0x81, 125]);
    assert_eq!(&header(Opcode::Binary, 126)[..], [0x82, 126, 0, 126]);
    assert_eq!(&header(Opcode::Text, 65_536)[..], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_pieces_do_not_matter(bytes: Vec<u8>, piece in 1_usize..9) {
        prop_assert_eq!(read_all(&bytes, piece), read_all(&bytes, bytes.len().max(1)));
    }

    #[test]
    fn a_message_of_any_length_is_read_back(body in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..500) {
        let expected = Received::Message { is_text: false, body: body.clone().into() };
        prop_assert_eq!(read_all(&masked(0x82, &body), piece).unwrap(), vec![expected]);
    }
}
