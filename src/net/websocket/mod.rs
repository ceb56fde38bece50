//! WebSocket frames in the server role (RFC 6455, strict, without extensions): bytes to messages, and headers of frames, without
//! sockets: the caller reads and writes. [`WebSocketStream`] is a connection as a byte stream, of either role.

mod reader;
mod stream;
#[cfg(test)]
mod tests;

pub use reader::MessageReader;
pub use stream::{WebSocketRole, WebSocketStream};

use bytes::Bytes;
use smallvec::SmallVec;

/// Status codes of close frames (RFC 6455 7.4.1).
pub mod close_code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The endpoint leaves.
    pub const GOING_AWAY: u16 = 1001;
    /// A frame violates the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// Reserved: a close frame without a status code.
    pub const NO_STATUS: u16 = 1005;
    /// A text is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// A message violates the rules of the endpoint.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// A message is too large.
    pub const TOO_LARGE: u16 = 1009;
    /// The endpoint cannot continue.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// The service restarts (IANA registry).
    pub const SERVICE_RESTART: u16 = 1012;
}

/// Longest payload of a control frame.
const MAX_CONTROL_BYTES: usize = 125;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A complete message; a text is valid UTF-8.
    Message {
        is_text: bool,
        body: Bytes,
    },
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    Pong,
    /// The code is [`close_code::NO_STATUS`] if the frame has none.
    Close {
        code: u16,
    },
}

/// A violation of the protocol; the connection is closed with this status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    pub code: u16,
    pub reason: &'static str,
}

/// Longest header of an unmasked frame.
pub const MAX_HEADER_BYTES: usize = 10;

/// The header of a complete, unmasked message.
pub fn header(opcode: Opcode, len: usize) -> SmallVec<[u8; MAX_HEADER_BYTES]> {
    let mut header = SmallVec::new();
    header.push(0x80 | opcode as u8);
    match len {
        0..126 => header.push(len as u8),
        126..65_536 => {
            header.push(126);
            header.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    header
}

/// A complete frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header = header(opcode, payload.len());
    [&header[..], payload].concat()
}

/// A close frame; a longer reason is cut at a character.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    if code == close_code::NO_STATUS {
        return frame(Opcode::Close, b"");
    }
    let mut len = reason.len().min(MAX_CONTROL_BYTES - 2);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    frame(Opcode::Close, &[&code.to_be_bytes(), &reason.as_bytes()[..len]].concat())
}
