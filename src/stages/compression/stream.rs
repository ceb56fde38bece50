//! Streaming compression.
//!
//! The encoder is flushed when the backend pauses, so that no data is held back. No input is consumed while output is
//! pending, and the body yields to other connections of the worker periodically.

use super::{
    encoder::Op,
    encoder_pool::{OUTPUT_CHUNK_BYTES, PooledEncoder},
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

/// Input per step of an encoder.
const INPUT_CHUNK_BYTES: usize = 2 * OUTPUT_CHUNK_BYTES;

/// Input after which a body yields to other connections of the worker: a few milliseconds of work.
const YIELD_BUDGET_BYTES: usize = 4 * INPUT_CHUNK_BYTES;

/// Coding and level of a response, and its metrics.
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

/// The state of a body.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Flushing,
    Finishing,
    Ended,
    /// Failed; the client sees a truncated body.
    Broken,
}

/// A body that is compressed while it is sent.
pub struct CompressedBody {
    inner: Box<dyn BodyRead>,
    plan: EncodingPlan,
    /// Created with the first byte: a silent body has no encoder.
    encoder: Option<PooledEncoder>,
    phase: Phase,
    /// The encoder has consumed input that the client cannot decode yet.
    needs_flush: bool,
    /// Input since the last yield.
    polled_bytes: usize,
    /// The error of the backend, reported after the output before it is sent.
    error: Option<GatewayError>,
    _reservation: MemoryGuard,
}

impl CompressedBody {
    /// `reservation` is the memory of the encoder, released with the body.
    pub fn new(inner: Box<dyn BodyRead>, plan: EncodingPlan, reservation: MemoryGuard) -> CompressedBody {
        let phase = Phase::Open;
        CompressedBody {
            inner,
            plan,
            encoder: None,
            phase,
            needs_flush: false,
            polled_bytes: 0,
            error: None,
            _reservation: reservation,
        }
    }

    /// Compresses the next chunk of the backend, or changes the phase.
    fn poll_input(&mut self, cx: &mut Context) -> Poll<()> {
        if self.polled_bytes >= YIELD_BUDGET_BYTES {
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
            Poll::Ready(Err(error)) => {
                self.error = Some(error);
                self.phase = if self.needs_flush { Phase::Flushing } else { Phase::Broken };
                return Poll::Ready(());
            }
        };
        let piece = &data[..data.len().min(INPUT_CHUNK_BYTES)];
        match get_or_create(&mut self.encoder, &self.plan).and_then(|encoder| encoder.step(piece, Op::Write))
        {
            Ok(progress) => {
                self.inner.consume(progress.consumed);
                self.plan.count(progress.consumed, progress.written);
                self.polled_bytes += progress.consumed;
                self.needs_flush = true;
            }
            Err(error) => self.fail(&error),
        }
        Poll::Ready(())
    }

    /// Flushes or finishes as far as the output buffer has room.
    fn drain_encoder(&mut self, op: Op, then: Phase) {
        match get_or_create(&mut self.encoder, &self.plan).and_then(|encoder| encoder.step(&[], op)) {
            Ok(progress) => {
                self.plan.count(0, progress.written);
                if progress.complete {
                    self.needs_flush = false;
                    self.phase = then;
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.error = Some(encoding_error(error));
        self.phase = Phase::Broken;
    }
}

fn get_or_create<'e>(
    encoder: &'e mut Option<PooledEncoder>,
    plan: &EncodingPlan,
) -> io::Result<&'e mut PooledEncoder> {
    match encoder {
        Some(encoder) => Ok(encoder),
        None => Ok(encoder.insert(PooledEncoder::take(plan.coding, plan.level)?)),
    }
}

fn encoding_error(error: &io::Error) -> GatewayError {
    GatewayError::new(ErrorCode::GatewayInternal, format!("compressing the response failed: {error}"))
}

impl BodyRead for CompressedBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        while self.encoder.as_ref().is_none_or(|encoder| encoder.pending_output().is_empty()) {
            match self.phase {
                Phase::Open => ready!(self.poll_input(cx)),
                Phase::Flushing => {
                    let then = if self.error.is_some() { Phase::Broken } else { Phase::Open };
                    self.drain_encoder(Op::Flush, then);
                }
                Phase::Finishing => self.drain_encoder(Op::Finish, Phase::Ended),
                Phase::Ended => return Poll::Ready(Ok(Chunk::End)),
                Phase::Broken => {
                    let error = self.error.take();
                    let body_error =
                        || GatewayError::new(ErrorCode::BackendTruncated, "the body was truncated");
                    return Poll::Ready(Err(error.unwrap_or_else(body_error)));
                }
            }
        }
        Poll::Ready(Ok(Chunk::Data(self.encoder.as_ref().map_or(&[], PooledEncoder::pending_output))))
    }

    fn consume(&mut self, n: usize) {
        if let Some(encoder) = &mut self.encoder {
            encoder.consume(n);
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

/// A buffered body as a stream.
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

/// Compresses a short body at once; `None` if the result is not shorter, unless `force`.
pub fn compress_buffered(body: &[u8], plan: &EncodingPlan, force: bool) -> Option<Bytes> {
    let output = compress_all(body, plan).ok()?;
    if output.len() >= body.len() && !force {
        return None;
    }
    plan.count(body.len(), output.len());
    Some(output.into())
}

fn compress_all(mut body: &[u8], plan: &EncodingPlan) -> io::Result<Vec<u8>> {
    let (mut encoder, mut output) = (PooledEncoder::take(plan.coding, plan.level)?, Vec::new());
    loop {
        let op = if body.is_empty() { Op::Finish } else { Op::Write };
        let progress = encoder.step(body, op)?;
        output.extend_from_slice(encoder.pending_output());
        body = &body[progress.consumed..];
        if op == Op::Finish && progress.complete {
            return Ok(output);
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
pub(super) mod tests;
