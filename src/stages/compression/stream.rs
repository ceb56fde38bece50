//! A body that is compressed while it passes.
//!
//! Nothing is held back: when the service pauses, what it sent so far is flushed. No more is taken in while output
//! stands, and after a while the worker's other connections have their turn.

use super::{
    encoder::Op,
    memory::Share,
    shelf::{Kit, OUT},
};
use crate::{
    base::coding::Coding,
    pipeline::{
        body::{BodyRead, Chunk, Framing},
        cause::{Cause, Why},
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
const PIECE: usize = 2 * OUT;

/// What one body may have compressed before other connections of the worker have their turn: a few milliseconds.
const TURN: usize = 4 * PIECE;

/// How a body is compressed, and where that is counted.
#[derive(Clone, Debug)]
pub struct Means {
    pub coding: Coding,
    pub level: u8,
    pub metrics: Arc<CompressionMetrics>,
    pub worker: usize,
}

impl Means {
    fn count(&self, bytes_in: usize, bytes_out: usize) {
        self.metrics.bytes(self.worker, self.coding, bytes_in as u64, bytes_out as u64);
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
pub struct Compressed {
    inner: Box<dyn BodyRead>,
    means: Means,
    /// From the first byte on: a body that says nothing holds nothing.
    kit: Option<Kit>,
    phase: Phase,
    /// There is something in the encoder that the client cannot read yet.
    dirty: bool,
    /// Bytes taken in since other connections had their turn.
    spent: usize,
    /// Why it breaks off, once all that came before is out.
    cause: Option<Cause>,
    _share: Share,
}

impl Compressed {
    pub fn new(inner: Box<dyn BodyRead>, means: Means, share: Share) -> Compressed {
        let phase = Phase::Open;
        Compressed { inner, means, kit: None, phase, dirty: false, spent: 0, cause: None, _share: share }
    }

    /// Takes a piece in, or finds out that there is none.
    fn poll_take(&mut self, cx: &mut Context) -> Poll<()> {
        if self.spent >= TURN {
            self.spent = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let data = match self.inner.poll_fill(cx) {
            Poll::Pending if self.dirty => {
                self.phase = Phase::Flushing;
                return Poll::Ready(());
            }
            Poll::Pending => {
                self.spent = 0;
                return Poll::Pending;
            }
            Poll::Ready(Ok(Chunk::Data(data))) => data,
            Poll::Ready(Ok(Chunk::End)) => {
                self.phase = Phase::Finishing;
                return Poll::Ready(());
            }
            Poll::Ready(Err(cause)) => {
                self.cause = Some(cause);
                self.phase = if self.dirty { Phase::Flushing } else { Phase::Broken };
                return Poll::Ready(());
            }
        };
        let piece = &data[..data.len().min(PIECE)];
        match kit(&mut self.kit, &self.means).and_then(|kit| kit.step(piece, Op::Take)) {
            Ok(done) => {
                self.inner.consume(done.taken);
                self.means.count(done.taken, done.written);
                self.spent += done.taken;
                self.dirty = true;
            }
            Err(error) => self.give_up(&error),
        }
        Poll::Ready(())
    }

    /// Flushes or finishes as far as there is room.
    fn put_out(&mut self, op: Op, then: Phase) {
        match kit(&mut self.kit, &self.means).and_then(|kit| kit.step(&[], op)) {
            Ok(done) => {
                self.means.count(0, done.written);
                if done.complete {
                    self.dirty = false;
                    self.phase = then;
                }
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        self.cause = Some(broken(error));
        self.phase = Phase::Broken;
    }
}

fn kit<'k>(kit: &'k mut Option<Kit>, means: &Means) -> io::Result<&'k mut Kit> {
    match kit {
        Some(kit) => Ok(kit),
        None => Ok(kit.insert(Kit::take(means.coding, means.level)?)),
    }
}

fn broken(error: &io::Error) -> Cause {
    Cause::new(Why::GatewayFault, format!("the answer cannot be compressed: {error}"))
}

impl BodyRead for Compressed {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        while self.kit.as_ref().is_none_or(|kit| kit.standing().is_empty()) {
            match self.phase {
                Phase::Open => ready!(self.poll_take(cx)),
                Phase::Flushing => {
                    let then = if self.cause.is_some() { Phase::Broken } else { Phase::Open };
                    self.put_out(Op::Flush, then);
                }
                Phase::Finishing => self.put_out(Op::Finish, Phase::Ended),
                Phase::Ended => return Poll::Ready(Ok(Chunk::End)),
                Phase::Broken => {
                    let cause = self.cause.take();
                    let again = || Cause::new(Why::BackendBody, "the body broke off");
                    return Poll::Ready(Err(cause.unwrap_or_else(again)));
                }
            }
        }
        Poll::Ready(Ok(Chunk::Data(self.kit.as_ref().map_or(&[], Kit::standing))))
    }

    fn consume(&mut self, n: usize) {
        if let Some(kit) = &mut self.kit {
            kit.consume(n);
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.inner.trailers()
    }

    fn framing(&self) -> Framing {
        Framing::Chunked
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), Cause>> {
        self.inner.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.inner.finish();
    }
}

/// A body that is here already.
pub struct Here(pub Bytes);

impl BodyRead for Here {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
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
pub fn at_once(body: &[u8], means: &Means, must: bool) -> Option<Bytes> {
    let whole = encoded(body, means).ok()?;
    if whole.len() >= body.len() && !must {
        return None;
    }
    means.count(body.len(), whole.len());
    Some(whole.into())
}

fn encoded(mut body: &[u8], means: &Means) -> io::Result<Vec<u8>> {
    let (mut kit, mut whole) = (Kit::take(means.coding, means.level)?, Vec::new());
    loop {
        let op = if body.is_empty() { Op::Finish } else { Op::Take };
        let done = kit.step(body, op)?;
        whole.extend_from_slice(kit.standing());
        body = &body[done.taken..];
        if op == Op::Finish && done.complete {
            return Ok(whole);
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
pub(super) mod tests;
