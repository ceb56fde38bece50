//! The calls of event handlers that a connection waits for.

use crate::realtime::protocols::signalr::Invocation;
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::task::AbortHandle;

/// A call that waits for the ones before it.
#[derive(Debug)]
pub struct PendingCall {
    /// `None`: the client expects no response.
    pub invocation_id: Option<Box<str>>,
    pub target: Box<str>,
    pub body: Bytes,
    /// Streams have no handler.
    pub is_stream: bool,
}

impl From<Invocation> for PendingCall {
    fn from(invocation: Invocation) -> PendingCall {
        let Invocation { invocation_id, target, has_streams, body } = invocation;
        PendingCall { invocation_id, target, body, is_stream: has_streams }
    }
}

impl PendingCall {
    /// A call that expects a stream.
    pub fn stream(invocation_id: Box<str>) -> PendingCall {
        let invocation_id = Some(invocation_id);
        PendingCall { invocation_id, target: Box::default(), body: Bytes::new(), is_stream: true }
    }
}

/// The calls of a connection.
#[derive(Debug, Default)]
pub struct Calls {
    pub pending: VecDeque<PendingCall>,
    pub bytes: usize,
    /// The task that makes them, while there are any.
    pub task: Option<AbortHandle>,
}

impl Calls {
    /// Whether there are none.
    pub fn is_idle(&self) -> bool {
        self.task.is_none()
    }

    /// Ends the call in progress, and drops the others.
    pub fn clear(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        (self.pending, self.bytes) = (VecDeque::new(), 0);
    }
}
