//! The hub protocol of SignalR: JSON and MessagePack. Pure functions, and a decoder that collects incomplete messages.
//!
//! Entry points: [`Decoder`] for what clients send, [`encode`] for what they receive; publications are encoded in
//! `publication.rs`.

mod decoder;
pub mod encode;
mod hub_message;
mod json;
mod kind;
mod message_pack;
mod publication;
#[cfg(test)]
mod tests;

pub use decoder::{DecodeError, Decoded, Decoder};
pub use hub_message::{HubMessage, Invocation};
pub use json::{handshake, is_completion as is_json_completion};
pub use kind::{Framing, HubProtocol, SignalRKind, Transport};
pub use message_pack::is_completion as is_message_pack_completion;
pub use publication::encode_publication;

/// Ends each message of the JSON protocol, and each handshake.
pub const RECORD_SEPARATOR: u8 = 0x1e;
/// Longest name of a method.
const MAX_TARGET_BYTES: usize = 1024;
/// Longest id of an invocation.
const MAX_INVOCATION_ID_BYTES: usize = 256;
