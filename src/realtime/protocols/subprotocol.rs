//! The subprotocols and their names.

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
}

impl Subprotocol {
    /// Those with a name.
    pub const NAMED: [Subprotocol; 4] =
        [Subprotocol::Json, Subprotocol::JsonReliable, Subprotocol::Protobuf, Subprotocol::ProtobufReliable];

    /// The value of `Sec-WebSocket-Protocol`; `None` for simple clients.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Subprotocol::Simple => None,
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
        matches!(self, Subprotocol::JsonReliable | Subprotocol::ProtobufReliable)
    }

    /// The bytes that its receivers need.
    pub fn encoding(self) -> Encoding {
        match self {
            Subprotocol::Simple => Encoding::Simple,
            Subprotocol::Json | Subprotocol::JsonReliable => Encoding::Json,
            Subprotocol::Protobuf | Subprotocol::ProtobufReliable => Encoding::Protobuf,
        }
    }
}
