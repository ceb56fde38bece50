//! Moving bytes between two sockets within the kernel, through a pipe (splice(2)): half of the CPU of copying for bulk, and
//! more than copying for small messages.

use super::{
    descriptors::{self, DescriptorGuard},
    socket_stream::SocketStream,
};
use nix::{
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    unistd::pipe2,
};
use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// The capacity of a pipe.
const PIPE_BYTES: usize = 256 << 10;
/// Pipes that a worker keeps for reuse, and has in use.
const MAX_POOLED_PIPES: usize = 8;
const MAX_PIPES: usize = 64;

thread_local! {
    static POOL: RefCell<Vec<PipeEnds>> = const { RefCell::new(Vec::new()) };
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug)]
struct PipeEnds {
    output: OwnedFd,
    input: OwnedFd,
    _descriptors: [DescriptorGuard; 2],
}

/// A pipe between two sockets, of the worker that created it.
#[derive(Debug)]
pub struct Pipe {
    ends: Option<PipeEnds>,
    /// Bytes in the pipe.
    filled: usize,
}

/// The result of one fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    Bytes(usize),
    /// The end of the stream.
    End,
}

impl Pipe {
    /// A pipe, if the worker may have another one.
    pub fn acquire() -> Option<Pipe> {
        if IN_USE.get() >= MAX_PIPES {
            return None;
        }
        let ends = POOL.with_borrow_mut(Vec::pop).or_else(create)?;
        IN_USE.set(IN_USE.get() + 1);
        Some(Pipe { ends: Some(ends), filled: 0 })
    }

    /// Whether nothing is in the pipe.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Moves bytes from a socket into the empty pipe.
    pub fn poll_fill(&mut self, cx: &mut Context, from: &SocketStream) -> Poll<io::Result<Filled>> {
        let Some(ends) = &self.ends else { return Poll::Ready(Ok(Filled::End)) };
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || move_bytes(from.descriptor()?, &ends.input, PIPE_BYTES))
            {
                Ok(0) => return Poll::Ready(Ok(Filled::End)),
                Ok(bytes) => {
                    self.filled += bytes;
                    return Poll::Ready(Ok(Filled::Bytes(bytes)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves the bytes of the pipe to a socket.
    pub fn poll_drain(&mut self, cx: &mut Context, to: &SocketStream) -> Poll<io::Result<()>> {
        let Some(ends) = &self.ends else { return Poll::Ready(Ok(())) };
        while self.filled > 0 {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || move_bytes(&ends.output, to.descriptor()?, self.filled)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => self.filled -= bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    /// An empty pipe is kept for reuse.
    fn drop(&mut self) {
        let _ = IN_USE.try_with(|count| count.set(count.get().saturating_sub(1)));
        if let Some(ends) = self.ends.take().filter(|_| self.filled == 0) {
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < MAX_POOLED_PIPES {
                    pool.push(ends);
                }
            });
        }
    }
}

fn create() -> Option<PipeEnds> {
    let descriptors = [descriptors::PROCESS.try_backend()?, descriptors::PROCESS.try_backend()?];
    let (output, input) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).ok()?;
    // A smaller pipe works too.
    let _ = fcntl(&input, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES as i32));
    Some(PipeEnds { output, input, _descriptors: descriptors })
}

fn move_bytes(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, max: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    splice(from, None, to, None, max, flags).map_err(io::Error::from)
}
