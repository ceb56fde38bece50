//! What a client sends: the handshake, then messages with numbers if the connection survives its socket.

use super::{
    calls::PendingCall,
    groups::follow_groups,
    input::Input,
    link::{Link, Phase, lock},
};
use crate::realtime::{
    engine::{
        connection::{MessageInput, NewConnection, SimpleMode},
        current_worker,
        hub::{RegistrationError, SessionEnd},
    },
    events::Notification,
    permissions::Permissions,
    protocols::{
        Subprotocol,
        signalr::{ClientFrame, DecodeError, HubMessage, HubProtocol, SignalRKind, Transport, encode},
    },
    session::RECOVERY_KEY_BYTES,
};
use crate::telemetry::hubs::HubClose;
use bytes::Bytes;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Within this time the client learns which messages were processed.
const ACK_DELAY: Duration = Duration::from_millis(500);

impl Link {
    /// Processes bytes of the client, on a worker.
    pub fn receive(self: &Arc<Self>, bytes: &[u8]) {
        self.touch();
        let max_bytes = self.hub.context.load().config.limits.max_message_bytes;
        let mut input = lock(&self.input);
        input.decoder.push(bytes);
        loop {
            let is_open = match input.decoder.next(max_bytes) {
                Ok(None) => return,
                Ok(Some(ClientFrame::Handshake(protocol))) => self.accept(&mut input, protocol),
                Ok(Some(ClientFrame::Message(message))) => self.process(&mut input, message),
                Err(DecodeError::Handshake(error)) => {
                    self.reject(&error);
                    false
                }
                Err(DecodeError::Message(error)) => {
                    self.fail(&error);
                    false
                }
            };
            if !is_open {
                input.decoder.reset();
                return;
            }
        }
    }

    /// The client violated the protocol.
    fn fail(&self, error: &str) {
        let message = format!("Connection closed with an error. {error}");
        self.close(SessionEnd::new(HubClose::Protocol, message));
    }

    /// The handshake is complete: the hub gets the connection. False: it is rejected.
    fn accept(self: &Arc<Self>, input: &mut Input, protocol: HubProtocol) -> bool {
        if protocol == HubProtocol::MessagePack && self.transport == Transport::ServerSentEvents {
            self.reject("The messagepack protocol is not supported over ServerSentEvents.");
            return false;
        }
        if !matches!(self.state().phase, Phase::Handshake) {
            return false;
        }
        input.next = 1;
        let kind = SignalRKind { transport: self.transport, protocol, is_stateful: self.is_stateful };
        match self.register(kind) {
            Ok(()) => true,
            Err(error) => {
                self.reject(match error {
                    RegistrationError::HubLimit | RegistrationError::ProcessLimit => "Too many connections.",
                    RegistrationError::TooManyGroups => "The user is in too many groups.",
                });
                false
            }
        }
    }

    fn register(self: &Arc<Self>, kind: SignalRKind) -> Result<(), RegistrationError> {
        let user = self.hub_user();
        let mut groups = self.groups.clone();
        groups.extend(user.iter().flat_map(|user| self.user_groups.own(user)));
        let new = NewConnection {
            id: self.id.clone(),
            context: self.context.clone(),
            user: self.user.clone(),
            subprotocol: Subprotocol::SignalR(kind),
            subprotocol_name: None,
            mode: SimpleMode::default(),
            state: None,
            link: Some(self.clone()),
        };
        let worker = current_worker().unwrap_or(self.worker);
        let (connection, epoch) = self.hub.register(new, worker, &groups, Permissions::default())?;
        connection.details.is_announced.store(true, Relaxed);
        if self.is_stateful {
            // The secret with which another node takes the session over.
            connection.session().recovery_keys = [recovery_key(&self.token), None];
        }
        let source = connection.event_source(None);
        let mut state = self.state();
        let is_ended = !matches!(state.phase, Phase::Handshake);
        if !is_ended {
            state.phase = Phase::Open(connection.clone(), epoch);
        }
        state.wake();
        drop(state);
        self.hub.shared.events.notify(&source, Notification::Connected);
        if is_ended {
            self.hub.end(&connection, SessionEnd::new(HubClose::Normal, ""));
        }
        self.schedule(Instant::now() + self.tick_interval());
        if let (Some(user), Some(shared)) = (user, self.user_groups.shared()) {
            tokio::spawn(follow_groups(self.clone(), connection, shared, user));
        }
        Ok(())
    }

    /// Processes a message; false: the connection has ended.
    fn process(self: &Arc<Self>, input: &mut Input, message: HubMessage) -> bool {
        if self.is_stateful && !self.is_new(input, &message) {
            return true;
        }
        match message {
            HubMessage::Invocation(invocation) => self.invoke(PendingCall::from(invocation)),
            HubMessage::StreamInvocation { invocation_id } => self.invoke(PendingCall::stream(invocation_id)),
            HubMessage::Close => {
                self.close_normally();
                return false;
            }
            HubMessage::Ack { sequence_id } if self.is_stateful => {
                if let Some(connection) = self.connection() {
                    connection.session().queue.acknowledge(sequence_id);
                }
            }
            HubMessage::Sequence { sequence_id } if self.is_stateful => {
                if sequence_id > self.last_processed.load(Relaxed) + 1 {
                    self.fail("Sequence ID greater than amount of messages we've received.");
                    return false;
                }
                (input.next, input.awaits_sequence) = (sequence_id, false);
            }
            _ => {}
        }
        self.connection().is_some()
    }

    /// Counts a message with a number; false: it was processed before, or belongs to a socket that is gone.
    fn is_new(self: &Arc<Self>, input: &mut Input, message: &HubMessage) -> bool {
        if input.awaits_sequence {
            return matches!(message, HubMessage::Sequence { .. });
        }
        if !message.is_numbered() {
            return true;
        }
        let number = input.next;
        input.next += 1;
        if !std::mem::replace(&mut input.is_ack_scheduled, true) {
            self.schedule_ack(Instant::now() + ACK_DELAY);
        }
        number > self.last_processed.fetch_max(number, Relaxed)
    }

    /// Sends the number of the last message that was processed.
    pub(super) fn send_ack(&self) {
        lock(&self.input).is_ack_scheduled = false;
        let Some(connection) = self.connection() else { return };
        let Subprotocol::SignalR(kind) = connection.subprotocol else { return };
        let ack = encode::ack(kind.protocol, self.last_processed.load(Relaxed));
        connection.session().push_message(&ack, connection.subprotocol);
    }

    /// A new socket replaces the one that is lost; `None`: the connection has ended. Returns its epoch.
    pub fn resume(&self) -> Option<u32> {
        let connection = self.connection()?;
        let mut input = lock(&self.input);
        let epoch = self.hub.reattach(&connection)?;
        input.decoder.reset();
        input.awaits_sequence = true;
        drop(input);
        self.touch();
        Some(epoch)
    }
}

/// The secret of a session: a part of the hash of its token.
pub fn recovery_key(token: &str) -> Option<[u8; RECOVERY_KEY_BYTES]> {
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    hash.as_ref().first_chunk().copied()
}

impl MessageInput for LinkInput {
    fn receive(&self, body: Bytes) {
        self.0.receive(&body);
    }

    fn is_paused(&self) -> bool {
        self.0.is_busy()
    }

    fn touch(&self) {
        self.0.touch();
    }
}

/// A link as the receiver of a socket.
#[derive(Debug)]
pub struct LinkInput(pub Arc<Link>);
