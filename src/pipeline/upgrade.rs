//! A connection that changed its protocol (RFC 9110 7.8): no messages any more, only bytes, both ways.

use super::guard::ResponseGuard;
use smallvec::SmallVec;
use std::{
    fmt::Debug,
    io,
    task::{Context, Poll},
};

/// One side of a switched connection.
pub trait Duplex: Send + Debug {
    /// Bytes that stand ready until `used` says that they were; reads when there are none. An empty slice is the end of
    /// the other side's sending.
    fn poll_read(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>>;

    /// Frees received bytes.
    fn consume(&mut self, n: usize);

    /// Writes some of the bytes, behind all that was written before.
    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends what was taken to be written and is still held here.
    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>>;

    /// Tells the other side that nothing more will be sent.
    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>>;
}

/// Where the bytes of a switched client connection go, and what is held meanwhile.
#[derive(Debug)]
pub struct Upgrade {
    pub backend: Box<dyn Duplex>,
    pub guards: SmallVec<[ResponseGuard; 1]>,
}
