//! Decoding and encoding by subprotocol.

use super::{
    json_decode, json_encode, protobuf_decode, protobuf_encode,
    signalr::{self, Framing, HubProtocol, encode},
    subprotocol::Subprotocol,
};
use crate::net::websocket::{Opcode, frame};
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
        Encoding::SignalRJson | Encoding::SignalRMessagePack => Err("SignalR has its own decoder".to_owned()),
    }
}

/// Appends the body of the WebSocket message, which is text for JSON and binary for protobuf. Simple clients receive none.
pub fn encode_control(subprotocol: Subprotocol, message: &ServerMessage, buffer: &mut Vec<u8>) {
    match subprotocol.encoding() {
        Encoding::Simple => {}
        Encoding::Json => json_encode::put_control(message, buffer),
        Encoding::Protobuf => protobuf_encode::put_control(message, buffer),
        Encoding::SignalRJson => put_signalr_control(HubProtocol::Json, message, buffer),
        Encoding::SignalRMessagePack => put_signalr_control(HubProtocol::MessagePack, message, buffer),
    }
}

/// The first message of a SignalR client is the response to its handshake, the last one its end.
fn put_signalr_control(protocol: HubProtocol, message: &ServerMessage, buffer: &mut Vec<u8>) {
    match message {
        ServerMessage::Connected { .. } => buffer.extend_from_slice(encode::HANDSHAKE_RESPONSE),
        ServerMessage::Disconnected { message, allows_reconnect } => {
            buffer.extend_from_slice(&encode::close(protocol, Some(message), *allows_reconnect));
        }
        _ => {}
    }
}

/// The body of a control message as its transport carries it.
pub fn framed(subprotocol: Subprotocol, body: &[u8]) -> Vec<u8> {
    match subprotocol.framing() {
        Framing::WebSocket => {
            let is_binary =
                matches!(subprotocol.encoding(), Encoding::Protobuf | Encoding::SignalRMessagePack);
            frame(if is_binary { Opcode::Binary } else { Opcode::Text }, body)
        }
        Framing::EventStream => [b"data: ", body, b"\r\n\r\n"].concat(),
        Framing::Concatenated => body.to_vec(),
    }
}

/// A publication as all receivers of an encoding share it; [`super::envelope()`] adds what differs.
pub fn encode_publication(encoding: Encoding, publication: &Publication) -> EncodedMessage {
    let payload = &publication.payload;
    let mut buffer = match encoding {
        Encoding::SignalRJson => return signalr::encode_publication(HubProtocol::Json, payload),
        Encoding::SignalRMessagePack => {
            return signalr::encode_publication(HubProtocol::MessagePack, payload);
        }
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
        Encoding::SignalRJson | Encoding::SignalRMessagePack => {}
    }
    EncodedMessage { is_text: encoding == Encoding::Json, body: buffer.into() }
}
