//! A body that is compressed while it passes.
//!
//! Nothing is held back: when the service pauses, what it sent so far is flushed. No more is taken in while output
//! stands, and after a while the worker's other connections have their turn.

use super::{
    encoder::Op,
    encoder_pool::{OUTPUT_CHUNK, PooledEncoder},
    memory_limit::MemoryGuard,
};
use crate::{
    base::content_coding::ContentCoding,
    pipeline::{
        body::{BodyRead, Chunk, Framing},
        error::{ErrorCode, GatewayError},
        head::Head,
    },
    telemetry::CompressionMetrics,
};
use bytes::{Buf, Bytes};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What an encoder takes in at one time.
const INPUT_CHUNK: usize = 2 * OUTPUT_CHUNK;

/// What one body may have compressed before other connections of the worker have their turn: a few milliseconds.
const YIELD_BUDGET: usize = 4 * INPUT_CHUNK;

/// How a body is compressed, and where that is counted.
#[derive(Clone, Debug)]
pub struct EncodingPlan {
    pub coding: ContentCoding,
    pub level: u8,
    pub metrics: Arc<CompressionMetrics>,
    pub worker: usize,
}

impl EncodingPlan {
    fn count(&self, bytes_in: usize, bytes_out: usize) {
        self.metrics.record_bytes(self.worker, self.coding, bytes_in as u64, bytes_out as u64);
    }
}

/// Where the body is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Flushing,
    Finishing,
    Ended,
    /// Broken off, which the client must see.
    Broken,
}

/// A body that is compressed while it passes.
pub struct CompressedBody {
    inner: Box<dyn BodyRead>,
    means: EncodingPlan,
    /// From the first byte on: a body that says nothing holds nothing.
    encoder: Option<PooledEncoder>,
    phase: Phase,
    /// There is something in the encoder that the client cannot read yet.
    needs_flush: bool,
    /// Bytes taken in since other connections had their turn.
    polled_bytes: usize,
    /// Why it breaks off, once all that came before is out.
    cause: Option<GatewayError>,
    _share: MemoryGuard,
}

impl CompressedBody {
    pub fn new(inner: Box<dyn BodyRead>, means: EncodingPlan, share: MemoryGuard) -> CompressedBody {
        let phase = Phase::Open;
        CompressedBody {
            inner,
            means,
            encoder: None,
            phase,
            needs_flush: false,
            polled_bytes: 0,
            cause: None,
            _share: share,
        }
    }

    /// Takes a piece in, or finds out that there is none.
    fn poll_input(&mut self, cx: &mut Context) -> Poll<()> {
        if self.polled_bytes >= YIELD_BUDGET {
            self.polled_bytes = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let data = match self.inner.poll_fill(cx) {
            Poll::Pending if self.needs_flush => {
                self.phase = Phase::Flushing;
                return Poll::Ready(());
            }
            Poll::Pending => {
                self.polled_bytes = 0;
                return Poll::Pending;
            }
            Poll::Ready(Ok(Chunk::Data(data))) => data,
            Poll::Ready(Ok(Chunk::End)) => {
                self.phase = Phase::Finishing;
                return Poll::Ready(());
            }
            Poll::Ready(Err(cause)) => {
                self.cause = Some(cause);
                self.phase = if self.needs_flush { Phase::Flushing } else { Phase::Broken };
                return Poll::Ready(());
            }
        };
        let piece = &data[..data.len().min(INPUT_CHUNK)];
        match encoder(&mut self.encoder, &self.means).and_then(|kit| kit.step(piece, Op::Write)) {
            Ok(done) => {
                self.inner.consume(done.consumed);
                self.means.count(done.consumed, done.written);
                self.polled_bytes += done.consumed;
                self.needs_flush = true;
            }
            Err(error) => self.release(&error),
        }
        Poll::Ready(())
    }

    /// Flushes or finishes as far as there is room.
    fn drain_encoder(&mut self, op: Op, then: Phase) {
        match encoder(&mut self.encoder, &self.means).and_then(|kit| kit.step(&[], op)) {
            Ok(done) => {
                self.means.count(0, done.written);
                if done.complete {
                    self.needs_flush = false;
                    self.phase = then;
                }
            }
            Err(error) => self.release(&error),
        }
    }

    fn release(&mut self, error: &io::Error) {
        self.cause = Some(encoding_error(error));
        self.phase = Phase::Broken;
    }
}

fn encoder<'k>(
    kit: &'k mut Option<PooledEncoder>,
    means: &EncodingPlan,
) -> io::Result<&'k mut PooledEncoder> {
    match kit {
        Some(kit) => Ok(kit),
        None => Ok(kit.insert(PooledEncoder::take(means.coding, means.level)?)),
    }
}

fn encoding_error(error: &io::Error) -> GatewayError {
    GatewayError::new(ErrorCode::GatewayInternal, format!("the answer cannot be compressed: {error}"))
}

impl BodyRead for CompressedBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        while self.encoder.as_ref().is_none_or(|kit| kit.pending_output().is_empty()) {
            match self.phase {
                Phase::Open => ready!(self.poll_input(cx)),
                Phase::Flushing => {
                    let then = if self.cause.is_some() { Phase::Broken } else { Phase::Open };
                    self.drain_encoder(Op::Flush, then);
                }
                Phase::Finishing => self.drain_encoder(Op::Finish, Phase::Ended),
                Phase::Ended => return Poll::Ready(Ok(Chunk::End)),
                Phase::Broken => {
                    let cause = self.cause.take();
                    let again = || GatewayError::new(ErrorCode::BackendTruncated, "the body broke off");
                    return Poll::Ready(Err(cause.unwrap_or_else(again)));
                }
            }
        }
        Poll::Ready(Ok(Chunk::Data(self.encoder.as_ref().map_or(&[], PooledEncoder::pending_output))))
    }

    fn consume(&mut self, n: usize) {
        if let Some(kit) = &mut self.encoder {
            kit.consume(n);
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.inner.trailers()
    }

    fn framing(&self) -> Framing {
        Framing::Chunked
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.inner.finish();
    }
}

/// A body that is here already.
pub struct BufferedBody(pub Bytes);

impl BodyRead for BufferedBody {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(Ok(if self.0.is_empty() { Chunk::End } else { Chunk::Data(&self.0) }))
    }

    fn consume(&mut self, n: usize) {
        self.0.advance(n);
    }

    fn framing(&self) -> Framing {
        Framing::Length(self.0.len() as u64)
    }
}

/// A short body in one go; none if that does not make it shorter and need not be.
pub fn compress_buffered(body: &[u8], means: &EncodingPlan, must: bool) -> Option<Bytes> {
    let whole = compressed_response(body, means).ok()?;
    if whole.len() >= body.len() && !must {
        return None;
    }
    means.count(body.len(), whole.len());
    Some(whole.into())
}

fn compressed_response(mut body: &[u8], means: &EncodingPlan) -> io::Result<Vec<u8>> {
    let (mut kit, mut whole) = (PooledEncoder::take(means.coding, means.level)?, Vec::new());
    loop {
        let op = if body.is_empty() { Op::Finish } else { Op::Write };
        let done = kit.step(body, op)?;
        whole.extend_from_slice(kit.pending_output());
        body = &body[done.consumed..];
        if op == Op::Finish && done.complete {
            return Ok(whole);
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
pub(super) mod tests;
