//! Stores a response body while it is sent: to the client of the leader, to followers, and into memory; each byte is
//! copied once.
//!
//! The client of the leader drives the transfer as long as it is the only reader. With the first follower the body moves
//! into its own task: a slow client does not delay others, and its disconnect does not abort their responses.

use super::entry::{EntryMetadata, MemoryGuard, Pieces, copy_counted};
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

/// Longest pause between two chunks while the body is read by its own task.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The chunks of a body up to this size are joined at its end.
const MAX_JOINED_BYTES: u64 = 1 << 20;

/// A response whose body is still arriving, for requests that wait for the same.
#[derive(Debug)]
pub struct StreamingEntry {
    pub metadata: Arc<EntryMetadata>,
    pub fill: Arc<StreamingFill>,
}

/// The destination of a body.
pub trait FillSink: Send + Sync {
    /// Publishes the body to followers while it arrives.
    fn open(&self, streaming: Arc<StreamingEntry>);
    /// Reserves memory for more bytes, if the budget allows it.
    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard>;
    /// The body is complete; `None`: it failed or is not stored.
    fn commit(&self, body: Option<Pieces>);
}

/// The progress of a body.
#[derive(Debug, Default)]
struct Progress {
    pieces: Vec<Bytes>,
    length: u64,
    end: Option<Result<(), GatewayError>>,
    wakers: Vec<Waker>,
    /// The task of the client that drives the transfer.
    driver: Option<Waker>,
    /// A follower reads too.
    has_followers: bool,
    /// There was not enough memory: the body is not stored.
    aborted: bool,
}

/// A body with several readers while it arrives.
pub struct StreamingFill {
    progress: Mutex<Progress>,
    sink: Box<dyn FillSink>,
    /// Its length, where known.
    expected: Option<u64>,
}

impl std::fmt::Debug for StreamingFill {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "StreamingFill({:?})", self.expected)
    }
}

impl StreamingFill {
    /// `expected` is the `Content-Length`; `None`: the body ends where the backend ends it.
    pub fn new(sink: Box<dyn FillSink>, expected: Option<u64>) -> Arc<StreamingFill> {
        Arc::new(StreamingFill { progress: Mutex::default(), sink, expected })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a chunk. Without memory the body is not stored, and its followers see a broken body.
    fn add(&self, bytes: &[u8]) {
        let reservation = if self.lock().aborted { None } else { self.sink.try_reserve(bytes.len()) };
        let mut progress = self.lock();
        let Some(reservation) = reservation else { return self.abort(progress) };
        progress.length += bytes.len() as u64;
        progress.pieces.push(copy_counted(bytes.into(), reservation));
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
            "the cache has not enough memory for the response",
        )));
    }

    /// Ends the body; only the first call has an effect.
    fn finish(&self, end: Result<(), GatewayError>) {
        let mut progress = self.lock();
        if progress.end.is_some() {
            return;
        }
        let is_complete = end.is_ok() && self.expected.is_none_or(|length| length == progress.length);
        let body = is_complete.then(|| self.join_chunks(&progress));
        progress.end = Some(end);
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        self.sink.commit(body);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Joins the chunks of a small body, so that it is sent with few system calls.
    fn join_chunks(&self, progress: &Progress) -> Pieces {
        let has_many = progress.pieces.len() > 1 && progress.length <= MAX_JOINED_BYTES;
        let reservation = has_many.then(|| self.sink.try_reserve(progress.length as usize)).flatten();
        match reservation {
            Some(reservation) => {
                Pieces::from_iter([copy_counted(progress.pieces.concat().into(), reservation)])
            }
            None => progress.pieces.iter().cloned().collect(),
        }
    }

    /// Whether followers can read it: its length must be known, because it must fit into the store.
    pub fn is_open(&self) -> bool {
        self.expected.is_some() && !self.lock().aborted
    }

    /// Its length; 0 where unknown, which excludes followers.
    pub fn length(&self) -> u64 {
        self.expected.unwrap_or(0)
    }

    /// Lets followers read the body.
    pub fn open(&self, streaming: Arc<StreamingEntry>) {
        self.sink.open(streaming);
    }

    /// Adds a follower, which reads from the beginning.
    pub fn follow(self: &Arc<Self>) -> FillReader {
        let mut progress = self.lock();
        progress.has_followers = true;
        // The client of the leader detaches its body when it is polled next.
        let driver = progress.driver.take();
        drop(progress);
        driver.into_iter().for_each(Waker::wake);
        FillReader { fill: self.clone(), next: 0, current: Bytes::new() }
    }

    fn has_followers(&self) -> bool {
        self.lock().has_followers
    }

    fn set_driver(&self, cx: &Context) {
        let mut progress = self.lock();
        if !progress.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            progress.driver = Some(cx.waker().clone());
        }
    }
}

/// A reader of a body that is arriving or complete.
pub struct FillReader {
    fill: Arc<StreamingFill>,
    next: usize,
    current: Bytes,
}

impl FillReader {
    fn poll_piece(&mut self, cx: &Context) -> Poll<Result<bool, GatewayError>> {
        let mut progress = self.fill.lock();
        if let Some(piece) = progress.pieces.get(self.next) {
            self.current = piece.clone();
            self.next += 1;
            return Poll::Ready(Ok(true));
        }
        match &progress.end {
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
        self.fill.expected.map_or(Framing::Chunked, Framing::Length)
    }
}

/// The body of the leader's response: fills the store until a follower reads too.
pub struct TeeBody {
    inner: Option<Box<dyn BodyRead>>,
    fill: Arc<StreamingFill>,
    framing: Framing,
    /// Bytes of the current chunk that are stored already.
    buffered: usize,
    reader: FillReader,
    /// Bytes that the client has received, skipped by `reader`.
    forwarded: u64,
    ended: bool,
}

impl TeeBody {
    /// Reads `inner` for the client and copies each chunk to `fill`.
    pub fn new(inner: Box<dyn BodyRead>, fill: Arc<StreamingFill>) -> TeeBody {
        let reader = FillReader { fill: fill.clone(), next: 0, current: Bytes::new() };
        let framing = inner.framing();
        TeeBody { inner: Some(inner), fill, framing, buffered: 0, reader, forwarded: 0, ended: false }
    }

    /// Moves the body into its own task and continues as one of its readers, at the same position: bytes that are stored
    /// and not sent come from the chunks.
    fn detach(&mut self, inner: Box<dyn BodyRead>) {
        let mut to_skip = self.forwarded;
        while to_skip > 0 {
            if self.reader.current.is_empty()
                && !matches!(
                    self.reader.poll_piece(&Context::from_waker(Waker::noop())),
                    Poll::Ready(Ok(true))
                )
            {
                break;
            }
            let n = to_skip.min(self.reader.current.len() as u64);
            self.reader.current.advance(n as usize);
            to_skip -= n;
        }
        drain_to_store(inner, self.fill.clone(), self.buffered);
    }

    fn poll_inner(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        // The first follower wakes this task, so that it detaches.
        self.fill.set_driver(cx);
        let TeeBody { inner: Some(inner), fill, buffered, ended, .. } = self else {
            return Poll::Ready(Ok(Chunk::End));
        };
        match ready!(inner.poll_fill(cx)) {
            Ok(Chunk::Data(data)) => {
                if data.len() > *buffered {
                    fill.add(&data[*buffered..]);
                    *buffered = data.len();
                }
                Poll::Ready(Ok(Chunk::Data(data)))
            }
            Ok(Chunk::End) => {
                *ended = true;
                fill.finish(Ok(()));
                Poll::Ready(Ok(Chunk::End))
            }
            Err(error) => {
                fill.finish(Err(error.clone()));
                Poll::Ready(Err(error))
            }
        }
    }
}

impl BodyRead for TeeBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if !self.ended
            && self.inner.is_some()
            && self.fill.has_followers()
            && self.fill.is_open()
            && let Some(inner) = self.inner.take()
        {
            self.detach(inner);
        }
        if self.inner.is_some() { self.poll_inner(cx) } else { self.reader.poll_fill(cx) }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.inner {
            Some(inner) => {
                inner.consume(n);
                self.buffered -= n.min(self.buffered);
                self.forwarded += n as u64;
            }
            None => self.reader.consume(n),
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
    /// The client disconnected: its followers continue.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if !self.ended && self.fill.has_followers() && self.fill.is_open() {
            return drain_to_store(inner, self.fill.clone(), self.buffered);
        }
        self.fill.finish(Err(GatewayError::client_closed()));
    }
}

/// Reads a body in its own task; `buffered` bytes of the current chunk are stored already.
pub fn drain_to_store(mut inner: Box<dyn BodyRead>, fill: Arc<StreamingFill>, buffered: usize) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return fill.finish(Err(GatewayError::client_closed()));
    };
    runtime.spawn(async move {
        match read_to_end(&mut *inner, &fill, buffered).await {
            Ok(()) if fill.lock().aborted => {}
            Ok(()) => {
                fill.finish(Ok(()));
                inner.finish();
            }
            Err(error) => fill.finish(Err(error)),
        }
    });
}

/// Adds the chunks of a body until it ends or is aborted.
async fn read_to_end(
    inner: &mut dyn BodyRead,
    fill: &StreamingFill,
    mut buffered: usize,
) -> Result<(), GatewayError> {
    loop {
        let chunk = poll_fn(|cx| {
            Poll::Ready(match ready!(inner.poll_fill(cx)) {
                Ok(Chunk::Data(data)) => {
                    if data.len() > buffered {
                        fill.add(&data[buffered..]);
                    }
                    Ok(Some(data.len()))
                }
                Ok(Chunk::End) => Ok(None),
                Err(error) => Err(error),
            })
        });
        let Ok(chunk) = tokio::time::timeout(BODY_IDLE_TIMEOUT, chunk).await else {
            let text = "the backend sent no data within the idle timeout";
            return Err(GatewayError::new(ErrorCode::BackendTruncated, text));
        };
        let Some(n) = chunk? else { return Ok(()) };
        inner.consume(n);
        buffered = 0;
        if fill.lock().aborted {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
