//! An answer on its way into the store: its bytes go to the client that asked, to all who wait for the same, and into
//! memory; each is copied once.
//!
//! The client that asked drives the filling, as long as nobody else reads. As soon as somebody does, the body moves into
//! a task of its own: nobody waits for a slow client, and nobody loses anything when that client leaves.

use super::{
    entry::{Hold, Pieces, counted},
    flights::Incoming,
};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    cause::{Cause, Why},
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
const SILENCE: Duration = Duration::from_secs(60);
/// Pieces of a body up to this size are put together at its end.
const TOGETHER: u64 = 1 << 20;

/// Where the pieces are put, and what becomes of the whole.
pub trait Sink: Send + Sync {
    /// It can be read along.
    fn open(&self, incoming: Arc<Incoming>);
    /// Room for so many more bytes, if it can be had.
    fn room(&self, bytes: usize) -> Option<Hold>;
    /// All of the body is there; none: it will never be.
    fn end(&self, body: Option<Pieces>);
}

/// How far a body is.
#[derive(Debug, Default)]
struct Progress {
    pieces: Vec<Bytes>,
    length: u64,
    end: Option<Result<(), Cause>>,
    wakers: Vec<Waker>,
    /// The client that drives it.
    driver: Option<Waker>,
    /// Somebody beside the client reads.
    read: bool,
    /// It will not be stored, and so not be kept.
    given_up: bool,
}

/// A body that several read while it comes in.
pub struct Filling {
    progress: Mutex<Progress>,
    sink: Box<dyn Sink>,
    /// How long it will be, where that is known.
    expected: Option<u64>,
}

impl std::fmt::Debug for Filling {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Filling({:?})", self.expected)
    }
}

impl Filling {
    pub fn new(sink: Box<dyn Sink>, expected: Option<u64>) -> Arc<Filling> {
        Arc::new(Filling { progress: Mutex::default(), sink, expected })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in one more piece. Without room nothing is kept any more; who reads it elsewhere sees a broken body.
    fn add(&self, bytes: &[u8]) {
        let room = if self.lock().given_up { None } else { self.sink.room(bytes.len()) };
        let mut progress = self.lock();
        let Some(room) = room else { return self.give_up(progress) };
        progress.length += bytes.len() as u64;
        progress.pieces.push(counted(bytes.into(), room));
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn give_up(&self, mut progress: MutexGuard<'_, Progress>) {
        if progress.given_up {
            return;
        }
        progress.given_up = true;
        progress.pieces = Vec::new();
        drop(progress);
        self.finish(Err(Cause::new(Why::BackendBody, "there was no room to keep the answer")));
    }

    /// The end, clean or not; only the first counts.
    fn finish(&self, end: Result<(), Cause>) {
        let mut progress = self.lock();
        if progress.end.is_some() {
            return;
        }
        let whole = end.is_ok() && self.expected.is_none_or(|length| length == progress.length);
        let body = whole.then(|| self.together(&progress));
        progress.end = Some(end);
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        self.sink.end(body);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A body in few pieces is sent with few calls.
    fn together(&self, progress: &Progress) -> Pieces {
        let several = progress.pieces.len() > 1 && progress.length <= TOGETHER;
        let room = several.then(|| self.sink.room(progress.length as usize)).flatten();
        match room {
            Some(room) => Pieces::from_iter([counted(progress.pieces.concat().into(), room)]),
            None => progress.pieces.iter().cloned().collect(),
        }
    }

    /// Whether it can be followed: its length must be known, for it must fit.
    pub fn is_open(&self) -> bool {
        self.expected.is_some() && !self.lock().given_up
    }

    /// How long it will be; only what is known can be followed.
    pub fn length(&self) -> u64 {
        self.expected.unwrap_or(0)
    }

    /// Lets others read along.
    pub fn open(&self, incoming: Arc<Incoming>) {
        self.sink.open(incoming);
    }

    /// Another reader, from the beginning.
    pub fn follow(self: &Arc<Self>) -> Follow {
        let mut progress = self.lock();
        progress.read = true;
        // The client that asked hands its body over when it is polled the next time.
        let driver = progress.driver.take();
        drop(progress);
        driver.into_iter().for_each(Waker::wake);
        Follow { filling: self.clone(), next: 0, current: Bytes::new() }
    }

    fn is_read(&self) -> bool {
        self.lock().read
    }

    fn driven_by(&self, cx: &Context) {
        let mut progress = self.lock();
        if !progress.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            progress.driver = Some(cx.waker().clone());
        }
    }
}

/// A reader of what comes in, or came in.
pub struct Follow {
    filling: Arc<Filling>,
    next: usize,
    current: Bytes,
}

impl Follow {
    fn poll_piece(&mut self, cx: &Context) -> Poll<Result<bool, Cause>> {
        let mut progress = self.filling.lock();
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

impl BodyRead for Follow {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
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
pub struct Tee {
    inner: Option<Box<dyn BodyRead>>,
    filling: Arc<Filling>,
    framing: Framing,
    /// Bytes of what stands ready that are kept already.
    kept: usize,
    follow: Follow,
    /// Bytes that went through here, and so need not be read again.
    passed: u64,
    ended: bool,
}

impl Tee {
    pub fn new(inner: Box<dyn BodyRead>, filling: Arc<Filling>) -> Tee {
        let follow = Follow { filling: filling.clone(), next: 0, current: Bytes::new() };
        let framing = inner.framing();
        Tee { inner: Some(inner), filling, framing, kept: 0, follow, passed: 0, ended: false }
    }

    /// From here on it is one reader among others. What it read already is passed over; what was kept and not read
    /// comes again out of the pieces.
    fn hand_over(&mut self, inner: Box<dyn BodyRead>) {
        let mut left = self.passed;
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
        pump(inner, self.filling.clone(), self.kept);
    }

    fn poll_inner(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        // The filling wakes this reader when another one comes.
        self.filling.driven_by(cx);
        let Tee { inner: Some(inner), filling, kept, ended, .. } = self else {
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

impl BodyRead for Tee {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        if !self.ended
            && self.inner.is_some()
            && self.filling.is_read()
            && self.filling.is_open()
            && let Some(inner) = self.inner.take()
        {
            self.hand_over(inner);
        }
        if self.inner.is_some() { self.poll_inner(cx) } else { self.follow.poll_fill(cx) }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.inner {
            Some(inner) => {
                inner.consume(n);
                self.kept -= n.min(self.kept);
                self.passed += n as u64;
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

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), Cause>> {
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

impl Drop for Tee {
    /// The client left, or its connection broke: those who read the same read on.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if !self.ended && self.filling.is_read() && self.filling.is_open() {
            return pump(inner, self.filling.clone(), self.kept);
        }
        self.filling.finish(Err(Cause::gone()));
    }
}

/// Takes a body in while nobody waits for it in particular; so many bytes of what stands ready are kept already.
pub fn pump(mut inner: Box<dyn BodyRead>, filling: Arc<Filling>, mut kept: usize) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return filling.finish(Err(Cause::gone()));
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
            kept = match tokio::time::timeout(SILENCE, step).await {
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
                    let cause = Cause::new(Why::BackendBody, "the body stood still for too long");
                    return filling.finish(Err(cause));
                }
            };
            if filling.lock().given_up {
                return;
            }
        }
    });
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
