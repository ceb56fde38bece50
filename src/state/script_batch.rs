//! Calls of a script by many requests of a worker, sent together: one write, and one wake of the worker for all replies.

use super::{
    config::SharedStateMode, contract::StateError, redis::errors::command_error, script::Script,
    shared_state::SharedState,
};
use ::redis::{Pipeline, Value};
use futures_util::future::join_all;
use std::{
    cell::RefCell,
    ptr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::oneshot;

/// A call that waits to be sent.
struct ScriptCall {
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
    reply: oneshot::Sender<Result<Value, StateError>>,
}

/// The calls of one script.
struct ScriptBatch {
    state: Arc<SharedState>,
    script: &'static Script,
    /// `None` once they are sent.
    calls: Mutex<Option<Vec<ScriptCall>>>,
}

thread_local! {
    /// The batch that the requests of this worker add their calls to.
    static OPEN: RefCell<Option<Arc<ScriptBatch>>> = const { RefCell::new(None) };
}

impl SharedState {
    /// Runs a script like [`SharedState::script`], in one write with the other calls of it that this worker makes before it
    /// waits for events the next time; waits for the reply at most for [`SharedState::timeout`].
    ///
    /// # Errors
    ///
    /// Without a reply in time.
    pub async fn script_in_batch(
        self: &Arc<Self>,
        script: &'static Script,
        keys: Vec<Vec<u8>>,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Value, StateError> {
        // The keys of a batch belong to different nodes of a cluster.
        if self.config().mode == SharedStateMode::Cluster {
            return self.script(script, &keys, &arguments, self.timeout()).await;
        }
        let (reply, receiver) = oneshot::channel();
        add(self, script, ScriptCall { keys, arguments, reply });
        receiver.await.unwrap_or(Err(StateError::Lost))
    }
}

/// Adds a call to the open batch. A new batch is sent by a task that runs after all requests that are ready now.
fn add(state: &Arc<SharedState>, script: &'static Script, call: ScriptCall) {
    let mut call = Some(call);
    OPEN.with_borrow_mut(|open| {
        if let Some(batch) = open
            && Arc::ptr_eq(&batch.state, state)
            && ptr::eq(batch.script, script)
            && let Some(calls) = &mut *batch.calls.lock().unwrap_or_else(PoisonError::into_inner)
        {
            calls.extend(call.take());
            return;
        }
        let calls = Mutex::new(Some(call.take().into_iter().collect()));
        let batch = open.insert(Arc::new(ScriptBatch { state: state.clone(), script, calls })).clone();
        tokio::spawn(batch.send());
    });
}

impl ScriptBatch {
    async fn send(self: Arc<Self>) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        // A plan that is gone must not be held by an idle worker.
        OPEN.with_borrow_mut(|open| open.take_if(|open| Arc::ptr_eq(open, &self)));
        if let [_] = &calls[..] {
            return self.send_each(calls).await;
        }
        let mut pipeline = Pipeline::with_capacity(calls.len());
        for call in &calls {
            pipeline.add_command(self.script.command(true, &call.keys, &call.arguments));
        }
        pipeline.ignore_errors();
        let (link, timeout, started_at) = (self.state.link(), self.state.timeout(), Instant::now());
        match link.call(timeout, async |mut connection| connection.pipeline(&pipeline).await).await {
            Ok(replies) => {
                let duration = started_at.elapsed();
                (1..replies.len()).for_each(|_| self.state.metrics().record_reply(duration));
                self.distribute(calls, replies).await;
            }
            Err(error) => {
                for (index, call) in calls.into_iter().enumerate() {
                    if index > 0 {
                        link.record_failure(&error);
                    }
                    let _ = call.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Sends the replies to the requests; again the calls that the server did not run because it lost the script.
    async fn distribute(&self, calls: Vec<ScriptCall>, replies: Vec<Value>) {
        let mut again = Vec::new();
        for (call, reply) in calls.into_iter().zip(replies) {
            match reply.extract_error() {
                Ok(reply) => drop(call.reply.send(Ok(reply))),
                Err(error) if error.code() == Some("NOSCRIPT") => again.push(call),
                Err(error) => {
                    let error = command_error(&error);
                    self.state.record_failure(&error);
                    let _ = call.reply.send(Err(error));
                }
            }
        }
        self.send_each(again).await;
    }

    async fn send_each(&self, calls: Vec<ScriptCall>) {
        let (state, timeout) = (&self.state, self.state.timeout());
        join_all(calls.into_iter().map(|ScriptCall { keys, arguments, reply }| async move {
            let _ = reply.send(state.script(self.script, &keys, &arguments, timeout).await);
        }))
        .await;
    }
}
