//! Inspects the headers of received frames: protocol errors get the error code of RFC 9113, and floods of control frames
//! end the connection before they cost more than their bytes. Of the payloads only trailers are inspected.

use super::{
    error_code::H2ErrorCode,
    frame_rates::{FrameRateLimits, FrameRates},
    sent_frames::SentReset,
    trailers::TrailerBlocks,
};
use crate::net::h1::detect::H2_PREFACE;
use std::time::Instant;

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
const PADDED: u8 = 0x8;

/// Maximum frame payload: the default, never raised.
const MAX_FRAME_PAYLOAD: u32 = 16_384;
/// DATA with fewer bytes that does not end its stream is a control frame: a message of gRPC has at least five.
const MIN_DATA_BYTES: u32 = 5;

/// The header of a frame.
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// The position within the frames.
#[derive(Debug)]
pub struct FrameInspector {
    header: [u8; 9],
    header_bytes: usize,
    /// Bytes to skip: the preface, then payloads.
    skip: usize,
    /// The stream with an incomplete header block.
    open_header_block: Option<u32>,
    /// The first frame, SETTINGS, was received.
    settings_received: bool,
    rates: FrameRates,
    /// The last stream that the client opened.
    last_stream: u32,
    /// Streams opened, less header sections on them: a stream has at most one, its trailers.
    expected_trailers: u32,
    /// The length of a DATA frame whose padding is not known yet.
    padded_data: Option<u32>,
    /// Bytes of the acknowledgments that the frames require.
    reply_bytes: u64,
    trailers: TrailerBlocks,
}

/// Called for each trailer section with its stream and its number of fields.
pub type OnTrailers<'t> = &'t mut dyn FnMut(u32, usize);

impl FrameInspector {
    /// An inspector at the beginning of a connection, before the preface.
    pub fn new(limits: FrameRateLimits) -> FrameInspector {
        FrameInspector {
            header: [0; 9],
            header_bytes: 0,
            skip: H2_PREFACE.len(),
            open_header_block: None,
            settings_received: false,
            rates: FrameRates::new(limits),
            last_stream: 0,
            expected_trailers: 0,
            padded_data: None,
            reply_bytes: 0,
            trailers: TrailerBlocks::default(),
        }
    }

    /// Whether a header block is incomplete.
    pub fn is_block_open(&self) -> bool {
        self.open_header_block.is_some()
    }

    /// Bytes of the acknowledgments of PING and SETTINGS so far.
    pub fn reply_bytes(&self) -> u64 {
        self.reply_bytes
    }

    /// Inspects received bytes; `sent` is the number of bytes sent. An error contains the number of valid bytes before it.
    pub fn inspect(
        &mut self,
        bytes: &[u8],
        sent: u64,
        on_trailers: OnTrailers,
    ) -> Result<(), (usize, H2ErrorCode)> {
        let mut position = 0;
        while position < bytes.len() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len() - position);
                self.check_padding(bytes[position], sent).map_err(|error| (position, error))?;
                self.inspect_payload(&bytes[position..position + n], on_trailers)
                    .map_err(|error| (position, error))?;
                self.skip -= n;
                position += n;
                continue;
            }
            let n = (self.header.len() - self.header_bytes).min(bytes.len() - position);
            self.header[self.header_bytes..self.header_bytes + n]
                .copy_from_slice(&bytes[position..position + n]);
            self.header_bytes += n;
            position += n;
            if self.header_bytes == self.header.len() {
                self.header_bytes = 0;
                let frame = self.frame();
                self.check(&frame, sent).map_err(|error| (position - n, error))?;
                self.skip = frame.length as usize;
                if self.skip == 0 {
                    self.inspect_payload(&[], on_trailers).map_err(|error| (position - n, error))?;
                }
            }
        }
        Ok(())
    }

    /// Inspects a part of a payload, if it belongs to trailers.
    fn inspect_payload(&mut self, bytes: &[u8], on_trailers: OnTrailers) -> Result<(), H2ErrorCode> {
        if self.trailers.expects_payload()
            && let Some((stream, fields)) = self.trailers.push_payload(bytes)?
        {
            on_trailers(stream, fields);
        }
        Ok(())
    }

    fn frame(&self) -> Frame {
        let [a, b, c, kind, flags, s @ ..] = self.header;
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
        self.reply_bytes += match frame.kind {
            PING if frame.flags & ACK == 0 => 17,
            SETTINGS if frame.flags & ACK == 0 => 9,
            _ => 0,
        };
        self.count_control_frame(frame, sent)
    }

    /// RFC 9113 6.10: no other frame may occur within a header block.
    fn check_header_block(&mut self, frame: &Frame) -> Result<(), H2ErrorCode> {
        match (self.open_header_block, frame.kind) {
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
        self.open_header_block = (!last).then_some(frame.stream);
        Ok(())
    }

    /// Counts resets and control frames; the clock is read for these only.
    fn count_control_frame(&mut self, frame: &Frame, sent: u64) -> Result<(), H2ErrorCode> {
        let is_control = match frame.kind {
            RST_STREAM => {
                return self.rates.count_reset(frame.stream, self.last_stream, Instant::now());
            }
            DATA if frame.flags & END_STREAM != 0 => false,
            DATA if frame.flags & PADDED != 0 => {
                self.padded_data = (frame.length > 0).then_some(frame.length);
                false
            }
            DATA => frame.length < MIN_DATA_BYTES,
            HEADERS => self.is_unexpected_header_section(frame.stream),
            CONTINUATION => frame.length == 0,
            SETTINGS => frame.flags & ACK == 0,
            _ => true,
        };
        if is_control { self.rates.count_control_frame(Instant::now(), sent) } else { Ok(()) }
    }

    /// Whether a header section neither opens a stream nor can be its trailers. One of a stream that was reset is otherwise
    /// ignored.
    fn is_unexpected_header_section(&mut self, stream: u32) -> bool {
        if stream > self.last_stream {
            self.last_stream = stream;
            self.expected_trailers = self.expected_trailers.saturating_add(1);
            return false;
        }
        let is_unexpected = self.expected_trailers == 0;
        self.expected_trailers = self.expected_trailers.saturating_sub(1);
        is_unexpected
    }

    /// Counts a DATA frame that consists of padding; `length` is the first byte of its payload.
    fn check_padding(&mut self, length: u8, sent: u64) -> Result<(), H2ErrorCode> {
        match self.padded_data.take() {
            Some(total) if total.saturating_sub(u32::from(length) + 1) < MIN_DATA_BYTES => {
                self.rates.count_control_frame(Instant::now(), sent)
            }
            _ => Ok(()),
        }
    }

    /// Counts a stream that the gateway reset because of the client.
    pub(super) fn count_sent_reset(&mut self, reset: SentReset, sent: u64) -> Result<(), H2ErrorCode> {
        match reset {
            SentReset::Invalid => self.rates.count_invalid(self.last_stream, Instant::now()),
            SentReset::Late => self.rates.count_control_frame(Instant::now(), sent),
        }
    }
}

/// The frame lengths of RFC 9113 6.
fn check_length(frame: &Frame) -> Result<(), H2ErrorCode> {
    let n = frame.length;
    let valid = match frame.kind {
        PRIORITY => n == 5,
        RST_STREAM | WINDOW_UPDATE => n == 4,
        SETTINGS => n.is_multiple_of(6) && (n == 0 || frame.flags & ACK == 0),
        PING => n == 8,
        GOAWAY => n >= 8,
        _ => true,
    };
    if valid { Ok(()) } else { Err(H2ErrorCode::FRAME_SIZE_ERROR) }
}

/// Which frames belong to a stream and which to the connection; clients must not send PUSH_PROMISE.
fn check_stream_id(frame: &Frame) -> Result<(), H2ErrorCode> {
    let valid = match frame.kind {
        DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => frame.stream != 0,
        SETTINGS | PING | GOAWAY => frame.stream == 0,
        PUSH_PROMISE => false,
        _ => true,
    };
    if valid { Ok(()) } else { Err(H2ErrorCode::PROTOCOL_ERROR) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// An inspector that has received the preface and SETTINGS.
    fn inspector(limits: FrameRateLimits) -> FrameInspector {
        let mut inspector = FrameInspector::new(limits);
        let mut bytes = H2_PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        assert_eq!(inspector.inspect(&bytes, 0, &mut |_, _| {}), Ok(()));
        inspector
    }

    const LIMITS: FrameRateLimits =
        FrameRateLimits { resets_per_second: 3, older_resets_per_second: 4, control_frames_per_second: 10 };

    #[test]
    fn frames_are_recognized_however_they_are_split() {
        let bytes =
            [frame(HEADERS, 0, 1, b"abc"), frame(CONTINUATION, 0, 1, b""), frame(PING, 0, 0, &[0; 8])]
                .concat();
        for size in 1..bytes.len() {
            let mut inspector = inspector(LIMITS);
            let (mut end, mut open) = (Ok(()), false);
            for piece in bytes.chunks(size) {
                end = end.and_then(|()| inspector.inspect(piece, 0, &mut |_, _| {}));
                open |= inspector.is_block_open();
            }
            assert!(open || size > 12, "{size}");
            assert_eq!(
                end.map_err(|(_, error)| error),
                Err(H2ErrorCode::PROTOCOL_ERROR),
                "{size}: PING within a block"
            );
        }
    }

    #[test]
    fn an_error_reports_the_valid_bytes_before_it() {
        let good = frame(DATA, 0, 1, b"abc");
        let bytes = [good.clone(), frame(PING, 0, 0, &[0; 7])].concat();
        assert_eq!(
            inspector(LIMITS).inspect(&bytes, 0, &mut |_, _| {}),
            Err((good.len(), H2ErrorCode::FRAME_SIZE_ERROR))
        );
    }

    #[test]
    fn the_first_frame_must_be_settings() {
        let mut inspector = FrameInspector::new(LIMITS);
        let bytes = [H2_PREFACE, &frame(PING, 0, 0, &[0; 8])].concat();
        assert_eq!(
            inspector.inspect(&bytes, 0, &mut |_, _| {}),
            Err((H2_PREFACE.len(), H2ErrorCode::PROTOCOL_ERROR))
        );
    }

    #[test]
    fn resets_and_control_frames_are_limited() {
        let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
        let mut slow = inspector(LIMITS);
        assert_eq!(slow.inspect(&reset.repeat(3), 0, &mut |_, _| {}), Ok(()));
        assert_eq!(slow.inspect(&reset, 0, &mut |_, _| {}), Err((0, H2ErrorCode::ENHANCE_YOUR_CALM)));
        for empty in [frame(DATA, 0, 1, &[]), frame(0xee, 0, 0, &[]), frame(PRIORITY, 0, 1, &[0; 5])] {
            let mut slow = inspector(LIMITS);
            // SETTINGS was the first of ten.
            assert_eq!(slow.inspect(&empty.repeat(9), 0, &mut |_, _| {}), Ok(()));
            assert!(slow.inspect(&empty, 0, &mut |_, _| {}).is_err());
        }
        let padding = [&[3][..], &[0; 3]].concat();
        for tiny in [frame(DATA, 0, 1, b"x"), frame(DATA, PADDED, 1, &padding)] {
            assert!(inspector(LIMITS).inspect(&tiny.repeat(10), 0, &mut |_, _| {}).is_err());
        }
        let padded = frame(DATA, PADDED, 1, &[&[1][..], b"hello", &[0]].concat());
        assert_eq!(inspector(LIMITS).inspect(&padded.repeat(1000), 0, &mut |_, _| {}), Ok(()));
        let full = frame(DATA, 0, 1, b"hello");
        assert_eq!(
            inspector(LIMITS).inspect(&full.repeat(1000), 0, &mut |_, _| {}),
            Ok(()),
            "body data is not a flood"
        );
    }

    #[test]
    fn all_open_streams_may_be_reset_at_once_but_not_opened_and_reset_in_turn() {
        let opened = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, b"abc");
        let reset = |stream| frame(RST_STREAM, 0, stream, &[0; 4]);
        let inspect = |parts: &[Vec<u8>]| inspector(LIMITS).inspect(&parts.concat(), 0, &mut |_, _| {});
        let ids = [1, 3, 5, 7];
        let all = [ids.map(opened), ids.map(reset)].concat();
        assert_eq!(inspect(&all), Ok(()));
        let again = [&all[..], &[reset(7)]].concat();
        assert!(inspect(&again).is_err(), "a stream is reset once");
        let in_turn: Vec<_> = ids.into_iter().flat_map(|id| [opened(id), reset(id)]).collect();
        assert_eq!(inspect(&in_turn[..6]), Ok(()));
        assert!(inspect(&in_turn).is_err());
        let more = [&all[..], &[opened(9), reset(9), opened(11), reset(11)]].concat();
        assert_eq!(inspect(&more[..10]), Ok(()), "one more than all at once");
        assert!(inspect(&more).is_err());
    }

    #[test]
    fn window_updates_expected_for_the_bytes_sent_are_no_flood() {
        let update = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 4, 0]);
        let mut fast = inspector(LIMITS);
        assert_eq!(fast.inspect(&update.repeat(1000), 2 << 20, &mut |_, _| {}), Ok(()));
        assert!(inspector(LIMITS).inspect(&update.repeat(1000), 1024, &mut |_, _| {}).is_err());
    }
}
