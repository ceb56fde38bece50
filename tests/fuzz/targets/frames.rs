//! Frames of HTTP/2 and of WebSocket: the result does not depend on how the bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    base::websocket::FrameTracker,
    net::h2::{FrameRateLimits, frame_inspector::FrameInspector},
};

const LIMITS: FrameRateLimits = FrameRateLimits {
    resets_per_second: u32::MAX,
    older_resets_per_second: u32::MAX,
    control_frames_per_second: u32::MAX,
};

/// Whether an inspector accepts the bytes in pieces of this size.
fn is_accepted(bytes: &[u8], size: usize) -> bool {
    let mut inspector = FrameInspector::new(LIMITS);
    bytes.chunks(size).all(|piece| inspector.inspect(piece, 0, &mut |_, _| {}).is_ok())
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(is_accepted(bytes, usize::MAX), is_accepted(bytes, 1));
    let (mut whole, mut pieces) = (FrameTracker::default(), FrameTracker::default());
    whole.observe(bytes);
    bytes.chunks(1).for_each(|piece| pieces.observe(piece));
    assert_eq!(whole.is_at_frame_boundary(), pieces.is_at_frame_boundary());
    assert_eq!(whole.is_closed(), pieces.is_closed());
});
