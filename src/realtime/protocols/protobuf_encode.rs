//! Service messages of the protobuf subprotocols.

use super::protobuf_messages::{
    Ack, Connected, Data, DataBody, Disconnected, Empty, ErrorMessage, InvokeResponse, MessageData,
    ServiceFrame, ServiceFrameKind, StreamAck, StreamClosed, StreamErrorInfo, StreamInfo, StreamNack, System,
    SystemKind,
};
use crate::realtime::message::{NamedError, Origin, Payload, Publication, ServerMessage, StreamPart};
use prost::Message;

/// Appends a message that is not published data.
pub fn put_control(message: &ServerMessage, buffer: &mut Vec<u8>) {
    let kind = match message {
        ServerMessage::Connected { connection_id, user_id, reconnection_token } => {
            system(SystemKind::Connected(Connected {
                connection_id: connection_id.to_string(),
                user_id: user_id.as_deref().unwrap_or_default().to_owned(),
                reconnection_token: reconnection_token.as_deref().map(str::to_owned),
            }))
        }
        ServerMessage::Disconnected { message, .. } => {
            system(SystemKind::Disconnected(Disconnected { reason: message.to_string() }))
        }
        ServerMessage::Ack { ack_id, error } => ServiceFrameKind::Ack(Ack {
            ack_id: Some(*ack_id),
            success: Some(error.is_none()),
            error: error.as_ref().map(error_message),
        }),
        ServerMessage::Pong => ServiceFrameKind::Pong(Empty {}),
        ServerMessage::InvokeResponse { invocation_id, result } => {
            ServiceFrameKind::InvokeResponse(InvokeResponse {
                invocation_id: invocation_id.to_string(),
                success: result.is_ok(),
                data: result.as_ref().ok().and_then(Option::as_ref).map(message_data),
                error: result.as_ref().err().map(error_message),
            })
        }
        ServerMessage::StreamAck { .. }
        | ServerMessage::StreamNack { .. }
        | ServerMessage::StreamClosed { .. } => return put_stream_control(message, buffer),
    };
    put(&ServiceFrame { message: Some(kind) }, buffer);
}

fn put_stream_control(message: &ServerMessage, buffer: &mut Vec<u8>) {
    let kind = match message {
        ServerMessage::StreamAck { stream_id, expected_sequence_id } => {
            let (stream_id, expected_sequence_id) = (stream_id.to_string(), *expected_sequence_id);
            ServiceFrameKind::StreamAck(StreamAck { stream_id, expected_sequence_id })
        }
        ServerMessage::StreamNack { stream_id, expected_sequence_id, error } => {
            ServiceFrameKind::StreamNack(StreamNack {
                stream_id: stream_id.to_string(),
                name: error.name.to_owned(),
                message: error.message.to_string(),
                expected_sequence_id: *expected_sequence_id,
            })
        }
        ServerMessage::StreamClosed { stream_id, error } => ServiceFrameKind::StreamClosed(StreamClosed {
            stream_id: stream_id.to_string(),
            error: error.as_ref().map(error_message),
        }),
        _ => return,
    };
    put(&ServiceFrame { message: Some(kind) }, buffer);
}

/// Appends the fields of a publication's `DataMessage` without a sequence number; the envelope wraps them.
pub fn put_publication_fields(publication: &Publication, buffer: &mut Vec<u8>) {
    let (from, group) = match &publication.origin {
        Origin::Server => ("server", None),
        Origin::Group { group, .. } => ("group", Some(group.to_string())),
    };
    let body = DataBody {
        from: from.to_owned(),
        group,
        data: Some(message_data(&publication.payload)),
        sequence_id: None,
        stream: publication.stream.as_ref().map(stream_info),
    };
    put(&body, buffer);
}

fn put(message: &impl Message, buffer: &mut Vec<u8>) {
    // A vector grows: its capacity is never insufficient.
    let _ = message.encode(buffer);
}

fn system(kind: SystemKind) -> ServiceFrameKind {
    ServiceFrameKind::System(System { message: Some(kind) })
}

fn error_message(error: &NamedError) -> ErrorMessage {
    ErrorMessage { name: error.name.to_owned(), message: error.message.to_string() }
}

/// JSON is sent as text.
fn message_data(payload: &Payload) -> MessageData {
    let data = match payload.clone() {
        Payload::Text(bytes) | Payload::Json(bytes) => Data::Text(bytes),
        Payload::Binary(bytes) => Data::Binary(bytes),
        Payload::Protobuf(bytes) => Data::Protobuf(bytes),
    };
    MessageData { data: Some(data) }
}

fn stream_info(stream: &StreamPart) -> StreamInfo {
    let error = stream.end.as_ref().and_then(|end| end.error.as_ref());
    StreamInfo {
        stream_id: stream.stream_id.to_string(),
        stream_sequence_id: stream.sequence_id,
        end_of_stream: stream.end.is_some().then_some(true),
        error: error.map(|error| StreamErrorInfo {
            name: error.name.to_string(),
            message: error.message.to_string(),
            user_error_code: error.user_error_code.as_deref().unwrap_or_default().to_owned(),
        }),
    }
}
