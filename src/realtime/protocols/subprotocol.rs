//! The subprotocols and their names.

use super::signalr::{Framing, HubProtocol, SignalRKind};
use crate::realtime::message::Encoding;

/// The subprotocol of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subprotocol {
    /// None, or an unknown one: only payloads are exchanged.
    #[default]
    Simple,
    Json,
    JsonReliable,
    Protobuf,
    ProtobufReliable,
    /// The hub protocol of SignalR; not a subprotocol of the WebSocket.
    SignalR(SignalRKind),
}

impl Subprotocol {
    /// Those with a name.
    pub const NAMED: [Subprotocol; 4] =
        [Subprotocol::Json, Subprotocol::JsonReliable, Subprotocol::Protobuf, Subprotocol::ProtobufReliable];

    /// The value of `Sec-WebSocket-Protocol`; `None` for simple clients.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Subprotocol::Simple => None,
            Subprotocol::SignalR(kind) => Some(kind.label()),
            Subprotocol::Json => Some("json.webpubsub.azure.v1"),
            Subprotocol::JsonReliable => Some("json.reliable.webpubsub.azure.v1"),
            Subprotocol::Protobuf => Some("protobuf.webpubsub.azure.v1"),
            Subprotocol::ProtobufReliable => Some("protobuf.reliable.webpubsub.azure.v1"),
        }
    }

    /// The subprotocol of this name.
    pub fn from_name(name: &str) -> Option<Subprotocol> {
        Subprotocol::NAMED.into_iter().find(|known| known.name() == Some(name))
    }

    /// Whether sessions survive their sockets, and messages have numbers.
    pub fn is_reliable(self) -> bool {
        match self {
            Subprotocol::JsonReliable | Subprotocol::ProtobufReliable => true,
            Subprotocol::SignalR(kind) => kind.is_stateful,
            Subprotocol::Simple | Subprotocol::Json | Subprotocol::Protobuf => false,
        }
    }

    /// What surrounds each message on the transport.
    pub fn framing(self) -> Framing {
        match self {
            Subprotocol::SignalR(kind) => kind.framing(),
            _ => Framing::WebSocket,
        }
    }

    /// The bytes that its receivers need.
    pub fn encoding(self) -> Encoding {
        match self {
            Subprotocol::Simple => Encoding::Simple,
            Subprotocol::Json | Subprotocol::JsonReliable => Encoding::Json,
            Subprotocol::Protobuf | Subprotocol::ProtobufReliable => Encoding::Protobuf,
            Subprotocol::SignalR(SignalRKind { protocol: HubProtocol::Json, .. }) => Encoding::SignalRJson,
            Subprotocol::SignalR(SignalRKind { protocol: HubProtocol::MessagePack, .. }) => {
                Encoding::SignalRMessagePack
            }
        }
    }
}
