//! HTTP/2 error codes.

/// An error code (RFC 9113 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2ErrorCode(pub u32);

impl H2ErrorCode {
    /// A frame violates the protocol.
    pub const PROTOCOL_ERROR: H2ErrorCode = H2ErrorCode(0x1);
    /// A frame has an invalid size.
    pub const FRAME_SIZE_ERROR: H2ErrorCode = H2ErrorCode(0x6);
    /// The peer causes excessive load.
    pub const ENHANCE_YOUR_CALM: H2ErrorCode = H2ErrorCode(0xb);
}
