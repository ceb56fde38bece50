//! A WebSocket connection (RFC 6455) as a byte stream: the payloads of data frames, whose boundaries have no meaning. PING is
//! answered here; the close frame of the peer is the end of the stream.

use super::{Opcode, close_code};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Longest frame that is sent: some clients accept no longer one.
const MAX_FRAME_PAYLOAD: usize = 32 * 1024;
/// Longest payload of a control frame (RFC 6455 5.5).
const MAX_CONTROL_BYTES: usize = 125;
/// How much is buffered before the writer waits.
const MAX_UNSENT_BYTES: usize = 64 * 1024;

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketRole {
    /// Sends unmasked frames and requires masked ones.
    Server,
    /// Sends masked frames.
    Client,
}

/// The part of a frame that is being received.
#[derive(Clone, Copy, Debug)]
struct IncomingFrame {
    opcode: Opcode,
    remaining: u64,
    mask: Option<[u8; 4]>,
    /// The position in the mask.
    offset: usize,
}

/// A WebSocket connection.
#[derive(Debug)]
pub struct WebSocketStream<T> {
    io: T,
    role: WebSocketRole,
    /// Received and not parsed yet.
    input: Vec<u8>,
    parsed: usize,
    frame: Option<IncomingFrame>,
    control: Vec<u8>,
    /// Encoded and not sent yet.
    output: Vec<u8>,
    sent: usize,
    /// The status of the peer's close frame.
    close_code: Option<u16>,
    is_close_sent: bool,
    is_ended: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocketStream<T> {
    /// A connection after its handshake.
    pub fn new(io: T, role: WebSocketRole) -> WebSocketStream<T> {
        WebSocketStream {
            io,
            role,
            input: Vec::new(),
            parsed: 0,
            frame: None,
            control: Vec::new(),
            output: Vec::new(),
            sent: 0,
            close_code: None,
            is_close_sent: false,
            is_ended: false,
        }
    }

    /// The status of the peer's close frame, once the stream has ended with one.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Queues a close frame; nothing is sent after it.
    pub fn queue_close(&mut self, code: u16) {
        if !std::mem::replace(&mut self.is_close_sent, true) {
            let payload =
                if code == close_code::NO_STATUS { Vec::new() } else { code.to_be_bytes().to_vec() };
            self.queue_frame(Opcode::Close, &payload);
        }
    }

    /// Queues a PING.
    pub fn queue_ping(&mut self) {
        if !self.is_close_sent {
            self.queue_frame(Opcode::Ping, b"");
        }
    }

    fn queue_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask_bit = if self.role == WebSocketRole::Client { 0x80 } else { 0 };
        self.output.push(0x80 | opcode as u8);
        match payload.len() {
            n @ 0..126 => self.output.push(mask_bit | n as u8),
            n @ 126..65_536 => {
                self.output.push(mask_bit | 126);
                self.output.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                self.output.push(mask_bit | 127);
                self.output.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        if self.role == WebSocketRole::Server {
            return self.output.extend_from_slice(payload);
        }
        let mask = fastrand::u32(..).to_be_bytes();
        self.output.extend_from_slice(&mask);
        self.output.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    /// Sends what is queued.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.output[self.sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.sent = 0;
        self.output.clear();
        Poll::Ready(Ok(()))
    }

    /// Copies payload that is available into `buf`; false if more must be received first.
    fn parse(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        loop {
            let Some(mut frame) = self.frame else {
                if !self.parse_header()? {
                    return Ok(false);
                }
                continue;
            };
            if frame.remaining == 0 {
                self.frame = None;
                if self.end_frame(frame.opcode) {
                    return Ok(true);
                }
                continue;
            }
            let available = (self.input.len() - self.parsed) as u64;
            let is_control = frame.opcode.is_control();
            let room = if is_control { usize::MAX } else { buf.remaining() };
            if available == 0 || room == 0 {
                return Ok(room == 0);
            }
            let n = frame.remaining.min(available).min(room as u64) as usize;
            let bytes = &mut self.input[self.parsed..self.parsed + n];
            unmask(bytes, frame.mask, frame.offset);
            if is_control {
                self.control.extend_from_slice(bytes);
            } else {
                buf.put_slice(bytes);
            }
            self.parsed += n;
            frame.remaining -= n as u64;
            frame.offset = (frame.offset + n) % 4;
            self.frame = Some(frame);
        }
    }

    /// Parses the header of a frame; false if it is incomplete. Errors are found again by the next call.
    fn parse_header(&mut self) -> io::Result<bool> {
        let bytes = &self.input[self.parsed..];
        let [first, second, rest @ ..] = bytes else { return Ok(false) };
        let opcode = Opcode::from_bits(first & 0x0f).ok_or_else(|| invalid("reserved opcode"))?;
        let is_masked = second & 0x80 != 0;
        if first & 0x70 != 0 || is_masked != (self.role == WebSocketRole::Server) {
            return Err(invalid("reserved bit, or wrong mask"));
        }
        let (length_bytes, mask_bytes) = match second & 0x7f {
            126 => (2, if is_masked { 4 } else { 0 }),
            127 => (8, if is_masked { 4 } else { 0 }),
            _ => (0, if is_masked { 4 } else { 0 }),
        };
        let Some(rest) = rest.get(..length_bytes + mask_bytes) else { return Ok(false) };
        let (length, mask) = rest.split_at(length_bytes);
        let remaining = match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte)),
        };
        let is_too_long = remaining > MAX_CONTROL_BYTES as u64 || first & 0x80 == 0;
        if opcode.is_control() && is_too_long {
            return Err(invalid("fragmented or long control frame"));
        }
        if opcode == Opcode::Close && remaining == 1 {
            return Err(invalid("close frame of one byte"));
        }
        self.frame = Some(IncomingFrame { opcode, remaining, mask: mask.try_into().ok(), offset: 0 });
        self.parsed += 2 + length_bytes + mask_bytes;
        Ok(true)
    }

    /// Processes a complete frame; true at the end of the stream.
    fn end_frame(&mut self, opcode: Opcode) -> bool {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            Opcode::Ping if self.output.len() < MAX_UNSENT_BYTES && !self.is_close_sent => {
                self.queue_frame(Opcode::Pong, &payload);
            }
            Opcode::Close => {
                let code = match payload[..] {
                    [high, low, ..] => u16::from_be_bytes([high, low]),
                    _ => close_code::NO_STATUS,
                };
                self.close_code = Some(code);
                self.is_ended = true;
                return true;
            }
            _ => {}
        }
        false
    }

    /// Receives more bytes. The end without a close frame is an error: the connection was lost.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.drain(..self.parsed);
        self.parsed = 0;
        let start = self.input.len();
        self.input.resize(start + READ_BYTES, 0);
        let mut space = ReadBuf::new(&mut self.input[start..]);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut space);
        let n = space.filled().len();
        self.input.truncate(start + n);
        if polled.is_pending() && self.input.is_empty() {
            self.input = Vec::new();
        }
        ready!(polled)?;
        if n == 0 {
            self.is_ended = true;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

fn unmask(bytes: &mut [u8], mask: Option<[u8; 4]>, offset: usize) {
    let Some(mut mask) = mask else { return };
    mask.rotate_left(offset);
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(value) ^ wide).to_ne_bytes());
    }
    words.into_remainder().iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        while !this.is_ended {
            let parsed = this.parse(buf);
            // Answers to PING; what does not fit into the socket is sent with the next write.
            let sent = if this.sent < this.output.len() { this.poll_send(cx) } else { Poll::Pending };
            if buf.filled().len() > before {
                // Bytes before an error are passed on first; the next call finds it again.
                break;
            }
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(error));
            }
            if parsed? {
                break;
            }
            ready!(this.poll_receive(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_close_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.output.len() - this.sent >= MAX_UNSENT_BYTES {
            ready!(this.poll_send(cx))?;
        }
        let payload = &bytes[..bytes.len().min(MAX_FRAME_PAYLOAD)];
        this.queue_frame(Opcode::Binary, payload);
        let _ = this.poll_send(cx)?;
        Poll::Ready(Ok(payload.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue_close(close_code::NORMAL);
        self.poll_flush(cx)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
