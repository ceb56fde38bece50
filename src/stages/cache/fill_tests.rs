//! Tests of bodies that are stored while they are sent.

use super::{
    super::{
        entry::{MemoryBudget, MemoryGuard, Pieces},
        streaming_fill::{FillSink, StreamingEntry},
    },
    *,
};
use std::{sync::Mutex, task::Waker};

/// A body with these chunks; then it ends, or fails.
struct ScriptedBody(Vec<&'static [u8]>, bool);

impl BodyRead for ScriptedBody {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(match (self.0.first(), self.1) {
            (Some(part), _) => Ok(Chunk::Data(part)),
            (None, true) => Err(GatewayError::client_closed()),
            (None, false) => Ok(Chunk::End),
        })
    }

    fn consume(&mut self, n: usize) {
        self.0[0] = &self.0[0][n..];
        if self.0[0].is_empty() {
            self.0.remove(0);
        }
    }

    fn framing(&self) -> Framing {
        Framing::Length(6)
    }
}

type StoredBody = Arc<Mutex<Option<Option<Pieces>>>>;

struct TestSink(StoredBody, Arc<MemoryBudget>);

impl FillSink for TestSink {
    fn open(&self, _streaming: Arc<StreamingEntry>) {}

    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard> {
        self.1.try_reserve(bytes)
    }

    fn commit(&self, body: Option<Pieces>) {
        *self.0.lock().unwrap() = Some(body);
    }
}

fn fill(max_bytes: u64) -> (Arc<StreamingFill>, StoredBody) {
    fill_of(max_bytes, Some(6))
}

fn fill_of(max_bytes: u64, length: Option<u64>) -> (Arc<StreamingFill>, StoredBody) {
    let stored_body = StoredBody::default();
    let budget = Arc::new(MemoryBudget { limit: max_bytes, used: Arc::default() });
    (StreamingFill::new(Box::new(TestSink(stored_body.clone(), budget)), length), stored_body)
}

/// Reads to the end, two bytes at a time.
fn read(body: &mut dyn BodyRead) -> Result<Vec<u8>, ()> {
    let (mut cx, mut all) = (Context::from_waker(Waker::noop()), Vec::new());
    loop {
        let n = match body.poll_fill(&mut cx) {
            Poll::Ready(Ok(Chunk::Data(data))) => {
                let n = data.len().min(2);
                all.extend_from_slice(&data[..n]);
                n
            }
            Poll::Ready(Ok(Chunk::End)) => return Ok(all),
            _ => return Err(()),
        };
        body.consume(n);
    }
}

fn stored(stored_body: &StoredBody) -> Option<Vec<u8>> {
    let stored_body = stored_body.lock().unwrap().clone().expect("an end");
    stored_body.map(|pieces| pieces.concat())
}

#[test]
fn a_body_that_is_read_is_stored_in_one_piece() {
    let (fill, stored_body) = fill(100);
    let mut tee = TeeBody::new(Box::new(ScriptedBody(vec![b"abc", b"def"], false)), fill.clone());
    assert_eq!(read(&mut tee), Ok(b"abcdef".to_vec()));
    assert_eq!(stored(&stored_body), Some(b"abcdef".to_vec()));
    assert_eq!(read(&mut fill.follow()), Ok(b"abcdef".to_vec()));
}

#[tokio::test]
async fn with_a_follower_the_body_moves_into_its_own_task() {
    let (fill, stored_body) = fill(100);
    let mut tee = TeeBody::new(Box::new(ScriptedBody(vec![b"abc", b"def"], false)), fill.clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(tee.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"abc")))));
    tee.consume(1);
    let mut reader = fill.follow();
    assert!(matches!(tee.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"bc")))));
    while stored_body.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!((read(&mut tee), read(&mut reader)), (Ok(b"bcdef".to_vec()), Ok(b"abcdef".to_vec())));
}

#[tokio::test]
async fn a_disconnect_aborts_the_body_only_without_followers() {
    let (unshared, unstored) = fill(100);
    drop(TeeBody::new(Box::new(ScriptedBody(vec![b"abcdef"], false)), unshared));
    assert_eq!(stored(&unstored), None);
    let (shared, stored_body) = fill(100);
    let tee = TeeBody::new(Box::new(ScriptedBody(vec![b"abcdef"], false)), shared.clone());
    let _reader = shared.follow();
    drop(tee);
    while stored_body.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stored(&stored_body), Some(b"abcdef".to_vec()));
}

#[test]
fn broken_short_and_oversized_bodies_are_not_stored() {
    for (parts, broken, max_bytes, complete) in [
        (vec![&b"abc"[..]], true, 100, false),
        (vec![b"abc"], false, 100, true),
        (vec![b"abc", b"def"], false, 4, true),
    ] {
        let (fill, stored_body) = fill(max_bytes);
        let mut tee = TeeBody::new(Box::new(ScriptedBody(parts, broken)), fill);
        assert_eq!(read(&mut tee).is_ok(), complete);
        assert_eq!(stored(&stored_body), None);
    }
}

/// Polls the body as a client that reads no byte of it, until the fill has ended.
async fn stall(tee: &mut TeeBody, stored_body: &StoredBody) {
    while stored_body.lock().unwrap().is_none() {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!matches!(tee.poll_fill(&mut cx), Poll::Ready(Err(_))));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_completed_without_its_client_once_another_waits() {
    let (fill, stored_body) = fill_of(100, None);
    let mut tee = TeeBody::new(Box::new(ScriptedBody(vec![b"abc", b"def"], false)), fill.clone());
    assert!(!fill.is_open());
    fill.request_detach();
    stall(&mut tee, &stored_body).await;
    assert_eq!(stored(&stored_body), Some(b"abcdef".to_vec()));
    assert_eq!(read(&mut tee), Ok(b"abcdef".to_vec()));
}

#[tokio::test]
async fn a_body_of_unknown_length_that_does_not_fit_is_handed_back_to_its_client() {
    let (fill, stored_body) = fill_of(4, None);
    let mut tee = TeeBody::new(Box::new(ScriptedBody(vec![b"abc", b"def"], false)), fill.clone());
    fill.request_detach();
    stall(&mut tee, &stored_body).await;
    assert_eq!(stored(&stored_body), None);
    assert_eq!(read(&mut tee), Ok(b"abcdef".to_vec()));
}
