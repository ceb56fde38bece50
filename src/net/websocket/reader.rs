//! Bytes from a client to messages. Payloads are collected as they arrive: nothing is allocated for an announced length.

use super::{FrameError, MAX_CONTROL_BYTES, Opcode, Received, close_code};

/// Longest header of a masked frame.
const MAX_MASKED_HEADER_BYTES: usize = 14;

/// Reads messages; holds no memory between messages.
#[derive(Debug, Default)]
pub struct MessageReader {
    /// The received part of the header of the next frame.
    header: [u8; MAX_MASKED_HEADER_BYTES],
    header_len: u8,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// The kind of the message that has begun.
    message: Option<Opcode>,
    body: Vec<u8>,
    /// How many bytes of a text are known to be valid UTF-8.
    validated: usize,
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    remaining: usize,
    mask: u32,
}

/// Violations.
const UNMASKED: FrameError = protocol_error("unmasked frame");
const INVALID_TEXT: FrameError = FrameError { code: close_code::INVALID_PAYLOAD, reason: "invalid UTF-8" };
const TOO_LARGE: FrameError = FrameError { code: close_code::TOO_LARGE, reason: "message too large" };

const fn protocol_error(reason: &'static str) -> FrameError {
    FrameError { code: close_code::PROTOCOL_ERROR, reason }
}

impl MessageReader {
    /// Reads from `bytes`: the number of bytes consumed, and what is complete with them. A message has at most
    /// `max_message_bytes`.
    pub fn read(
        &mut self,
        bytes: &[u8],
        max_message_bytes: usize,
    ) -> Result<(usize, Option<Received>), FrameError> {
        let mut consumed = 0;
        loop {
            let rest = &bytes[consumed..];
            let Some(mut frame) = self.frame else {
                let (n, is_complete) = self.read_header(rest);
                consumed += n;
                if !is_complete {
                    return Ok((consumed, None));
                }
                self.begin_frame(max_message_bytes)?;
                continue;
            };
            let n = frame.remaining.min(rest.len());
            self.append(&mut frame, &rest[..n])?;
            consumed += n;
            self.frame = Some(frame);
            if frame.remaining > 0 {
                return Ok((consumed, None));
            }
            self.frame = None;
            if let Some(received) = self.end_frame(frame)? {
                return Ok((consumed, Some(received)));
            }
        }
    }

    /// Bytes held of an incomplete message.
    pub fn held_bytes(&self) -> usize {
        self.body.len()
    }

    /// Collects the header: the number of bytes consumed, and whether it is complete.
    fn read_header(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut consumed = 0;
        loop {
            let have = usize::from(self.header_len);
            let wanted = if have < 2 { 2 } else { masked_header_len(self.header[1]) };
            if have == wanted {
                return (consumed, true);
            }
            let n = (wanted - have).min(bytes.len() - consumed);
            if n == 0 {
                return (consumed, false);
            }
            self.header[have..have + n].copy_from_slice(&bytes[consumed..consumed + n]);
            self.header_len += n as u8;
            consumed += n;
            // An invalid start is reported before the rest of the header arrives.
            if self.header_len == 2 && self.header[1] & 0x80 == 0 {
                return (consumed, true);
            }
        }
    }

    /// Checks a complete header.
    fn begin_frame(&mut self, max_message_bytes: usize) -> Result<(), FrameError> {
        let [first, second, ..] = self.header;
        if first & 0x70 != 0 {
            return Err(protocol_error("reserved bit set"));
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(protocol_error("reserved opcode"))?;
        if second & 0x80 == 0 {
            return Err(UNMASKED);
        }
        let is_final = first & 0x80 != 0;
        let (len, mask) = self.length_and_mask()?;
        self.header_len = 0;
        if opcode.is_control() {
            if !is_final || len > MAX_CONTROL_BYTES as u64 {
                return Err(protocol_error("fragmented or long control frame"));
            }
        } else {
            self.begin_data_frame(opcode)?;
            if len > max_message_bytes.saturating_sub(self.body.len()) as u64 {
                return Err(TOO_LARGE);
            }
        }
        self.frame = Some(Frame { opcode, is_final, remaining: len as usize, mask });
        Ok(())
    }

    fn length_and_mask(&self) -> Result<(u64, u32), FrameError> {
        let header = &self.header;
        let (len, at) = match header[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes([header[2], header[3]])), 4),
            127 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&header[2..10]);
                (u64::from_be_bytes(bytes), 10)
            }
            short => (u64::from(short), 2),
        };
        let is_minimal = match at {
            2 => true,
            4 => len >= 126,
            _ => (65_536..1 << 63).contains(&len),
        };
        if !is_minimal {
            return Err(protocol_error("invalid length"));
        }
        let mask = u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Ok((len, mask))
    }

    fn begin_data_frame(&mut self, opcode: Opcode) -> Result<(), FrameError> {
        match (opcode, self.message) {
            (Opcode::Continuation, None) => Err(protocol_error("continuation without a message")),
            (Opcode::Continuation, Some(_)) => Ok(()),
            (_, Some(_)) => Err(protocol_error("message inside of a message")),
            (_, None) => {
                self.message = Some(opcode);
                self.validated = 0;
                Ok(())
            }
        }
    }

    /// Appends a part of the payload without its mask.
    fn append(&mut self, frame: &mut Frame, bytes: &[u8]) -> Result<(), FrameError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let is_control = frame.opcode.is_control();
        let to = if is_control { &mut self.control } else { &mut self.body };
        let start = to.len();
        to.extend_from_slice(bytes);
        unmask(&mut to[start..], frame.mask);
        frame.mask = rotate(frame.mask, bytes.len());
        frame.remaining -= bytes.len();
        match self.message {
            Some(Opcode::Text) if !is_control => self.validate(),
            _ => Ok(()),
        }
    }

    /// Validates the text so far; an incomplete character at its end is left for later.
    fn validate(&mut self) -> Result<(), FrameError> {
        match std::str::from_utf8(&self.body[self.validated..]) {
            Ok(_) => self.validated = self.body.len(),
            Err(error) if error.error_len().is_none() => self.validated += error.valid_up_to(),
            Err(_) => return Err(INVALID_TEXT),
        }
        Ok(())
    }

    /// What a complete frame results in.
    fn end_frame(&mut self, frame: Frame) -> Result<Option<Received>, FrameError> {
        Ok(match frame.opcode {
            Opcode::Ping => Some(Received::Ping(std::mem::take(&mut self.control).into())),
            Opcode::Pong => {
                self.control = Vec::new();
                Some(Received::Pong)
            }
            Opcode::Close => {
                Some(Received::Close { code: close_status(&std::mem::take(&mut self.control))? })
            }
            _ if !frame.is_final => None,
            _ => {
                let is_text = self.message.take() == Some(Opcode::Text);
                if is_text && self.validated < self.body.len() {
                    return Err(INVALID_TEXT);
                }
                Some(Received::Message { is_text, body: std::mem::take(&mut self.body).into() })
            }
        })
    }
}

/// The length of the header with a mask, by its second byte; without one the frame is rejected.
fn masked_header_len(second: u8) -> usize {
    match second & 0x7f {
        _ if second & 0x80 == 0 => 2,
        126 => 8,
        127 => 14,
        _ => 6,
    }
}

/// The status code of a close frame.
fn close_status(payload: &[u8]) -> Result<u16, FrameError> {
    let [high, low, reason @ ..] = payload else {
        return match payload {
            [] => Ok(close_code::NO_STATUS),
            _ => Err(protocol_error("close frame of one byte")),
        };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(protocol_error("invalid close code"));
    }
    std::str::from_utf8(reason).map_err(|_| INVALID_TEXT)?;
    Ok(code)
}

fn unmask(bytes: &mut [u8], mask: u32) {
    let wide = (u64::from(mask) << 32) | u64::from(mask);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// The mask for what follows `n` bytes.
fn rotate(mask: u32, n: usize) -> u32 {
    let mut bytes = mask.to_ne_bytes();
    bytes.rotate_left(n % 4);
    u32::from_ne_bytes(bytes)
}
