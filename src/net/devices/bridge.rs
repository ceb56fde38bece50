//! A bridge: two WebSocket connections with a token each, or one and the stream of an agent.

use super::{
    bridge_relay::{BridgeEnd, relay, relay_agent},
    hub::DeviceHub,
};
use crate::{
    base::hex,
    net::{
        agents::virtual_stream::AgentStream,
        websocket::{WebSocketStream, close_code},
    },
    pipeline::upgrade::UpgradedIo,
    telemetry::agents::AgentStreamEnd,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::{oneshot, watch},
};

/// How long the last frames may take after a close frame was sent.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection of a bridge.
pub type BridgeSocket = WebSocketStream<Box<dyn UpgradedIo>>;

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

/// How a bridge is ended from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BridgeStop {
    #[default]
    No,
    Revoked,
    Shutdown,
}

/// The second connection, and the notification of the end for its task.
type SecondSocket = (BridgeSocket, oneshot::Sender<()>);

/// The connections that have arrived.
#[derive(Debug, Default)]
struct Arrived {
    /// The tokens that were used.
    service: bool,
    device: bool,
    /// Passes the second connection to the task of the first one.
    waiting: Option<oneshot::Sender<SecondSocket>>,
}

/// One bridge.
#[derive(Debug)]
pub struct Bridge {
    /// 32 hexadecimal digits.
    pub id: String,
    pub device: Box<str>,
    pub name: Box<str>,
    pub service_token: String,
    pub device_token: String,
    /// By when both sides must be connected.
    pub deadline: Instant,
    arrived: Mutex<Arrived>,
    /// The stream of an agent in the place of a device.
    agent: Mutex<Option<AgentStream>>,
    stop: watch::Sender<BridgeStop>,
}

fn random<const N: usize>() -> [u8; N] {
    let random = ring::rand::SystemRandom::new();
    ring::rand::generate::<[u8; N]>(&random).map(|value| value.expose()).unwrap_or_else(|_| std::array::from_fn(|_| fastrand::u8(..)))
}

impl Bridge {
    /// A bridge without connections; with the stream of an agent, only the service connects.
    pub fn new(device: &str, name: &str, deadline: Instant, agent: Option<AgentStream>) -> Arc<Bridge> {
        let token = || URL_SAFE_NO_PAD.encode(random::<32>());
        Arc::new(Bridge {
            id: hex::encode(&random::<16>()),
            device: device.into(),
            name: name.into(),
            service_token: token(),
            device_token: token(),
            deadline,
            arrived: Mutex::default(),
            agent: Mutex::new(agent),
            stop: watch::Sender::default(),
        })
    }

    /// The device is revoked.
    pub fn revoke(&self) {
        self.stop.send_replace(BridgeStop::Revoked);
    }

    /// The gateway shuts down.
    pub fn shut_down(&self) {
        self.stop.send_replace(BridgeStop::Shutdown);
    }

    /// Uses the token of a side, once.
    fn use_token(&self, token: &str) -> Result<BridgeSide, BridgeError> {
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

    fn take_waiting(&self) -> Option<oneshot::Sender<SecondSocket>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).waiting.take()
    }

    fn wait_for_second(&self) -> oneshot::Receiver<SecondSocket> {
        let (sender, receiver) = oneshot::channel();
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).waiting = Some(sender);
        receiver
    }
}

/// The bridge and the side for a connection with this token.
pub fn admit(hub: &DeviceHub, id: &str, token: &str) -> Result<(Arc<Bridge>, BridgeSide), BridgeError> {
    let bridge = hub.bridge(id).ok_or(BridgeError::Unknown)?;
    let side = bridge.use_token(token)?;
    Ok((bridge, side))
}

/// Serves the connection of a side until the bridge ends.
pub async fn join(hub: Arc<DeviceHub>, bridge: Arc<Bridge>, side: BridgeSide, mut socket: BridgeSocket) {
    let agent = bridge.agent.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(agent) = agent.filter(|_| side == BridgeSide::Service) {
        let stop = bridge.stop.subscribe();
        let end = relay_agent(socket, agent, stop).await;
        return finish(&hub, &bridge, end);
    }
    if let Some(waiting) = bridge.take_waiting() {
        let (ended, end) = oneshot::channel();
        // The task of the first connection copies.
        if let Err((socket, _)) = waiting.send((socket, ended)) {
            drop(socket);
        } else {
            let _ = end.await;
        }
        return;
    }
    let second = bridge.wait_for_second();
    let Some((other, ended)) = park(&bridge, &mut socket, second).await else {
        hub.remove_bridge(&bridge.id);
        return;
    };
    let (service, device) = match side {
        BridgeSide::Service => (socket, other),
        BridgeSide::Device => (other, socket),
    };
    let end = relay(service, device, bridge.stop.subscribe()).await;
    finish(&hub, &bridge, end);
    let _ = ended.send(());
}

/// Waits for the second connection: nothing is read except control frames. `None`: it did not come in time.
async fn park(
    bridge: &Bridge,
    socket: &mut BridgeSocket,
    second: oneshot::Receiver<SecondSocket>,
) -> Option<SecondSocket> {
    let mut stop = bridge.stop.subscribe();
    let mut is_blocked = false;
    let control_frames = poll_fn(|cx| {
        // Reading into no space answers PING, and stops at the first data.
        while !is_blocked {
            match Pin::new(&mut *socket).poll_read(cx, &mut ReadBuf::new(&mut [])) {
                Poll::Ready(Ok(())) if socket.close_code().is_none() => is_blocked = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    });
    let joined = tokio::select! {
        biased;
        second = second => second.ok(),
        () = tokio::time::sleep_until(bridge.deadline.into()) => None,
        _ = stop.wait_for(|stop| *stop != BridgeStop::No) => None,
        () = control_frames => None,
    };
    if joined.is_none() {
        let code = socket.close_code().unwrap_or(close_code::GOING_AWAY);
        super::bridge_relay::close(socket, code).await;
    }
    joined
}

fn finish(hub: &DeviceHub, bridge: &Bridge, end: BridgeEnd) {
    hub.remove_bridge(&bridge.id);
    hub.registry.metrics().count_end(match end.reason {
        "service.closed" | "device.closed" => AgentStreamEnd::Closed,
        "agent.revoked" => AgentStreamEnd::AgentRevoked,
        "shutdown" => AgentStreamEnd::Shutdown,
        _ => AgentStreamEnd::Reset,
    });
    let metrics = hub.registry.metrics();
    metrics.bytes_to_service.fetch_add(end.to_device, std::sync::atomic::Ordering::Relaxed);
    metrics.bytes_to_client.fetch_add(end.to_service, std::sync::atomic::Ordering::Relaxed);
    let line = serde_json::json!({
        "id": bridge.id, "protocol": "stream", "agent": &*bridge.device, "service": &*bridge.name,
        "connector": "device stream", "bytes_in": end.to_device, "bytes_out": end.to_service, "end": end.reason,
    });
    log::info!("{line}");
}
