//! Copies bytes between a stream of a tunnel and a socket, or between two streams. Each direction ends by itself; a reset of
//! one side is passed on after everything that was received before.

use super::{
    socket::LocalSocket,
    stream::{TunnelReceiver, TunnelSender, TunnelStream},
};
use bytes::BytesMut;
use std::io;

/// What was copied, and whether both directions ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelaySummary {
    /// Bytes from the tunnel.
    pub from_tunnel: u64,
    /// Bytes to the tunnel.
    pub to_tunnel: u64,
    /// A side was reset or lost.
    pub is_reset: bool,
}

/// The end of one direction that is not its regular one.
struct BrokenDirection;

/// Copies between a stream and a socket until both directions have ended.
pub async fn relay_socket(stream: TunnelStream, socket: LocalSocket) -> RelaySummary {
    let TunnelStream { mut sender, mut receiver } = stream;
    let mut summary = RelaySummary::default();
    let RelaySummary { from_tunnel, to_tunnel, .. } = &mut summary;
    let copied = tokio::try_join!(
        copy_to_socket(&mut receiver, &socket, from_tunnel),
        copy_from_socket(&socket, &mut sender, to_tunnel)
    );
    if copied.is_err() {
        summary.is_reset = true;
        socket.reset_on_close();
        sender.reset().await;
    }
    summary
}

async fn copy_to_socket(
    receiver: &mut TunnelReceiver,
    socket: &LocalSocket,
    count: &mut u64,
) -> Result<(), BrokenDirection> {
    while let Some(bytes) = receiver.next().await.map_err(|_| BrokenDirection)? {
        *count += bytes.len() as u64;
        socket.write(bytes).await.map_err(|_| BrokenDirection)?;
    }
    socket.finish();
    Ok(())
}

async fn copy_from_socket(
    socket: &LocalSocket,
    sender: &mut TunnelSender,
    count: &mut u64,
) -> Result<(), BrokenDirection> {
    let mut buffer = BytesMut::new();
    while let Some(bytes) = read_or_reset(socket, sender, &mut buffer).await? {
        *count += bytes.len() as u64;
        sender.send(bytes).await.map_err(|_| BrokenDirection)?;
    }
    sender.finish().map_err(|_| BrokenDirection)
}

/// The next bytes of the socket, unless the stream is reset while it waits for them.
async fn read_or_reset(
    socket: &LocalSocket,
    sender: &mut TunnelSender,
    buffer: &mut BytesMut,
) -> Result<Option<bytes::Bytes>, BrokenDirection> {
    tokio::select! {
        biased;
        read = socket.read(buffer) => read.map_err(|_: io::Error| BrokenDirection),
        _ = std::future::poll_fn(|cx| sender.poll_reset(cx)) => Err(BrokenDirection),
    }
}
