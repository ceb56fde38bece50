//! The outgoing messages of a node: one task sends them in order, several in one round trip.

use crate::state::{Cmd, Pipeline, SharedState};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Most messages that wait.
const QUEUE_CAPACITY: usize = 16 * 1024;
/// Most bytes that wait.
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Most messages and bytes of one round trip.
const MAX_BATCH_MESSAGES: usize = 256;
const MAX_BATCH_BYTES: usize = 4 << 20;
/// How long a round trip may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Resolves to whether the message was accepted.
pub type Accepted = oneshot::Receiver<bool>;

struct Outgoing {
    channel: Arc<str>,
    payload: Vec<u8>,
    accepted: oneshot::Sender<bool>,
}

/// The queue of outgoing messages.
#[derive(Clone, Debug)]
pub struct Publisher {
    sender: mpsc::Sender<Outgoing>,
    queued_bytes: Arc<Mutex<usize>>,
}

impl Publisher {
    /// Starts the task.
    pub fn start(state: &Arc<SharedState>) -> Publisher {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        let queued_bytes = Arc::<Mutex<usize>>::default();
        state.spawn(publish_all(state.clone(), receiver, queued_bytes.clone()));
        Publisher { sender, queued_bytes }
    }

    /// Queues a message; one that finds a full queue is not accepted.
    pub fn publish(&self, channel: &Arc<str>, payload: Vec<u8>) -> Accepted {
        let (accepted, receiver) = oneshot::channel();
        let len = payload.len();
        let mut queued = self.queued_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if *queued + len <= MAX_QUEUED_BYTES {
            let outgoing = Outgoing { channel: channel.clone(), payload, accepted };
            if self.sender.try_send(outgoing).is_ok() {
                *queued += len;
            }
        }
        receiver
    }
}

/// Sends what is queued until the publisher is dropped.
async fn publish_all(
    state: Arc<SharedState>,
    mut receiver: mpsc::Receiver<Outgoing>,
    queued_bytes: Arc<Mutex<usize>>,
) {
    while let Some(first) = receiver.recv().await {
        let mut bytes = first.payload.len();
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES {
            let Ok(next) = receiver.try_recv() else { break };
            bytes += next.payload.len();
            batch.push(next);
        }
        *queued_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        let mut pipeline = Pipeline::new();
        for outgoing in &batch {
            let mut command = Cmd::new();
            command.arg("PUBLISH").arg(&*outgoing.channel).arg(&outgoing.payload[..]);
            pipeline.add_command(command);
        }
        let is_accepted = state.pipeline(&pipeline, PUBLISH_TIMEOUT).await.is_ok();
        for outgoing in batch {
            let _ = outgoing.accepted.send(is_accepted);
        }
    }
}
