//! The open connections and UDP sessions: for operators, for revocation, and for the end of the drain.

use crate::{
    pipeline::client_certificate::ClientCertificate,
    plan::{
        roles::{EndpointGuard, RolesPlan, Source},
        transport::TransportRoute,
    },
};
use futures_util::task::AtomicWaker;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

/// Shards, so that workers rarely wait for each other.
const SHARDS: usize = 16;

/// Why the gateway ends an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    Drain = 1,
    Revoked = 2,
}

impl Termination {
    /// The name in metrics and the access log.
    pub fn name(self) -> &'static str {
        match self {
            Termination::Drain => "drain",
            Termination::Revoked => "role.revoked",
        }
    }
}

/// An open connection or session.
#[derive(Debug)]
pub struct OpenConnection {
    pub id: u64,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    pub listener: Arc<str>,
    pub client: SocketAddr,
    pub route: Arc<TransportRoute>,
    /// The service, once a connection to it is open.
    pub endpoint: OnceLock<Arc<str>>,
    pub since: Instant,
    /// Bytes to the service, and to the client.
    pub bytes: [AtomicU64; 2],
    /// The verified certificate of the client.
    certificate: OnceLock<Arc<ClientCertificate>>,
    termination: AtomicU8,
    waker: AtomicWaker,
}

impl OpenConnection {
    /// Sets the verified certificate of the client.
    pub fn set_certificate(&self, certificate: Arc<ClientCertificate>) {
        let _ = self.certificate.set(certificate);
    }

    /// What is known of the source.
    pub fn source(&self) -> Source<'_> {
        let certificate = self.certificate.get().map(|certificate| &**certificate);
        Source { certificate, subject: None, address: self.client.ip().to_canonical() }
    }

    /// Ends the connection.
    pub fn terminate(&self, why: Termination) {
        let _ = self.termination.compare_exchange(0, why as u8, Relaxed, Relaxed);
        self.waker.wake();
    }

    /// Ready once the gateway ends the connection.
    pub fn poll_terminated(&self, cx: &Context) -> Poll<Termination> {
        self.waker.register(cx.waker());
        match self.termination.load(Relaxed) {
            0 => Poll::Pending,
            1 => Poll::Ready(Termination::Drain),
            _ => Poll::Ready(Termination::Revoked),
        }
    }

    /// The guard of the internal endpoint that the route leads to.
    fn guard(&self) -> Option<&Arc<EndpointGuard>> {
        self.route.guard.as_ref()
    }
}

type Shard = Mutex<HashMap<u64, Arc<OpenConnection>>>;

/// All open connections and sessions.
#[derive(Debug)]
pub struct OpenConnections {
    shards: Box<[Shard]>,
    next_id: AtomicU64,
}

impl Default for OpenConnections {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        // A later process continues with other ids.
        OpenConnections { shards, next_id: AtomicU64::new(fastrand::u64(..) >> 16 << 16) }
    }
}

/// What operators see of an open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSummary {
    pub id: u64,
    pub protocol: &'static str,
    pub listener: Arc<str>,
    pub client: SocketAddr,
    pub route: Arc<str>,
    pub role: Arc<str>,
    pub endpoint: Option<Arc<str>>,
    /// To the service, and to the client.
    pub bytes: [u64; 2],
    pub seconds: u64,
}

impl OpenConnections {
    /// Adds a connection until the guard is dropped.
    pub fn add(
        self: &Arc<Self>,
        protocol: &'static str,
        listener: Arc<str>,
        client: SocketAddr,
        route: Arc<TransportRoute>,
    ) -> OpenGuard {
        let connection = Arc::new(OpenConnection {
            id: self.next_id.fetch_add(1, Relaxed),
            protocol,
            listener,
            client,
            route,
            endpoint: OnceLock::new(),
            since: Instant::now(),
            bytes: Default::default(),
            certificate: OnceLock::new(),
            termination: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        });
        self.shard(connection.id)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(connection.id, connection.clone());
        OpenGuard { all: self.clone(), connection }
    }

    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, Arc<OpenConnection>>> {
        &self.shards[id as usize % SHARDS]
    }

    fn collect(&self, wanted: impl Fn(&OpenConnection) -> bool) -> Vec<Arc<OpenConnection>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.values().filter(|connection| wanted(connection)).cloned());
        }
        all
    }

    /// At most `max` of them, the oldest first, and how many there are.
    pub fn summaries(&self, max: usize) -> (Vec<OpenSummary>, usize) {
        let mut all = self.collect(|_| true);
        all.sort_by_key(|connection| connection.id);
        let summary = |connection: &Arc<OpenConnection>| OpenSummary {
            id: connection.id,
            protocol: connection.protocol,
            listener: connection.listener.clone(),
            client: connection.client,
            route: connection.route.label.clone(),
            role: connection.route.role.clone(),
            endpoint: connection.endpoint.get().cloned(),
            bytes: connection.bytes.each_ref().map(|bytes| bytes.load(Relaxed)),
            seconds: connection.since.elapsed().as_secs(),
        };
        (all.iter().take(max).map(summary).collect(), all.len())
    }

    /// Ends all of them.
    pub fn terminate_all(&self) {
        self.collect(|_| true).iter().for_each(|connection| connection.terminate(Termination::Drain));
    }

    /// The connections to internal endpoints that the rules do not allow any more.
    pub fn revoked(&self, roles: &RolesPlan) -> Vec<Arc<OpenConnection>> {
        self.collect(|connection| {
            connection.guard().is_some_and(|guard| !guard.is_allowed_by(roles, &connection.source()))
        })
    }
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub struct OpenGuard {
    all: Arc<OpenConnections>,
    pub connection: Arc<OpenConnection>,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let id = self.connection.id;
        self.all.shard(id).lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
