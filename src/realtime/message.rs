//! What clients of a hub send and receive, independent of the subprotocol.

use bytes::Bytes;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// The data of a message, as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// UTF-8 text.
    Text(Bytes),
    /// Valid JSON, byte for byte as published.
    Json(Bytes),
    Binary(Bytes),
    /// A serialized `google.protobuf.Any`.
    Protobuf(Bytes),
}

impl Payload {
    /// The bytes as published.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Payload::Text(bytes)
            | Payload::Json(bytes)
            | Payload::Binary(bytes)
            | Payload::Protobuf(bytes) => bytes,
        }
    }
}

/// A message from a client. Names are not validated yet, apart from being present and not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    JoinGroup {
        group: Box<str>,
        ack_id: Option<u64>,
    },
    LeaveGroup {
        group: Box<str>,
        ack_id: Option<u64>,
    },
    SendToGroup {
        group: Box<str>,
        ack_id: Option<u64>,
        no_echo: bool,
        payload: Payload,
        ttl_seconds: Option<u32>,
    },
    /// Opens a stream to a group.
    OpenStream {
        group: Box<str>,
        ack_id: Option<u64>,
        no_echo: bool,
        stream_id: Box<str>,
        idle_timeout_ms: Option<u32>,
    },
    /// A fragment; without a payload a keep-alive.
    StreamData {
        stream_id: Box<str>,
        sequence_id: Option<u64>,
        payload: Option<Payload>,
    },
    StreamEnd {
        stream_id: Box<str>,
        error: Option<UserError>,
    },
    Event {
        event: Box<str>,
        ack_id: Option<u64>,
        payload: Payload,
    },
    Invoke {
        invocation_id: Box<str>,
        event: Box<str>,
        payload: Payload,
    },
    CancelInvocation {
        invocation_id: Box<str>,
    },
    SequenceAck {
        sequence_id: u64,
    },
    Ping,
}

/// The error with which a client ends its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserError {
    pub message: Option<Box<str>>,
    pub user_error_code: Option<Box<str>>,
}

/// An error of an acknowledgment, a response or a stream: its name and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedError {
    pub name: &'static str,
    pub message: Box<str>,
}

impl NamedError {
    /// An error of this name.
    pub fn new(name: &'static str, message: impl Into<Box<str>>) -> NamedError {
        NamedError { name, message: message.into() }
    }
}

/// A message to one client that is not published data: it has no sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    Connected {
        connection_id: Arc<str>,
        user_id: Option<Arc<str>>,
        reconnection_token: Option<Box<str>>,
    },
    Disconnected {
        message: Box<str>,
        /// Whether a SignalR client may connect again.
        allows_reconnect: bool,
    },
    Ack {
        ack_id: u64,
        error: Option<NamedError>,
    },
    Pong,
    /// The payload of a successful invocation may be absent.
    InvokeResponse {
        invocation_id: Box<str>,
        result: Result<Option<Payload>, NamedError>,
    },
    StreamAck {
        stream_id: Box<str>,
        expected_sequence_id: u64,
    },
    StreamNack {
        stream_id: Box<str>,
        expected_sequence_id: u64,
        error: NamedError,
    },
    StreamClosed {
        stream_id: Box<str>,
        error: Option<NamedError>,
    },
}

/// The sender of published data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The data plane, or an event handler.
    Server,
    /// A group, with the user of the sending client, if it has one.
    Group { group: Arc<str>, from_user: Option<Arc<str>> },
}

/// The place of a message in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPart {
    pub stream_id: Arc<str>,
    pub sequence_id: u64,
    pub end: Option<StreamEnd>,
}

/// The end of a stream; the error is absent at a normal end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    pub error: Option<StreamEndError>,
}

/// Why a stream ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEndError {
    pub name: Box<str>,
    pub message: Box<str>,
    pub user_error_code: Option<Box<str>>,
}

/// Published data: stored once, however many connections queue it, and encoded once per kind of receiver.
#[derive(Debug)]
pub struct Publication {
    pub origin: Origin,
    pub payload: Payload,
    pub stream: Option<StreamPart>,
    /// Not written to a client after this time.
    pub expires_at: Option<SystemTime>,
    /// With several nodes: the publishing node and its number there.
    pub id: Option<(u64, u64)>,
    encoded: [OnceLock<EncodedMessage>; 5],
    charge: OnceLock<MemoryCharge>,
}

/// Bytes counted as queued until they are dropped.
#[derive(Debug)]
struct MemoryCharge {
    counter: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Relaxed);
    }
}

/// The kinds of receivers that need different bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Simple,
    Json,
    Protobuf,
    SignalRJson,
    SignalRMessagePack,
}

/// The body of a WebSocket message, before the number of a reliable receiver is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedMessage {
    pub is_text: bool,
    pub body: Bytes,
}

impl Publication {
    /// A publication without a stream or an expiry.
    pub fn new(origin: Origin, payload: Payload) -> Publication {
        Publication {
            origin,
            payload,
            stream: None,
            expires_at: None,
            id: None,
            encoded: Default::default(),
            charge: OnceLock::new(),
        }
    }

    /// A copy with this id of a node and a number.
    #[must_use]
    pub fn with_id(&self, id: (u64, u64)) -> Publication {
        let Publication { origin, payload, stream, expires_at, .. } = self;
        Publication {
            stream: stream.clone(),
            expires_at: *expires_at,
            id: Some(id),
            ..Publication::new(origin.clone(), payload.clone())
        }
    }

    /// The same publication with another expiry.
    #[must_use]
    pub fn with_expiry(self, expires_at: Option<SystemTime>) -> Publication {
        Publication { expires_at, ..self }
    }

    /// The same publication as a part of a stream.
    #[must_use]
    pub fn with_stream(self, stream: StreamPart) -> Publication {
        Publication { stream: Some(stream), ..self }
    }

    /// The bytes for this kind of receiver; encoded at the first call.
    pub fn encoded(
        &self,
        encoding: Encoding,
        encode: impl FnOnce(Encoding, &Publication) -> EncodedMessage,
    ) -> &EncodedMessage {
        self.encoded[encoding as usize].get_or_init(|| encode(encoding, self))
    }

    /// Counts the bytes as queued, once, as long as the publication exists.
    pub fn charge(&self, counter: &Arc<AtomicUsize>) {
        self.charge.get_or_init(|| {
            let bytes = self.held_bytes();
            counter.fetch_add(bytes, Relaxed);
            MemoryCharge { counter: counter.clone(), bytes }
        });
    }

    /// The bytes that the publication holds, for accounting.
    pub fn held_bytes(&self) -> usize {
        self.payload.bytes().len()
    }
}
