//! The event stream of a link: the body of a response that ends with the connection.

use super::link::{Link, Phase};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::GatewayError,
};
use crate::telemetry::hubs::HubDirection;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

/// The first bytes: the client knows that the stream is open.
const FIRST_BYTES: &[u8] = b":\r\n";

/// The events of a link. Holds no memory while there are none.
#[derive(Debug)]
pub struct EventStream {
    link: Arc<Link>,
    buffer: Vec<u8>,
    consumed: usize,
    /// The last event is in the buffer.
    is_ending: bool,
}

impl EventStream {
    /// The stream of a link, which is attached.
    pub fn new(link: Arc<Link>) -> EventStream {
        EventStream { link, buffer: FIRST_BYTES.to_vec(), consumed: 0, is_ending: false }
    }

    /// Fills the buffer with events; registers the task if there are none.
    fn fill(&mut self, cx: &Context) {
        let mut state = self.link.state();
        let connection = match &state.phase {
            Phase::Handshake => {
                state.waker = Some(cx.waker().clone());
                return;
            }
            Phase::Rejected(response) => {
                self.buffer.extend_from_slice(b"data: ");
                self.buffer.extend_from_slice(response);
                self.buffer.extend_from_slice(b"\r\n\r\n");
                self.is_ending = true;
                return;
            }
            Phase::Ended => {
                self.is_ending = true;
                return;
            }
            Phase::Open(connection, _) | Phase::Closing(connection) => connection.clone(),
        };
        drop(state);
        let mut session = connection.session();
        session.queue.fill(&mut self.buffer, SystemTime::now);
        let written = session.queue.advance(self.buffer.len());
        if self.buffer.is_empty() {
            self.is_ending = !session.set_waker(cx.waker());
        }
        drop(session);
        self.link.hub.shared.metrics.count_messages(HubDirection::Out, written.messages, written.bytes);
    }
}

impl BodyRead for EventStream {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if self.consumed == self.buffer.len() && !self.is_ending {
            self.consumed = 0;
            self.buffer.clear();
            self.fill(cx);
        }
        if self.consumed < self.buffer.len() {
            return Poll::Ready(Ok(Chunk::Data(&self.buffer[self.consumed..])));
        }
        (self.buffer, self.consumed) = (Vec::new(), 0);
        if self.is_ending { Poll::Ready(Ok(Chunk::End)) } else { Poll::Pending }
    }

    fn consume(&mut self, n: usize) {
        self.consumed += n;
    }

    fn framing(&self) -> Framing {
        Framing::Chunked
    }
}

impl Drop for EventStream {
    /// The client is gone, or everything was sent.
    fn drop(&mut self) {
        self.link.close_normally();
        self.link.detach();
    }
}
