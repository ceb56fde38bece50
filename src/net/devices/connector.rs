//! Streams of devices for connectors (`margay connect`): the connector is the service side of a bridge.

use super::{
    bridge_relay::BridgeStop,
    hub::DeviceHub,
    join,
    names::DeviceError,
    request::{AcceptedStream, DeviceRequest},
};
use crate::{
    net::{
        agents::{
            device_streams::{DeviceStreams, OpenDeviceStream},
            error::AgentError,
            open::StreamRequest,
        },
        websocket::{WebSocketRole, WebSocketStream, close_code},
    },
    pipeline::upgrade::UpgradedIo,
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::watch,
};

/// Bytes between a connector and its side of the bridge.
const BUFFER_BYTES: usize = 64 * 1024;

impl DeviceStreams for Arc<DeviceHub> {
    fn is_listening(&self, device: &str) -> bool {
        self.listening(device).is_some()
    }

    fn open<'r>(&'r self, request: StreamRequest<'r>) -> OpenDeviceStream<'r> {
        Box::pin(open(self, request))
    }
}

/// Requests a stream, and waits until the device has connected to the bridge.
async fn open(hub: &Arc<DeviceHub>, request: StreamRequest<'_>) -> Result<Box<dyn UpgradedIo>, AgentError> {
    let (_, settings) = hub.settings().ok_or(AgentError::Offline)?;
    let requested = DeviceRequest {
        device: request.agent,
        module: None,
        name: request.service,
        requester: request.requester.clone(),
        client: request.client.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        connect_timeout: Duration::ZERO,
        response_timeout: request.timeout.min(settings.response_timeout),
    };
    let accepted = hub.request(&requested).await.map_err(agent_error)?;
    let refused = || AgentError::Connect("the device refuses the stream".to_owned());
    let AcceptedStream { url, token } = accepted.ok_or_else(refused)?;
    let id = url.rsplit('/').next().unwrap_or_default();
    let (bridge, side) = join::admit(hub, id, &token).map_err(|_| AgentError::Lost)?;
    let (own, connector) = tokio::io::duplex(BUFFER_BYTES);
    let own: Box<dyn UpgradedIo> = Box::new(own);
    let (mut paired, stop) = (bridge.paired(), bridge.stopped());
    let deadline = tokio::time::sleep_until(bridge.deadline.into());
    let joined = join::join(hub.clone(), bridge, side, WebSocketStream::new(own, WebSocketRole::Server));
    let task = tokio::spawn(joined);
    let socket = WebSocketStream::new(connector, WebSocketRole::Client);
    tokio::select! {
        biased;
        Ok(_) = paired.wait_for(Option::is_some) => Ok(Box::new(DeviceStream { socket, stop })),
        () = deadline => Err(AgentError::ConnectTimeout),
        _ = task => Err(AgentError::Lost),
    }
}

/// The connector's side of a bridge as a byte stream.
#[derive(Debug)]
struct DeviceStream {
    socket: WebSocketStream<DuplexStream>,
    stop: watch::Receiver<BridgeStop>,
}

impl DeviceStream {
    /// Whether the device ended the stream itself, after everything that it sent.
    fn is_complete(&self) -> bool {
        let is_regular =
            matches!(self.socket.close_code(), Some(close_code::NORMAL | close_code::GOING_AWAY));
        is_regular && *self.stop.borrow() == BridgeStop::No
    }
}

impl AsyncRead for DeviceStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before && buf.remaining() > 0;
        match is_end && !self.is_complete() {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for DeviceStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The reason as connectors report it.
fn agent_error(error: DeviceError) -> AgentError {
    match error {
        DeviceError::NotFound => AgentError::Unknown,
        DeviceError::NotOnline => AgentError::Offline,
        DeviceError::Timeout => AgentError::ConnectTimeout,
        DeviceError::Disabled => AgentError::Disabled,
        DeviceError::Throttled => AgentError::StreamLimit,
        DeviceError::Unauthorized => AgentError::Access,
        DeviceError::Invalid(why) => AgentError::Connect(why.to_owned()),
    }
}

#[cfg(test)]
#[path = "connector_tests.rs"]
mod tests;
