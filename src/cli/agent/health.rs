//! The health address of an agent: `/live`, `/ready` (connected to every gateway), `/metrics`.

use super::connections::GatewayState;
use crate::net::agents::agent_side::AgentContext;
use std::{
    fmt::Write,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Longest request head, and the time for it.
const MAX_HEAD_BYTES: usize = 4096;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_CONNECTIONS: usize = 32;

/// Serves the address in the background.
pub async fn start(
    address: SocketAddr,
    gateways: Vec<Arc<GatewayState>>,
    context: Arc<AgentContext>,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let (gateways, room) = (Arc::new(gateways), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(permit) = room.clone().try_acquire_owned() else { continue };
            let (gateways, context) = (gateways.clone(), context.clone());
            drop(tokio::spawn(async move {
                let _ = tokio::time::timeout(REQUEST_TIMEOUT, respond(stream, &gateways, &context)).await;
                drop(permit);
            }));
        }
    }));
    Ok(())
}

async fn respond(
    mut stream: TcpStream,
    gateways: &[Arc<GatewayState>],
    context: &AgentContext,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let target =
        std::str::from_utf8(&head).unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    let is_ready = gateways.iter().all(|gateway| gateway.is_connected.load(Relaxed));
    let (status, body) = match target.as_str() {
        "/live" => ("200 OK", "live\n".to_owned()),
        "/ready" if is_ready => ("200 OK", "ready\n".to_owned()),
        "/ready" => ("503 Service Unavailable", "not connected to every gateway\n".to_owned()),
        "/metrics" => ("200 OK", metrics(gateways, context)),
        _ => ("404 Not Found", "expected /live, /ready or /metrics\n".to_owned()),
    };
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await
}

fn metrics(gateways: &[Arc<GatewayState>], context: &AgentContext) -> String {
    let mut text = String::from("# TYPE margay_agent_gateway_connections gauge\n");
    for gateway in gateways {
        let (url, count) = (&gateway.url, gateway.connections.load(Relaxed));
        let _ = writeln!(text, "margay_agent_gateway_connections{{gateway={url:?}}} {count}");
    }
    let _ = write!(
        text,
        "# TYPE margay_agent_streams gauge\nmargay_agent_streams {}\n\
         # TYPE margay_agent_streams_total counter\nmargay_agent_streams_total {}\n\
         # TYPE margay_agent_failed_streams_total counter\nmargay_agent_failed_streams_total {}\n",
        context.streams.load(Relaxed),
        context.streams_total.load(Relaxed),
        context.failed_total.load(Relaxed),
    );
    text
}
