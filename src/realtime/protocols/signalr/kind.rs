//! How a SignalR client is connected.

/// The transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    WebSockets,
    ServerSentEvents,
    LongPolling,
}

impl Transport {
    /// All transports, in the order of negotiations.
    pub const ALL: [Transport; 3] =
        [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling];

    /// The name in negotiations and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Transport::WebSockets => "WebSockets",
            Transport::ServerSentEvents => "ServerSentEvents",
            Transport::LongPolling => "LongPolling",
        }
    }
}

/// The encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HubProtocol {
    Json,
    MessagePack,
}

/// Transport and encoding of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalRKind {
    pub transport: Transport,
    pub protocol: HubProtocol,
    /// With stateful reconnect: messages have numbers, and the session survives its socket.
    pub is_stateful: bool,
}

/// What surrounds a message on its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A WebSocket message.
    WebSocket,
    /// An event of a stream.
    EventStream,
    /// Nothing: messages are concatenated.
    Concatenated,
}

impl SignalRKind {
    /// What surrounds each message.
    pub fn framing(self) -> Framing {
        match self.transport {
            Transport::WebSockets => Framing::WebSocket,
            Transport::ServerSentEvents => Framing::EventStream,
            Transport::LongPolling => Framing::Concatenated,
        }
    }

    /// The label in metrics and on administration pages.
    pub fn label(self) -> &'static str {
        match (self.transport, self.protocol) {
            (Transport::WebSockets, HubProtocol::Json) => "WebSockets/json",
            (Transport::WebSockets, HubProtocol::MessagePack) => "WebSockets/messagepack",
            (Transport::ServerSentEvents, HubProtocol::Json) => "ServerSentEvents/json",
            (Transport::ServerSentEvents, HubProtocol::MessagePack) => "ServerSentEvents/messagepack",
            (Transport::LongPolling, HubProtocol::Json) => "LongPolling/json",
            (Transport::LongPolling, HubProtocol::MessagePack) => "LongPolling/messagepack",
        }
    }
}
