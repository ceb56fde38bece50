//! Stores a response body while it is sent: to the client of the leader, to followers, and into memory; each byte is
//! copied once.
//!
//! The client of the leader drives the transfer as long as no other request waits for it. With the first follower the
//! body moves into its own task: a slow client does not delay others, and its disconnect does not abort their responses.
//! Followers read a body of known length while it arrives, and one of unknown length when it is complete and fits; one
//! that does not fit is handed back to the client of the leader.

use super::entry::{EntryMetadata, MemoryGuard, Pieces, copy_counted};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
};
use bytes::{Buf, Bytes};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

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
#[derive(Default)]
struct Progress {
    pieces: Vec<Bytes>,
    length: u64,
    end: Option<Result<(), GatewayError>>,
    wakers: Vec<Waker>,
    /// The task of the client that drives the transfer.
    driver: Option<Waker>,
    /// A follower reads too, or waits for the end.
    has_followers: bool,
    /// There was not enough memory: the body is not stored.
    aborted: bool,
    /// The rest of a body that was read by its own task and does not fit.
    handed_back: Option<Box<dyn BodyRead>>,
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
    pub(super) fn add(&self, bytes: &[u8]) {
        if !self.try_add(bytes) {
            self.abort();
        }
    }

    /// Adds a chunk; false without memory for it.
    pub(super) fn try_add(&self, bytes: &[u8]) -> bool {
        let reservation = if self.lock().aborted { None } else { self.sink.try_reserve(bytes.len()) };
        let mut progress = self.lock();
        let Some(reservation) = reservation else { return false };
        progress.length += bytes.len() as u64;
        progress.pieces.push(copy_counted(bytes.into(), reservation));
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// Stops storing a body that its own task reads, and leaves its rest to the client of the leader.
    pub(super) fn hand_back(&self, rest: Box<dyn BodyRead>) {
        let mut progress = self.lock();
        progress.aborted = true;
        progress.handed_back = Some(rest);
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        self.sink.commit(None);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn abort(&self) {
        let mut progress = self.lock();
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
    pub(super) fn finish(&self, end: Result<(), GatewayError>) {
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

    /// Whether followers can read it while it arrives: its length must be known, because it must fit into the store.
    pub fn is_open(&self) -> bool {
        self.expected.is_some() && !self.lock().aborted
    }

    /// Its length, where known.
    pub fn length(&self) -> Option<u64> {
        self.expected
    }

    /// Lets followers read the body.
    pub fn open(&self, streaming: Arc<StreamingEntry>) {
        self.sink.open(streaming);
    }

    /// Adds a follower, which reads from the beginning.
    pub fn follow(self: &Arc<Self>) -> FillReader {
        // The client of the leader detaches its body when it is polled next.
        self.request_detach();
        FillReader::new(self)
    }

    /// Lets the body be read by its own task, because a request waits for its end.
    pub fn request_detach(&self) {
        let mut progress = self.lock();
        progress.has_followers = true;
        let driver = progress.driver.take();
        drop(progress);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Whether the body has to be read by its own task.
    pub(super) fn should_detach(&self) -> bool {
        let progress = self.lock();
        progress.has_followers && !progress.aborted
    }

    pub(super) fn set_driver(&self, cx: &Context) {
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
    /// Reads from the beginning.
    pub(super) fn new(fill: &Arc<StreamingFill>) -> FillReader {
        FillReader { fill: fill.clone(), next: 0, current: Bytes::new() }
    }

    /// Skips bytes that are stored.
    pub(super) fn skip(&mut self, mut n: u64) {
        let cx = Context::from_waker(Waker::noop());
        while n > 0 && (!self.current.is_empty() || matches!(self.poll_piece(&cx), Poll::Ready(Ok(true)))) {
            let skipped = n.min(self.current.len() as u64);
            self.current.advance(skipped as usize);
            n -= skipped;
        }
    }

    /// The rest of the body, once everything before it was read and if it does not fit into the store.
    pub(super) fn take_handed_back(&self) -> Option<Box<dyn BodyRead>> {
        let mut progress = self.fill.lock();
        let is_drained = self.current.is_empty() && self.next >= progress.pieces.len();
        let rest = if is_drained { progress.handed_back.take() } else { None };
        if rest.is_some() {
            progress.pieces = Vec::new();
        }
        rest
    }

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
