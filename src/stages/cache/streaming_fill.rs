//! An answer on its way into the store: its bytes go to the client that asked, to all who wait for the same, and into
//! memory; each is copied once.
//!
//! The client that asked drives the filling, as long as nobody else reads. As soon as somebody does, the body moves into
//! a task of its own: nobody waits for a slow client, and nobody loses anything when that client leaves.

use super::{
    coalescing::StreamingEntry,
    entry::{MemoryGuard, Pieces, copy_counted},
};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
    head::Head,
};
use bytes::{Buf, Bytes};
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

/// How long a service may be silent while its answer is taken in and no client waits for it itself.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Pieces of a body up to this size are put together at its end.
const MAX_COALESCED: u64 = 1 << 20;

/// Where the pieces are put, and what becomes of the whole.
pub trait FillSink: Send + Sync {
    /// It can be read along.
    fn open(&self, incoming: Arc<StreamingEntry>);
    /// Room for so many more bytes, if it can be had.
    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard>;
    /// All of the body is there; none: it will never be.
    fn commit(&self, body: Option<Pieces>);
}

/// How far a body is.
#[derive(Debug, Default)]
struct Progress {
    pieces: Vec<Bytes>,
    length: u64,
    commit: Option<Result<(), GatewayError>>,
    wakers: Vec<Waker>,
    /// The client that drives it.
    driver: Option<Waker>,
    /// Somebody beside the client reads.
    read: bool,
    /// It will not be stored, and so not be kept.
    aborted: bool,
}

/// A body that several read while it comes in.
pub struct StreamingFill {
    progress: Mutex<Progress>,
    sink: Box<dyn FillSink>,
    /// How long it will be, where that is known.
    expected: Option<u64>,
}

impl std::fmt::Debug for StreamingFill {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Filling({:?})", self.expected)
    }
}

impl StreamingFill {
    pub fn new(sink: Box<dyn FillSink>, expected: Option<u64>) -> Arc<StreamingFill> {
        Arc::new(StreamingFill { progress: Mutex::default(), sink, expected })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in one more piece. Without room nothing is kept any more; who reads it elsewhere sees a broken body.
    fn add(&self, bytes: &[u8]) {
        let room = if self.lock().aborted { None } else { self.sink.try_reserve(bytes.len()) };
        let mut progress = self.lock();
        let Some(room) = room else { return self.abort(progress) };
        progress.length += bytes.len() as u64;
        progress.pieces.push(copy_counted(bytes.into(), room));
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn abort(&self, mut progress: MutexGuard<'_, Progress>) {
        if progress.aborted {
            return;
        }
        progress.aborted = true;
        progress.pieces = Vec::new();
        drop(progress);
        self.finish(Err(GatewayError::new(
            ErrorCode::BackendTruncated,
            "there was no room to keep the answer",
        )));
    }

    /// The end, clean or not; only the first counts.
    fn finish(&self, end: Result<(), GatewayError>) {
        let mut progress = self.lock();
        if progress.commit.is_some() {
            return;
        }
        let whole = end.is_ok() && self.expected.is_none_or(|length| length == progress.length);
        let body = whole.then(|| self.coalesce_chunks(&progress));
        progress.commit = Some(end);
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        self.sink.commit(body);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A body in few pieces is sent with few calls.
    fn coalesce_chunks(&self, progress: &Progress) -> Pieces {
        let several = progress.pieces.len() > 1 && progress.length <= MAX_COALESCED;
        let room = several.then(|| self.sink.try_reserve(progress.length as usize)).flatten();
        match room {
            Some(room) => Pieces::from_iter([copy_counted(progress.pieces.concat().into(), room)]),
            None => progress.pieces.iter().cloned().collect(),
        }
    }

    /// Whether it can be followed: its length must be known, for it must fit.
    pub fn is_open(&self) -> bool {
        self.expected.is_some() && !self.lock().aborted
    }

    /// How long it will be; only what is known can be followed.
    pub fn length(&self) -> u64 {
        self.expected.unwrap_or(0)
    }

    /// Lets others read along.
    pub fn open(&self, incoming: Arc<StreamingEntry>) {
        self.sink.open(incoming);
    }

    /// Another reader, from the beginning.
    pub fn follow(self: &Arc<Self>) -> FillReader {
        let mut progress = self.lock();
        progress.read = true;
        // The client that asked hands its body over when it is polled the next time.
        let driver = progress.driver.take();
        drop(progress);
        driver.into_iter().for_each(Waker::wake);
        FillReader { filling: self.clone(), next: 0, current: Bytes::new() }
    }

    fn is_read(&self) -> bool {
        self.lock().read
    }

    fn is_driven_by(&self, cx: &Context) {
        let mut progress = self.lock();
        if !progress.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            progress.driver = Some(cx.waker().clone());
        }
    }
}

/// A reader of what comes in, or came in.
pub struct FillReader {
    filling: Arc<StreamingFill>,
    next: usize,
    current: Bytes,
}

impl FillReader {
    fn poll_piece(&mut self, cx: &Context) -> Poll<Result<bool, GatewayError>> {
        let mut progress = self.filling.lock();
        if let Some(piece) = progress.pieces.get(self.next) {
            self.current = piece.clone();
            self.next += 1;
            return Poll::Ready(Ok(true));
        }
        match &progress.commit {
            Some(end) => Poll::Ready(end.clone().map(|()| false)),
            None => {
                if !progress.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    progress.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl BodyRead for FillReader {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        while self.current.is_empty() {
            if !ready!(self.poll_piece(cx))? {
                return Poll::Ready(Ok(Chunk::End));
            }
        }
        Poll::Ready(Ok(Chunk::Data(&self.current)))
    }

    fn consume(&mut self, n: usize) {
        self.current.advance(n);
    }

    fn framing(&self) -> Framing {
        self.filling.expected.map_or(Framing::Chunked, Framing::Length)
    }
}

/// The reader that asked: it fills, until somebody else reads too.
pub struct TeeBody {
    inner: Option<Box<dyn BodyRead>>,
    filling: Arc<StreamingFill>,
    framing: Framing,
    /// Bytes of what stands ready that are kept already.
    buffered: usize,
    follow: FillReader,
    /// Bytes that went through here, and so need not be read again.
    forwarded: u64,
    ended: bool,
}

impl TeeBody {
    pub fn new(inner: Box<dyn BodyRead>, filling: Arc<StreamingFill>) -> TeeBody {
        let follow = FillReader { filling: filling.clone(), next: 0, current: Bytes::new() };
        let framing = inner.framing();
        TeeBody { inner: Some(inner), filling, framing, buffered: 0, follow, forwarded: 0, ended: false }
    }

    /// From here on it is one reader among others. What it read already is passed over; what was kept and not read
    /// comes again out of the pieces.
    fn detach(&mut self, inner: Box<dyn BodyRead>) {
        let mut left = self.forwarded;
        while left > 0 {
            if self.follow.current.is_empty()
                && !matches!(
                    self.follow.poll_piece(&Context::from_waker(Waker::noop())),
                    Poll::Ready(Ok(true))
                )
            {
                break;
            }
            let n = left.min(self.follow.current.len() as u64);
            self.follow.current.advance(n as usize);
            left -= n;
        }
        drain_to_store(inner, self.filling.clone(), self.buffered);
    }

    fn poll_inner(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        // The filling wakes this reader when another one comes.
        self.filling.is_driven_by(cx);
        let TeeBody { inner: Some(inner), filling, buffered: kept, ended, .. } = self else {
            return Poll::Ready(Ok(Chunk::End));
        };
        match ready!(inner.poll_fill(cx)) {
            Ok(Chunk::Data(data)) => {
                if data.len() > *kept {
                    filling.add(&data[*kept..]);
                    *kept = data.len();
                }
                Poll::Ready(Ok(Chunk::Data(data)))
            }
            Ok(Chunk::End) => {
                *ended = true;
                filling.finish(Ok(()));
                Poll::Ready(Ok(Chunk::End))
            }
            Err(cause) => {
                filling.finish(Err(cause.clone()));
                Poll::Ready(Err(cause))
            }
        }
    }
}

impl BodyRead for TeeBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if !self.ended
            && self.inner.is_some()
            && self.filling.is_read()
            && self.filling.is_open()
            && let Some(inner) = self.inner.take()
        {
            self.detach(inner);
        }
        if self.inner.is_some() { self.poll_inner(cx) } else { self.follow.poll_fill(cx) }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.inner {
            Some(inner) => {
                inner.consume(n);
                self.buffered -= n.min(self.buffered);
                self.forwarded += n as u64;
            }
            None => self.follow.consume(n),
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.inner.as_mut().and_then(|inner| inner.trailers())
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        match &mut self.inner {
            Some(inner) => inner.poll_upload(cx, from),
            None => Poll::Ready(Ok(())),
        }
    }

    fn finish(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            inner.finish();
        }
    }
}

impl Drop for TeeBody {
    /// The client left, or its connection broke: those who read the same read on.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if !self.ended && self.filling.is_read() && self.filling.is_open() {
            return drain_to_store(inner, self.filling.clone(), self.buffered);
        }
        self.filling.finish(Err(GatewayError::client_closed()));
    }
}

/// Takes a body in while nobody waits for it in particular; so many bytes of what stands ready are kept already.
pub fn drain_to_store(mut inner: Box<dyn BodyRead>, filling: Arc<StreamingFill>, mut kept: usize) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return filling.finish(Err(GatewayError::client_closed()));
    };
    runtime.spawn(async move {
        loop {
            let step = poll_fn(|cx| {
                let step = match ready!(inner.poll_fill(cx)) {
                    Ok(Chunk::Data(data)) => {
                        if data.len() > kept {
                            filling.add(&data[kept..]);
                        }
                        Ok(Some(data.len()))
                    }
                    Ok(Chunk::End) => Ok(None),
                    Err(cause) => Err(cause),
                };
                Poll::Ready(step)
            });
            kept = match tokio::time::timeout(BODY_IDLE_TIMEOUT, step).await {
                Ok(Ok(Some(n))) => {
                    inner.consume(n);
                    0
                }
                Ok(Ok(None)) => {
                    filling.finish(Ok(()));
                    return inner.finish();
                }
                Ok(Err(cause)) => return filling.finish(Err(cause)),
                Err(_) => {
                    let cause =
                        GatewayError::new(ErrorCode::BackendTruncated, "the body stood still for too long");
                    return filling.finish(Err(cause));
                }
            };
            if filling.lock().aborted {
                return;
            }
        }
    });
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
