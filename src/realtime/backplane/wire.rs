//! What nodes send to each other, as protobuf: unknown fields are ignored, so that nodes of neighboring versions work
//! together.

use prost::{Message, Oneof};

/// A message of a node.
#[derive(Clone, PartialEq, Message)]
pub struct Envelope {
    /// The name of the sender, and a number that is random at each of its starts.
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(uint64, tag = "2")]
    pub instance: u64,
    /// Unix time in microseconds.
    #[prost(uint64, tag = "3")]
    pub sent_at_us: u64,
    /// 0: no response is expected.
    #[prost(uint64, tag = "4")]
    pub request_id: u64,
    #[prost(string, tag = "5")]
    pub service: String,
    #[prost(string, tag = "6")]
    pub hub: String,
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14")]
    pub body: Option<Body>,
}

/// What the message is.
#[derive(Clone, PartialEq, Oneof)]
pub enum Body {
    #[prost(message, tag = "10")]
    Operation(WireOperation),
    #[prost(message, tag = "11")]
    Reply(WireOutcome),
    /// A new node: the others wait for its responses from now on.
    #[prost(message, tag = "12")]
    Hello(Empty),
    /// Requests the session of a connection from its node.
    #[prost(message, tag = "13")]
    Take(Take),
    /// The node leaves: the others do not wait for it any more.
    #[prost(message, tag = "14")]
    Goodbye(Empty),
}

/// Nothing.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Empty {}

/// The request for a session.
#[derive(Clone, PartialEq, Message)]
pub struct Take {
    #[prost(string, tag = "1")]
    pub connection_id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    #[prost(string, tag = "3")]
    pub subprotocol: String,
}

/// An operation.
#[derive(Clone, PartialEq, Message)]
pub struct WireOperation {
    #[prost(oneof = "OperationKind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub kind: Option<OperationKind>,
}

/// The kinds of operations.
#[derive(Clone, PartialEq, Oneof)]
pub enum OperationKind {
    #[prost(message, tag = "1")]
    Send(Send),
    #[prost(message, tag = "2")]
    Close(Close),
    #[prost(message, tag = "3")]
    Count(WireSelection),
    #[prost(message, tag = "4")]
    Join(GroupChange),
    #[prost(message, tag = "5")]
    Leave(GroupChange),
    #[prost(message, tag = "6")]
    Permission(Permission),
    #[prost(message, tag = "7")]
    Members(Members),
}

/// Recipients, without the excluded ones and those that the filter does not match.
#[derive(Clone, PartialEq, Message)]
pub struct WireSelection {
    /// 0 all, 1 a group, 2 a user, 3 a connection.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "3")]
    pub excluded: Vec<String>,
    #[prost(string, optional, tag = "4")]
    pub filter: Option<String>,
}

/// Publishes a message.
#[derive(Clone, PartialEq, Message)]
pub struct Send {
    #[prost(message, optional, tag = "1")]
    pub to: Option<WireSelection>,
    #[prost(message, optional, tag = "2")]
    pub publication: Option<WirePublication>,
}

/// Closes connections.
#[derive(Clone, PartialEq, Message)]
pub struct Close {
    #[prost(message, optional, tag = "1")]
    pub whom: Option<WireSelection>,
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// Adds connections to groups, or removes them.
#[derive(Clone, PartialEq, Message)]
pub struct GroupChange {
    #[prost(message, optional, tag = "1")]
    pub whom: Option<WireSelection>,
    #[prost(string, repeated, tag = "2")]
    pub groups: Vec<String>,
    /// All groups.
    #[prost(bool, tag = "3")]
    pub all: bool,
}

/// Grants, revokes or checks a permission of one connection.
#[derive(Clone, PartialEq, Message)]
pub struct Permission {
    #[prost(string, tag = "1")]
    pub connection_id: String,
    /// 0 sendToGroup, 1 joinLeaveGroup.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(string, optional, tag = "3")]
    pub group: Option<String>,
    /// 0 grant, 1 revoke, 2 check.
    #[prost(uint32, tag = "4")]
    pub action: u32,
}

/// Requests members of a group.
#[derive(Clone, PartialEq, Message)]
pub struct Members {
    #[prost(string, tag = "1")]
    pub group: String,
    #[prost(string, optional, tag = "2")]
    pub after: Option<String>,
    #[prost(uint32, tag = "3")]
    pub max_members: u32,
}

/// Published data.
#[derive(Clone, PartialEq, Message)]
pub struct WirePublication {
    /// Absent: from the server.
    #[prost(string, optional, tag = "1")]
    pub group: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub from_user: Option<String>,
    /// 0 text, 1 JSON, 2 binary, 3 protobuf.
    #[prost(uint32, tag = "3")]
    pub payload_kind: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub payload: bytes::Bytes,
    #[prost(message, optional, tag = "5")]
    pub stream: Option<WireStreamPart>,
    /// Unix time in milliseconds; absent: never.
    #[prost(uint64, optional, tag = "6")]
    pub expires_at_ms: Option<u64>,
    /// The instance of the publishing node, and a number that it counts.
    #[prost(uint64, tag = "7")]
    pub origin: u64,
    #[prost(uint64, tag = "8")]
    pub number: u64,
}

/// The place of a message in a stream.
#[derive(Clone, PartialEq, Message)]
pub struct WireStreamPart {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(uint64, tag = "2")]
    pub sequence_id: u64,
    #[prost(bool, tag = "3")]
    pub is_end: bool,
    #[prost(message, optional, tag = "4")]
    pub error: Option<WireStreamError>,
}

/// Why a stream ended early.
#[derive(Clone, PartialEq, Message)]
pub struct WireStreamError {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(string, optional, tag = "3")]
    pub user_error_code: Option<String>,
}

/// The outcome of an operation or of a request for a session.
#[derive(Clone, PartialEq, Message)]
pub struct WireOutcome {
    #[prost(uint64, tag = "1")]
    pub matched: u64,
    #[prost(uint64, tag = "2")]
    pub refused: u64,
    #[prost(message, repeated, tag = "3")]
    pub members: Vec<WireMember>,
    #[prost(message, optional, tag = "4")]
    pub session: Option<WireSession>,
}

/// A member of a group.
#[derive(Clone, PartialEq, Message)]
pub struct WireMember {
    #[prost(string, tag = "1")]
    pub connection_id: String,
    #[prost(string, optional, tag = "2")]
    pub user_id: Option<String>,
}

/// A session on its way to another node.
#[derive(Clone, PartialEq, Message)]
pub struct WireSession {
    #[prost(string, tag = "1")]
    pub connection_id: String,
    #[prost(string, optional, tag = "2")]
    pub user_id: Option<String>,
    #[prost(string, tag = "3")]
    pub subprotocol: String,
    #[prost(string, repeated, tag = "4")]
    pub groups: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub roles: Vec<String>,
    /// First and last id of each range.
    #[prost(uint64, repeated, tag = "6")]
    pub ack_ranges: Vec<u64>,
    #[prost(message, repeated, tag = "7")]
    pub streams: Vec<WireStream>,
    #[prost(string, optional, tag = "8")]
    pub state: Option<String>,
    #[prost(uint64, tag = "9")]
    pub last_sequence: u64,
    #[prost(message, repeated, tag = "10")]
    pub messages: Vec<WireMessage>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    pub recovery_keys: Vec<Vec<u8>>,
}

/// An open stream of a session.
#[derive(Clone, PartialEq, Message)]
pub struct WireStream {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub group: String,
    #[prost(bool, tag = "3")]
    pub no_echo: bool,
    #[prost(uint64, tag = "4")]
    pub expected: u64,
    #[prost(uint64, tag = "5")]
    pub idle_timeout_ms: u64,
}

/// A message that a session has not acknowledged.
#[derive(Clone, PartialEq, Message)]
pub struct WireMessage {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub publication: Option<WirePublication>,
}
