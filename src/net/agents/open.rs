//! Opens a stream to the service of an agent: who may, which connection, and the answer of the agent.

use super::{
    access::Requester,
    config::AgentConfig,
    entry::AgentConnection,
    error::AgentError,
    log::StreamGuard,
    names::{CLIENT_FIELD, ERROR_FIELD, STREAM_FIELD, TIMEOUT_FIELD, loggable},
    registry::AgentRegistry,
    stream::TunnelStream,
    usage::AgentUsage,
    virtual_stream::AgentStream,
};
use crate::telemetry::agents::AgentStreamEnd;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Response, Version};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How much longer than the agent the gateway waits for the answer: it travels back.
const ANSWER_DELAY: Duration = Duration::from_secs(2);

/// The stream that is requested.
#[derive(Clone, Copy, Debug)]
pub struct StreamRequest<'r> {
    pub agent: &'r str,
    pub service: &'r str,
    pub requester: &'r Requester,
    pub client: Option<SocketAddr>,
    /// The time for everything; `ConnectTimeout` of the agent applies too.
    pub timeout: Duration,
}

impl AgentRegistry {
    /// Opens a stream. An agent that is not connected is an error at once, unless `WaitForAgent` is set.
    pub async fn open(self: &Arc<Self>, request: StreamRequest<'_>) -> Result<AgentStream, AgentError> {
        let opened = self.open_within_limits(request).await;
        if opened.is_err() {
            self.metrics().count_end(AgentStreamEnd::Refused);
        }
        opened
    }

    async fn open_within_limits(
        self: &Arc<Self>,
        request: StreamRequest<'_>,
    ) -> Result<AgentStream, AgentError> {
        let started_at = Instant::now();
        let config = self.config();
        let agent = config.agent(request.agent).ok_or(AgentError::Unknown)?;
        if !agent.is_enabled {
            return Err(AgentError::Disabled);
        }
        if !request.requester.is_allowed(agent) {
            return Err(AgentError::Access);
        }
        if !self.wait_connected(request.agent, agent.limits.wait_for_agent).await {
            return Err(AgentError::Offline);
        }
        let (connections, usage) = self.connections_of(request.agent);
        let usage = usage.filter(|_| !connections.is_empty()).ok_or(AgentError::Offline)?;
        if !agent.allows_service(request.service) {
            return Err(AgentError::Service);
        }
        self.check_limits(agent, &usage, started_at)?;
        let mut error = AgentError::Service;
        for connection in by_preference(connections, request.service) {
            let Some(requests) = connection.requests() else { continue };
            let guard = self.guard(request, &connection, &usage, started_at);
            match self.connect(request, requests, guard, agent).await {
                // Another connection of the agent may still be good.
                Err(AgentError::Lost) => error = AgentError::Lost,
                outcome => return outcome,
            }
        }
        Err(error)
    }

    fn check_limits(&self, agent: &AgentConfig, usage: &AgentUsage, now: Instant) -> Result<(), AgentError> {
        let max_total = self.config().limits.max_streams;
        let is_full = self.streams.load(Relaxed) >= max_total
            || usage.streams.load(Relaxed) >= agent.limits.max_streams_per_agent;
        if is_full || !usage.try_begin(agent.limits.new_streams_per_second, now) {
            return Err(AgentError::StreamLimit);
        }
        Ok(())
    }

    fn guard(
        self: &Arc<Self>,
        request: StreamRequest<'_>,
        connection: &Arc<AgentConnection>,
        usage: &Arc<AgentUsage>,
        started_at: Instant,
    ) -> StreamGuard {
        self.streams.fetch_add(1, Relaxed);
        usage.streams.fetch_add(1, Relaxed);
        connection.streams.fetch_add(1, Relaxed);
        self.metrics().streams.fetch_add(1, Relaxed);
        StreamGuard {
            registry: self.clone(),
            connection: connection.clone(),
            usage: usage.clone(),
            id: self.new_stream_id(),
            service: request.service.into(),
            connector: request.requester.label(),
            client: request.client,
            started_at,
            connect_time: Duration::ZERO,
            to_service: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            end: AgentStreamEnd::Refused,
        }
    }

    /// Sends the `CONNECT` and waits for its answer.
    async fn connect(
        &self,
        request: StreamRequest<'_>,
        requests: SendRequest<Bytes>,
        mut guard: StreamGuard,
        agent: &AgentConfig,
    ) -> Result<AgentStream, AgentError> {
        let timeout = agent.limits.connect_timeout.min(request.timeout);
        let connect = connect_request(request, &guard.id, timeout)?;
        let exchange = async {
            let mut requests = requests.ready().await.map_err(|_| AgentError::Lost)?;
            let (response, sender) = requests.send_request(connect, false).map_err(|_| AgentError::Lost)?;
            let response = response.await.map_err(|_| AgentError::Lost)?;
            Ok((response, sender))
        };
        let (response, sender) = match tokio::time::timeout(timeout + ANSWER_DELAY, exchange).await {
            Ok(answered) => answered?,
            Err(_) => return Err(AgentError::ConnectTimeout),
        };
        if response.status() != http::StatusCode::OK {
            return Err(refusal(&response));
        }
        let stream = TunnelStream::new(sender, response.into_body());
        guard.connect_time = guard.started_at.elapsed();
        guard.end = AgentStreamEnd::Closed;
        self.metrics().record_open(guard.connect_time);
        Ok(AgentStream::new(stream, guard, agent.limits))
    }
}

/// The connections that offer the service: those without streams first, then those with the fewest bytes in the last second.
fn by_preference(connections: Vec<Arc<AgentConnection>>, service: &str) -> Vec<Arc<AgentConnection>> {
    let mut offering: Vec<_> =
        connections.into_iter().filter(|connection| connection.offers(service)).collect();
    offering.sort_by_key(|connection| {
        (connection.streams.load(Relaxed).min(1), connection.recent_bytes.load(Relaxed))
    });
    offering
}

fn connect_request(
    request: StreamRequest<'_>,
    id: &str,
    timeout: Duration,
) -> Result<Request<()>, AgentError> {
    let mut connect = Request::builder()
        .version(Version::HTTP_2)
        .method(Method::CONNECT)
        .uri(format!("{}:0", request.service))
        .header(STREAM_FIELD, id)
        .header(TIMEOUT_FIELD, timeout.as_millis().to_string());
    if let Some(client) = request.client {
        connect = connect.header(CLIENT_FIELD, client.to_string());
    }
    connect.body(()).map_err(|_| AgentError::Service)
}

/// The error of an answer other than 200.
fn refusal<T>(response: &Response<T>) -> AgentError {
    let reason = response.headers().get(ERROR_FIELD).and_then(|value| value.to_str().ok());
    match response.status().as_u16() {
        404 => AgentError::Service,
        403 => AgentError::Access,
        503 => AgentError::StreamLimit,
        504 => AgentError::ConnectTimeout,
        _ => AgentError::Connect(loggable(reason.unwrap_or("no reason was given"))),
    }
}
