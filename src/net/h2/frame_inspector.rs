//! Walks over the frames that a client sends, looking at their nine bytes only: errors of framing get the code that RFC
//! 9113 wants, and floods of frames that carry nothing end the connection before they cost more than their bytes. Only
//! into trailers it looks deeper.

use super::trailers::TrailerBlocks;
use std::time::{Duration, Instant};

/// An error code of RFC 9113 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2ErrorCode(pub u32);

impl H2ErrorCode {
    pub const PROTOCOL_ERROR: H2ErrorCode = H2ErrorCode(0x1);
    pub const FRAME_SIZE_ERROR: H2ErrorCode = H2ErrorCode(0x6);
    pub const ENHANCE_YOUR_CALM: H2ErrorCode = H2ErrorCode(0xb);
}

/// How many frames of a kind a client may send in a second.
#[derive(Clone, Copy, Debug)]
pub struct FrameRateLimits {
    /// RST_STREAM.
    pub resets_per_second: u32,
    /// Frames that carry nothing of a request: SETTINGS, PING, PRIORITY, unknown ones, empty DATA, and WINDOW_UPDATE
    /// beyond what our own bytes explain.
    pub control_frames_per_second: u32,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// The largest payload that we take: the usual, never raised.
const MAX_FRAME_PAYLOAD: u32 = 16_384;
/// One WINDOW_UPDATE for so many bytes that we sent is no flood.
const BYTES_PER_WINDOW_UPDATE: u64 = 1024;

/// The head of a frame.
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Where in the frames the bytes are.
#[derive(Debug)]
pub struct FrameInspector {
    head: [u8; 9],
    header_bytes: usize,
    /// Bytes to pass over: the preface, then payloads.
    skip: usize,
    /// The stream whose header block is incomplete.
    check_header_block: Option<u32>,
    /// SETTINGS came, which is first.
    settings_received: bool,
    pace: FrameRateLimits,
    window_start: Option<Instant>,
    resets: u32,
    control_frames_per_second: u32,
    /// Bytes that we had sent when the second began.
    sent: u64,
    trailers: TrailerBlocks,
}

/// What is told of trailers: their stream, and how many fields they have.
pub type FrameEvent<'t> = &'t mut dyn FnMut(u32, usize);

impl FrameInspector {
    pub fn new(pace: FrameRateLimits) -> FrameInspector {
        FrameInspector {
            head: [0; 9],
            header_bytes: 0,
            skip: super::PREFACE.len(),
            check_header_block: None,
            settings_received: false,
            pace,
            window_start: None,
            resets: 0,
            control_frames_per_second: 0,
            sent: 0,
            trailers: TrailerBlocks::default(),
        }
    }

    /// Whether a header block was begun and not ended.
    pub fn is_block_open(&self) -> bool {
        self.check_header_block.is_some()
    }

    /// Walks on over these bytes; `sent` is how many we have sent. A fault says how many of them stand before it.
    pub fn inspect(&mut self, bytes: &[u8], sent: u64, tell: FrameEvent) -> Result<(), (usize, H2ErrorCode)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len() - at);
                self.inspect_payload(&bytes[at..at + n], tell).map_err(|fault| (at, fault))?;
                self.skip -= n;
                at += n;
                continue;
            }
            let n = (self.head.len() - self.header_bytes).min(bytes.len() - at);
            self.head[self.header_bytes..self.header_bytes + n].copy_from_slice(&bytes[at..at + n]);
            self.header_bytes += n;
            at += n;
            if self.header_bytes == self.head.len() {
                self.header_bytes = 0;
                let frame = self.frame();
                self.check(&frame, sent).map_err(|fault| (at - n, fault))?;
                self.skip = frame.length as usize;
                if self.skip == 0 {
                    self.inspect_payload(&[], tell).map_err(|fault| (at - n, fault))?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of a payload, which are of interest where they are trailers.
    fn inspect_payload(&mut self, bytes: &[u8], tell: FrameEvent) -> Result<(), H2ErrorCode> {
        if self.trailers.expects_payload()
            && let Some((stream, fields)) = self.trailers.push_payload(bytes)?
        {
            tell(stream, fields);
        }
        Ok(())
    }

    fn frame(&self) -> Frame {
        let [a, b, c, kind, flags, s @ ..] = self.head;
        Frame {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes(s) & 0x7fff_ffff,
        }
    }

    fn check(&mut self, frame: &Frame, sent: u64) -> Result<(), H2ErrorCode> {
        if !self.settings_received {
            if frame.kind != SETTINGS || frame.flags & ACK != 0 {
                return Err(H2ErrorCode::PROTOCOL_ERROR);
            }
            self.settings_received = true;
        }
        if frame.length > MAX_FRAME_PAYLOAD {
            return Err(H2ErrorCode::FRAME_SIZE_ERROR);
        }
        self.check_header_block(frame)?;
        check_length(frame)?;
        check_stream_id(frame)?;
        self.count_control_frame(frame, sent)
    }

    /// RFC 9113 6.10: nothing may stand within a header block.
    fn check_header_block(&mut self, frame: &Frame) -> Result<(), H2ErrorCode> {
        match (self.check_header_block, frame.kind) {
            (Some(stream), CONTINUATION) if stream == frame.stream => {}
            (Some(_), _) | (None, CONTINUATION) => return Err(H2ErrorCode::PROTOCOL_ERROR),
            (None, _) => {}
        }
        let (last, length) = (frame.flags & END_HEADERS != 0, frame.length as usize);
        match frame.kind {
            HEADERS => self.trailers.headers(frame.stream, frame.flags, length, last),
            CONTINUATION => self.trailers.continuation(length, last),
            _ => return Ok(()),
        }
        self.check_header_block = (!last).then_some(frame.stream);
        Ok(())
    }

    /// Counts what carries nothing; the clock is asked for such frames only.
    fn count_control_frame(&mut self, frame: &Frame, sent: u64) -> Result<(), H2ErrorCode> {
        let empty = frame.length == 0;
        let reset = frame.kind == RST_STREAM;
        let control = match frame.kind {
            DATA => empty && frame.flags & END_STREAM == 0,
            HEADERS | RST_STREAM => false,
            CONTINUATION => empty,
            SETTINGS => frame.flags & ACK == 0,
            _ => true,
        };
        if !reset && !control {
            return Ok(());
        }
        let now = Instant::now();
        if self.window_start.is_none_or(|since| now - since >= Duration::from_secs(1)) {
            (self.window_start, self.resets, self.control_frames_per_second, self.sent) =
                (Some(now), 0, 0, sent);
        }
        self.resets += u32::from(reset);
        self.control_frames_per_second += u32::from(control);
        let explained = u32::try_from((sent - self.sent) / BYTES_PER_WINDOW_UPDATE).unwrap_or(u32::MAX);
        let most = self.pace.control_frames_per_second.saturating_add(explained);
        if self.resets > self.pace.resets_per_second || self.control_frames_per_second > most {
            Err(H2ErrorCode::ENHANCE_YOUR_CALM)
        } else {
            Ok(())
        }
    }
}

/// The lengths that RFC 9113 6 wants.
fn check_length(frame: &Frame) -> Result<(), H2ErrorCode> {
    let n = frame.length;
    let fits = match frame.kind {
        PRIORITY => n == 5,
        RST_STREAM | WINDOW_UPDATE => n == 4,
        SETTINGS => n.is_multiple_of(6) && (n == 0 || frame.flags & ACK == 0),
        PING => n == 8,
        GOAWAY => n >= 8,
        _ => true,
    };
    if fits { Ok(()) } else { Err(H2ErrorCode::FRAME_SIZE_ERROR) }
}

/// Which frames belong to streams and which to the connection; clients promise nothing.
fn check_stream_id(frame: &Frame) -> Result<(), H2ErrorCode> {
    let fits = match frame.kind {
        DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => frame.stream != 0,
        SETTINGS | PING | GOAWAY => frame.stream == 0,
        PUSH_PROMISE => false,
        _ => true,
    };
    if fits { Ok(()) } else { Err(H2ErrorCode::PROTOCOL_ERROR) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.extend(payload);
        out
    }

    /// A walker past preface and SETTINGS.
    fn walker(pace: FrameRateLimits) -> FrameInspector {
        let mut walker = FrameInspector::new(pace);
        let mut bytes = super::super::PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        assert_eq!(walker.inspect(&bytes, 0, &mut |_, _| {}), Ok(()));
        walker
    }

    const PACE: FrameRateLimits = FrameRateLimits { resets_per_second: 2, control_frames_per_second: 10 };

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let bytes =
            [frame(HEADERS, 0, 1, b"abc"), frame(CONTINUATION, 0, 1, b""), frame(PING, 0, 0, &[0; 8])]
                .concat();
        for size in 1..bytes.len() {
            let mut walker = walker(PACE);
            let (mut end, mut open) = (Ok(()), false);
            for piece in bytes.chunks(size) {
                end = end.and_then(|()| walker.inspect(piece, 0, &mut |_, _| {}));
                open |= walker.is_block_open();
            }
            assert!(open || size > 12, "{size}");
            assert_eq!(
                end.map_err(|(_, fault)| fault),
                Err(H2ErrorCode::PROTOCOL_ERROR),
                "{size}: PING within a block"
            );
        }
    }

    #[test]
    fn what_stands_before_a_fault_is_sound() {
        let good = frame(DATA, 0, 1, b"abc");
        let bytes = [good.clone(), frame(PING, 0, 0, &[0; 7])].concat();
        assert_eq!(
            walker(PACE).inspect(&bytes, 0, &mut |_, _| {}),
            Err((good.len(), H2ErrorCode::FRAME_SIZE_ERROR))
        );
    }

    #[test]
    fn settings_come_first() {
        let mut walker = FrameInspector::new(PACE);
        let bytes = [super::super::PREFACE, &frame(PING, 0, 0, &[0; 8])].concat();
        assert_eq!(
            walker.inspect(&bytes, 0, &mut |_, _| {}),
            Err((super::super::PREFACE.len(), H2ErrorCode::PROTOCOL_ERROR))
        );
    }

    #[test]
    fn resets_and_empty_frames_have_their_pace() {
        let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
        let mut slow = walker(PACE);
        assert_eq!(slow.inspect(&reset.repeat(2), 0, &mut |_, _| {}), Ok(()));
        assert_eq!(slow.inspect(&reset, 0, &mut |_, _| {}), Err((0, H2ErrorCode::ENHANCE_YOUR_CALM)));
        for empty in [frame(DATA, 0, 1, &[]), frame(0xee, 0, 0, &[]), frame(PRIORITY, 0, 1, &[0; 5])] {
            let mut slow = walker(PACE);
            // SETTINGS was the first of ten.
            assert_eq!(slow.inspect(&empty.repeat(9), 0, &mut |_, _| {}), Ok(()));
            assert!(slow.inspect(&empty, 0, &mut |_, _| {}).is_err());
        }
        let full = frame(DATA, 0, 1, b"x");
        assert_eq!(
            walker(PACE).inspect(&full.repeat(1000), 0, &mut |_, _| {}),
            Ok(()),
            "bytes of a body are no flood"
        );
    }

    #[test]
    fn window_updates_that_our_bytes_explain_are_no_flood() {
        let update = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 4, 0]);
        let mut fast = walker(PACE);
        assert_eq!(fast.inspect(&update.repeat(1000), 2 << 20, &mut |_, _| {}), Ok(()));
        assert!(walker(PACE).inspect(&update.repeat(1000), 1024, &mut |_, _| {}).is_err());
    }
}
