//! What the users of shared state handle: errors and messages.

use ::redis::Value;
use bytes::Bytes;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// Why there is no usable reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// There is no connection, or the circuit is open: nothing was sent.
    Unavailable,
    /// The deadline passed; the command may have been executed.
    Timeout(Duration),
    /// The connection was lost before the reply; the command may have been executed.
    Lost,
    /// An error reply.
    Server(String),
    /// A reply of the wrong type, or a value in an unknown format.
    Reply(String),
}

impl StateError {
    /// The label value of the metric.
    pub fn reason(&self) -> &'static str {
        match self {
            StateError::Unavailable => "unavailable",
            StateError::Timeout(_) => "timeout",
            StateError::Lost => "connection",
            StateError::Server(_) => "server",
            StateError::Reply(_) => "reply",
        }
    }

    /// A reply whose type is not the expected one; its content is not shown.
    pub fn unexpected(reply: &Value) -> StateError {
        let kind = match reply {
            Value::Nil => "nil",
            Value::Int(_) => "an integer",
            Value::BulkString(_) | Value::SimpleString(_) => "a string",
            Value::Array(_) => "an array",
            _ => "another type",
        };
        StateError::Reply(format!("unexpected reply: {kind}"))
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            StateError::Unavailable => f.write_str("the shared state is not available"),
            StateError::Timeout(timeout) => write!(f, "no reply within {timeout:?}"),
            StateError::Lost => f.write_str("the connection was lost"),
            StateError::Server(text) | StateError::Reply(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StateError {}

/// What a subscription receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A message of a channel.
    Message { channel: Arc<str>, payload: Bytes },
    /// The subscription is active. Messages sent before this notice may have been lost.
    Subscribed,
}

/// The queue of one subscriber; its capacity bounds what a slow subscriber holds.
#[derive(Clone, Debug)]
pub(super) struct NoticeSender {
    sender: mpsc::Sender<Notice>,
    lost: Arc<AtomicBool>,
    is_subscribed: Arc<AtomicBool>,
}

impl NoticeSender {
    /// Reports once that the subscription is active.
    pub fn set_subscribed(&self) {
        if !self.is_subscribed.swap(true, Relaxed) {
            self.send(Notice::Subscribed);
        }
    }

    /// The connection was lost: the next one is reported again.
    pub fn set_lost(&self) {
        self.is_subscribed.store(false, Relaxed);
    }

    /// Adds a notice; a full queue drops it, and the subscriber gets `Subscribed` instead.
    pub fn send(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.lost.store(true, Relaxed);
        }
    }

    /// Whether the subscriber is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Receives the messages of a channel; ends the subscription when dropped.
#[derive(Debug)]
pub struct Subscription {
    receiver: mpsc::Receiver<Notice>,
    lost: Arc<AtomicBool>,
}

impl Subscription {
    /// A subscription, and the sender of its notices.
    pub(super) fn channel(capacity: usize) -> (NoticeSender, Subscription) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let lost = Arc::<AtomicBool>::default();
        (
            NoticeSender { sender, lost: lost.clone(), is_subscribed: Arc::default() },
            Subscription { receiver, lost },
        )
    }

    /// The next notice; `None` when the shared state ends.
    pub async fn recv(&mut self) -> Option<Notice> {
        if self.lost.swap(false, Relaxed) {
            return Some(Notice::Subscribed);
        }
        self.receiver.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_subscriber_that_is_too_slow_learns_that_messages_were_lost() {
        let (sender, mut subscription) = Subscription::channel(1);
        let message = |payload| Notice::Message { channel: "c".into(), payload: Bytes::from_static(payload) };
        sender.send(message(b"1"));
        sender.send(message(b"2"));
        assert_eq!(subscription.recv().await, Some(Notice::Subscribed));
        assert_eq!(subscription.recv().await, Some(message(b"1")));
        drop(subscription);
        assert!(sender.is_closed());
    }
}
