//! The socket of a session: bytes from and to the client. Polled by the task of the client connection.

use super::{
    connection::{Connection, MessageInput},
    hub::{Hub, SessionEnd},
    inbox::TimerKind,
};
use crate::net::websocket::{FrameError, MessageReader, Opcode, Received, close_code, close_frame, frame};
use crate::pipeline::upgrade::{ConnectionService, Duplex};
use crate::realtime::{
    events::Notification,
    protocols::{self, Subprotocol},
    session::Push,
};
use crate::telemetry::hubs::{HubClose, HubDirection};
use std::{
    cell::RefCell,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

/// While a blocking event is in progress, at most this much more is read.
const MAX_READ_DURING_CALL: usize = 64 * 1024;
/// How long a session is kept after its client closed the socket without a status.
const NO_STATUS_RECOVERY_TIME: Duration = Duration::from_secs(2);

thread_local! {
    /// What is written next; empty between two polls.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The socket of a session.
#[derive(Debug)]
pub struct HubSocket {
    hub: Arc<Hub>,
    connection: Arc<Connection>,
    epoch: u32,
    reader: MessageReader,
    /// Receives the messages; `None`: the hub.
    input: Option<Box<dyn MessageInput>>,
    /// Bytes read since a blocking event began.
    read_during_call: usize,
    /// The status of the client's close frame.
    client_code: Option<u16>,
    is_open: bool,
}

/// What happens next on the socket.
enum Progress {
    /// Wait for the client or for messages.
    Wait,
    /// The socket ends.
    End,
}

impl HubSocket {
    /// The socket that was attached with this epoch.
    pub fn new(hub: Arc<Hub>, connection: Arc<Connection>, epoch: u32) -> HubSocket {
        HubSocket {
            hub,
            connection,
            epoch,
            reader: MessageReader::default(),
            input: None,
            read_during_call: 0,
            client_code: None,
            is_open: false,
        }
    }

    /// A socket of which a part was read, and whose messages `input` receives.
    pub fn with_input(
        hub: Arc<Hub>,
        connection: Arc<Connection>,
        epoch: u32,
        reader: MessageReader,
        input: Box<dyn MessageInput>,
    ) -> HubSocket {
        let mut socket = HubSocket::new(hub, connection, epoch);
        (socket.reader, socket.input) = (reader, Some(input));
        socket
    }

    /// At the first poll the client has its 101.
    fn open(&mut self) {
        if std::mem::replace(&mut self.is_open, true) {
            return;
        }
        let connection = &self.connection;
        if connection.details.is_announced.swap(true, Relaxed) {
            return;
        }
        self.hub.schedule_keep_alive(connection, Instant::now());
        let session = connection.session();
        let (groups, source) = (session.groups.clone(), connection.event_source(session.state.clone()));
        drop(session);
        self.hub.shared.events.notify(&source, Notification::Connected);
        for group in groups {
            self.hub.shared.events.notify(&source, Notification::Joined { group });
        }
    }

    /// Reads, processes and writes until there is nothing more to do.
    fn poll_socket(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<Progress> {
        loop {
            let Some(may_read) = self.prepare(cx) else { return Poll::Ready(Progress::End) };
            let read = if may_read { self.poll_read(cx, client) } else { Poll::Pending };
            if let Poll::Ready(false) = read {
                return Poll::Ready(Progress::End);
            }
            match self.poll_write(cx, client) {
                Poll::Ready(true) if self.is_finished() => return Poll::Ready(Progress::End),
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Progress::End),
                Poll::Pending => {}
            }
            if read.is_pending() {
                return Poll::Ready(Progress::Wait);
            }
        }
    }

    /// Registers the task; returns whether the client may be read from. `None`: the socket was replaced or aborted.
    fn prepare(&mut self, cx: &Context) -> Option<bool> {
        let mut session = self.connection.session();
        if session.epoch != self.epoch {
            return None;
        }
        let is_in_call = session.calls.as_ref().is_some_and(|calls| calls.task.is_some());
        if let Some(code) = self.client_code.filter(|_| !is_in_call) {
            session.close_socket(None, close_frame(code, ""), self.connection.subprotocol);
        }
        let resumes_at = session.rate.as_mut().and_then(|rate| rate.resumes_at(Instant::now()));
        let socket = session.socket.as_mut()?;
        if socket.is_aborted {
            return None;
        }
        match &mut socket.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        let is_closing = socket.is_closing || self.client_code.is_some();
        drop(session);
        if !is_in_call {
            self.read_during_call = 0;
        }
        if let Some(at) = resumes_at {
            self.hub.set_timer(&self.connection, at, TimerKind::Resume, self.epoch);
        }
        let is_paused = resumes_at.is_some() || self.input.as_ref().is_some_and(|input| input.is_paused());
        Some(!is_closing && !is_paused && self.read_during_call < MAX_READ_DURING_CALL)
    }

    /// Whether everything was written and the socket closes.
    fn is_finished(&self) -> bool {
        let session = self.connection.session();
        session.epoch == self.epoch && session.is_closing() && session.queue.is_empty()
    }

    /// Reads once and processes what was received; false: the client is gone.
    fn poll_read(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<bool> {
        let Ok(bytes) = ready!(client.poll_read(cx)) else { return Poll::Ready(false) };
        if bytes.is_empty() {
            return Poll::Ready(false);
        }
        let max_bytes = self.hub.context.load().config.limits.max_message_bytes;
        let (mut consumed, len) = (0, bytes.len());
        let mut error = None;
        while consumed < len {
            match self.reader.read(&bytes[consumed..], max_bytes) {
                Ok((n, received)) => {
                    consumed += n;
                    if let Some(received) = received
                        && !self.receive(received)
                    {
                        break;
                    }
                }
                Err(violation) => {
                    error = Some(violation);
                    break;
                }
            }
            if self.is_read_paused(consumed) {
                break;
            }
        }
        let discards_rest = error.is_some() || self.client_code.is_some();
        let consumed = if discards_rest { len } else { consumed };
        self.read_during_call += consumed;
        client.consume(consumed);
        if let Some(error) = error {
            self.reject(error);
        }
        Poll::Ready(true)
    }

    /// Whether the rest of what was read waits: for a blocking event, or because of the rate of the client.
    fn is_read_paused(&self, consumed: usize) -> bool {
        let mut session = self.connection.session();
        let is_in_call = session.calls.as_ref().is_some_and(|calls| calls.task.is_some());
        let is_over = is_in_call && self.read_during_call + consumed >= MAX_READ_DURING_CALL;
        is_over
            || self.input.as_ref().is_some_and(|input| input.is_paused())
            || session.rate.as_mut().is_some_and(|rate| rate.resumes_at(Instant::now()).is_some())
    }

    /// Processes what was received; false: nothing more is read.
    fn receive(&mut self, received: Received) -> bool {
        let connection = self.connection.clone();
        let mut session = connection.session();
        if session.epoch != self.epoch {
            return false;
        }
        if let Some(socket) = &mut session.socket {
            socket.missed_pongs = 0;
        }
        if let Some(input) = &self.input {
            input.touch();
        }
        match received {
            Received::Pong => {}
            Received::Ping(payload) => session.push_frame(frame(Opcode::Pong, &payload)),
            Received::Close { code } => {
                // The response follows once the events that were sent before are processed.
                self.client_code = Some(code);
                return false;
            }
            Received::Message { is_text, body } => {
                if let Some(rate) = &mut session.rate {
                    rate.take(Instant::now());
                }
                drop(session);
                self.hub.shared.metrics.count_messages(HubDirection::In, 1, body.len() as u64);
                self.receive_message(is_text, body);
                session = connection.session();
            }
        }
        let limits = super::connection::queue_limits(&self.hub.context.load());
        let is_over = session.check_limits(limits) == Push::Overflow;
        let is_closing = session.is_closing();
        drop(session);
        if is_over {
            self.hub.end_slow(&connection);
        }
        !is_over && !is_closing
    }

    fn receive_message(&self, is_text: bool, body: bytes::Bytes) {
        let (hub, connection) = (&self.hub, &self.connection);
        if let Some(input) = &self.input {
            return input.receive(body);
        }
        if connection.subprotocol == Subprotocol::Simple {
            return hub.receive_simple(connection, is_text, body);
        }
        match protocols::decode(connection.subprotocol, is_text, &body) {
            Ok(message) => hub.receive(connection, message),
            Err(reason) => hub.end_rejected(connection, &reason),
        }
    }

    /// Closes the connection because of a violation of the WebSocket protocol.
    fn reject(&self, error: FrameError) {
        let end = SessionEnd::new(HubClose::Protocol, error.reason).with_code(error.code);
        self.hub.end(&self.connection, end);
    }

    /// Writes the queue; true once it is empty, false if the client is gone.
    fn poll_write(&self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<bool> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                scratch.clear();
                let mut session = self.connection.session();
                if session.epoch != self.epoch {
                    return Poll::Ready(false);
                }
                let expired = session.queue.fill(scratch, SystemTime::now);
                drop(session);
                if expired > 0 {
                    self.hub.shared.metrics.count_expired(expired);
                }
                if scratch.is_empty() {
                    return client.poll_flush(cx).map(|flushed| flushed.is_ok());
                }
                let Ok(n) = ready!(client.poll_write(cx, scratch)) else { return Poll::Ready(false) };
                match self.advance(n) {
                    Some(true) => return client.poll_flush(cx).map(|flushed| flushed.is_ok()),
                    Some(false) => {}
                    None => return Poll::Ready(false),
                }
            }
        })
    }

    /// Removes what was written from the queue; returns whether it is empty. `None`: the socket was replaced meanwhile.
    fn advance(&self, n: usize) -> Option<bool> {
        let mut session = self.connection.session();
        if session.epoch != self.epoch {
            return None;
        }
        let written = session.queue.advance(n);
        let is_empty = session.queue.is_empty();
        drop(session);
        self.hub.shared.metrics.count_messages(HubDirection::Out, written.messages, written.bytes);
        Some(is_empty)
    }

    /// The session without its socket.
    fn detach(&self) {
        let connection = self.connection.clone();
        let mut session = connection.session();
        if !session.detach(self.epoch) || session.is_ended {
            return;
        }
        let code = self.client_code;
        if !connection.subprotocol.is_reliable() || code == Some(close_code::NORMAL) {
            drop(session);
            self.hub.add_detached(1);
            return self.hub.end(&connection, SessionEnd::new(HubClose::Normal, ""));
        }
        let kept = match code {
            Some(close_code::NO_STATUS) => NO_STATUS_RECOVERY_TIME,
            _ => self.hub.context.load().config.recovery_time,
        };
        let expires_at = Instant::now() + kept;
        session.expires_at = Some(expires_at);
        drop(session);
        self.hub.add_detached(1);
        self.hub.set_timer(&connection, expires_at, TimerKind::Expiry, self.epoch);
    }
}

impl ConnectionService for HubSocket {
    fn poll(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<()> {
        self.open();
        match ready!(self.poll_socket(cx, client)) {
            Progress::Wait => Poll::Pending,
            Progress::End => {
                self.detach();
                Poll::Ready(())
            }
        }
    }
}

impl Drop for HubSocket {
    /// The client closed its connection before its 101, or the task ended.
    fn drop(&mut self) {
        self.detach();
    }
}
