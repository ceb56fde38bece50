//! Inspects the frames that the `h2` crate sends, for resets that the client causes: each stream that it refuses or resets
//! because of an invalid frame costs more than the frame.

/// The type of RST_STREAM, with a payload of four bytes.
const RST_STREAM: u8 = 3;

/// Error codes of RST_STREAM that the client causes (RFC 9113 7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;

/// A reset that the client caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SentReset {
    /// The stream was refused, or its frames are invalid.
    Invalid,
    /// A frame for a stream that has ended: it may have been in flight when the stream was reset.
    Late,
}

/// The position within the frames sent.
#[derive(Debug, Default)]
pub(super) struct SentFrames {
    header: [u8; 9],
    header_bytes: usize,
    /// Bytes of the payload that remain.
    remaining: usize,
    code: u32,
}

impl SentFrames {
    /// Inspects bytes that were sent, and calls `on_reset` for each reset that the client caused.
    pub(super) fn inspect(&mut self, mut bytes: &[u8], mut on_reset: impl FnMut(SentReset)) {
        while !bytes.is_empty() {
            if self.remaining > 0 {
                let (payload, rest) = bytes.split_at(self.remaining.min(bytes.len()));
                self.remaining -= payload.len();
                bytes = rest;
                if self.header[3] == RST_STREAM {
                    self.code = payload.iter().fold(self.code, |code, byte| (code << 8) | u32::from(*byte));
                    if self.remaining == 0 {
                        caused_by_client(self.code).into_iter().for_each(&mut on_reset);
                    }
                }
                continue;
            }
            let (header, rest) = bytes.split_at((self.header.len() - self.header_bytes).min(bytes.len()));
            self.header[self.header_bytes..][..header.len()].copy_from_slice(header);
            self.header_bytes += header.len();
            bytes = rest;
            if self.header_bytes == self.header.len() {
                let [a, b, c, ..] = self.header;
                (self.header_bytes, self.code) = (0, 0);
                self.remaining = u32::from_be_bytes([0, a, b, c]) as usize;
            }
        }
    }
}

fn caused_by_client(code: u32) -> Option<SentReset> {
    match code {
        PROTOCOL_ERROR | FLOW_CONTROL_ERROR | FRAME_SIZE_ERROR | REFUSED_STREAM => Some(SentReset::Invalid),
        STREAM_CLOSED => Some(SentReset::Late),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn resets_are_found_however_the_frames_are_split() {
        let bytes = [
            frame(1, &[9; 40]),
            frame(RST_STREAM, &[0, 0, 0, 7]),
            frame(4, &[]),
            frame(RST_STREAM, &[0, 0, 0, 2]),
            frame(0, &[3; 100]),
            frame(RST_STREAM, &[0, 0, 0, 5]),
        ]
        .concat();
        for size in 1..=bytes.len() {
            let (mut frames, mut resets) = (SentFrames::default(), Vec::new());
            bytes.chunks(size).for_each(|part| frames.inspect(part, |reset| resets.push(reset)));
            assert_eq!(resets, [SentReset::Invalid, SentReset::Late], "{size}: INTERNAL_ERROR is our own");
        }
    }
}
