//! Calls of event handlers: those of one connection one after the other.

use super::{
    calls::PendingCall,
    link::{Link, Phase, lock},
};
use crate::realtime::{
    engine::connection::Connection,
    events::{InvocationCall, InvocationOutcome},
    message::{Origin, Payload, Publication},
    operation::{Operation, Recipients, Selection},
    protocols::{
        Subprotocol,
        signalr::{
            HubProtocol, SignalRKind, Transport, encode, is_json_completion, is_message_pack_completion,
        },
    },
};
use bytes::Bytes;
use std::sync::Arc;

/// While this many bytes wait for calls, nothing more is read from the client.
const MAX_QUEUED_BYTES: usize = 64 * 1024;

impl Link {
    /// Whether the client must wait until calls are complete.
    pub fn is_busy(&self) -> bool {
        let max_invocations = self.hub.context.load().config.limits.max_invocations;
        let calls = lock(&self.calls);
        calls.bytes >= MAX_QUEUED_BYTES || calls.pending.len() >= max_invocations
    }

    /// Waits until the client may send more.
    pub async fn wait_for_room(&self) {
        loop {
            let progress = self.progress.notified();
            if !self.is_busy() || self.connection().is_none() {
                return;
            }
            progress.await;
        }
    }

    /// Queues a call.
    pub(super) fn invoke(self: &Arc<Self>, call: PendingCall) {
        let mut calls = lock(&self.calls);
        calls.bytes += call.body.len();
        calls.pending.push_back(call);
        if calls.task.is_none() {
            calls.task = Some(tokio::spawn(self.clone().make_calls()).abort_handle());
        }
    }

    async fn make_calls(self: Arc<Self>) {
        while let Some((call, connection)) = self.next_call() {
            let Subprotocol::SignalR(kind) = connection.subprotocol else { return };
            let completion = self.call(&call, &connection, kind).await;
            if let Some(payload) = completion {
                self.complete(&connection, Publication::new(Origin::Server, payload)).await;
            }
        }
        let mut state = self.state();
        if matches!(state.phase, Phase::Moved(_)) {
            state.phase = Phase::Ended;
        }
    }

    /// Sends a completion to the connection, which another node may have meanwhile.
    async fn complete(&self, connection: &Arc<Connection>, publication: Publication) {
        let is_here = self.caller().is_none_or(|(_, is_here)| is_here);
        let backplane = self.hub.shared.backplane().filter(|_| !is_here);
        let Some(backplane) = backplane else {
            return self.hub.send_to(connection, &Arc::new(publication));
        };
        let to = Selection::of(Recipients::Connection(connection.id.clone()));
        let publication = Arc::new(publication.with_id(backplane.next_id()));
        let operation = Arc::new(Operation::Send { to, publication });
        let (service, hub) = (&self.context.service.config.name, &self.context.name);
        if !backplane.publish(service, hub, &operation).await {
            log::warn!("the result of a call of hub {hub} did not reach the node of its connection");
        }
    }

    /// The next call; without one the task ends.
    fn next_call(&self) -> Option<(PendingCall, Arc<Connection>)> {
        let connection = self.caller().map(|(connection, _)| connection);
        let mut calls = lock(&self.calls);
        let next = connection.and_then(|connection| Some((calls.pending.pop_front()?, connection)));
        match &next {
            Some((call, _)) => calls.bytes -= call.body.len(),
            None => calls.task = None,
        }
        drop(calls);
        self.progress.notify_waiters();
        if let Some((_, connection)) = &next {
            // Reading continues.
            connection.session().wake();
        }
        next
    }

    /// Calls the handler; the completion for the client, if it expects one.
    async fn call(&self, call: &PendingCall, connection: &Connection, kind: SignalRKind) -> Option<Payload> {
        let outcome = match call.is_stream {
            true => InvocationOutcome::Failed("Streams are not supported by serverless hubs.".to_owned()),
            false => {
                let source = connection.event_source(None);
                let is_text = kind.protocol == HubProtocol::Json;
                let request =
                    InvocationCall { target: call.target.clone(), is_text, body: call.body.clone() };
                match self.hub.shared.events.invocation(&source, request) {
                    Some(response) => response.await,
                    None => InvocationOutcome::Failed(format!(
                        "No event handler for the method '{}'.",
                        call.target
                    )),
                }
            }
        };
        let invocation_id = call.invocation_id.as_deref()?;
        let error = match outcome {
            InvocationOutcome::Empty => None,
            InvocationOutcome::Body(body) if is_completion(kind.protocol, &body, invocation_id) => {
                return Some(payload(kind, body));
            }
            InvocationOutcome::Body(_) => {
                Some("The response of the event handler is not a completion.".to_owned())
            }
            InvocationOutcome::Failed(error) => Some(error),
        };
        let completion = encode::completion(kind.protocol, invocation_id, error.as_deref());
        Some(payload(kind, completion.into()))
    }
}

fn is_completion(protocol: HubProtocol, body: &Bytes, invocation_id: &str) -> bool {
    match protocol {
        HubProtocol::Json => is_json_completion(body, invocation_id),
        HubProtocol::MessagePack => is_message_pack_completion(body, invocation_id),
    }
}

/// A framed message to one client.
fn payload(kind: SignalRKind, framed: Bytes) -> Payload {
    match (kind.protocol, kind.transport) {
        (HubProtocol::MessagePack, _) => Payload::Binary(framed),
        (HubProtocol::Json, Transport::ServerSentEvents) => {
            Payload::Text(encode::event_lines(&framed).into())
        }
        (HubProtocol::Json, _) => Payload::Text(framed),
    }
}
