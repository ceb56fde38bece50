//! The contract between the engine and the event handlers.

use crate::realtime::{context::HubContext, message::Payload};
use bytes::Bytes;
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

/// A call of an event handler.
pub type EventFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The connection that an event is about.
#[derive(Clone, Debug)]
pub struct EventSource {
    pub hub: Arc<HubContext>,
    pub connection_id: Arc<str>,
    pub user_id: Option<Arc<str>>,
    /// The negotiated subprotocol, a known one or one that the `connect` handler selected.
    pub subprotocol: Option<Arc<str>>,
    /// The last `ce-connectionState` of a response.
    pub state: Option<Arc<str>>,
    /// Of SignalR: the client.
    pub client: Option<Arc<ClientFields>>,
}

/// What event handlers of SignalR receive about a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFields {
    /// The claims of the user, one entry for each value.
    pub claims: Vec<(Box<str>, String)>,
    /// The query of the client with its `?`, without secrets.
    pub query: Box<str>,
}

/// A call of a method by a SignalR client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationCall {
    pub target: Box<str>,
    /// Whether the message is JSON; otherwise it is MessagePack.
    pub is_text: bool,
    /// The whole message without its frame.
    pub body: Bytes,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationOutcome {
    /// Success without a result.
    Empty,
    /// The completion, with the frame of the hub protocol.
    Body(Bytes),
    /// A text for the client.
    Failed(String),
}

/// What a client sent with its handshake, for the event `connect`; without secrets.
#[derive(Clone, Debug, Default)]
pub struct ConnectRequest {
    /// The claims of the token, names in the order of the token.
    pub claims: Vec<(Box<str>, Vec<String>)>,
    /// Without `access_token`.
    pub query: Vec<(String, Vec<String>)>,
    /// Names in lower case, without `authorization` and `cookie`.
    pub headers: Vec<(String, Vec<String>)>,
    pub subprotocols: Vec<String>,
    /// SHA-1 thumbprints of the client certificate, in hexadecimal.
    pub client_certificates: Vec<String>,
}

/// The response of a `connect` handler. Groups and roles are added to those of the token; the user id replaces it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectReply {
    pub user_id: Option<String>,
    pub groups: Vec<String>,
    pub roles: Vec<String>,
    pub subprotocol: Option<String>,
    pub state: Option<Arc<str>>,
}

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The handler responded 4xx: its status, its content type and its body are relayed.
    Relayed { status: u16, content_type: Option<String>, body: Bytes },
    /// Anything else; a text for the log of the gateway, without secrets.
    Failed(String),
}

/// The response of a handler to a user event or an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventReply {
    /// The message to the client, if there is one.
    pub payload: Option<Payload>,
    /// The new state of the connection, if the response sets it.
    pub state: Option<Arc<str>>,
}

/// Why a user event failed; a text for the log of the gateway, never for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError(pub String);

/// An event without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    Connected,
    Disconnected { reason: Box<str> },
    Joined { group: Arc<str> },
    Left { group: Arc<str> },
}

/// Receives the events of connections. Futures are polled on the worker of the connection, and dropped if the client leaves.
pub trait EventSink: Send + Sync + Debug {
    /// The event `connect`. `None`: no handler of the hub matches.
    fn connect(
        &self,
        source: &EventSource,
        request: ConnectRequest,
    ) -> Option<EventFuture<Result<ConnectReply, ConnectError>>>;

    /// Whether a handler of the hub matches this user event.
    fn has_handler(&self, hub: &HubContext, event: &str) -> bool;

    /// A user event, or an invocation. Without a matching handler the result is an error.
    fn user_event(
        &self,
        source: &EventSource,
        event: &str,
        payload: Payload,
    ) -> EventFuture<Result<EventReply, EventError>>;

    /// A call of a method. `None`: no handler of the hub matches.
    fn invocation(
        &self,
        _source: &EventSource,
        _call: InvocationCall,
    ) -> Option<EventFuture<InvocationOutcome>> {
        None
    }

    /// An event without a response: queued, in order per connection.
    fn notify(&self, source: &EventSource, notification: Notification);
}
