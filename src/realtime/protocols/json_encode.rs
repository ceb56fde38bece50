//! Service messages of the JSON subprotocols: members in a fixed order, without white space.

use crate::{
    base::bytes::put_decimal,
    realtime::message::{NamedError, Origin, Payload, Publication, ServerMessage, StreamPart},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// Appends a message that is not published data.
pub fn put_control(message: &ServerMessage, buffer: &mut Vec<u8>) {
    match message {
        ServerMessage::Connected { connection_id, user_id, reconnection_token } => {
            buffer.extend_from_slice(br#"{"type":"system","event":"connected""#);
            put_optional(buffer, "userId", user_id.as_deref());
            put_member(buffer, "connectionId", connection_id);
            put_optional(buffer, "reconnectionToken", reconnection_token.as_deref());
        }
        ServerMessage::Disconnected { message, .. } => {
            buffer.extend_from_slice(br#"{"type":"system","event":"disconnected""#);
            put_member(buffer, "message", message);
        }
        ServerMessage::Ack { ack_id, error } => {
            buffer.extend_from_slice(br#"{"type":"ack""#);
            put_number(buffer, "ackId", *ack_id);
            put_success(buffer, error.is_none());
            put_error(buffer, error.as_ref());
        }
        ServerMessage::Pong => buffer.extend_from_slice(br#"{"type":"pong""#),
        ServerMessage::InvokeResponse { invocation_id, result } => {
            put_response(buffer, invocation_id, result);
        }
        ServerMessage::StreamAck { stream_id, expected_sequence_id } => {
            put_stream(buffer, "streamAck", stream_id, Some(*expected_sequence_id));
        }
        ServerMessage::StreamNack { stream_id, expected_sequence_id, error } => {
            put_stream(buffer, "streamNack", stream_id, Some(*expected_sequence_id));
            put_member(buffer, "name", error.name);
            put_member(buffer, "message", &error.message);
        }
        ServerMessage::StreamClosed { stream_id, error } => {
            put_stream(buffer, "streamClosed", stream_id, None);
            put_error(buffer, error.as_ref());
        }
    }
    buffer.push(b'}');
}

fn put_response(buffer: &mut Vec<u8>, invocation_id: &str, result: &Result<Option<Payload>, NamedError>) {
    buffer.extend_from_slice(br#"{"type":"invokeResponse""#);
    put_member(buffer, "invocationId", invocation_id);
    put_success(buffer, result.is_ok());
    match result {
        Ok(None) => {}
        Ok(Some(payload)) => put_payload(buffer, payload),
        Err(error) => put_error(buffer, Some(error)),
    }
}

fn put_stream(buffer: &mut Vec<u8>, kind: &str, stream_id: &str, expected_sequence_id: Option<u64>) {
    buffer.extend_from_slice(br#"{"type":"#);
    put_string(buffer, kind);
    put_member(buffer, "streamId", stream_id);
    if let Some(number) = expected_sequence_id {
        put_number(buffer, "expectedSequenceId", number);
    }
}

/// Appends a publication without a sequence number.
pub fn put_publication(publication: &Publication, buffer: &mut Vec<u8>) {
    let (from, group, from_user) = match &publication.origin {
        Origin::Server => ("server", None, None),
        Origin::Group { group, from_user } => ("group", Some(&**group), from_user.as_deref()),
    };
    buffer.extend_from_slice(br#"{"type":"message""#);
    put_member(buffer, "from", from);
    put_optional(buffer, "group", group);
    put_payload(buffer, &publication.payload);
    put_optional(buffer, "fromUserId", from_user);
    if let Some(stream) = &publication.stream {
        put_stream_part(buffer, stream);
    }
    buffer.push(b'}');
}

fn put_stream_part(buffer: &mut Vec<u8>, stream: &StreamPart) {
    buffer.extend_from_slice(br#","stream":{"streamId":"#);
    put_string(buffer, &stream.stream_id);
    put_number(buffer, "streamSequenceId", stream.sequence_id);
    if let Some(end) = &stream.end {
        buffer.extend_from_slice(br#","endOfStream":true"#);
        if let Some(error) = &end.error {
            buffer.extend_from_slice(br#","error":{"name":"#);
            put_string(buffer, &error.name);
            put_member(buffer, "message", &error.message);
            put_optional(buffer, "userErrorCode", error.user_error_code.as_deref());
            buffer.push(b'}');
        }
    }
    buffer.push(b'}');
}

/// Appends `dataType` and `data`.
fn put_payload(buffer: &mut Vec<u8>, payload: &Payload) {
    let data_type = match payload {
        Payload::Text(_) => "text",
        Payload::Json(_) => "json",
        Payload::Binary(_) => "binary",
        Payload::Protobuf(_) => "protobuf",
    };
    put_member(buffer, "dataType", data_type);
    buffer.extend_from_slice(br#","data":"#);
    match payload {
        Payload::Text(text) => put_string(buffer, &String::from_utf8_lossy(text)),
        Payload::Json(json) => buffer.extend_from_slice(json),
        Payload::Binary(bytes) | Payload::Protobuf(bytes) => put_base64(buffer, bytes),
    }
}

fn put_base64(buffer: &mut Vec<u8>, bytes: &Bytes) {
    buffer.push(b'"');
    buffer.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    buffer.push(b'"');
}

fn put_success(buffer: &mut Vec<u8>, success: bool) {
    buffer.extend_from_slice(if success { br#","success":true"# } else { br#","success":false"# });
}

/// `message` is always present: the Python client reads it without a check.
fn put_error(buffer: &mut Vec<u8>, error: Option<&NamedError>) {
    let Some(error) = error else { return };
    buffer.extend_from_slice(br#","error":{"name":"#);
    put_string(buffer, error.name);
    put_member(buffer, "message", &error.message);
    buffer.push(b'}');
}

fn put_optional(buffer: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        put_member(buffer, name, value);
    }
}

fn put_member(buffer: &mut Vec<u8>, name: &str, value: &str) {
    put_name(buffer, name);
    put_string(buffer, value);
}

fn put_number(buffer: &mut Vec<u8>, name: &str, value: u64) {
    put_name(buffer, name);
    put_decimal(buffer, value);
}

fn put_name(buffer: &mut Vec<u8>, name: &str) {
    buffer.extend_from_slice(b",\"");
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b"\":");
}

fn put_string(buffer: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(buffer, text);
}
