//! The WebSocket of a link: the handshake, then the socket of the connection.

use super::{
    link::{Link, Phase},
    receive::LinkInput,
};
use crate::net::websocket::{MessageReader, Opcode, Received, close_code, close_frame, frame};
use crate::pipeline::upgrade::{ConnectionService, Duplex};
use crate::realtime::engine::{connection::Connection, socket::HubSocket};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The WebSocket of a link.
#[derive(Debug)]
pub struct LinkSocket {
    link: Arc<Link>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Handshake(Box<HandshakeSocket>),
    Open(HubSocket),
}

/// A socket before the hub has its connection.
#[derive(Debug, Default)]
struct HandshakeSocket {
    reader: MessageReader,
    output: Vec<u8>,
    written: usize,
    /// The socket closes once the output is written.
    is_closing: bool,
}

impl LinkSocket {
    /// The first socket of a link.
    pub fn new(link: Arc<Link>) -> LinkSocket {
        LinkSocket { link, stage: Stage::Handshake(Box::default()) }
    }

    /// A socket that replaces a lost one; `epoch` is its number.
    pub fn resumed(link: Arc<Link>, connection: Arc<Connection>, epoch: u32) -> LinkSocket {
        let socket = open_socket(&link, connection, epoch, MessageReader::default());
        LinkSocket { link, stage: Stage::Open(socket) }
    }
}

fn open_socket(
    link: &Arc<Link>,
    connection: Arc<Connection>,
    epoch: u32,
    reader: MessageReader,
) -> HubSocket {
    HubSocket::with_input(link.hub.clone(), connection, epoch, reader, Box::new(LinkInput(link.clone())))
}

/// What a handshake led to.
enum Progress {
    Open(Arc<Connection>, u32),
    End,
}

impl HandshakeSocket {
    fn poll(&mut self, link: &Arc<Link>, cx: &mut Context, client: &mut dyn Duplex) -> Poll<Progress> {
        loop {
            match self.check(link, cx) {
                Some(progress) => return Poll::Ready(progress),
                None => {
                    if !ready!(self.poll_write(cx, client)) || self.is_closing {
                        return Poll::Ready(Progress::End);
                    }
                    if !ready!(self.poll_read(link, cx, client)) {
                        return Poll::Ready(Progress::End);
                    }
                }
            }
        }
    }

    /// Whether the handshake is complete; registers the task otherwise.
    fn check(&mut self, link: &Link, cx: &Context) -> Option<Progress> {
        let mut state = link.state();
        match &state.phase {
            Phase::Handshake => state.waker = Some(cx.waker().clone()),
            Phase::Open(connection, epoch) => return Some(Progress::Open(connection.clone(), *epoch)),
            // Ended right after the handshake: the first socket writes what is queued.
            Phase::Closing(connection) => return Some(Progress::Open(connection.clone(), 1)),
            Phase::Rejected(response) if !self.is_closing => {
                self.output.extend_from_slice(&frame(Opcode::Text, response));
                self.output.extend_from_slice(&close_frame(close_code::NORMAL, ""));
                self.is_closing = true;
            }
            Phase::Rejected(_) => {}
            Phase::Ended => return Some(Progress::End),
        }
        None
    }

    /// Writes the output; false: the client is gone.
    fn poll_write(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<bool> {
        while self.written < self.output.len() {
            match ready!(client.poll_write(cx, &self.output[self.written..])) {
                Ok(n) => self.written += n,
                Err(_) => return Poll::Ready(false),
            }
        }
        (self.output, self.written) = (Vec::new(), 0);
        client.poll_flush(cx).map(|flushed| flushed.is_ok())
    }

    /// Reads once; false: the client is gone.
    fn poll_read(&mut self, link: &Arc<Link>, cx: &mut Context, client: &mut dyn Duplex) -> Poll<bool> {
        let Ok(bytes) = ready!(client.poll_read(cx)) else { return Poll::Ready(false) };
        if bytes.is_empty() {
            return Poll::Ready(false);
        }
        let max_bytes = link.hub.context.load().config.limits.max_message_bytes;
        let (consumed, received) = match self.reader.read(bytes, max_bytes) {
            Ok(read) => read,
            Err(violation) => {
                self.output.extend_from_slice(&close_frame(violation.code, violation.reason));
                self.is_closing = true;
                let len = bytes.len();
                client.consume(len);
                return Poll::Ready(true);
            }
        };
        client.consume(consumed);
        match received {
            None | Some(Received::Pong) => {}
            Some(Received::Ping(payload)) => self.output.extend_from_slice(&frame(Opcode::Pong, &payload)),
            Some(Received::Close { code }) => {
                self.output.extend_from_slice(&close_frame(code, ""));
                self.is_closing = true;
            }
            Some(Received::Message { body, .. }) => link.receive(&body),
        }
        Poll::Ready(true)
    }
}

impl ConnectionService for LinkSocket {
    fn poll(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<()> {
        if let Stage::Handshake(handshake) = &mut self.stage {
            match ready!(handshake.poll(&self.link, cx, client)) {
                Progress::End => return Poll::Ready(()),
                Progress::Open(connection, epoch) => {
                    let reader = std::mem::take(&mut handshake.reader);
                    self.stage = Stage::Open(open_socket(&self.link, connection, epoch, reader));
                }
            }
        }
        match &mut self.stage {
            Stage::Open(socket) => socket.poll(cx, client),
            Stage::Handshake(_) => Poll::Pending,
        }
    }
}

impl Drop for LinkSocket {
    fn drop(&mut self) {
        // Before the socket of the connection ends it, so that nothing remains then.
        self.link.detach();
    }
}
