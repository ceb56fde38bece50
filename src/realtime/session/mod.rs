//! The session of one connection: what outlives its sockets. A state machine without sockets, clocks and hubs: the engine
//! passes messages and times in, and takes frames out.

pub mod acks;
pub mod queue;
pub mod rate;
pub mod streams;
#[cfg(test)]
mod tests;

use super::{
    message::{Publication, ServerMessage},
    permissions::Permissions,
    protocols::{self, Subprotocol, signalr::Framing},
};
use acks::AckLog;
use queue::OutboundQueue;
use rate::MessageRate;
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};
use streams::Streams;
use tokio::task::AbortHandle;

/// A user event that waits for the ones before it.
#[derive(Debug)]
pub struct PendingEvent {
    pub event: Box<str>,
    pub ack_id: Option<u64>,
    pub payload: super::message::Payload,
}

/// Calls of event handlers in progress; they end with the session.
#[derive(Debug, Default)]
pub struct HandlerCalls {
    /// User events, processed one after the other.
    pub events: VecDeque<PendingEvent>,
    pub queued_bytes: usize,
    /// The task that processes them, while there are any.
    pub task: Option<AbortHandle>,
    pub invocations: Vec<(Box<str>, AbortHandle)>,
}

impl Drop for HandlerCalls {
    fn drop(&mut self) {
        self.task.iter().chain(self.invocations.iter().map(|(_, call)| call)).for_each(AbortHandle::abort);
    }
}

/// The socket of a session.
#[derive(Debug, Default)]
pub struct Socket {
    /// Wakes the task of the socket; `None` before its first poll.
    pub waker: Option<std::task::Waker>,
    /// Pings without a pong.
    pub missed_pongs: u8,
    /// The socket is closed as soon as the queue is written.
    pub is_closing: bool,
    /// The socket is closed without writing anything more.
    pub is_aborted: bool,
}

/// The state of a session.
#[derive(Debug, Default)]
pub struct Session {
    pub queue: OutboundQueue,
    /// Sorted.
    pub groups: Vec<Arc<str>>,
    pub permissions: Permissions,
    pub acks: Box<AckLog>,
    pub streams: Option<Box<Streams>>,
    pub calls: Option<Box<HandlerCalls>>,
    pub rate: Option<Box<MessageRate>>,
    /// `ce-connectionState`, verbatim.
    pub state: Option<Arc<str>>,
    pub socket: Option<Socket>,
    /// Publications that an adopted session has received and may receive again.
    pub seen: Option<Box<HashSet<(u64, u64)>>>,
    /// Counts the sockets: one that was replaced has an older number.
    pub epoch: u32,
    /// When a session without a socket ends.
    pub expires_at: Option<Instant>,
    /// Secrets of the last two sockets.
    pub recovery_keys: [Option<[u8; RECOVERY_KEY_BYTES]>; 2],
    pub is_ended: bool,
}

/// Length of the secret in a recovery token.
pub const RECOVERY_KEY_BYTES: usize = 18;

/// What a full queue means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    Queued,
    /// The queue exceeds its limits: the session must end.
    Overflow,
    /// The session has ended; nothing is queued.
    Ended,
}

/// Limits of the queue of one connection.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    pub max_messages: usize,
    pub max_bytes: usize,
    /// Without a socket.
    pub max_detached_bytes: usize,
}

impl Session {
    /// Queues published data and wakes the socket.
    pub fn push_publication(
        &mut self,
        publication: &Arc<Publication>,
        subprotocol: Subprotocol,
        limits: QueueLimits,
    ) -> Push {
        let is_closing = self.is_closing();
        if self.is_ended || (is_closing && !subprotocol.is_reliable()) {
            return Push::Ended;
        }
        if let (Some(seen), Some(id)) = (&mut self.seen, publication.id)
            && !seen.insert(id)
        {
            return Push::Queued;
        }
        if is_closing {
            // For the next socket of the session.
            self.queue.keep_publication(publication.clone(), subprotocol);
        } else {
            self.queue.push_publication(publication.clone(), subprotocol);
            self.wake();
        }
        self.check_limits(limits)
    }

    /// Queues a control message; simple clients receive none.
    pub fn push_control(&mut self, message: &ServerMessage, subprotocol: Subprotocol) {
        if self.is_ended || self.socket.is_none() || self.is_closing() {
            return;
        }
        self.push_control_frame(message, subprotocol);
    }

    fn push_control_frame(&mut self, message: &ServerMessage, subprotocol: Subprotocol) {
        let mut body = Vec::new();
        protocols::encode_control(subprotocol, message, &mut body);
        if !body.is_empty() {
            self.push_frame(protocols::framed(subprotocol, &body));
        }
    }

    /// Queues the body of a message that is not published data.
    pub fn push_message(&mut self, body: &[u8], subprotocol: Subprotocol) {
        if !self.is_ended && self.socket.is_some() && !self.is_closing() {
            self.push_frame(protocols::framed(subprotocol, body));
        }
    }

    /// Sets what is woken when something is queued; false: nothing is queued any more.
    pub fn set_waker(&mut self, waker: &std::task::Waker) -> bool {
        match &mut self.socket {
            Some(socket) if !socket.is_closing && !socket.is_aborted => {
                socket.waker = Some(waker.clone());
                true
            }
            _ => false,
        }
    }

    /// Queues a complete frame, such as a pong.
    pub fn push_frame(&mut self, frame: Vec<u8>) {
        self.queue.push_frame(frame.into());
        self.wake();
    }

    /// Whether the queue exceeds the limits.
    pub fn check_limits(&self, limits: QueueLimits) -> Push {
        let max_bytes = match &self.socket {
            Some(_) => limits.max_bytes,
            None => limits.max_bytes.min(limits.max_detached_bytes),
        };
        let is_over = self.queue.messages() > limits.max_messages || self.queue.bytes() > max_bytes;
        if is_over { Push::Overflow } else { Push::Queued }
    }

    /// Ends the session: queues the last frames for its socket. `discards_queue`: what is not written yet is dropped.
    pub fn end(&mut self, farewell: Option<&ServerMessage>, close: Vec<u8>, options: EndOptions) {
        self.is_ended = true;
        self.calls = None;
        if options.discards_queue {
            self.queue.discard_unwritten();
        }
        self.close_socket(farewell, close, options.subprotocol);
    }

    /// Closes the socket after the queue is written; the session stays unless it has ended.
    pub fn close_socket(
        &mut self,
        farewell: Option<&ServerMessage>,
        close: Vec<u8>,
        subprotocol: Subprotocol,
    ) {
        if self.socket.is_none() || self.is_closing() {
            return;
        }
        if let Some(message) = farewell {
            self.push_control_frame(message, subprotocol);
        }
        if subprotocol.framing() == Framing::WebSocket {
            self.push_frame(close);
        }
        if let Some(socket) = &mut self.socket {
            socket.is_closing = true;
        }
    }

    /// Closes the socket at once.
    pub fn abort_socket(&mut self, epoch: u32) {
        if let Some(socket) = self.socket.as_mut().filter(|_| self.epoch == epoch) {
            socket.is_aborted = true;
        }
        self.wake();
    }

    /// Attaches a new socket, which replaces the old one: the unacknowledged messages are queued again behind `first`.
    pub fn attach(&mut self, first: Option<&ServerMessage>, subprotocol: Subprotocol) -> u32 {
        let mut body = Vec::new();
        if let Some(message) = first {
            protocols::encode_control(subprotocol, message, &mut body);
        }
        self.attach_with(&body, subprotocol)
    }

    /// The same with the body of the first message; an empty one is not sent.
    pub fn attach_with(&mut self, first: &[u8], subprotocol: Subprotocol) -> u32 {
        self.wake();
        self.epoch += 1;
        self.expires_at = None;
        self.queue.restart();
        self.socket = Some(Socket::default());
        if !first.is_empty() {
            self.push_frame(protocols::framed(subprotocol, first));
        }
        self.queue.requeue_unacknowledged();
        self.epoch
    }

    /// Removes the socket, unless it was replaced; whether it was this one.
    pub fn detach(&mut self, epoch: u32) -> bool {
        if self.epoch != epoch || self.socket.is_none() {
            return false;
        }
        self.socket = None;
        self.queue.restart();
        true
    }

    /// Whether the last frame of the socket is queued.
    pub fn is_closing(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.is_closing)
    }

    /// Wakes the task of the socket.
    pub fn wake(&self) {
        if let Some(waker) = self.socket.as_ref().and_then(|socket| socket.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    /// Whether the connection is a member of the group.
    pub fn is_member(&self, group: &str) -> bool {
        self.position(group).is_ok()
    }

    /// Adds a group; false if it was a member.
    pub fn add_group(&mut self, group: &Arc<str>) -> bool {
        match self.position(group) {
            Ok(_) => false,
            Err(at) => {
                if self.groups.capacity() == 0 {
                    self.groups.reserve_exact(1);
                }
                self.groups.insert(at, group.clone());
                true
            }
        }
    }

    /// Removes a group; false if it was no member.
    pub fn remove_group(&mut self, group: &str) -> bool {
        match self.position(group) {
            Ok(at) => {
                self.groups.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    fn position(&self, group: &str) -> Result<usize, usize> {
        self.groups.binary_search_by(|known| (**known).cmp(group))
    }

    /// The calls of event handlers in progress.
    pub fn calls_mut(&mut self) -> &mut HandlerCalls {
        self.calls.get_or_insert_default()
    }
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub struct EndOptions {
    pub subprotocol: Subprotocol,
    /// What is not written yet is dropped: the client does not read.
    pub discards_queue: bool,
}
