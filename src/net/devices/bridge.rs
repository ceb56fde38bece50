//! A bridge: two WebSocket connections with a token each, or one and the stream of an agent.

use super::bridge_relay::{BridgeSocket, BridgeStop};
use crate::{base::hex, net::agents::virtual_stream::AgentStream};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::{oneshot, watch};

/// A side of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeSide {
    Service,
    Device,
}

/// Why a connection of a bridge is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeError {
    Unknown,
    Token,
}

/// The second connection, and the notification of the end for its task.
pub type SecondSocket = (BridgeSocket, oneshot::Sender<()>);

/// The connections that have arrived.
#[derive(Debug, Default)]
struct Arrived {
    /// The tokens that were used.
    service: bool,
    device: bool,
    /// Passes the second connection to the task of the first one.
    waiting: Option<oneshot::Sender<SecondSocket>>,
}

/// The place of a connection.
#[derive(Debug)]
pub enum Arrival {
    First(oneshot::Receiver<SecondSocket>),
    Second(oneshot::Sender<SecondSocket>),
}

/// What a bridge connects, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeRequest {
    pub device: Box<str>,
    /// The name of the stream.
    pub name: Box<str>,
    /// Who requested it, as [`crate::net::agents::access::Requester::label`] has it.
    pub connector: String,
    pub client: SocketAddr,
}

/// One bridge.
#[derive(Debug)]
pub struct Bridge {
    /// 32 hexadecimal digits.
    pub id: String,
    pub request: BridgeRequest,
    pub requested_at: Instant,
    pub service_token: String,
    pub device_token: String,
    /// By when both sides must be connected.
    pub deadline: Instant,
    arrived: Mutex<Arrived>,
    has_agent: bool,
    /// The stream of an agent in the place of a device.
    agent: Mutex<Option<AgentStream>>,
    stop: watch::Sender<BridgeStop>,
    /// When both sides had connected.
    paired: watch::Sender<Option<Instant>>,
}

/// Random bytes for ids and tokens.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

impl Bridge {
    /// A bridge without connections; with the stream of an agent, only the service connects.
    /// `None`: the system has no random numbers.
    pub fn new(request: BridgeRequest, deadline: Instant, agent: Option<AgentStream>) -> Option<Arc<Bridge>> {
        let token = || random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Some(Arc::new(Bridge {
            id: hex::encode(&random::<16>()?),
            request,
            requested_at: Instant::now(),
            service_token: token()?,
            device_token: token()?,
            deadline,
            arrived: Mutex::default(),
            has_agent: agent.is_some(),
            agent: Mutex::new(agent),
            stop: watch::Sender::default(),
            paired: watch::Sender::default(),
        }))
    }

    /// The device is revoked.
    pub fn revoke(&self) {
        self.stop.send_replace(BridgeStop::Revoked);
    }

    /// The gateway shuts down.
    pub fn shut_down(&self) {
        self.stop.send_replace(BridgeStop::Shutdown);
    }

    /// The requested end, if there is one.
    pub(super) fn stopped(&self) -> watch::Receiver<BridgeStop> {
        self.stop.subscribe()
    }

    /// Both sides have connected.
    pub(super) fn pair(&self) {
        self.paired.send_replace(Some(Instant::now()));
    }

    /// When both sides had connected, once they have.
    pub(super) fn paired(&self) -> watch::Receiver<Option<Instant>> {
        self.paired.subscribe()
    }

    /// The stream of an agent, once.
    pub(super) fn take_agent(&self) -> Option<AgentStream> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Uses the token of a side, once.
    pub(super) fn use_token(&self, token: &str) -> Result<BridgeSide, BridgeError> {
        let is = |own: &str| bool::from(subtle::ConstantTimeEq::ct_eq(own.as_bytes(), token.as_bytes()));
        let (is_service, is_device) = (is(&self.service_token), is(&self.device_token));
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let (side, used) = match (is_service, is_device) {
            (true, _) => (BridgeSide::Service, &mut arrived.service),
            (_, true) => (BridgeSide::Device, &mut arrived.device),
            _ => return Err(BridgeError::Token),
        };
        if std::mem::replace(used, true) {
            // The token is good once; a second connection with it is refused like any wrong one.
            return Err(BridgeError::Token);
        }
        Ok(side)
    }

    /// Whether all connections have arrived.
    pub(super) fn is_joined(&self) -> bool {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.service && (arrived.device || self.has_agent)
    }

    /// The task of the first connection, or where this first connection receives the second one.
    pub(super) fn arrive(&self) -> Arrival {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        match arrived.waiting.take() {
            Some(first) => Arrival::Second(first),
            None => {
                let (sender, receiver) = oneshot::channel();
                arrived.waiting = Some(sender);
                Arrival::First(receiver)
            }
        }
    }
}
