//! The WebSocket connections of a bridge: who may connect, waiting for the other side, and the end.

use super::{
    bridge::{Arrival, Bridge, BridgeError, BridgeSide, SecondSocket},
    bridge_relay::{BridgeEnd, BridgeSocket, BridgeStop, close, relay, relay_agent},
    hub::DeviceHub,
};
use crate::{
    net::{agents::names::loggable, websocket::close_code},
    telemetry::agents::AgentStreamEnd,
};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::oneshot,
};

/// The bridge and the side for a connection with this token.
pub fn admit(hub: &DeviceHub, id: &str, token: &str) -> Result<(Arc<Bridge>, BridgeSide), BridgeError> {
    let bridge = hub.bridge(id).ok_or(BridgeError::Unknown)?;
    let side = bridge.use_token(token)?;
    Ok((bridge, side))
}

/// Serves the connection of a side until the bridge ends.
pub async fn join(hub: Arc<DeviceHub>, bridge: Arc<Bridge>, side: BridgeSide, mut socket: BridgeSocket) {
    if let Some(agent) = bridge.take_agent().filter(|_| side == BridgeSide::Service) {
        // The stream of the agent counts and logs itself.
        relay_agent(socket, agent, bridge.stopped()).await;
        return hub.remove_bridge(&bridge.id);
    }
    let second = match bridge.arrive() {
        Arrival::First(second) => second,
        Arrival::Second(first) => {
            let (ended, end) = oneshot::channel();
            // The task of the first connection copies.
            match first.send((socket, ended)) {
                Ok(()) => drop(end.await),
                // The first connection ended while this one connected.
                Err((mut socket, _)) => close(&mut socket, close_code::GOING_AWAY).await,
            }
            return;
        }
    };
    let Some((other, ended)) = park(&bridge, &mut socket, second).await else {
        hub.remove_bridge(&bridge.id);
        let code = socket.close_code().unwrap_or(close_code::GOING_AWAY);
        return close(&mut socket, code).await;
    };
    let (service, device) = match side {
        BridgeSide::Service => (socket, other),
        BridgeSide::Device => (other, socket),
    };
    bridge.pair();
    let end = relay(service, device, bridge.stopped()).await;
    finish(&hub, &bridge, end);
    let _ = ended.send(());
}

/// Waits for the second connection: nothing is read except control frames. `None`: it did not come in time.
async fn park(
    bridge: &Bridge,
    socket: &mut BridgeSocket,
    second: oneshot::Receiver<SecondSocket>,
) -> Option<SecondSocket> {
    let mut stop = bridge.stopped();
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
    tokio::select! {
        biased;
        second = second => second.ok(),
        () = tokio::time::sleep_until(bridge.deadline.into()) => None,
        _ = stop.wait_for(|stop| *stop != BridgeStop::No) => None,
        () = control_frames => None,
    }
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
    metrics.bytes_to_service.fetch_add(end.to_device, Relaxed);
    metrics.bytes_to_client.fetch_add(end.to_service, Relaxed);
    if log::log_enabled!(log::Level::Info) {
        log::info!("{}", line(bridge, end));
    }
}

fn line(bridge: &Bridge, end: BridgeEnd) -> serde_json::Value {
    let request = &bridge.request;
    let paired_at = (*bridge.paired().borrow()).unwrap_or(bridge.requested_at);
    let connect_time = paired_at.saturating_duration_since(bridge.requested_at);
    serde_json::json!({
        "id": bridge.id,
        "protocol": "stream",
        "agent": &*request.device,
        "service": &*request.name,
        "connector": loggable(&request.connector),
        "client": request.client.ip().to_string(),
        "bytes_in": end.to_device,
        "bytes_out": end.to_service,
        "ms_connect": connect_time.as_millis() as u64,
        "ms_total": bridge.requested_at.elapsed().as_millis() as u64,
        "end": end.reason,
    })
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
