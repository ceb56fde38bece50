//! The messages of the protobuf subprotocols. Payloads are bytes where the interface has strings or messages: the wire
//! format is the same, and they are neither copied nor decoded.

use bytes::Bytes;
use prost::{Message, Oneof};

/// Client to service.
#[derive(Clone, PartialEq, Message)]
pub struct ClientFrame {
    #[prost(oneof = "ClientFrameKind", tags = "1, 5, 6, 7, 8, 9, 10, 11, 13, 14")]
    pub message: Option<ClientFrameKind>,
}

/// The kinds of client messages.
#[derive(Clone, PartialEq, Oneof)]
pub enum ClientFrameKind {
    #[prost(message, tag = "1")]
    SendToGroup(SendToGroup),
    #[prost(message, tag = "5")]
    Event(Event),
    #[prost(message, tag = "6")]
    JoinGroup(GroupRequest),
    #[prost(message, tag = "7")]
    LeaveGroup(GroupRequest),
    #[prost(message, tag = "8")]
    SequenceAck(SequenceAck),
    #[prost(message, tag = "9")]
    Ping(Empty),
    #[prost(message, tag = "10")]
    Invoke(Invoke),
    #[prost(message, tag = "11")]
    CancelInvocation(CancelInvocation),
    #[prost(message, tag = "13")]
    StreamData(StreamData),
    #[prost(message, tag = "14")]
    StreamEnd(StreamEnd),
}

/// A message without fields.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// Opens a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamStart {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(uint32, optional, tag = "2")]
    pub idle_timeout_ms: Option<u32>,
}

/// Publishes to a group, or opens a stream to it.
#[derive(Clone, PartialEq, Message)]
pub struct SendToGroup {
    #[prost(string, tag = "1")]
    pub group: String,
    #[prost(uint64, optional, tag = "2")]
    pub ack_id: Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub data: Option<MessageData>,
    #[prost(bool, optional, tag = "4")]
    pub no_echo: Option<bool>,
    #[prost(uint32, optional, tag = "5")]
    pub ttl_seconds: Option<u32>,
    #[prost(message, optional, tag = "7")]
    pub stream: Option<StreamStart>,
}

/// A user event.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    #[prost(string, tag = "1")]
    pub event: String,
    #[prost(message, optional, tag = "2")]
    pub data: Option<MessageData>,
    #[prost(uint64, optional, tag = "3")]
    pub ack_id: Option<u64>,
}

/// Joining or leaving a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupRequest {
    #[prost(string, tag = "1")]
    pub group: String,
    #[prost(uint64, optional, tag = "2")]
    pub ack_id: Option<u64>,
}

/// The highest sequence number received.
#[derive(Clone, PartialEq, Message)]
pub struct SequenceAck {
    #[prost(uint64, tag = "1")]
    pub sequence_id: u64,
}

/// A user event with an invocation id.
#[derive(Clone, PartialEq, Message)]
pub struct Invoke {
    #[prost(string, tag = "1")]
    pub event: String,
    #[prost(string, tag = "2")]
    pub invocation_id: String,
    #[prost(message, optional, tag = "3")]
    pub data: Option<MessageData>,
}

/// Cancels an invocation.
#[derive(Clone, PartialEq, Message)]
pub struct CancelInvocation {
    #[prost(string, tag = "1")]
    pub invocation_id: String,
}

/// A fragment of a stream, or its keep-alive.
#[derive(Clone, PartialEq, Message)]
pub struct StreamData {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(uint64, optional, tag = "2")]
    pub stream_sequence_id: Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub data: Option<MessageData>,
}

/// The end of a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamEnd {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(message, optional, tag = "2")]
    pub error: Option<StreamEndReason>,
}

/// Why the publisher ended a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamEndReason {
    #[prost(string, optional, tag = "1")]
    pub message: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub user_error_code: Option<String>,
}

/// A payload.
#[derive(Clone, PartialEq, Message)]
pub struct MessageData {
    #[prost(oneof = "Data", tags = "1, 2, 3, 4")]
    pub data: Option<Data>,
}

/// The kinds of payloads.
#[derive(Clone, PartialEq, Oneof)]
pub enum Data {
    #[prost(bytes = "bytes", tag = "1")]
    Text(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Binary(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    Protobuf(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    Json(Bytes),
}

/// Service to client.
#[derive(Clone, PartialEq, Message)]
pub struct ServiceFrame {
    #[prost(oneof = "ServiceFrameKind", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub message: Option<ServiceFrameKind>,
}

/// The kinds of service frames.
#[derive(Clone, PartialEq, Oneof)]
pub enum ServiceFrameKind {
    #[prost(message, tag = "1")]
    Ack(Ack),
    #[prost(message, tag = "2")]
    Data(DataBody),
    #[prost(message, tag = "3")]
    System(System),
    #[prost(message, tag = "4")]
    Pong(Empty),
    #[prost(message, tag = "5")]
    InvokeResponse(InvokeResponse),
    #[prost(message, tag = "6")]
    StreamAck(StreamAck),
    #[prost(message, tag = "7")]
    StreamNack(StreamNack),
    #[prost(message, tag = "8")]
    StreamClosed(StreamClosed),
}

/// An error with its name.
#[derive(Clone, PartialEq, Message)]
pub struct ErrorMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// An acknowledgment; `success` is always encoded.
#[derive(Clone, PartialEq, Message)]
pub struct Ack {
    #[prost(uint64, optional, tag = "1")]
    pub ack_id: Option<u64>,
    #[prost(bool, optional, tag = "2")]
    pub success: Option<bool>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<ErrorMessage>,
}

/// A message; its sequence number is appended for each receiver.
#[derive(Clone, PartialEq, Message)]
pub struct DataBody {
    #[prost(string, tag = "1")]
    pub from: String,
    #[prost(string, optional, tag = "2")]
    pub group: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub data: Option<MessageData>,
    #[prost(uint64, optional, tag = "4")]
    pub sequence_id: Option<u64>,
    #[prost(message, optional, tag = "6")]
    pub stream: Option<StreamInfo>,
}

/// The position of a message in a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamInfo {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(uint64, tag = "2")]
    pub stream_sequence_id: u64,
    #[prost(bool, optional, tag = "3")]
    pub end_of_stream: Option<bool>,
    #[prost(message, optional, tag = "4")]
    pub error: Option<StreamErrorInfo>,
}

/// Why a stream ended.
#[derive(Clone, PartialEq, Message)]
pub struct StreamErrorInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(string, tag = "3")]
    pub user_error_code: String,
}

/// A message about the connection.
#[derive(Clone, PartialEq, Message)]
pub struct System {
    #[prost(oneof = "SystemKind", tags = "1, 2")]
    pub message: Option<SystemKind>,
}

/// The kinds of system frames.
#[derive(Clone, PartialEq, Oneof)]
pub enum SystemKind {
    #[prost(message, tag = "1")]
    Connected(Connected),
    #[prost(message, tag = "2")]
    Disconnected(Disconnected),
}

/// The first message of a connection.
#[derive(Clone, PartialEq, Message)]
pub struct Connected {
    #[prost(string, tag = "1")]
    pub connection_id: String,
    #[prost(string, tag = "2")]
    pub user_id: String,
    #[prost(string, optional, tag = "3")]
    pub reconnection_token: Option<String>,
}

/// The service closes the connection; the reason has the tag 2.
#[derive(Clone, PartialEq, Message)]
pub struct Disconnected {
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// The response to an invocation.
#[derive(Clone, PartialEq, Message)]
pub struct InvokeResponse {
    #[prost(string, tag = "1")]
    pub invocation_id: String,
    #[prost(bool, tag = "2")]
    pub success: bool,
    #[prost(message, optional, tag = "3")]
    pub data: Option<MessageData>,
    #[prost(message, optional, tag = "4")]
    pub error: Option<ErrorMessage>,
}

/// The next expected fragment.
#[derive(Clone, PartialEq, Message)]
pub struct StreamAck {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(uint64, tag = "2")]
    pub expected_sequence_id: u64,
}

/// A fragment with another number than the expected one.
#[derive(Clone, PartialEq, Message)]
pub struct StreamNack {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(uint64, tag = "4")]
    pub expected_sequence_id: u64,
}

/// The end of a stream, for its publisher.
#[derive(Clone, PartialEq, Message)]
pub struct StreamClosed {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(message, optional, tag = "2")]
    pub error: Option<ErrorMessage>,
}
