use super::*;
use crate::server::scripted_client::ScriptedClient;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
};

const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A response body of a script, which sends the request body to a backend meanwhile.
#[derive(Default)]
struct ScriptedBody {
    chunks: VecDeque<&'static [u8]>,
    /// The body does not end after its chunks.
    stalls: bool,
    /// The backend fails after the chunks.
    fails: bool,
    consumed_bytes: Arc<AtomicUsize>,
    uploaded_bytes: Arc<AtomicUsize>,
}

impl ScriptedBody {
    fn of(chunks: &[&'static [u8]]) -> ScriptedBody {
        ScriptedBody { chunks: chunks.iter().copied().collect(), ..ScriptedBody::default() }
    }

    fn into_body(self) -> Body {
        Body::Stream(Box::new(self))
    }
}

impl BodyRead for ScriptedBody {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        match self.chunks.front() {
            Some(chunk) => Poll::Ready(Ok(Chunk::Data(chunk))),
            None if self.fails => Poll::Ready(Err(GatewayError::malformed_response("a broken chunk"))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(Ok(Chunk::End)),
        }
    }

    fn consume(&mut self, n: usize) {
        self.consumed_bytes.fetch_add(n, Relaxed);
        if let Some(chunk) = self.chunks.pop_front()
            && n < chunk.len()
        {
            self.chunks.push_front(&chunk[n..]);
        }
    }

    fn framing(&self) -> Framing {
        Framing::Chunked
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        while let Chunk::Data(data) = ready!(from.poll_fill(cx))? {
            let n = data.len();
            from.consume(n);
            self.uploaded_bytes.fetch_add(n, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

/// Polls a new relay once.
fn poll_once(client: &mut ScriptedClient, body: &mut Body) -> Poll<Result<(), GatewayError>> {
    let mut relay = Relay {
        ended: false,
        upload_done: false,
        progressed: 0,
        idle_since: None,
        idle_timeout: IDLE_TIMEOUT,
    };
    relay.poll(&mut Context::from_waker(Waker::noop()), client, body)
}

#[test]
fn the_framing_follows_the_method_the_status_and_the_version() {
    let response = |status, body| {
        let mut response = Response::local(status, "text/plain", "");
        response.body = body;
        response
    };
    let streamed = || ScriptedBody::default().into_body();
    let bytes = || Body::Bytes(Bytes::from_static(b"abc"));
    assert_eq!(framing(&response(200, bytes()), false, Version::Http11), Framing::Length(3));
    assert_eq!(framing(&response(200, streamed()), false, Version::Http11), Framing::Chunked);
    assert_eq!(framing(&response(200, streamed()), false, Version::Http10), Framing::UntilClose);
    assert_eq!(framing(&response(200, bytes()), true, Version::Http11), Framing::None, "HEAD");
    assert_eq!(framing(&response(304, bytes()), false, Version::Http11), Framing::None);
}

#[tokio::test]
async fn a_streamed_body_reaches_the_client_in_order_and_ends() {
    let mut client = ScriptedClient::with_body(&[]);
    let mut body = ScriptedBody::of(&[b"one ", b"two ", b"three"]).into_body();
    assert!(relay(&mut client, &mut body, IDLE_TIMEOUT).await.is_ok());
    assert_eq!((client.body.as_slice(), client.is_ended), (&b"one two three"[..], true));
}

#[tokio::test]
async fn a_slow_client_stops_the_backend_until_it_reads_again() {
    let mut client = ScriptedClient { max_receive_bytes: Some(5), ..ScriptedClient::with_body(&[]) };
    let script = ScriptedBody::of(&[b"1234", b"5678"]);
    let consumed = script.consumed_bytes.clone();
    let mut body = script.into_body();
    assert!(poll_once(&mut client, &mut body).is_pending());
    assert_eq!((client.body.as_slice(), consumed.load(Relaxed)), (&b"12345"[..], 5), "nothing is buffered");
    client.max_receive_bytes = None;
    assert!(matches!(poll_once(&mut client, &mut body), Poll::Ready(Ok(()))));
    assert_eq!(client.body, b"12345678");
}

#[tokio::test]
async fn the_request_body_is_sent_while_the_response_stalls() {
    let mut client = ScriptedClient::with_body(&[b"abc", b"de"]);
    let script = ScriptedBody { stalls: true, ..ScriptedBody::of(&[b"early"]) };
    let uploaded = script.uploaded_bytes.clone();
    assert!(poll_once(&mut client, &mut script.into_body()).is_pending());
    assert_eq!((client.body.as_slice(), uploaded.load(Relaxed)), (&b"early"[..], 5));
}

#[tokio::test]
async fn a_body_that_the_backend_breaks_off_has_no_end() {
    let mut client = ScriptedClient::with_body(&[]);
    let mut body = ScriptedBody { fails: true, ..ScriptedBody::of(&[b"half"]) }.into_body();
    let result = relay(&mut client, &mut body, IDLE_TIMEOUT).await;
    assert_eq!(result.map_err(|error| error.code), Err(ErrorCode::BackendMalformed));
    assert_eq!((client.body.as_slice(), client.is_ended), (&b"half"[..], false));
}

#[tokio::test]
async fn a_body_that_is_shorter_than_its_content_length_is_truncated() {
    let mut client = ScriptedClient::with_body(&[]);
    client.send_head(&crate::pipeline::head::Head::response(200, b"OK"), Framing::Length(10), true);
    let mut body = ScriptedBody::of(&[b"half"]).into_body();
    let result = relay(&mut client, &mut body, IDLE_TIMEOUT).await;
    assert_eq!(result.map_err(|error| error.code), Err(ErrorCode::BackendTruncated));
}

#[tokio::test]
async fn a_client_that_disconnects_ends_the_relay() {
    let mut client = ScriptedClient { is_closed: true, ..ScriptedClient::with_body(&[]) };
    let mut body = ScriptedBody { stalls: true, ..ScriptedBody::default() }.into_body();
    let result = relay(&mut client, &mut body, IDLE_TIMEOUT).await;
    assert_eq!(result.map_err(|error| error.code), Err(ErrorCode::ClientClosed));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_truncated_after_the_idle_timeout() {
    let start = tokio::time::Instant::now();
    let mut client = ScriptedClient::with_body(&[]);
    let mut body = ScriptedBody { stalls: true, ..ScriptedBody::of(&[b"half"]) }.into_body();
    let result = relay(&mut client, &mut body, IDLE_TIMEOUT).await;
    assert_eq!(result.map_err(|error| error.code), Err(ErrorCode::BackendTruncated));
    assert!(start.elapsed() >= IDLE_TIMEOUT, "{:?}", start.elapsed());
}
