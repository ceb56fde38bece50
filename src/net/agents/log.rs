//! The log line of a stream, and its counters: written when the stream ends.

use super::{entry::AgentConnection, names::loggable, registry::AgentRegistry, usage::AgentUsage};
use crate::telemetry::agents::AgentStreamEnd;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

/// An open stream, as it is counted and logged.
#[derive(Debug)]
pub struct StreamGuard {
    pub registry: Arc<AgentRegistry>,
    pub connection: Arc<AgentConnection>,
    pub usage: Arc<AgentUsage>,
    pub id: String,
    pub service: Box<str>,
    /// Who requested it, as [`super::access::Requester::label`] has it.
    pub connector: String,
    pub client: Option<SocketAddr>,
    pub started_at: Instant,
    /// The time until the service was connected.
    pub connect_time: Duration,
    pub to_service: AtomicU64,
    pub to_client: AtomicU64,
    pub end: AgentStreamEnd,
}

impl StreamGuard {
    /// Counts bytes for the service, or for the client; returns the bytes of the agent on this day.
    pub fn count_bytes(&self, bytes: usize, is_to_service: bool) -> u64 {
        let bytes = bytes as u64;
        let metrics = self.registry.metrics();
        let (own, total) = match is_to_service {
            true => (&self.to_service, &metrics.bytes_to_service),
            false => (&self.to_client, &metrics.bytes_to_client),
        };
        own.fetch_add(bytes, Relaxed);
        total.fetch_add(bytes, Relaxed);
        self.connection.moved_bytes.fetch_add(bytes, Relaxed);
        self.usage.add_bytes(bytes, SystemTime::now())
    }

    fn line(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id,
            "protocol": "stream",
            "agent": &*self.connection.agent,
            "service": &*self.service,
            "connector": loggable(&self.connector),
            "client": self.client.map(|client| client.ip().to_string()),
            "bytes_in": self.to_service.load(Relaxed),
            "bytes_out": self.to_client.load(Relaxed),
            "ms_connect": self.connect_time.as_millis() as u64,
            "ms_total": self.started_at.elapsed().as_millis() as u64,
            "end": self.end.name(),
        })
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.registry.streams.fetch_sub(1, Relaxed);
        self.usage.streams.fetch_sub(1, Relaxed);
        self.connection.streams.fetch_sub(1, Relaxed);
        let metrics = self.registry.metrics();
        metrics.streams.fetch_sub(1, Relaxed);
        // Refused streams are counted where they are refused.
        if self.end == AgentStreamEnd::Refused {
            return;
        }
        metrics.count_end(self.end);
        if log::log_enabled!(log::Level::Info) {
            log::info!("{}", self.line());
        }
    }
}
