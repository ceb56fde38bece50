//! Client messages of the protobuf subprotocols.

use super::{
    checks::{checked_group, checked_name},
    protobuf_messages::{
        ClientFrame, ClientFrameKind, Data, Invoke, MessageData, SendToGroup, StreamData, StreamEnd,
        StreamStart,
    },
};
use crate::realtime::{
    message::{ClientMessage, Payload, UserError},
    payload::{json_payload, protobuf_payload, text_payload},
};
use bytes::Bytes;
use prost::Message;

/// Decodes a binary frame.
pub fn decode(frame: Bytes) -> Result<ClientMessage, String> {
    let decoded = ClientFrame::decode(frame).map_err(|error| format!("malformed protobuf: {error}"))?;
    let Some(kind) = decoded.message else { return Err("unknown kind of message".to_owned()) };
    Ok(match kind {
        ClientFrameKind::SendToGroup(message) => send_to_group(message)?,
        ClientFrameKind::Event(message) => ClientMessage::Event {
            event: checked_name("event", message.event)?,
            ack_id: message.ack_id,
            payload: payload(message.data)?,
        },
        ClientFrameKind::JoinGroup(request) => {
            ClientMessage::JoinGroup { group: checked_group(request.group)?, ack_id: request.ack_id }
        }
        ClientFrameKind::LeaveGroup(request) => {
            ClientMessage::LeaveGroup { group: checked_group(request.group)?, ack_id: request.ack_id }
        }
        ClientFrameKind::SequenceAck(ack) => ClientMessage::SequenceAck { sequence_id: ack.sequence_id },
        ClientFrameKind::Ping(_) => ClientMessage::Ping,
        ClientFrameKind::Invoke(message) => invoke(message)?,
        ClientFrameKind::CancelInvocation(message) => ClientMessage::CancelInvocation {
            invocation_id: checked_name("invocation_id", message.invocation_id)?,
        },
        ClientFrameKind::StreamData(message) => stream_data(message)?,
        ClientFrameKind::StreamEnd(message) => stream_end(message)?,
    })
}

fn send_to_group(message: SendToGroup) -> Result<ClientMessage, String> {
    let (group, ack_id) = (checked_group(message.group)?, message.ack_id);
    let no_echo = message.no_echo.unwrap_or_default();
    if let Some(StreamStart { stream_id, idle_timeout_ms }) = message.stream {
        let stream_id = checked_name("stream_id", stream_id)?;
        return Ok(ClientMessage::OpenStream { group, ack_id, no_echo, stream_id, idle_timeout_ms });
    }
    let (payload, ttl_seconds) = (payload(message.data)?, message.ttl_seconds);
    Ok(ClientMessage::SendToGroup { group, ack_id, no_echo, payload, ttl_seconds })
}

fn invoke(message: Invoke) -> Result<ClientMessage, String> {
    Ok(ClientMessage::Invoke {
        invocation_id: checked_name("invocation_id", message.invocation_id)?,
        event: checked_name("event", message.event)?,
        payload: match message.data {
            None => Payload::Text(Bytes::new()),
            data => payload(data)?,
        },
    })
}

fn stream_data(message: StreamData) -> Result<ClientMessage, String> {
    let stream_id = checked_name("stream_id", message.stream_id)?;
    let sequence_id = message.stream_sequence_id;
    let payload = match (sequence_id, message.data) {
        (None, None) => None,
        (Some(_), data @ Some(_)) => Some(payload(data)?),
        _ => return Err("expected `stream_sequence_id` and `data`, or neither of them".to_owned()),
    };
    Ok(ClientMessage::StreamData { stream_id, sequence_id, payload })
}

fn stream_end(message: StreamEnd) -> Result<ClientMessage, String> {
    let error = message.error.map(|error| UserError {
        message: error.message.map(Into::into),
        user_error_code: error.user_error_code.map(Into::into),
    });
    Ok(ClientMessage::StreamEnd { stream_id: checked_name("stream_id", message.stream_id)?, error })
}

fn payload(data: Option<MessageData>) -> Result<Payload, String> {
    match data.and_then(|data| data.data) {
        Some(Data::Text(bytes)) => text_payload(bytes),
        Some(Data::Binary(bytes)) => Ok(Payload::Binary(bytes)),
        Some(Data::Protobuf(bytes)) => protobuf_payload(bytes),
        Some(Data::Json(bytes)) => json_payload(bytes),
        None => Err("missing `data`".to_owned()),
    }
}
