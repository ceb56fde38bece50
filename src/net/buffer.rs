//! Buffers lent by the worker: an idle connection holds none.

use super::io::Stream;
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

/// The usual size: a head and a small body fit.
const DEFAULT_CAPACITY: usize = 16 * 1024;
/// The size for bodies that keep coming: fewer calls for the same bytes.
const LARGE_CAPACITY: usize = 64 * 1024;
/// How many buffers of a size a worker keeps for the next borrower.
const MAX_RETAINED_BYTES: usize = 256;

thread_local! {
    static USUAL_ONES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE_ONES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static WRITERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were received and not used yet.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    /// Initialised memory; empty while nothing is lent.
    storage: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// What was received and not used yet.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Frees bytes that were used.
    pub fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Space to read into, at most so that `most` bytes are held in all; borrows memory if there is none.
    pub fn spare_capacity(&mut self, most: usize) -> &mut [u8] {
        if self.storage.is_empty() {
            self.storage = acquire(&USUAL_ONES, DEFAULT_CAPACITY);
        }
        if self.end == self.storage.len() && self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.storage.len() && self.storage.len() < most {
            let larger = (self.storage.len() * 2).min(most.max(DEFAULT_CAPACITY));
            self.storage.resize(larger, 0);
        }
        &mut self.storage[self.end..]
    }

    /// Reads once, so that at most `most` bytes are held; 0 is the end of the other side's sending.
    pub fn poll_read(&mut self, cx: &mut Context, io: &mut Stream, most: usize) -> Poll<io::Result<usize>> {
        let space = self.spare_capacity(most);
        if space.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let n = ready!(io.poll_read(cx, space))?;
        self.advance(n);
        Poll::Ready(Ok(n))
    }

    /// So many bytes were read into the space.
    pub fn advance(&mut self, n: usize) {
        self.end += n;
    }

    /// Whether a read filled all the space there was: more is waiting.
    pub fn is_full(&self) -> bool {
        self.end == self.storage.len()
    }

    /// Changes an empty buffer for a large one: a long body is coming.
    pub fn grow(&mut self) {
        if self.is_empty() && self.storage.len() < LARGE_CAPACITY {
            self.release_if_empty();
            self.storage = acquire(&LARGE_ONES, LARGE_CAPACITY);
        }
    }

    /// Gives the memory back if no bytes are held.
    pub fn release_if_empty(&mut self) {
        if !self.is_empty() || self.storage.is_empty() {
            return;
        }
        let mem = std::mem::take(&mut self.storage);
        match mem.len() {
            DEFAULT_CAPACITY => release(&USUAL_ONES, mem),
            LARGE_CAPACITY => release(&LARGE_ONES, mem),
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

/// Bytes about to be written.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    storage: Vec<u8>,
    start: usize,
}

impl WriteBuffer {
    /// Where to append; borrows memory if there is none.
    pub fn buf_mut(&mut self) -> &mut Vec<u8> {
        if self.storage.capacity() == 0 {
            self.storage =
                WRITERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(DEFAULT_CAPACITY));
        }
        &mut self.storage
    }

    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..]
    }

    pub fn len(&self) -> usize {
        self.storage.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.storage.len() == self.start
    }

    /// So many bytes were written; when all were, the memory goes back.
    pub fn consume_written(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.release_if_empty();
        }
    }

    fn release_if_empty(&mut self) {
        let mut mem = std::mem::take(&mut self.storage);
        self.start = 0;
        if (1..=LARGE_CAPACITY).contains(&mem.capacity()) {
            mem.clear();
            release(&WRITERS, mem);
        }
    }
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        self.release_if_empty();
    }
}

type BufferPool = std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>;

fn acquire(shelf: &'static BufferPool, size: usize) -> Vec<u8> {
    shelf.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; size])
}

/// Connections may be dropped while their thread ends: then there is no shelf any more, and none is needed.
fn release(shelf: &'static BufferPool, mem: Vec<u8>) {
    let _ = shelf.try_with(|shelf| {
        let mut shelf = shelf.borrow_mut();
        if shelf.len() < MAX_RETAINED_BYTES {
            shelf.push(mem);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_moves_its_bytes_before_it_grows_and_never_passes_its_bound() {
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
    fn an_empty_buffer_gives_its_memory_back() {
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
