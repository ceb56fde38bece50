//! Decoding and encoding by subprotocol.

use super::{json_decode, json_encode, protobuf_decode, protobuf_encode, subprotocol::Subprotocol};
use crate::realtime::message::{
    ClientMessage, EncodedMessage, Encoding, Payload, Publication, ServerMessage,
};
use bytes::Bytes;

/// The message in a WebSocket message of the client; the error is the reason of the `disconnected` frame. Simple clients send
/// payloads, not messages.
pub fn decode(subprotocol: Subprotocol, is_text: bool, body: &Bytes) -> Result<ClientMessage, String> {
    match subprotocol.encoding() {
        Encoding::Json => json_decode::decode(body),
        Encoding::Protobuf if is_text => Err("expected a binary frame, found a text frame".to_owned()),
        Encoding::Protobuf => protobuf_decode::decode(body.clone()),
        Encoding::Simple => Err("simple clients send payloads".to_owned()),
    }
}

/// Appends the body of the WebSocket message, which is text for JSON and binary for protobuf. Simple clients receive none.
pub fn encode_control(subprotocol: Subprotocol, message: &ServerMessage, buffer: &mut Vec<u8>) {
    match subprotocol.encoding() {
        Encoding::Simple => {}
        Encoding::Json => json_encode::put_control(message, buffer),
        Encoding::Protobuf => protobuf_encode::put_control(message, buffer),
    }
}

/// A publication as all receivers of an encoding share it; [`super::envelope()`] adds what differs.
pub fn encode_publication(encoding: Encoding, publication: &Publication) -> EncodedMessage {
    let payload = &publication.payload;
    let mut buffer = match encoding {
        Encoding::Simple => Vec::new(),
        Encoding::Json | Encoding::Protobuf => Vec::with_capacity(payload.bytes().len() + 128),
    };
    match encoding {
        Encoding::Simple => {
            let is_text = matches!(payload, Payload::Text(_) | Payload::Json(_));
            return EncodedMessage { is_text, body: payload.bytes().clone() };
        }
        Encoding::Json => json_encode::put_publication(publication, &mut buffer),
        Encoding::Protobuf => protobuf_encode::put_publication_fields(publication, &mut buffer),
    }
    EncodedMessage { is_text: encoding == Encoding::Json, body: buffer.into() }
}
