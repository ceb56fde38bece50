//! What a client has sent, until it is processed.

use crate::realtime::protocols::signalr::{Decoder, HubProtocol};

/// What is received.
#[derive(Debug, Default)]
pub struct Input {
    pub decoder: Decoder,
    /// The number of the next message.
    pub next: u64,
    /// After a lost socket: everything before the number of the next message is ignored.
    pub awaits_sequence: bool,
    /// An acknowledgment will be sent.
    pub is_ack_scheduled: bool,
}

impl Input {
    /// The input of a connection whose handshake was received by another node.
    pub fn resumed(protocol: HubProtocol) -> Input {
        Input { decoder: Decoder::with_protocol(protocol), awaits_sequence: true, ..Input::default() }
    }
}
