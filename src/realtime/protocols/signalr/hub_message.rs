//! What SignalR clients send, independent of its encoding.

use bytes::Bytes;

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubMessage {
    Invocation(Invocation),
    StreamInvocation {
        invocation_id: Box<str>,
    },
    /// An item of a stream, or the end of one.
    StreamItem,
    Completion {
        invocation_id: Box<str>,
    },
    CancelInvocation,
    Ping,
    Close,
    Ack {
        sequence_id: u64,
    },
    Sequence {
        sequence_id: u64,
    },
    /// Of a later version of the protocol: ignored.
    Unknown,
}

/// A call of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// `None`: the client expects no response.
    pub invocation_id: Option<Box<str>>,
    pub target: Box<str>,
    /// Whether the client streams arguments.
    pub has_streams: bool,
    /// The whole message as it was received, without its frame.
    pub body: Bytes,
}

impl HubMessage {
    /// Whether the message has a number in a connection with stateful reconnect.
    pub fn is_numbered(&self) -> bool {
        matches!(
            self,
            HubMessage::Invocation(_)
                | HubMessage::StreamInvocation { .. }
                | HubMessage::StreamItem
                | HubMessage::Completion { .. }
                | HubMessage::CancelInvocation
        )
    }
}
