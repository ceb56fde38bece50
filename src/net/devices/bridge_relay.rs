//! Copies the bytes of a bridge, and passes on how a side ended.

use crate::net::{
    agents::{
        duplex::{CopyDirection, FailedStream},
        virtual_stream::AgentStream,
    },
    websocket::{WebSocketStream, close_code},
};
use crate::pipeline::upgrade::UpgradedIo;
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

/// How long the last frames may take after a close frame was sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A PING is sent after this time without bytes.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// What a client still sends after the service of an agent has ended.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of a bridge.
pub type BridgeSocket = WebSocketStream<Box<dyn UpgradedIo>>;

/// How a bridge is ended from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BridgeStop {
    #[default]
    No,
    Revoked,
    Shutdown,
}

/// How a bridge ended, and the bytes in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeEnd {
    pub reason: &'static str,
    pub to_device: u64,
    pub to_service: u64,
}

/// What happened first.
enum Event {
    ServiceClosed,
    DeviceClosed,
    ServiceFailed,
    DeviceFailed,
    Silence,
    Stopped(BridgeStop),
}

/// Both directions of a bridge.
struct BridgeCopy {
    to_device: CopyDirection,
    to_service: CopyDirection,
    active_at: Instant,
}

impl BridgeCopy {
    fn new() -> BridgeCopy {
        BridgeCopy {
            to_device: CopyDirection::new(),
            to_service: CopyDirection::new(),
            active_at: Instant::now(),
        }
    }

    fn poll<S, D>(&mut self, cx: &mut Context<'_>, service: &mut S, device: &mut D) -> Poll<Event>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: AsyncRead + AsyncWrite + Unpin,
    {
        let before = self.to_device.copied + self.to_service.copied;
        let (there, back) =
            (self.to_device.poll(cx, service, device), self.to_service.poll(cx, device, service));
        if self.to_device.copied + self.to_service.copied != before {
            self.active_at = Instant::now();
        }
        match (there, back) {
            (Poll::Ready(Err(FailedStream::Source)), _)
            | (_, Poll::Ready(Err(FailedStream::Destination))) => Poll::Ready(Event::ServiceFailed),
            (Poll::Ready(Err(FailedStream::Destination)), _)
            | (_, Poll::Ready(Err(FailedStream::Source))) => Poll::Ready(Event::DeviceFailed),
            (Poll::Ready(Ok(())), _) => Poll::Ready(Event::ServiceClosed),
            (_, Poll::Ready(Ok(()))) => Poll::Ready(Event::DeviceClosed),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    }

    /// The next event of a bridge.
    async fn next<S, D>(
        &mut self,
        service: &mut S,
        device: &mut D,
        stop: &mut watch::Receiver<BridgeStop>,
    ) -> Event
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: AsyncRead + AsyncWrite + Unpin,
    {
        let ping_at = self.active_at + PING_INTERVAL;
        tokio::select! {
            biased;
            event = poll_fn(|cx| self.poll(cx, service, device)) => event,
            stopped = stop.wait_for(|stop| *stop != BridgeStop::No) => {
                Event::Stopped(stopped.map_or(BridgeStop::Shutdown, |stop| *stop))
            }
            () = tokio::time::sleep_until(ping_at.into()) => Event::Silence,
        }
    }

    fn end(&self, reason: &'static str) -> BridgeEnd {
        BridgeEnd { reason, to_device: self.to_device.copied, to_service: self.to_service.copied }
    }
}

fn stop_reason(stop: BridgeStop) -> &'static str {
    if stop == BridgeStop::Revoked { "agent.revoked" } else { "shutdown" }
}

/// The status that is passed on: 1001 in the place of a close frame without one.
fn passed_code(socket: &BridgeSocket) -> u16 {
    match socket.close_code() {
        Some(close_code::NO_STATUS) | None => close_code::GOING_AWAY,
        Some(code) => code,
    }
}

/// Sends a close frame, and reads until the close frame of the peer, for a short time.
pub async fn close(socket: &mut BridgeSocket, code: u16) {
    let closing = async {
        socket.queue_close(code);
        if socket.flush().await.is_err() {
            return;
        }
        let mut discarded = [0; 4096];
        while socket.close_code().is_none() && matches!(socket.read(&mut discarded).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
}

/// Closes both connections.
async fn close_both(service: &mut BridgeSocket, device: &mut BridgeSocket, code: u16) {
    tokio::join!(close(service, code), close(device, code));
}

/// Passes on the status of a connection that has ended. What the other one sends before its own close frame still arrives.
async fn finish_closed(rest: &mut CopyDirection, ended: &mut BridgeSocket, other: &mut BridgeSocket) {
    let code = passed_code(ended);
    other.queue_close(code);
    let copied = poll_fn(|cx| {
        let _ = Pin::new(&mut *other).poll_flush(cx);
        rest.poll(cx, other, ended)
    });
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, copied).await;
    close(ended, code).await;
}

/// Joins two WebSocket connections until one of them ends.
pub async fn relay(
    mut service: BridgeSocket,
    mut device: BridgeSocket,
    mut stop: watch::Receiver<BridgeStop>,
) -> BridgeEnd {
    let mut copy = BridgeCopy::new();
    loop {
        let reason = match copy.next(&mut service, &mut device, &mut stop).await {
            Event::Silence => {
                service.queue_ping();
                device.queue_ping();
                copy.active_at = Instant::now();
                continue;
            }
            Event::ServiceClosed => {
                finish_closed(&mut copy.to_service, &mut service, &mut device).await;
                "service.closed"
            }
            Event::DeviceClosed => {
                finish_closed(&mut copy.to_device, &mut device, &mut service).await;
                "device.closed"
            }
            Event::ServiceFailed => {
                close(&mut device, close_code::INTERNAL_ERROR).await;
                "service.reset"
            }
            Event::DeviceFailed => {
                close(&mut service, close_code::INTERNAL_ERROR).await;
                "device.reset"
            }
            Event::Stopped(stop) => {
                close_both(&mut service, &mut device, close_code::GOING_AWAY).await;
                stop_reason(stop)
            }
        };
        return copy.end(reason);
    }
}

/// The service of an agent has ended: what the client still sends goes through for a while.
async fn finish_upload(copy: &mut BridgeCopy, service: &mut BridgeSocket, agent: &mut AgentStream) {
    service.queue_close(close_code::NORMAL);
    let _ = service.flush().await;
    let rest = poll_fn(|cx| {
        let _ = Pin::new(&mut *service).poll_flush(cx);
        copy.to_device.poll(cx, service, agent)
    });
    let _ = tokio::time::timeout(HALF_CLOSE_TIMEOUT, rest).await;
    let _ = agent.shutdown().await;
}

/// Joins the WebSocket connection of a service application to the stream of an agent.
pub async fn relay_agent(
    mut service: BridgeSocket,
    mut agent: AgentStream,
    mut stop: watch::Receiver<BridgeStop>,
) {
    let mut copy = BridgeCopy::new();
    loop {
        match copy.next(&mut service, &mut agent, &mut stop).await {
            Event::Silence => {
                service.queue_ping();
                copy.active_at = Instant::now();
                continue;
            }
            Event::ServiceClosed => {
                let _ = agent.shutdown().await;
                let code = passed_code(&service);
                close(&mut service, code).await;
            }
            Event::DeviceClosed => finish_upload(&mut copy, &mut service, &mut agent).await,
            Event::ServiceFailed => agent.reset().await,
            Event::DeviceFailed => close(&mut service, close_code::INTERNAL_ERROR).await,
            Event::Stopped(_) => close(&mut service, close_code::GOING_AWAY).await,
        }
        return;
    }
}
