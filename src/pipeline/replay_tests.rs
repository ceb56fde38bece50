use super::*;
use std::task::Waker;

/// A caller that has its body in pieces.
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

/// Reads so many bytes, or to the end.
fn read(body: &mut dyn BodyRead, most: usize) -> String {
    let (mut cx, mut read) = (Context::from_waker(Waker::noop()), Vec::new());
    while read.len() < most {
        let Poll::Ready(Ok(Chunk::Data(data))) = body.poll_fill(&mut cx) else { break };
        let n = data.len().min(most - read.len());
        read.extend_from_slice(&data[..n]);
        body.consume(n);
    }
    String::from_utf8(read).expect("text")
}

#[test]
fn a_body_is_read_again_from_the_beginning_and_on() {
    let mut caller = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut caller, 100);
    assert_eq!(read(&mut replay, 6), "one tw");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 2), "on");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 99), "one two three");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 99), "one two three");
}

#[test]
fn beyond_the_limit_it_goes_through_whole_and_once() {
    let mut caller = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut caller, 8);
    assert_eq!(read(&mut replay, 8), "one two ");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 10), "one two th");
    assert!(!replay.rewind());
    assert_eq!(read(&mut replay, 99), "ree");
}

#[test]
fn a_length_beyond_the_limit_is_not_kept_at_all() {
    let mut caller = Pieces { length: Some(13), ..Pieces::new(&[b"one ", b"two ", b"three"]) };
    let mut replay = ReplayBody::new(&mut caller, 12);
    assert!(replay.rewind(), "nothing was read yet");
    assert_eq!(read(&mut replay, 1), "o");
    assert!(!replay.rewind() && replay.buffer.is_empty());
    assert_eq!(read(&mut replay, 99), "ne two three");
}

/// An answer that takes the upload and remembers it.
struct Taker(Vec<u8>);

impl BodyRead for Taker {
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
fn an_early_answer_does_not_lose_what_was_kept_and_not_sent() {
    let mut caller = Pieces::new(&[b"one ", b"two ", b"three"]);
    let mut replay = ReplayBody::new(&mut caller, 100);
    assert_eq!(read(&mut replay, 8), "one two ");
    assert!(replay.rewind());
    assert_eq!(read(&mut replay, 2), "on");
    let Body::Stream(mut body) = replay.with_remaining_upload(Body::Stream(Box::new(Taker(Vec::new()))))
    else {
        panic!("a stream stays one")
    };
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.poll_upload(&mut cx, &mut caller).is_ready());
    let Poll::Ready(Ok(Chunk::Data(sent))) = body.poll_fill(&mut cx) else { panic!("bytes") };
    assert_eq!(sent, b"e two three");
}

#[test]
fn a_body_that_is_here_already_is_sent_as_often_as_needed_and_framed_as_it_came() {
    let mut caller = Pieces { length: Some(13), ..Pieces::new(&[]) };
    let mut replay = ReplayBody::from_buffered(Bytes::from_static(b"one two three"), &mut caller);
    assert_eq!((replay.framing(), replay.bytes_received()), (Framing::Length(13), 0));
    assert_eq!(read(&mut replay, 6), "one tw");
    assert_eq!(replay.bytes_received(), 6, "so much of it is gone in this attempt");
    assert!(replay.rewind() && replay.bytes_received() == 0);
    assert_eq!(read(&mut replay, 99), "one two three");
}
