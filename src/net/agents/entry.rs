//! The connection of an agent, as the registry holds it.

use super::access::Proof;
use crate::telemetry::agents::AgentLoss;
use bytes::Bytes;
use h2::client::SendRequest;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::sync::Notify;

/// What an agent presented when it connected.
#[derive(Clone, Debug)]
pub struct AgentHello {
    pub agent: Arc<str>,
    /// 16 hexadecimal digits, chosen by the process of the agent.
    pub instance: Box<str>,
    pub services: Vec<Box<str>>,
    pub peer: SocketAddr,
    pub proof: Proof,
    /// The host of the request, for which tokens may be signed.
    pub host: Box<str>,
}

/// One connection.
#[derive(Debug)]
pub struct AgentConnection {
    pub agent: Arc<str>,
    pub instance: Box<str>,
    pub peer: SocketAddr,
    pub host: Box<str>,
    pub opened_at: SystemTime,
    pub streams: AtomicUsize,
    /// Bytes moved, in total and in the last second.
    pub moved_bytes: AtomicU64,
    pub recent_bytes: AtomicU64,
    round_trip_us: AtomicU64,
    services: Mutex<Arc<[Box<str>]>>,
    proof: Mutex<Proof>,
    /// `None`: no new streams.
    requests: Mutex<Option<SendRequest<Bytes>>>,
    end: Mutex<Option<AgentLoss>>,
    end_notify: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AgentConnection {
    /// A connection that was accepted.
    pub fn new(hello: AgentHello, requests: SendRequest<Bytes>) -> Arc<AgentConnection> {
        let AgentHello { agent, instance, services, peer, proof, host } = hello;
        Arc::new(AgentConnection {
            agent,
            instance,
            peer,
            host,
            opened_at: SystemTime::now(),
            streams: AtomicUsize::new(0),
            moved_bytes: AtomicU64::new(0),
            recent_bytes: AtomicU64::new(0),
            round_trip_us: AtomicU64::new(0),
            services: Mutex::new(services.into()),
            proof: Mutex::new(proof),
            requests: Mutex::new(Some(requests)),
            end: Mutex::new(None),
            end_notify: Notify::new(),
        })
    }

    /// The services that the agent offers now.
    pub fn services(&self) -> Arc<[Box<str>]> {
        lock(&self.services).clone()
    }

    /// Replaces the offered services.
    pub fn set_services(&self, services: Vec<Box<str>>) {
        *lock(&self.services) = services.into();
    }

    /// Whether the agent offers the service.
    pub fn offers(&self, service: &str) -> bool {
        lock(&self.services).iter().any(|name| **name == *service)
    }

    /// The last proof.
    pub fn proof(&self) -> Proof {
        lock(&self.proof).clone()
    }

    /// Replaces the proof by a newer one.
    pub fn set_proof(&self, proof: Proof) {
        *lock(&self.proof) = proof;
    }

    /// The handle for new streams; `None` once the connection ends.
    pub fn requests(&self) -> Option<SendRequest<Bytes>> {
        lock(&self.requests).clone()
    }

    /// Accepts no new streams if the agent accepts none: it sent GOAWAY.
    pub fn poll_goaway(&self, cx: &mut Context<'_>) {
        let is_refused = self
            .requests()
            .is_some_and(|mut requests| matches!(requests.poll_ready(cx), Poll::Ready(Err(_))));
        if is_refused {
            self.close_for_new_streams();
        }
    }

    /// Whether new streams may begin.
    pub fn is_open(&self) -> bool {
        lock(&self.requests).is_some()
    }

    /// Accepts no new streams.
    pub fn close_for_new_streams(&self) {
        drop(lock(&self.requests).take());
    }

    /// Requests the end of the connection; the first reason counts.
    pub fn end(&self, reason: AgentLoss) {
        lock(&self.end).get_or_insert(reason);
        self.close_for_new_streams();
        self.end_notify.notify_one();
    }

    /// The reason for which the end was requested.
    pub fn end_reason(&self) -> Option<AgentLoss> {
        *lock(&self.end)
    }

    /// Waits until the end is requested.
    pub async fn ended(&self) -> AgentLoss {
        loop {
            if let Some(reason) = self.end_reason() {
                return reason;
            }
            self.end_notify.notified().await;
        }
    }

    /// Records a measured round trip.
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip_us.store(u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The last measured round trip in milliseconds.
    pub fn round_trip_ms(&self) -> f64 {
        self.round_trip_us.load(Relaxed) as f64 / 1000.0
    }
}
