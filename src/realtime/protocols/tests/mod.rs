//! Exact frames, and the same meaning in every subprotocol.

mod json;
mod property;
mod protobuf;

use super::{protobuf_messages as wire, *};
use crate::realtime::message::{
    ClientMessage, Encoding, NamedError, Origin, Payload, Publication, ServerMessage, StreamEnd,
    StreamEndError, StreamPart, UserError,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

const ANY: &[u8] = &[0x0a, 1, 0x78, 0x12, 1, 7];

fn from_json(text: &str) -> Result<ClientMessage, String> {
    decode(Subprotocol::Json, true, &Bytes::copy_from_slice(text.as_bytes()))
}

fn from_hex(hex: &str) -> Result<ClientMessage, String> {
    decode(Subprotocol::Protobuf, false, &bytes(hex))
}

fn bytes(hex: &str) -> Bytes {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn text(text: &str) -> Payload {
    Payload::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn send(group: &str, payload: Payload) -> ClientMessage {
    ClientMessage::SendToGroup {
        group: group.into(),
        ack_id: None,
        no_echo: false,
        payload,
        ttl_seconds: None,
    }
}

fn control(subprotocol: Subprotocol, message: &ServerMessage) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode_control(subprotocol, message, &mut buffer);
    buffer
}

fn json_control(message: &ServerMessage) -> String {
    String::from_utf8(control(Subprotocol::Json, message)).unwrap()
}

/// The complete WebSocket message that a receiver gets.
fn delivered(subprotocol: Subprotocol, publication: &Publication, sequence_id: u64) -> Vec<u8> {
    let encoded = encode_publication(subprotocol.encoding(), publication);
    let around = envelope(subprotocol, encoded.body.len(), sequence_id);
    [&around.prefix[..], &encoded.body[around.skip..], &around.suffix].concat()
}
