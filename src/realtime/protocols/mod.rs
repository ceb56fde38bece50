//! The subprotocols of Web PubSub: the bodies of WebSocket messages to messages, and back. Pure functions.
//!
//! Entry points: [`decode`] for what clients send, [`encode_control`] and [`encode_publication`] for what they receive;
//! [`envelope()`] adds a sequence number to a shared body. Nothing here holds state.

mod checks;
mod codec;
mod envelope;
mod json_decode;
mod json_encode;
mod protobuf_decode;
mod protobuf_encode;
mod protobuf_messages;
pub mod signalr;
mod subprotocol;
#[cfg(test)]
mod tests;

pub use codec::{decode, encode_control, encode_publication, framed};
pub use envelope::{Envelope, envelope};
pub use subprotocol::Subprotocol;
