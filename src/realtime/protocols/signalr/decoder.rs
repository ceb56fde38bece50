//! Bytes of a client to messages; transports cut them anywhere.

use super::{
    HubProtocol, RECORD_SEPARATOR,
    hub_message::HubMessage,
    json::{self, handshake},
    message_pack,
};
use bytes::{Buf, BytesMut};

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The first message, which selects the protocol of those behind it.
    Handshake(HubProtocol),
    Message(HubMessage),
}

/// Why a connection ends; the texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    Handshake(String),
    Message(String),
}

/// Collects bytes until a message is complete. Holds no memory between messages.
#[derive(Debug, Default)]
pub struct Decoder {
    /// `None` before the handshake.
    protocol: Option<HubProtocol>,
    buffer: BytesMut,
    /// How much of the buffer contains no end of a message.
    scanned: usize,
}

impl Decoder {
    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets an incomplete message: the client sends it again on a new socket.
    pub fn reset(&mut self) {
        (self.buffer, self.scanned) = (BytesMut::new(), 0);
    }

    /// A decoder whose handshake was received before.
    pub fn with_protocol(protocol: HubProtocol) -> Decoder {
        Decoder { protocol: Some(protocol), ..Decoder::default() }
    }

    /// Bytes held of an incomplete message.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next message, of at most `max_bytes`; `None`: it is incomplete.
    pub fn next(&mut self, max_bytes: usize) -> Result<Option<Decoded>, DecodeError> {
        let Some(protocol) = self.protocol else {
            let text = self.next_record(max_bytes).map_err(DecodeError::Handshake)?;
            let Some(text) = text else { return Ok(None) };
            let protocol = handshake(&text).map_err(DecodeError::Handshake)?;
            self.protocol = Some(protocol);
            return Ok(Some(Decoded::Handshake(protocol)));
        };
        let body = match protocol {
            HubProtocol::Json => self.next_record(max_bytes),
            HubProtocol::MessagePack => self.next_prefixed(max_bytes),
        };
        let Some(body) = body.map_err(DecodeError::Message)? else { return Ok(None) };
        let body = body.freeze();
        let message = match protocol {
            HubProtocol::Json => json::decode(&body),
            HubProtocol::MessagePack => message_pack::decode(&body),
        };
        message.map(|message| Some(Decoded::Message(message))).map_err(DecodeError::Message)
    }

    /// The bytes up to the next record separator.
    fn next_record(&mut self, max_bytes: usize) -> Result<Option<BytesMut>, String> {
        let end = self.buffer[self.scanned..].iter().position(|byte| *byte == RECORD_SEPARATOR);
        let len = end.map_or(self.buffer.len(), |end| self.scanned + end);
        if len > max_bytes {
            return Err(too_large(max_bytes));
        }
        if end.is_none() {
            self.scanned = self.buffer.len();
            return Ok(None);
        }
        self.scanned = 0;
        let record = self.buffer.split_to(len);
        self.buffer.advance(1);
        self.release();
        Ok(Some(record))
    }

    /// The bytes that the next length announces.
    fn next_prefixed(&mut self, max_bytes: usize) -> Result<Option<BytesMut>, String> {
        let Some((len, prefix_len)) = message_pack::prefix(&self.buffer)? else { return Ok(None) };
        if len > max_bytes {
            return Err(too_large(max_bytes));
        }
        if self.buffer.len() < prefix_len + len {
            return Ok(None);
        }
        self.buffer.advance(prefix_len);
        let message = self.buffer.split_to(len);
        self.release();
        Ok(Some(message))
    }

    fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

fn too_large(max_bytes: usize) -> String {
    format!("the message is larger than {max_bytes} bytes")
}
