//! Clients in memory and event handlers that echo, for tests of the engine.

use super::{
    connection::{Connection, NewConnection, SimpleMode},
    hub::RegistrationError,
    socket::HubSocket,
    *,
};
use crate::pipeline::upgrade::{ConnectionService, Duplex};
use crate::realtime::{
    config::{HubConfig, HubLimits},
    events::{
        ConnectError, ConnectReply, ConnectRequest, EventError, EventFuture, EventReply, EventSource,
        Notification,
    },
    message::{Origin, Payload, Publication},
    operation::{Recipients, Selection},
    permissions::Permissions,
    protocols::Subprotocol,
    testing::{hub_config, hub_service, service_config},
};
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, Waker},
};

/// Event handlers that echo, and remember notifications.
#[derive(Debug, Default)]
pub struct EchoEvents(pub Mutex<Vec<String>>);

impl EventSink for EchoEvents {
    fn connect(
        &self,
        _source: &EventSource,
        _request: ConnectRequest,
    ) -> Option<EventFuture<Result<ConnectReply, ConnectError>>> {
        None
    }

    fn has_handler(&self, _hub: &HubContext, _event: &str) -> bool {
        true
    }

    fn user_event(
        &self,
        _source: &EventSource,
        event: &str,
        payload: Payload,
    ) -> EventFuture<Result<EventReply, EventError>> {
        let is_failure = event == "fail";
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(if event_is_slow(&payload) { 50 } else { 0 })).await;
            match is_failure {
                true => Err(EventError("failed".into())),
                false => Ok(EventReply { payload: Some(payload), state: None }),
            }
        })
    }

    fn notify(&self, source: &EventSource, notification: Notification) {
        lock(&self.0).push(format!("{} {notification:?}", source.connection_id));
    }
}

fn event_is_slow(payload: &Payload) -> bool {
    &payload.bytes()[..] == b"slow"
}

/// An engine with one hub, `chat`, that accepts every name.
pub struct Scenario {
    pub engine: Arc<Engine>,
    pub events: Arc<EchoEvents>,
    pub context: Arc<HubContext>,
}

impl Scenario {
    /// A hub with these limits.
    pub fn new(limits: HubLimits) -> Scenario {
        let events = Arc::<EchoEvents>::default();
        let engine = Engine::new(1, events.clone(), Arc::default(), RealtimeConfig::default());
        let config = HubConfig { limits, ..hub_config(Vec::new()) };
        let mut service = service_config(&[]);
        service.other_hubs = Some(Arc::new(config));
        let context = Arc::new(HubContext::new(&hub_service(service), "chat").unwrap());
        Scenario { engine, events, context }
    }

    /// The hub.
    pub fn hub(&self) -> Arc<Hub> {
        self.engine.hub(&self.context)
    }

    /// Registers a connection of the user `ann` with all permissions.
    pub fn register(
        &self,
        subprotocol: Subprotocol,
        groups: &[&str],
    ) -> Result<(Arc<Connection>, u32), RegistrationError> {
        let new = NewConnection {
            id: self.engine.shared.new_id(),
            context: self.context.clone(),
            user: Some("ann".into()),
            subprotocol,
            subprotocol_name: None,
            mode: SimpleMode::default(),
            state: None,
            link: None,
        };
        let groups: Vec<Arc<str>> = groups.iter().map(|group| (*group).into()).collect();
        let roles = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"];
        self.hub().register(new, 0, &groups, Permissions::from_roles(roles))
    }

    /// A client with its socket.
    pub fn connect(&self, subprotocol: Subprotocol, groups: &[&str]) -> TestClient {
        let (connection, epoch) = self.register(subprotocol, groups).unwrap();
        TestClient::new(self.hub(), connection, epoch)
    }

    /// Sends a text; returns the number of receivers.
    pub async fn send(&self, to: Recipients, body: &str) -> u64 {
        let payload = Payload::Text(Bytes::copy_from_slice(body.as_bytes()));
        let publication = Arc::new(Publication::new(Origin::Server, payload));
        self.execute(Operation::Send { to: Selection::of(to), publication }).await
    }

    /// Executes an operation; returns the number of connections that it concerned.
    pub async fn execute(&self, operation: Operation) -> u64 {
        self.engine.execute("rt", "chat", operation).await.unwrap().matched
    }

    /// Whether the hub has this connection.
    pub async fn exists(&self, id: &Arc<str>) -> bool {
        self.execute(Operation::Count(Recipients::Connection(id.clone()))).await == 1
    }
}

/// The socket of a client in memory.
#[derive(Debug, Default)]
pub struct Pipe {
    pub input: Vec<u8>,
    pub consumed: usize,
    pub output: Vec<u8>,
    pub is_stalled: bool,
    pub is_lost: bool,
}

impl Duplex for Pipe {
    fn poll_read(&mut self, _cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        match self.consumed < self.input.len() {
            true => Poll::Ready(Ok(&self.input[self.consumed..])),
            false if self.is_lost => Poll::Ready(Ok(&[])),
            false => Poll::Pending,
        }
    }

    fn consume(&mut self, n: usize) {
        self.consumed += n;
    }

    fn poll_write(&mut self, _cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_stalled {
            return Poll::Pending;
        }
        self.output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A client in memory.
pub struct TestClient {
    pub connection: Arc<Connection>,
    pub socket: HubSocket,
    pub pipe: Pipe,
    pub is_closed: bool,
}

impl TestClient {
    /// The client of a connection whose socket was attached.
    pub fn new(hub: Arc<Hub>, connection: Arc<Connection>, epoch: u32) -> TestClient {
        let socket = HubSocket::new(hub, connection.clone(), epoch);
        TestClient { connection, socket, pipe: Pipe::default(), is_closed: false }
    }

    /// Lets the socket read and write.
    pub fn poll(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        self.is_closed |= self.socket.poll(&mut cx, &mut self.pipe).is_ready();
    }

    /// Sends a frame with a mask of zeros.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.pipe.input.push(first);
        match payload.len() {
            0..126 => self.pipe.input.push(0x80 | payload.len() as u8),
            _ => {
                self.pipe.input.push(0x80 | 126);
                self.pipe.input.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
        }
        self.pipe.input.extend_from_slice(&[0; 4]);
        self.pipe.input.extend_from_slice(payload);
        self.poll();
    }

    /// Sends a text message.
    pub fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes());
    }

    /// What was received since the last call, as text.
    pub fn received(&mut self) -> String {
        self.poll();
        String::from_utf8_lossy(&std::mem::take(&mut self.pipe.output)).into_owned()
    }

    /// Waits until something is received.
    pub async fn wait_received(&mut self, part: &str) -> String {
        let mut all = String::new();
        while !all.contains(part) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            all += &self.received();
        }
        all
    }
}
