//! Buffers lent by the worker: an idle connection holds none.

use super::io::Io;
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

/// The usual size: a head and a small body fit.
const USUAL: usize = 16 * 1024;
/// The size for bodies that keep coming: fewer calls for the same bytes.
const LARGE: usize = 64 * 1024;
/// How many buffers of a size a worker keeps for the next borrower.
const KEPT: usize = 256;

thread_local! {
    static USUAL_ONES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE_ONES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static WRITERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were received and not used yet.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    /// Initialised memory; empty while nothing is lent.
    mem: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// What was received and not used yet.
    pub fn bytes(&self) -> &[u8] {
        &self.mem[self.start..self.end]
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
    pub fn space(&mut self, most: usize) -> &mut [u8] {
        if self.mem.is_empty() {
            self.mem = borrow(&USUAL_ONES, USUAL);
        }
        if self.end == self.mem.len() && self.start > 0 {
            self.mem.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.mem.len() && self.mem.len() < most {
            let larger = (self.mem.len() * 2).min(most.max(USUAL));
            self.mem.resize(larger, 0);
        }
        &mut self.mem[self.end..]
    }

    /// Reads once, so that at most `most` bytes are held; 0 is the end of the other side's sending.
    pub fn poll_read(&mut self, cx: &mut Context, io: &mut Io, most: usize) -> Poll<io::Result<usize>> {
        let space = self.space(most);
        if space.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let n = ready!(io.poll_read(cx, space))?;
        self.filled(n);
        Poll::Ready(Ok(n))
    }

    /// So many bytes were read into the space.
    pub fn filled(&mut self, n: usize) {
        self.end += n;
    }

    /// Whether a read filled all the space there was: more is waiting.
    pub fn is_full(&self) -> bool {
        self.end == self.mem.len()
    }

    /// Changes an empty buffer for a large one: a long body is coming.
    pub fn enlarge(&mut self) {
        if self.is_empty() && self.mem.len() < LARGE {
            self.give_back();
            self.mem = borrow(&LARGE_ONES, LARGE);
        }
    }

    /// Gives the memory back if no bytes are held.
    pub fn give_back(&mut self) {
        if !self.is_empty() || self.mem.is_empty() {
            return;
        }
        let mem = std::mem::take(&mut self.mem);
        match mem.len() {
            USUAL => lend_back(&USUAL_ONES, mem),
            LARGE => lend_back(&LARGE_ONES, mem),
            _ => {}
        }
        (self.start, self.end) = (0, 0);
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        (self.start, self.end) = (0, 0);
        self.give_back();
    }
}

/// Bytes about to be written.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    mem: Vec<u8>,
    start: usize,
}

impl WriteBuffer {
    /// Where to append; borrows memory if there is none.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.mem.capacity() == 0 {
            self.mem = WRITERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(USUAL));
        }
        &mut self.mem
    }

    pub fn bytes(&self) -> &[u8] {
        &self.mem[self.start..]
    }

    pub fn len(&self) -> usize {
        self.mem.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.mem.len() == self.start
    }

    /// So many bytes were written; when all were, the memory goes back.
    pub fn written(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let mut mem = std::mem::take(&mut self.mem);
        self.start = 0;
        if (1..=LARGE).contains(&mem.capacity()) {
            mem.clear();
            lend_back(&WRITERS, mem);
        }
    }
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        self.give_back();
    }
}

type Shelf = std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>;

fn borrow(shelf: &'static Shelf, size: usize) -> Vec<u8> {
    shelf.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; size])
}

/// Connections may be dropped while their thread ends: then there is no shelf any more, and none is needed.
fn lend_back(shelf: &'static Shelf, mem: Vec<u8>) {
    let _ = shelf.try_with(|shelf| {
        let mut shelf = shelf.borrow_mut();
        if shelf.len() < KEPT {
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
        let n = buffer.space(USUAL).len();
        buffer.filled(n);
        assert!(buffer.space(USUAL).is_empty());
        buffer.consume(10);
        assert_eq!(buffer.space(USUAL).len(), 10);
        buffer.filled(10);
        assert_eq!(buffer.space(3 * USUAL).len(), USUAL);
        buffer.filled(USUAL);
        assert_eq!(buffer.space(3 * USUAL).len(), USUAL);
        assert_eq!(buffer.len(), 2 * USUAL);
    }

    #[test]
    fn an_empty_buffer_gives_its_memory_back() {
        let mut buffer = ReadBuffer::default();
        buffer.space(USUAL)[0] = 1;
        buffer.filled(1);
        buffer.give_back();
        assert_eq!(buffer.bytes(), [1]);
        buffer.consume(1);
        buffer.give_back();
        assert_eq!(buffer.mem.capacity(), 0);
    }
}
