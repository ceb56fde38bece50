//! The parts of WebSocket (RFC 6455) that a proxy needs: the handshake proof and frame boundaries.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// The GUID appended to the client's key before hashing (RFC 6455 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether this is 16 bytes encoded in Base64 (RFC 6455 4.1).
pub fn is_valid_key(key: &[u8]) -> bool {
    key.len() == 24 && STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455 4.2.2).
pub fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// A close frame with status 1001, `Going Away` (RFC 6455 7.4.1), as a server sends it: unmasked.
pub const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// The same close frame as a client sends it: masked with these four bytes.
pub fn masked_going_away_frame(mask: [u8; 4]) -> [u8; 8] {
    let [a, b, c, d] = mask;
    [0x88, 0x82, a, b, c, d, 0x03 ^ a, 0xe9 ^ b]
}

/// The opcode of a close frame.
const CLOSE: u8 = 8;

/// Tracks frame boundaries in a byte stream without looking at payloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameTracker {
    /// Remaining payload bytes of the current frame.
    payload: u64,
    /// The received part of the current frame's header.
    header: [u8; 14],
    header_len_seen: u8,
    closed: bool,
}

impl FrameTracker {
    /// Records bytes that were forwarded.
    pub fn observe(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = self.step(bytes);
            bytes = &bytes[n..];
        }
    }

    /// How many of these bytes belong to the current frame; 0 at a frame boundary.
    pub fn remaining_in_frame(&self, bytes: &[u8]) -> usize {
        let (mut ahead, mut left) = (*self, bytes);
        while !left.is_empty() && !ahead.is_at_frame_boundary() {
            let n = ahead.step(left);
            left = &left[n..];
        }
        bytes.len() - left.len()
    }

    /// Whether the last frame is complete.
    pub fn is_at_frame_boundary(&self) -> bool {
        self.payload == 0 && self.header_len_seen == 0
    }

    /// Whether a close frame was forwarded completely: no frame follows it.
    pub fn is_closed(&self) -> bool {
        self.closed && self.is_at_frame_boundary()
    }

    /// Consumes payload, or one byte of a header; returns the number of bytes.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let n = self.payload.min(bytes.len() as u64);
            self.payload -= n;
            return n as usize;
        }
        self.header[usize::from(self.header_len_seen)] = bytes[0];
        self.header_len_seen += 1;
        if usize::from(self.header_len_seen) == self.header_len() {
            self.closed |= self.header[0] & 0x0f == CLOSE;
            self.payload = self.payload_len();
            self.header_len_seen = 0;
        }
        1
    }

    /// The length of the header, as far as the received bytes determine it.
    fn header_len(&self) -> usize {
        if self.header_len_seen < 2 {
            return 2;
        }
        let mask = if self.header[1] & 0x80 != 0 { 4 } else { 0 };
        mask + match self.header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn payload_len(&self) -> u64 {
        let h = &self.header;
        match h[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([h[2], h[3]])),
            127 => u64::from_be_bytes([h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]]),
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_accept_key_matches_the_example_of_the_rfc() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_valid_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(
            !is_valid_key(b"dGhlIHNhbXBsZSBub25jZQ=")
                && !is_valid_key(b"")
                && !is_valid_key(b"dGhlIHNhbXBsZSBub25j0000")
        );
    }

    /// A frame with this opcode and payload length.
    fn frame(opcode: u8, masked: bool, len: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match len {
            0..126 => frame.push(mask | len as u8),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(if masked { &[1, 2, 3, 4] } else { &[] });
        frame.resize(frame.len() + len, 0x88);
        frame
    }

    proptest! {
        #[test]
        fn the_end_of_a_frame_is_found_regardless_of_segmentation(
            len in prop_oneof![0_usize..300, 65_000_usize..70_000],
            masked: bool,
            cut in 0.0..1.0,
        ) {
            let frame = frame(2, masked, len);
            let cut = (frame.len() as f64 * cut) as usize;
            let mut frames = FrameTracker::default();
            frames.observe(&frame[..cut]);
            prop_assert_eq!(frames.is_at_frame_boundary(), cut == 0);
            let more = [&frame[cut..], &[0x82, 0x00]].concat();
            prop_assert_eq!(frames.remaining_in_frame(&more), if cut == 0 { 0 } else { frame.len() - cut });
            frames.observe(&frame[cut..]);
            prop_assert!(frames.is_at_frame_boundary() && !frames.is_closed());
        }
    }

    #[test]
    fn a_close_frame_is_detected_when_complete_and_never_inside_a_payload() {
        let mut frames = FrameTracker::default();
        frames.observe(&frame(1, false, 5));
        assert!(!frames.is_closed());
        let close = masked_going_away_frame([9, 8, 7, 6]);
        frames.observe(&close[..7]);
        assert!(!frames.is_closed());
        frames.observe(&close[7..]);
        assert!(frames.is_closed());
        let mut frames = FrameTracker::default();
        frames.observe(&GOING_AWAY);
        assert!(frames.is_closed());
    }
}
