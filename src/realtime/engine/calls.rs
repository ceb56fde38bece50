//! Calls of event handlers: user events of a connection one after the other, invocations concurrently.

use super::{connection::Connection, hub::Hub};
use crate::realtime::{
    events::{EventError, EventReply},
    message::{NamedError, Origin, Payload, Publication, ServerMessage},
    protocols::Subprotocol,
    session::PendingEvent,
};
use std::sync::Arc;

/// Longest id of an invocation.
const MAX_INVOCATION_ID_BYTES: usize = 256;

impl Hub {
    /// Queues a user event; a task processes the queue.
    pub fn queue_event(self: &Arc<Self>, connection: &Arc<Connection>, event: PendingEvent) {
        let mut session = connection.session();
        if session.is_ended {
            return;
        }
        let calls = session.calls_mut();
        calls.queued_bytes += event.payload.bytes().len();
        calls.events.push_back(event);
        if calls.task.is_none() {
            let (hub, of) = (self.clone(), connection.clone());
            calls.task = Some(tokio::spawn(async move { hub.process_events(&of).await }).abort_handle());
        }
    }

    /// Processes the user events of a connection until there are none.
    async fn process_events(self: &Arc<Self>, connection: &Arc<Connection>) {
        while let Some((event, state)) = next_event(connection) {
            let source = connection.event_source(state);
            let PendingEvent { event, ack_id, payload } = event;
            let result = self.shared.events.user_event(&source, &event, payload).await;
            let is_failure = result.is_err();
            let error = match self.take_reply(connection, &event, result) {
                Ok(Some(payload)) => {
                    let publication = Arc::new(Publication::new(Origin::Server, payload));
                    self.send_to(connection, &publication);
                    None
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            self.finish(connection, ack_id, error);
            if is_failure && connection.subprotocol == Subprotocol::Simple {
                self.end_rejected(connection, "The event handler did not accept the message");
            }
        }
    }

    /// The message of a response; stores the state of the connection.
    fn take_reply(
        &self,
        connection: &Arc<Connection>,
        event: &str,
        result: Result<EventReply, EventError>,
    ) -> Result<Option<Payload>, NamedError> {
        match result {
            Ok(reply) => {
                if reply.state.is_some() {
                    connection.session().state = reply.state;
                }
                Ok(reply.payload)
            }
            Err(EventError(reason)) => {
                let hub = &self.context.load().name;
                log::debug!("the event {event:?} of hub {hub} failed: {reason}");
                Err(NamedError::new("InternalServerError", "The event handler did not accept the message"))
            }
        }
    }

    /// Calls an event handler for a response.
    pub fn invoke(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        invocation_id: Box<str>,
        event: Box<str>,
        payload: Payload,
    ) {
        let max_invocations = self.context.load().config.limits.max_invocations;
        let mut session = connection.session();
        if session.is_ended {
            return;
        }
        let state = session.state.clone();
        let running = session.calls.as_ref().map_or(0, |calls| calls.invocations.len());
        let is_known = session
            .calls
            .as_ref()
            .is_some_and(|calls| calls.invocations.iter().any(|(id, _)| *id == invocation_id));
        let rejected = if running >= max_invocations {
            Some(NamedError::new("TooManyInvocations", "Too many concurrent invocations"))
        } else if is_known || invocation_id.len() > MAX_INVOCATION_ID_BYTES {
            Some(NamedError::new("BadRequest", "The invocation id is in use or too long"))
        } else {
            None
        };
        if let Some(error) = rejected {
            let response = ServerMessage::InvokeResponse { invocation_id, result: Err(error) };
            session.push_control(&response, connection.subprotocol);
            return;
        }
        let (hub, of, id) = (self.clone(), connection.clone(), invocation_id.clone());
        let call = async move { hub.process_invocation(&of, state, id, &event, payload).await };
        let task = tokio::spawn(call).abort_handle();
        session.calls_mut().invocations.push((invocation_id, task));
    }

    async fn process_invocation(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        state: Option<Arc<str>>,
        invocation_id: Box<str>,
        event: &str,
        payload: Payload,
    ) {
        let source = connection.event_source(state);
        let result = self.shared.events.user_event(&source, event, payload).await;
        let result = self.take_reply(connection, event, result);
        let mut session = connection.session();
        if let Some(calls) = &mut session.calls {
            calls.invocations.retain(|(id, _)| *id != invocation_id);
        }
        let response = ServerMessage::InvokeResponse { invocation_id, result };
        session.push_control(&response, connection.subprotocol);
    }

    /// Aborts an invocation: no response is sent.
    pub fn cancel_invocation(&self, connection: &Arc<Connection>, invocation_id: &str) {
        let mut session = connection.session();
        let Some(calls) = &mut session.calls else { return };
        calls.invocations.retain(|(id, call)| {
            let is_canceled = **id == *invocation_id;
            if is_canceled {
                call.abort();
            }
            !is_canceled
        });
    }
}

/// The next user event and the state of the connection; without one the task ends, and reading continues.
fn next_event(connection: &Arc<Connection>) -> Option<(PendingEvent, Option<Arc<str>>)> {
    let mut session = connection.session();
    let state = session.state.clone();
    let calls = session.calls.as_mut()?;
    let next = calls.events.pop_front();
    match &next {
        Some(event) => calls.queued_bytes -= event.payload.bytes().len(),
        None => {
            calls.task = None;
            if calls.invocations.is_empty() {
                session.calls = None;
            }
        }
    }
    session.wake();
    next.map(|event| (event, state))
}
