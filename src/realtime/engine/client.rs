//! What clients request: groups, publications, streams, acknowledgments. Events and invocations are in `calls.rs`.

use super::{
    apply::JoinResult,
    connection::{Connection, SimpleMode},
    hub::{Hub, SessionEnd},
};
use crate::net::websocket::close_code;
use crate::realtime::{
    backplane::contract::NodeFuture,
    message::{
        ClientMessage, NamedError, Origin, Payload, Publication, ServerMessage, StreamEndError, StreamPart,
        UserError,
    },
    names::is_group_name,
    permissions::PermissionKind,
    session::{PendingEvent, acks::AckState, streams::Fragment},
};
use crate::telemetry::hubs::{HubAck, HubClose};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Longest time to live of a message.
const MAX_TTL_SECONDS: u32 = 300;

/// A message that is published to a group.
struct GroupMessage {
    group: Box<str>,
    no_echo: bool,
    payload: Payload,
    ttl_seconds: Option<u32>,
}

impl Hub {
    /// Processes a message of a client with a known subprotocol.
    pub fn receive(self: &Arc<Self>, connection: &Arc<Connection>, message: ClientMessage) {
        match message {
            ClientMessage::JoinGroup { group, ack_id } => {
                self.acknowledged(connection, ack_id, |hub| hub.receive_join(connection, &group));
            }
            ClientMessage::LeaveGroup { group, ack_id } => {
                self.acknowledged(connection, ack_id, |hub| hub.receive_leave(connection, &group));
            }
            ClientMessage::SendToGroup { group, ack_id, no_echo, payload, ttl_seconds } => {
                let message = GroupMessage { group, no_echo, payload, ttl_seconds };
                self.receive_send_acknowledged(connection, ack_id, message);
            }
            ClientMessage::OpenStream { group, no_echo, stream_id, idle_timeout_ms, .. } => {
                self.open_stream(connection, &group, no_echo, &stream_id, idle_timeout_ms);
            }
            ClientMessage::StreamData { stream_id, sequence_id, payload } => {
                self.receive_fragment(connection, &stream_id, sequence_id, payload);
            }
            ClientMessage::StreamEnd { stream_id, error } => {
                self.close_stream(connection, &stream_id, error);
            }
            ClientMessage::Event { event, ack_id, payload } => {
                if self.begin(connection, ack_id) {
                    self.queue_event(connection, PendingEvent { event, ack_id, payload });
                }
            }
            ClientMessage::Invoke { invocation_id, event, payload } => {
                self.invoke(connection, invocation_id, event, payload);
            }
            ClientMessage::CancelInvocation { invocation_id } => {
                self.cancel_invocation(connection, &invocation_id);
            }
            ClientMessage::SequenceAck { sequence_id } => {
                connection.session().queue.acknowledge(sequence_id);
            }
            ClientMessage::Ping => self.respond(connection, &ServerMessage::Pong),
        }
    }

    fn respond(&self, connection: &Arc<Connection>, message: &ServerMessage) {
        connection.session().push_control(message, connection.subprotocol);
    }

    /// Processes a message of a simple client.
    pub fn receive_simple(self: &Arc<Self>, connection: &Arc<Connection>, is_text: bool, body: Bytes) {
        let payload = if is_text { Payload::Text(body) } else { Payload::Binary(body) };
        let SimpleMode::SendToGroup(group) = &connection.details.mode else {
            self.queue_event(connection, PendingEvent { event: "message".into(), ack_id: None, payload });
            return;
        };
        let message = GroupMessage { group: (**group).into(), no_echo: false, payload, ttl_seconds: None };
        if let Err(error) = self.receive_send(connection, message) {
            self.end_rejected(connection, &error.message);
        }
    }

    /// Ends a connection because of what its client sent.
    pub fn end_rejected(self: &Arc<Self>, connection: &Arc<Connection>, message: &str) {
        let end = SessionEnd::new(HubClose::Protocol, message).with_code(close_code::POLICY_VIOLATION);
        self.end(connection, end);
    }

    /// Executes a message unless it is a duplicate, and sends the acknowledgment.
    fn acknowledged(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        ack_id: Option<u64>,
        execute: impl FnOnce(&Arc<Self>) -> Result<(), NamedError>,
    ) {
        if self.begin(connection, ack_id) {
            let result = execute(self);
            self.finish(connection, ack_id, result.err());
        }
    }

    /// Begins a message: false if it was processed already, or is being processed.
    fn begin(&self, connection: &Arc<Connection>, ack_id: Option<u64>) -> bool {
        let Some(id) = ack_id else { return true };
        let mut session = connection.session();
        match session.acks.begin(id) {
            AckState::New => true,
            AckState::InProgress => false,
            AckState::Duplicate => {
                let text = format!("Message with ack-id: {id} has been processed");
                let error = Some(NamedError::new("Duplicate", text));
                session.push_control(&ServerMessage::Ack { ack_id: id, error }, connection.subprotocol);
                drop(session);
                self.shared.metrics.count_ack(HubAck::Duplicate);
                false
            }
        }
    }

    /// Ends a message that was begun.
    pub fn finish(&self, connection: &Arc<Connection>, ack_id: Option<u64>, error: Option<NamedError>) {
        let Some(ack_id) = ack_id else { return };
        self.shared.metrics.count_ack(match &error {
            None => HubAck::Success,
            Some(error) if error.name == "Forbidden" => HubAck::Forbidden,
            Some(_) => HubAck::Failed,
        });
        let mut session = connection.session();
        session.acks.finish(ack_id, error.is_none());
        session.push_control(&ServerMessage::Ack { ack_id, error }, connection.subprotocol);
    }

    fn receive_join(self: &Arc<Self>, connection: &Arc<Connection>, group: &str) -> Result<(), NamedError> {
        check_group(connection, PermissionKind::JoinLeaveGroup, group)?;
        match self.join(connection, group) {
            JoinResult::Member => Ok(()),
            JoinResult::TooMany => Err(forbidden("The connection is in as many groups as it may be in")),
        }
    }

    fn receive_leave(self: &Arc<Self>, connection: &Arc<Connection>, group: &str) -> Result<(), NamedError> {
        check_group(connection, PermissionKind::JoinLeaveGroup, group)?;
        self.leave(connection, group);
        Ok(())
    }

    fn receive_send(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        message: GroupMessage,
    ) -> Result<Option<NodeFuture<bool>>, NamedError> {
        check_group(connection, PermissionKind::SendToGroup, &message.group)?;
        let ttl =
            message.ttl_seconds.filter(|seconds| *seconds > 0).map(|seconds| seconds.min(MAX_TTL_SECONDS));
        let expires_at = ttl.map(|seconds| SystemTime::now() + Duration::from_secs(seconds.into()));
        let group: Arc<str> = message.group.into();
        let origin = Origin::Group { group: group.clone(), from_user: connection.user.clone() };
        let publication = Publication::new(origin, message.payload).with_expiry(expires_at);
        Ok(self.publish(connection, &group, message.no_echo, publication))
    }

    /// Publishes a message; it is acknowledged when the backplane has accepted it.
    fn receive_send_acknowledged(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        ack_id: Option<u64>,
        message: GroupMessage,
    ) {
        if !self.begin(connection, ack_id) {
            return;
        }
        match self.receive_send(connection, message) {
            Ok(Some(accepted)) if ack_id.is_some() => {
                let (hub, connection) = (self.clone(), connection.clone());
                tokio::spawn(async move {
                    let error = (!accepted.await).then(|| {
                        NamedError::new("InternalServerError", "The message may not have reached all nodes")
                    });
                    hub.finish(&connection, ack_id, error);
                });
            }
            published => self.finish(connection, ack_id, published.err()),
        }
    }

    fn open_stream(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        group: &str,
        no_echo: bool,
        stream_id: &str,
        idle_timeout_ms: Option<u32>,
    ) {
        let now = Instant::now();
        let permitted = check_group(connection, PermissionKind::SendToGroup, group);
        let mut session = connection.session();
        let opened = permitted.and_then(|()| {
            let is_first = session.streams.is_none();
            let streams = session.streams.get_or_insert_default();
            let opened = streams.open(stream_id, group.into(), no_echo, idle_timeout_ms, now);
            let expires_at = opened.map_err(|text| NamedError::new("BadRequest", text))?;
            Ok(is_first.then_some(expires_at))
        });
        let (timer, response) = match opened {
            Ok(timer) => {
                (timer, ServerMessage::StreamAck { stream_id: stream_id.into(), expected_sequence_id: 1 })
            }
            Err(error) => {
                (None, ServerMessage::StreamClosed { stream_id: stream_id.into(), error: Some(error) })
            }
        };
        if session.streams.as_ref().is_some_and(|streams| streams.next_expiry().is_none()) {
            session.streams = None;
        }
        session.push_control(&response, connection.subprotocol);
        drop(session);
        if let Some(expires_at) = timer {
            self.schedule_streams(connection, expires_at, now);
        }
    }

    fn receive_fragment(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        stream_id: &str,
        sequence_id: Option<u64>,
        payload: Option<Payload>,
    ) {
        let mut session = connection.session();
        let sequence_id = sequence_id.filter(|_| payload.is_some());
        let fragment = match &mut session.streams {
            Some(streams) => streams.receive(stream_id, sequence_id, Instant::now()),
            None => Fragment::Unknown,
        };
        drop(session);
        let acknowledgment = |expected| ServerMessage::StreamAck {
            stream_id: stream_id.into(),
            expected_sequence_id: expected,
        };
        let response = match (fragment, payload) {
            (Fragment::KeepAlive, _) | (Fragment::Next { .. }, None) => return,
            (Fragment::Next { group, stream_id, sequence_id, no_echo }, Some(payload)) => {
                let part = StreamPart { stream_id, sequence_id, end: None };
                let origin = Origin::Group { group: group.clone(), from_user: connection.user.clone() };
                let publication = Publication::new(origin, payload).with_stream(part);
                drop(self.publish(connection, &group, no_echo, publication));
                acknowledgment(sequence_id + 1)
            }
            (Fragment::Repeated { expected }, _) => acknowledgment(expected),
            (Fragment::Gap { expected }, _) => ServerMessage::StreamNack {
                stream_id: stream_id.into(),
                expected_sequence_id: expected,
                error: NamedError::new(
                    "InvalidSequenceId",
                    format!("The expected sequence id is {expected}"),
                ),
            },
            (Fragment::Unknown, _) => stream_not_found(stream_id),
        };
        self.respond(connection, &response);
    }

    fn close_stream(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        stream_id: &str,
        error: Option<UserError>,
    ) {
        let closed = connection.session().streams.as_mut().and_then(|streams| streams.close(stream_id));
        let response = match &closed {
            Some(_) => ServerMessage::StreamClosed { stream_id: stream_id.into(), error: None },
            None => stream_not_found(stream_id),
        };
        if let Some(stream) = &closed {
            let error = error.map(|error| StreamEndError {
                name: "UserError".into(),
                message: error.message.unwrap_or_default(),
                user_error_code: error.user_error_code,
            });
            self.end_stream(connection, stream, error);
        }
        self.respond(connection, &response);
    }
}

fn stream_not_found(stream_id: &str) -> ServerMessage {
    let error = NamedError::new("StreamNotFound", "No stream with this id is open");
    ServerMessage::StreamClosed { stream_id: stream_id.into(), error: Some(error) }
}

fn forbidden(message: &str) -> NamedError {
    NamedError::new("Forbidden", message)
}

/// Whether the client may do this with the group.
fn check_group(connection: &Arc<Connection>, kind: PermissionKind, group: &str) -> Result<(), NamedError> {
    if !is_group_name(group) {
        return Err(forbidden("A group name has 1 to 1024 characters"));
    }
    match connection.session().permissions.may(kind, group) {
        true => Ok(()),
        false => Err(forbidden("The client does not have permission to use this group")),
    }
}
