use super::*;
use crate::base::budget::Budget;
use std::task::Waker;

/// The charge of a buffer, with this much memory for buffers.
fn charge(capacity: usize) -> BufferCharge {
    BufferCharge::new(Budget::new(capacity), [192, 0, 2, 1].into())
}

/// A client that sends its body in pieces.
struct Pieces {
    pieces: Vec<&'static [u8]>,
    received: u64,
    length: Option<u64>,
}

impl Pieces {
    fn new(pieces: &[&'static [u8]]) -> Pieces {
        Pieces { pieces: pieces.to_vec(), received: 0, length: None }
    }
}

impl BodyRead for Pieces {
    fn poll_fill(&mut self, _: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(Ok(self.pieces.first().map_or(Chunk::End, |piece| Chunk::Data(piece))))
    }

    fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.pieces[0] = &self.pieces[0][n..];
        self.pieces.retain(|piece| !piece.is_empty());
    }

    fn framing(&self) -> Framing {
        self.length.map_or(Framing::Chunked, Framing::Length)
    }
}

impl ClientBody for Pieces {
    fn poll_closed(&mut self, _: &mut Context) -> Poll<()> {
        Poll::Pending
    }
    fn poll_deadline(&mut self, _: &mut Context, _: Instant) -> Poll<()> {
        Poll::Pending
    }
    fn send_informational(&mut self, _: &Head, _: &mut Context) {}
    fn bytes_received(&self) -> u64 {
        self.received
    }
    fn limit_body(&mut self, _: u64) {}
    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// Reads up to `max_bytes`, or to the end.
fn read(body: &mut dyn BodyRead, max_bytes: usize) -> String {
    let (mut cx, mut read) = (Context::from_waker(Waker::noop()), Vec::new());
    while read.len() < max_bytes {
        let Poll::Ready(Ok(Chunk::Data(data))) = body.poll_fill(&mut cx) else { break };
        let n = data.len().min(max_bytes - read.len());
        read.extend_from_slice(&data[..n]);
        body.consume(n);
    }
    String::from_utf8(read).expect("text")
}

#[test]
fn a_replay_starts_from_the_beginning_and_continues_with_the_client() {
    let mut client = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut client, 100, charge(usize::MAX));
    assert_eq!(read(&mut replay, 6), "one tw");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 2), "on");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 99), "one two three");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 99), "one two three");
}

#[test]
fn a_body_beyond_the_limit_is_sent_completely_but_once() {
    let mut client = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut client, 8, charge(usize::MAX));
    assert_eq!(read(&mut replay, 8), "one two ");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 10), "one two th");
    assert!(!replay.rewind());
    assert_eq!(read(&mut replay, 99), "ree");
}

#[test]
fn a_declared_length_beyond_the_limit_is_not_buffered() {
    let mut client = Pieces { length: Some(13), ..Pieces::new(&[b"one ", b"two ", b"three"]) };
    let mut replay = ReplayBody::new(&mut client, 12, charge(usize::MAX));
    assert!(replay.rewind(), "nothing was read yet");
    assert_eq!(read(&mut replay, 1), "o");
    assert!(!replay.rewind() && replay.buffer.is_empty());
    assert_eq!(read(&mut replay, 99), "ne two three");
}

/// A response body that records the upload.
struct UploadRecorder(Vec<u8>);

impl BodyRead for UploadRecorder {
    fn poll_fill(&mut self, _: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(Ok(Chunk::Data(&self.0)))
    }
    fn consume(&mut self, _: usize) {}
    fn framing(&self) -> Framing {
        Framing::Chunked
    }
    fn poll_upload(&mut self, _: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        self.0.extend(read(from, 99).into_bytes());
        Poll::Ready(Ok(()))
    }
}

#[test]
fn an_early_response_does_not_lose_buffered_unsent_bytes() {
    let mut client = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut client, 100, charge(usize::MAX));
    assert_eq!(read(&mut replay, 8), "one two ");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 2), "on");
    let Body::Stream(mut body) =
        replay.with_remaining_upload(Body::Stream(Box::new(UploadRecorder(Vec::new()))))
    else {
        panic!("expected a stream")
    };
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.poll_upload(&mut cx, &mut client).is_ready());
    let Poll::Ready(Ok(Chunk::Data(sent))) = body.poll_fill(&mut cx) else { panic!("bytes") };
    assert_eq!(sent, b"e two three");
}

#[test]
fn a_collected_body_can_be_replayed_with_its_original_framing() {
    let mut client = Pieces { length: Some(13), ..Pieces::new(&[]) };
    let mut replay = ReplayBody::from_buffered(Bytes::from_static(b"one two three"), &mut client);
    assert_eq!((replay.framing(), replay.bytes_received()), (Framing::Length(13), 0));
    assert_eq!(read(&mut replay, 6), "one tw");
    assert_eq!(replay.bytes_received(), 6, "counted per attempt");
    assert!(replay.rewind() && replay.bytes_received() == 0);
    assert_eq!(read(&mut replay, 99), "one two three");
}

#[test]
fn without_memory_a_body_is_neither_read_ahead_nor_kept() {
    let mut client = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut client, 100, charge(0));
    let ahead = replay.poll_read_ahead(&mut Context::from_waker(Waker::noop()), 100);
    assert!(matches!(ahead, Poll::Ready(Ok(()))) && replay.buffered_bytes() == 0);
    assert_eq!(read(&mut replay, 6), "one tw");
    assert!(!replay.rewind());
    assert_eq!(read(&mut replay, 99), "o three");
}

#[test]
fn the_memory_of_a_body_is_charged_until_it_is_dropped() {
    let budget = Budget::new(1 << 20);
    let mut client = Pieces::new(&[b"one ", b"two "]);
    let mut replay =
        ReplayBody::new(&mut client, 4, BufferCharge::new(budget.clone(), [192, 0, 2, 1].into()));
    assert_eq!(read(&mut replay, 4), "one ");
    assert!(budget.used() > 0);
    assert_eq!(read(&mut replay, 99), "two ");
    assert_eq!(budget.used(), 0, "a body that cannot be sent again is not kept");
}
