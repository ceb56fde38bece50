//! The connection of a connector on its own side: an HTTP/2 client that opens a stream for each local connection.

use super::{
    keepalive::Heartbeat,
    names::AGENT_FIELD,
    stream::{MAX_FRAME_BYTES, MAX_SEND_BUFFER, TunnelStream},
};
use crate::pipeline::upgrade::UpgradedIo;
use bytes::Bytes;
use h2::{
    RecvStream,
    client::{self, SendRequest},
};
use http::{Method, Request, Version};
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Longest problem that is read.
const MAX_PROBLEM_BYTES: usize = 16 * 1024;

/// The connection to a gateway.
#[derive(Clone, Debug)]
pub struct ConnectorSession {
    requests: SendRequest<Bytes>,
}

/// Why a stream was not opened.
#[derive(Debug)]
pub enum StreamError {
    /// The connection to the gateway was lost.
    Lost,
    /// The error code and the reason of the gateway.
    Refused { code: String, detail: String },
}

impl ConnectorSession {
    /// Completes the handshake; the future drives the connection until it ends.
    pub async fn open(
        io: Box<dyn UpgradedIo>,
    ) -> io::Result<(ConnectorSession, impl Future<Output = ()> + Send + use<>)> {
        let mut builder = client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME_BYTES as u32)
            .max_send_buffer_size(MAX_SEND_BUFFER);
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, builder.handshake::<_, Bytes>(io)).await;
        let (requests, mut connection) = handshake?.map_err(io::Error::other)?;
        let mut heartbeat = Heartbeat::new(connection.ping_pong(), Instant::now());
        let driven = poll_fn(move |cx| match heartbeat.poll(cx).is_ready() {
            true => Poll::Ready(()),
            false => Pin::new(&mut connection).poll(cx).map(drop),
        });
        Ok((ConnectorSession { requests }, driven))
    }

    /// Opens a stream to the service of an agent.
    pub async fn connect(&self, agent: &str, service: &str) -> Result<TunnelStream, StreamError> {
        let request = Request::builder()
            .version(Version::HTTP_2)
            .method(Method::CONNECT)
            .uri(format!("{service}:0"))
            .header(AGENT_FIELD, agent)
            .body(());
        let Ok(request) = request else { return Err(StreamError::Lost) };
        let mut requests = self.requests.clone().ready().await.map_err(|_| StreamError::Lost)?;
        let (response, sender) = requests.send_request(request, false).map_err(|_| StreamError::Lost)?;
        let response = response.await.map_err(|_| StreamError::Lost)?;
        let status = response.status();
        let body = response.into_body();
        match status.is_success() {
            true => Ok(TunnelStream::new(sender, body)),
            false => Err(refusal(status.as_u16(), body).await),
        }
    }
}

async fn refusal(status: u16, mut body: RecvStream) -> StreamError {
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_PROBLEM_BYTES {
            break;
        }
    }
    let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    StreamError::Refused {
        code: text("code").unwrap_or_else(|| status.to_string()),
        detail: text("detail").unwrap_or_else(|| format!("the gateway answered with {status}")),
    }
}
