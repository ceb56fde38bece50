//! Pooled read and write buffers of a worker. An idle connection holds none.

use super::io::Stream;
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

/// Default buffer size: a head and a small body fit.
const DEFAULT_CAPACITY: usize = 16 * 1024;
/// Buffer size for long bodies: fewer system calls for the same number of bytes.
const LARGE_CAPACITY: usize = 64 * 1024;
/// How many buffers of each size a worker keeps for reuse.
const MAX_POOLED_BUFFERS: usize = 256;

thread_local! {
    static DEFAULT_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static WRITE_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were received and not consumed yet.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    /// Initialized memory; empty while no buffer is acquired.
    storage: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// The received bytes that were not consumed yet.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// The number of bytes that were not consumed yet.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no bytes are held.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes consumed bytes from the front.
    pub fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Free space to read into, so that the buffer holds at most `max_len` bytes; acquires memory if there is none.
    pub fn spare_capacity(&mut self, max_len: usize) -> &mut [u8] {
        if self.storage.is_empty() {
            self.storage = acquire(&DEFAULT_BUFFERS, DEFAULT_CAPACITY);
        }
        if self.end == self.storage.len() && self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.storage.len() && self.storage.len() < max_len {
            let larger = (self.storage.len() * 2).min(max_len.max(DEFAULT_CAPACITY));
            self.storage.resize(larger, 0);
        }
        &mut self.storage[self.end..]
    }

    /// Reads once, so that at most `max_len` bytes are held; 0 is the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context,
        io: &mut Stream,
        max_len: usize,
    ) -> Poll<io::Result<usize>> {
        let space = self.spare_capacity(max_len);
        if space.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let n = ready!(io.poll_read(cx, space))?;
        self.advance(n);
        Poll::Ready(Ok(n))
    }

    /// Received bytes of an upgraded connection; holds no buffer while there are none.
    pub fn poll_received(&mut self, cx: &mut Context, io: &mut Stream) -> Poll<io::Result<&[u8]>> {
        if self.is_empty() {
            let read = self.poll_read(cx, io, LARGE_CAPACITY);
            if read.is_pending() {
                self.release_if_empty();
            }
            ready!(read)?;
        }
        Poll::Ready(Ok(self.bytes()))
    }

    /// Marks `n` bytes of the spare capacity as received.
    pub fn advance(&mut self, n: usize) {
        self.end += n;
    }

    /// Whether a read filled all the free space, so that more bytes are probably waiting.
    pub fn is_full(&self) -> bool {
        self.end == self.storage.len()
    }

    /// Replaces an empty buffer with a large one, for a long body.
    pub fn grow(&mut self) {
        if self.is_empty() && self.storage.len() < LARGE_CAPACITY {
            self.release_if_empty();
            self.storage = acquire(&LARGE_BUFFERS, LARGE_CAPACITY);
        }
    }

    /// Returns the memory to the pool if no bytes are held.
    pub fn release_if_empty(&mut self) {
        if !self.is_empty() || self.storage.is_empty() {
            return;
        }
        let storage = std::mem::take(&mut self.storage);
        match storage.len() {
            DEFAULT_CAPACITY => release(&DEFAULT_BUFFERS, storage),
            LARGE_CAPACITY => release(&LARGE_BUFFERS, storage),
            _ => {}
        }
        (self.start, self.end) = (0, 0);
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        (self.start, self.end) = (0, 0);
        self.release_if_empty();
    }
}

/// Bytes waiting to be written.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    storage: Vec<u8>,
    start: usize,
}

impl WriteBuffer {
    /// The buffer to append to; acquires memory if there is none.
    pub fn buf_mut(&mut self) -> &mut Vec<u8> {
        if self.storage.capacity() == 0 {
            self.storage = WRITE_BUFFERS
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| Vec::with_capacity(DEFAULT_CAPACITY));
        }
        &mut self.storage
    }

    /// The bytes that were not written yet.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..]
    }

    /// The number of bytes that were not written yet.
    pub fn len(&self) -> usize {
        self.storage.len() - self.start
    }

    /// Whether all bytes were written.
    pub fn is_empty(&self) -> bool {
        self.storage.len() == self.start
    }

    /// Removes `n` written bytes; releases the memory once all are written.
    pub fn consume_written(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.release_if_empty();
        }
    }

    fn release_if_empty(&mut self) {
        let mut storage = std::mem::take(&mut self.storage);
        self.start = 0;
        if (1..=LARGE_CAPACITY).contains(&storage.capacity()) {
            storage.clear();
            release(&WRITE_BUFFERS, storage);
        }
    }
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        self.release_if_empty();
    }
}

type BufferPool = std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>;

fn acquire(pool: &'static BufferPool, size: usize) -> Vec<u8> {
    pool.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; size])
}

/// A connection may be dropped while its thread ends, when the pool no longer exists.
fn release(pool: &'static BufferPool, storage: Vec<u8>) {
    let _ = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < MAX_POOLED_BUFFERS {
            pool.push(storage);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_compacts_before_it_grows_and_stays_within_its_limit() {
        let mut buffer = ReadBuffer::default();
        let n = buffer.spare_capacity(DEFAULT_CAPACITY).len();
        buffer.advance(n);
        assert!(buffer.spare_capacity(DEFAULT_CAPACITY).is_empty());
        buffer.consume(10);
        assert_eq!(buffer.spare_capacity(DEFAULT_CAPACITY).len(), 10);
        buffer.advance(10);
        assert_eq!(buffer.spare_capacity(3 * DEFAULT_CAPACITY).len(), DEFAULT_CAPACITY);
        buffer.advance(DEFAULT_CAPACITY);
        assert_eq!(buffer.spare_capacity(3 * DEFAULT_CAPACITY).len(), DEFAULT_CAPACITY);
        assert_eq!(buffer.len(), 2 * DEFAULT_CAPACITY);
    }

    #[test]
    fn an_empty_buffer_releases_its_memory() {
        let mut buffer = ReadBuffer::default();
        buffer.spare_capacity(DEFAULT_CAPACITY)[0] = 1;
        buffer.advance(1);
        buffer.release_if_empty();
        assert_eq!(buffer.bytes(), [1]);
        buffer.consume(1);
        buffer.release_if_empty();
        assert_eq!(buffer.storage.capacity(), 0);
    }
}
