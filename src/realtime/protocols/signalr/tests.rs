//! Bytes of both protocols, and their equal meaning.

use super::{encode, *};
use crate::realtime::message::Payload;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

const MAX: usize = 1 << 20;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn decoded(protocol: HubProtocol, framed: &[u8]) -> Result<Vec<HubMessage>, DecodeError> {
    let mut decoder = Decoder::with_protocol(protocol);
    decoder.push(framed);
    let mut messages = Vec::new();
    while let Some(Decoded::Message(message)) = decoder.next(MAX)? {
        messages.push(message);
    }
    assert_eq!(decoder.held_bytes(), 0);
    Ok(messages)
}

fn invocation(id: Option<&str>, target: &str, body: Vec<u8>) -> HubMessage {
    HubMessage::Invocation(Invocation {
        invocation_id: id.map(Into::into),
        target: target.into(),
        has_streams: false,
        body: body.into(),
    })
}

#[test]
fn the_bytes_of_message_pack_are_those_of_official_libraries() {
    let framed = bytes("0e 95 01 80 a1 31 a4 45 63 68 6f 91 a2 68 69");
    let expected = invocation(Some("1"), "Echo", framed[1..].to_vec());
    assert_eq!(decoded(HubProtocol::MessagePack, &framed), Ok(vec![expected]));
    let published = Payload::Json(r#"{"type":1,"target":"note","arguments":[1,"x"]}"#.into());
    let body = encode_publication(HubProtocol::MessagePack, &published).body;
    assert_eq!(hex(&body), "0e 96 01 80 c0 a4 6e 6f 74 65 92 01 a1 78 90");
    let pack = HubProtocol::MessagePack;
    for (message, expected) in [
        (encode::completion(pack, "1", None), "06 94 03 80 a1 31 02"),
        (encode::completion(pack, "1", Some("no")), "09 95 03 80 a1 31 01 a2 6e 6f"),
        (encode::ping(pack), "02 91 06"),
        (encode::close(pack, None, true), "04 93 07 c0 c3"),
        (encode::ack(pack, 2), "03 92 08 02"),
        (encode::sequence(pack, 2), "03 92 09 02"),
    ] {
        assert_eq!(hex(&message), expected);
    }
}

#[test]
fn the_texts_of_json_have_the_members_in_their_order() {
    let json = HubProtocol::Json;
    for (message, expected) in [
        (encode::completion(json, "1", None), r#"{"type":3,"invocationId":"1"}"#),
        (encode::completion(json, "1", Some("no\n")), r#"{"type":3,"invocationId":"1","error":"no\n"}"#),
        (encode::ping(json), r#"{"type":6}"#),
        (encode::close(json, Some("bye"), true), r#"{"type":7,"error":"bye","allowReconnect":true}"#),
        (encode::close(json, None, false), r#"{"type":7}"#),
        (encode::ack(json, 2), r#"{"type":8,"sequenceId":2}"#),
        (encode::sequence(json, 3), r#"{"type":9,"sequenceId":3}"#),
        (encode::handshake_error("no"), r#"{"error":"no"}"#),
    ] {
        assert_eq!(String::from_utf8(message).unwrap(), format!("{expected}\u{1e}"));
    }
    assert_eq!(encode::event_lines(b"a\nb\r\nc\rd"), b"a\r\ndata: b\r\ndata: c\r\ndata: d");
}

#[test]
fn a_handshake_selects_the_protocol_of_what_follows() {
    let mut decoder = Decoder::default();
    decoder.push(b"{\"protocol\":\"json\",\"version\":2}\x1e{\"type\":6}");
    assert_eq!(decoder.next(MAX), Ok(Some(Decoded::Handshake(HubProtocol::Json))));
    assert_eq!(decoder.next(MAX), Ok(None));
    decoder.push(b"\x1e");
    assert_eq!(decoder.next(MAX), Ok(Some(Decoded::Message(HubMessage::Ping))));
    for text in [
        r#"{"protocol":"xml","version":1}"#,
        r#"{"protocol":"json","version":3}"#,
        r#"{"protocol":"json","version":0}"#,
        r#"{"protocol":"json"}"#,
        r#"{"protocol":5,"version":1}"#,
        "[]",
        "",
    ] {
        let mut decoder = Decoder::default();
        decoder.push(format!("{text}\u{1e}").as_bytes());
        assert!(matches!(decoder.next(MAX), Err(DecodeError::Handshake(_))), "{text}");
    }
}

#[test]
fn malformed_messages_are_errors() {
    for text in [
        "{",
        "[]",
        "{}",
        r#"{"type":"1"}"#,
        r#"{"type":1,"arguments":[]}"#,
        r#"{"type":1,"target":"x"}"#,
        r#"{"type":1,"target":"x","arguments":{}}"#,
        r#"{"type":1,"target":"","arguments":[]}"#,
        r#"{"type":1,"target":5,"arguments":[]}"#,
        r#"{"type":1,"invocationId":5,"target":"x","arguments":[]}"#,
        r#"{"type":4,"target":"x","arguments":[]}"#,
        r#"{"type":8}"#,
        r#"{"type":9,"sequenceId":-1}"#,
    ] {
        let framed = format!("{text}\u{1e}");
        assert!(
            matches!(decoded(HubProtocol::Json, framed.as_bytes()), Err(DecodeError::Message(_))),
            "{text}"
        );
    }
    let deep = format!(r#"{{"type":1,"target":"x","arguments":[{}{}]}}"#, "[".repeat(200), "]".repeat(200));
    assert!(decoded(HubProtocol::Json, format!("{deep}\u{1e}").as_bytes()).is_err());
    for packed in [
        "00",
        "01 c0",
        "01 90",
        "02 91 c0",
        "03 92 01 80",
        "04 94 01 80 c0",
        "06 95 01 80 c0 a1 78 c0",
        "08 95 01 80 c0 a1 78 dd ff ff ff",
        "06 95 01 80 05 a1 78",
        "07 95 01 80 c0 a2 ff fe 90",
        "03 91 06 06",
        "ff ff ff ff ff",
        "80 80 80 80 10",
    ] {
        let result = decoded(HubProtocol::MessagePack, &bytes(packed));
        assert!(matches!(result, Err(DecodeError::Message(_))), "{packed}: {result:?}");
    }
    let mut nested = vec![0x95, 1, 0x80, 0xc0, 0xa1, b'x', 0x91];
    nested.extend([0x91; 300]);
    nested.push(0xc0);
    let framed = encode::framed(|body| body.extend_from_slice(&nested));
    assert!(decoded(HubProtocol::MessagePack, &framed).is_err());
}

#[test]
fn a_message_over_the_limit_is_an_error_as_soon_as_that_is_known() {
    let mut json = Decoder::with_protocol(HubProtocol::Json);
    json.push(&[b' '; 101]);
    assert!(json.next(100).is_err());
    let mut pack = Decoder::with_protocol(HubProtocol::MessagePack);
    pack.push(&[0xff, 0xff, 0xff, 0xff, 0x07]);
    assert!(pack.next(100).is_err());
}

#[test]
fn the_result_of_a_handler_is_one_framed_completion_of_the_invocation() {
    for (text, expected) in [
        ("{\"type\":3,\"invocationId\":\"1\",\"result\":[1,\n2]}\x1e", true),
        ("{\"type\":3,\"invocationId\":\"1\"}", false),
        ("{\"type\":3,\"invocationId\":\"2\"}\x1e", false),
        ("{\"type\":1,\"invocationId\":\"1\",\"target\":\"x\",\"arguments\":[]}\x1e", false),
        ("{\"type\":6}\x1e{\"type\":3,\"invocationId\":\"1\"}\x1e", false),
        ("", false),
        ("\x1e", false),
    ] {
        assert_eq!(is_json_completion(text.as_bytes(), "1"), expected, "{text:?}");
    }
    for (packed, expected) in [
        ("09 95 03 80 a1 31 03 a2 68 69", true),
        ("06 94 03 80 a1 31 02", true),
        ("06 94 03 80 a1 32 02", false),
        ("06 94 03 80 a1 31 03", false),
        ("06 94 03 80 a1 31 02 00", false),
        ("05 94 03 80 a1 31", false),
        ("02 91 06", false),
    ] {
        assert_eq!(is_message_pack_completion(&Bytes::from(bytes(packed)), "1"), expected, "{packed}");
    }
}

/// JSON values whose numbers MessagePack represents exactly.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|number: f64| json!(number)),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn parts(message: &HubMessage) -> (Option<Box<str>>, Box<str>, bool) {
    let HubMessage::Invocation(invocation) = message else { panic!("an invocation, not {message:?}") };
    (invocation.invocation_id.clone(), invocation.target.clone(), invocation.has_streams)
}

proptest! {
    #[test]
    fn json_and_message_pack_carry_the_same_invocation(
        target in "[^\u{0}]{1,40}",
        arguments in prop::collection::vec(value(), 0..5),
        cut in 0_usize..200,
    ) {
        let text = json!({ "type": 1, "target": target, "arguments": arguments }).to_string();
        let payload = Payload::Json(Bytes::from(text));
        let mut seen = Vec::new();
        for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
            let framed = encode_publication(protocol, &payload).body;
            let mut decoder = Decoder::with_protocol(protocol);
            let (first, second) = framed.split_at(cut.min(framed.len() - 1));
            decoder.push(first);
            prop_assert_eq!(decoder.next(MAX), Ok(None));
            decoder.push(second);
            let Ok(Some(Decoded::Message(message))) = decoder.next(MAX) else { panic!("a message") };
            prop_assert_eq!(decoder.next(MAX), Ok(None));
            seen.push(parts(&message));
        }
        prop_assert_eq!(&seen[0], &seen[1]);
    }

    #[test]
    fn no_bytes_are_too_much(input in prop::collection::vec(any::<u8>(), 0..200)) {
        for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
            let mut decoder = Decoder::with_protocol(protocol);
            decoder.push(&input);
            while let Ok(Some(_)) = decoder.next(MAX) {}
            let _ = is_message_pack_completion(&Bytes::from(input.clone()), "1");
            let _ = is_json_completion(&input, "1");
        }
    }
}
