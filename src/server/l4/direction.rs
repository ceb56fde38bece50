//! One direction of a forwarded connection: bytes are written as soon as they are read. A direction that is quiet holds no buffer;
//! one that proves to be bulk moves its bytes within the kernel.

use crate::net::{
    forward_stream::ForwardStream,
    splice::{Filled, Pipe},
};
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Bytes that are read at once, and at most held for a side that does not read.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes without a pause, in large reads, after which a direction is bulk.
const BULK_BYTES: u64 = 256 << 10;
const BULK_READ_BYTES: usize = 4 << 10;
const BULK_PAUSE: Duration = Duration::from_millis(50);
/// Small fills in a row after which the pipe is given back.
const MAX_SMALL_FILLS: u32 = 8;

thread_local! {
    /// The buffer of a worker; a connection has it while it is polled.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The side at which a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenEnd {
    From,
    To,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// The sender has ended; what is left is written, then the end.
    Ending,
    Done,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Direction {
    /// Bytes that the receiver did not take yet.
    unsent: Vec<u8>,
    sent: usize,
    phase: Phase,
    /// TLS may hold written bytes back.
    needs_flush: bool,
    pipe: Option<Pipe>,
    bulk_bytes: u64,
    bulk_at: Option<Instant>,
    small_fills: u32,
    /// The sender is broken, although it can be read: its end is no end that is forwarded.
    is_cut: bool,
    /// Bytes since the last call of [`Direction::take_moved`].
    moved: u64,
}

impl Direction {
    /// A direction whose first bytes have been read already.
    pub fn with_unsent(unsent: Vec<u8>) -> Direction {
        Direction { moved: unsent.len() as u64, unsent, ..Direction::default() }
    }

    /// Whether all bytes and the end have been forwarded.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether the sender has ended.
    pub fn has_ended(&self) -> bool {
        self.phase != Phase::Open
    }

    /// The bytes that were read since the last call.
    pub fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moved)
    }

    /// Forwards what the sender has sent, but not its end: an error to this side was noticed first.
    pub fn cut_at_end(&mut self) {
        self.is_cut = true;
    }

    /// Forwards nothing more.
    pub fn stop(&mut self) {
        (self.phase, self.unsent, self.pipe) = (Phase::Done, Vec::new(), None);
    }

    /// Whether the direction holds a pipe.
    pub fn has_pipe(&self) -> bool {
        self.pipe.is_some()
    }

    /// Gives the pipe back if it is empty.
    pub fn release_pipe(&mut self) {
        if self.pipe.as_ref().is_some_and(Pipe::is_empty) {
            (self.pipe, self.bulk_bytes, self.small_fills) = (None, 0, 0);
        }
    }

    /// Forwards until there is nothing to do.
    ///
    /// # Errors
    ///
    /// The side that broke; the bytes that were read before can still be written.
    pub fn poll(
        &mut self,
        cx: &mut Context,
        from: &mut ForwardStream,
        to: &mut ForwardStream,
    ) -> Poll<Result<(), BrokenEnd>> {
        loop {
            if self.phase == Phase::Done {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_drain(cx, to)).map_err(|_| BrokenEnd::To)?;
            if self.phase == Phase::Ending && self.is_cut {
                return Poll::Ready(Err(BrokenEnd::From));
            }
            if self.phase == Phase::Ending {
                ready!(to.poll_shutdown(cx)).map_err(|_| BrokenEnd::To)?;
                self.stop();
                continue;
            }
            if self.small_fills > MAX_SMALL_FILLS {
                self.release_pipe();
            }
            match self.pipe.take() {
                Some(pipe) => ready!(self.poll_splice(cx, pipe, from))?,
                None => ready!(self.poll_copy(cx, from, to))?,
            }
        }
    }

    /// Writes what was read.
    ///
    /// # Errors
    ///
    /// The error of the receiver.
    pub fn poll_drain(&mut self, cx: &mut Context, to: &mut ForwardStream) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            match ready!(to.poll_write(cx, &self.unsent[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => (self.sent, self.needs_flush) = (self.sent + sent, true),
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.plain()) {
            ready!(pipe.poll_drain(cx, socket))?;
        }
        if self.needs_flush {
            ready!(to.poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes at once what the receiver takes.
    fn poll_copy(
        &mut self,
        cx: &mut Context,
        from: &mut ForwardStream,
        to: &mut ForwardStream,
    ) -> Poll<Result<(), BrokenEnd>> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(BUFFER_BYTES, 0);
            let read = ready!(from.poll_read(cx, buffer)).map_err(|_| BrokenEnd::From)?;
            if read == 0 {
                self.phase = Phase::Ending;
                return Poll::Ready(Ok(()));
            }
            self.moved += read as u64;
            let mut bytes = &buffer[..read];
            self.needs_flush = to.plain().is_none();
            while !bytes.is_empty() {
                match to.poll_write(cx, bytes) {
                    Poll::Ready(Ok(sent @ 1..)) => bytes = &bytes[sent..],
                    Poll::Pending => {
                        self.unsent = bytes.to_vec();
                        break;
                    }
                    Poll::Ready(_) => return Poll::Ready(Err(BrokenEnd::To)),
                }
            }
            if let (Some(_), Some(_)) = (from.plain(), to.plain()) {
                self.detect_bulk(read);
            }
            Poll::Ready(Ok(()))
        })
    }

    fn detect_bulk(&mut self, read: usize) {
        if read < BULK_READ_BYTES {
            self.bulk_bytes = 0;
            return;
        }
        let now = Instant::now();
        let is_paused = self.bulk_at.is_some_and(|at| now - at > BULK_PAUSE);
        self.bulk_bytes = if is_paused { 0 } else { self.bulk_bytes } + read as u64;
        self.bulk_at = Some(now);
        if self.bulk_bytes >= BULK_BYTES && self.unsent.is_empty() {
            self.pipe = Pipe::acquire();
            (self.bulk_bytes, self.small_fills) = (0, 0);
        }
    }

    /// Fills the empty pipe once.
    fn poll_splice(
        &mut self,
        cx: &mut Context,
        mut pipe: Pipe,
        from: &ForwardStream,
    ) -> Poll<Result<(), BrokenEnd>> {
        let Some(socket) = from.plain() else { return Poll::Ready(Ok(())) };
        match pipe.poll_fill(cx, socket) {
            Poll::Pending => {
                self.pipe = Some(pipe);
                Poll::Pending
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(BrokenEnd::From)),
            Poll::Ready(Ok(Filled::End)) => {
                self.phase = Phase::Ending;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(Filled::Bytes(bytes))) => {
                self.moved += bytes as u64;
                self.small_fills = if bytes < BULK_READ_BYTES { self.small_fills + 1 } else { 0 };
                self.pipe = Some(pipe);
                Poll::Ready(Ok(()))
            }
        }
    }
}
