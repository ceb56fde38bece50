//! Bodies on their way into the store.

use super::{super::entry::MemoryBudget, *};

/// A body in these parts; then it ends, or breaks.
struct Parts(Vec<&'static [u8]>, bool);

impl BodyRead for Parts {
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

type Landed = Arc<Mutex<Option<Option<Pieces>>>>;

struct Into(Landed, Arc<MemoryBudget>);

impl FillSink for Into {
    fn open(&self, _incoming: Arc<StreamingEntry>) {}

    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard> {
        self.1.try_reserve(bytes)
    }

    fn commit(&self, body: Option<Pieces>) {
        *self.0.lock().unwrap() = Some(body);
    }
}

fn filling(bound: u64) -> (Arc<StreamingFill>, Landed) {
    let landed = Landed::default();
    let budget = Arc::new(MemoryBudget { limit: bound, used: Arc::default() });
    (StreamingFill::new(Box::new(Into(landed.clone(), budget)), Some(6)), landed)
}

/// Reads to the end, a few bytes at a time.
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

fn stored(landed: &Landed) -> Option<Vec<u8>> {
    let landed = landed.lock().unwrap().clone().expect("an end");
    landed.map(|pieces| pieces.concat())
}

#[test]
fn what_is_read_is_kept_in_one_piece() {
    let (filling, landed) = filling(100);
    let mut tee = TeeBody::new(Box::new(Parts(vec![b"abc", b"def"], false)), filling.clone());
    assert_eq!(read(&mut tee), Ok(b"abcdef".to_vec()));
    assert_eq!(stored(&landed), Some(b"abcdef".to_vec()));
    assert_eq!(read(&mut filling.follow()), Ok(b"abcdef".to_vec()));
}

#[tokio::test]
async fn with_another_reader_the_body_goes_its_own_way() {
    let (filling, landed) = filling(100);
    let mut tee = TeeBody::new(Box::new(Parts(vec![b"abc", b"def"], false)), filling.clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(tee.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"abc")))));
    tee.consume(1);
    let mut follow = filling.follow();
    assert!(matches!(tee.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"bc")))));
    while landed.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!((read(&mut tee), read(&mut follow)), (Ok(b"bcdef".to_vec()), Ok(b"abcdef".to_vec())));
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_body_with_it_only_when_nobody_else_reads() {
    let (alone, nothing) = filling(100);
    drop(TeeBody::new(Box::new(Parts(vec![b"abcdef"], false)), alone));
    assert_eq!(stored(&nothing), None);
    let (shared, landed) = filling(100);
    let tee = TeeBody::new(Box::new(Parts(vec![b"abcdef"], false)), shared.clone());
    let _follow = shared.follow();
    drop(tee);
    while landed.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stored(&landed), Some(b"abcdef".to_vec()));
}

#[test]
fn a_broken_or_short_body_and_one_without_room_are_not_kept() {
    for (parts, broken, bound, read_well) in [
        (vec![&b"abc"[..]], true, 100, false),
        (vec![b"abc"], false, 100, true),
        (vec![b"abc", b"def"], false, 4, true),
    ] {
        let (filling, landed) = filling(bound);
        let mut tee = TeeBody::new(Box::new(Parts(parts, broken)), filling);
        assert_eq!(read(&mut tee).is_ok(), read_well);
        assert_eq!(stored(&landed), None);
    }
}
