//! Messages to one client, with the frame of the hub protocol.

use super::{HubProtocol, RECORD_SEPARATOR, message_pack::put_prefix};
use crate::base::bytes::put_decimal;
use rmp::encode as pack;

/// The response to a handshake that is accepted.
pub const HANDSHAKE_RESPONSE: &[u8] = b"{}\x1e";

/// The response to a handshake that is rejected.
pub fn handshake_error(error: &str) -> Vec<u8> {
    let mut text = b"{\"error\":".to_vec();
    put_string(&mut text, error);
    text.extend_from_slice(b"}\x1e");
    text
}

/// A ping.
pub fn ping(protocol: HubProtocol) -> Vec<u8> {
    match protocol {
        HubProtocol::Json => b"{\"type\":6}\x1e".to_vec(),
        HubProtocol::MessagePack => vec![2, 0x91, 6],
    }
}

/// The end of the connection.
pub fn close(protocol: HubProtocol, error: Option<&str>, allows_reconnect: bool) -> Vec<u8> {
    match protocol {
        HubProtocol::Json => {
            let mut text = b"{\"type\":7".to_vec();
            if let Some(error) = error {
                text.extend_from_slice(b",\"error\":");
                put_string(&mut text, error);
            }
            if allows_reconnect {
                text.extend_from_slice(b",\"allowReconnect\":true");
            }
            text.extend_from_slice(b"}\x1e");
            text
        }
        HubProtocol::MessagePack => framed(|body| {
            // Writing to a vector cannot fail.
            let _ = pack::write_array_len(body, 3);
            let _ = pack::write_uint(body, 7);
            put_text(body, error);
            let _ = pack::write_bool(body, allows_reconnect);
        }),
    }
}

/// The number of the last message that was processed.
pub fn ack(protocol: HubProtocol, sequence_id: u64) -> Vec<u8> {
    numbered(protocol, 8, sequence_id)
}

/// The number of the next message.
pub fn sequence(protocol: HubProtocol, sequence_id: u64) -> Vec<u8> {
    numbered(protocol, 9, sequence_id)
}

fn numbered(protocol: HubProtocol, kind: u8, sequence_id: u64) -> Vec<u8> {
    match protocol {
        HubProtocol::Json => {
            let mut text = b"{\"type\":".to_vec();
            put_decimal(&mut text, kind.into());
            text.extend_from_slice(b",\"sequenceId\":");
            put_decimal(&mut text, sequence_id);
            text.extend_from_slice(b"}\x1e");
            text
        }
        HubProtocol::MessagePack => framed(|body| {
            let _ = pack::write_array_len(body, 2);
            let _ = pack::write_uint(body, kind.into());
            let _ = pack::write_uint(body, sequence_id);
        }),
    }
}

/// The response to an invocation: without a result, or an error.
pub fn completion(protocol: HubProtocol, invocation_id: &str, error: Option<&str>) -> Vec<u8> {
    match protocol {
        HubProtocol::Json => {
            let mut text = b"{\"type\":3,\"invocationId\":".to_vec();
            put_string(&mut text, invocation_id);
            if let Some(error) = error {
                text.extend_from_slice(b",\"error\":");
                put_string(&mut text, error);
            }
            text.extend_from_slice(b"}\x1e");
            text
        }
        HubProtocol::MessagePack => framed(|body| {
            let _ = pack::write_array_len(body, if error.is_some() { 5 } else { 4 });
            let _ = pack::write_uint(body, 3);
            let _ = pack::write_map_len(body, 0);
            put_text(body, Some(invocation_id));
            let _ = pack::write_uint(body, if error.is_some() { 1 } else { 2 });
            if error.is_some() {
                put_text(body, error);
            }
        }),
    }
}

/// A text as events contain it: one line for each of its lines.
pub fn event_lines(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        lines.extend_from_slice(&rest[..at]);
        lines.extend_from_slice(b"\r\ndata: ");
        let len = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + len..];
    }
    lines.extend_from_slice(rest);
    lines
}

/// A message in MessagePack with its length.
pub fn framed(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body);
    let mut bytes = Vec::with_capacity(body.len() + 5);
    put_prefix(body.len(), &mut bytes);
    bytes.extend_from_slice(&body);
    bytes
}

fn put_text(body: &mut Vec<u8>, text: Option<&str>) {
    let _ = match text {
        Some(text) => pack::write_str(body, text).map_err(drop),
        None => pack::write_nil(body).map_err(drop),
    };
}

fn put_string(buffer: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(buffer, text);
}

/// A message in JSON with its record separator, without line breaks.
pub fn json_record(text: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(text.len() + 1);
    // Strings contain no raw line breaks: these are white space.
    record.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    record.push(RECORD_SEPARATOR);
    record
}
