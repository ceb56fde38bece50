//! UDP sessions: a client address and the address that it sends to. Each has its own connected socket to an endpoint, so that the
//! kernel sorts the replies. Nothing is ever waited for: what cannot be forwarded at once is dropped and counted.

use super::{
    dial::{ClientEnds, select},
    session::Forwarding,
    udp_session::{Ended, SessionGuards, SessionKey, UdpSession},
};
use crate::{
    backend::{endpoint::Endpoint, health::AttemptReport},
    net::{
        backend_datagram,
        datagram::{DatagramListener, MAX_DATAGRAM_BYTES, Received},
        descriptors,
    },
    pipeline::error::ErrorCode,
    plan::{
        ListenerPlan,
        roles::Source,
        transport::{TransportListener, TransportRoute},
    },
    server::worker::Worker,
    telemetry::DropReason,
};
use std::{
    collections::HashMap,
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Endpoints that refused are avoided for this long.
const AVOIDANCE: Duration = Duration::from_secs(10);
/// Clients whose last endpoint refused, that are remembered.
const MAX_AVOIDED: usize = 1024;

/// The sessions of a listener on one worker.
pub struct SessionTable {
    socket: Arc<DatagramListener>,
    open: Mutex<HashMap<SessionKey, Arc<UdpSession>>>,
    avoided: Mutex<HashMap<SessionKey, (Arc<Endpoint>, Instant)>>,
}

impl SessionTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<UdpSession>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a session that ended. The next session of the client avoids an endpoint that refused.
    pub fn remove(&self, key: SessionKey, session: &Arc<UdpSession>, refused: Option<Arc<Endpoint>>) {
        let mut open = self.lock();
        // Another session of the client may have its place.
        if open.get(&key).is_some_and(|known| Arc::ptr_eq(known, session)) {
            open.remove(&key);
        }
        drop(open);
        let Some(endpoint) = refused else { return };
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        if avoided.len() >= MAX_AVOIDED {
            avoided.retain(|_, (_, until)| *until > Instant::now());
        }
        if avoided.len() < MAX_AVOIDED {
            avoided.insert(key, (endpoint, Instant::now() + AVOIDANCE));
        }
    }

    fn avoided(&self, key: SessionKey) -> Vec<Arc<Endpoint>> {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        let found = avoided.get(&key).map(|(endpoint, until)| (endpoint.clone(), *until));
        match found {
            Some((endpoint, until)) if until > Instant::now() => vec![endpoint],
            Some(_) => {
                avoided.remove(&key);
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

/// Receives the datagrams of a listener until `stopped`. `plan` returns the current plan of the listener.
pub async fn serve(
    socket: DatagramListener,
    plan: impl Fn() -> Arc<ListenerPlan>,
    worker: Arc<Worker>,
    mut stopped: oneshot::Receiver<()>,
) {
    let (open, avoided) = (Mutex::default(), Mutex::default());
    let table = Arc::new(SessionTable { socket: Arc::new(socket), open, avoided });
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let received = tokio::select! {
            biased;
            received = poll_fn(|cx| table.socket.poll_receive(cx, &mut buffer)) => received,
            _ = &mut stopped => break,
        };
        match received {
            Ok(received) => {
                let plan = plan();
                let Some(handler) = &plan.handler else { continue };
                let bytes = &buffer[..received.length];
                Datagram { table: &table, plan: &plan, handler, worker: &worker, received }.forward(bytes);
            }
            Err(error) => {
                log::warn!("cannot receive datagrams on {}: {error}", plan().address);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    for session in table.lock().values() {
        session.forwarding().open().terminate(super::registry::Termination::Drain);
    }
}

/// A datagram of a client.
struct Datagram<'d> {
    table: &'d Arc<SessionTable>,
    plan: &'d Arc<ListenerPlan>,
    handler: &'d Arc<TransportListener>,
    worker: &'d Arc<Worker>,
    received: Received,
}

impl Datagram<'_> {
    fn forward(&self, bytes: &[u8]) {
        let key = (self.received.from, self.received.to);
        let known = self.table.lock().get(&key).cloned();
        if let Some(session) = known {
            if session.is_current(self.handler) {
                if session.send(bytes, self.worker.index) {
                    return;
                }
                self.table.remove(key, &session, Some(session.endpoint().clone()));
            } else {
                session.end("endpoint.gone");
                self.table.remove(key, &session, None);
            }
        }
        if let Some(session) = self.open(key) {
            session.send(bytes, self.worker.index);
        }
    }

    /// Opens a session; `None`: the datagram is dropped.
    fn open(&self, key: SessionKey) -> Option<Arc<UdpSession>> {
        let found = self.handler.router.find_unconditional().and_then(|at| self.handler.routes.get(at));
        let Some(route) = found else {
            self.worker.gateway.metrics().record_error(ErrorCode::RouteNotFound.name());
            return None;
        };
        match self.admit(route) {
            Ok(guards) => self.connect(key, route, guards),
            Err((reason, code)) => self.refuse(route, reason, code),
        }
    }

    fn refuse(&self, route: &TransportRoute, reason: DropReason, code: ErrorCode) -> Option<Arc<UdpSession>> {
        route.metrics.drop_datagram(self.worker.index, reason);
        self.worker.gateway.metrics().record_error(code.name());
        None
    }

    /// The limits, address lists and traffic rules.
    fn admit(&self, route: &TransportRoute) -> Result<SessionGuards, (DropReason, ErrorCode)> {
        let (client, limits) = (self.received.from.ip(), self.worker.plan().limits);
        if !route.admits(client) {
            return Err((DropReason::Denied, ErrorCode::AccessIpDenied));
        }
        let source = Source::of_address(client.to_canonical());
        if let Some(guard) = &route.guard
            && !self.worker.plan().roles.admits(&guard.name, &source)
        {
            return Err((DropReason::Denied, ErrorCode::RoleDenied));
        }
        let full = (DropReason::Sessions, ErrorCode::LimitSessions);
        let gateway = &self.worker.gateway;
        let session = gateway.sessions.try_acquire(limits.udp_sessions.unwrap_or(usize::MAX)).ok_or(full)?;
        let client =
            gateway.sessions.clients().of(client).try_acquire(limits.udp_sessions_per_client).ok_or(full)?;
        let open = route.metrics.open.load(std::sync::atomic::Ordering::Relaxed);
        if route.config.max_connections.is_some_and(|max| open >= max) {
            return Err((DropReason::Sessions, ErrorCode::RouteConnectionLimit));
        }
        let descriptor = descriptors::PROCESS.try_backend().ok_or(full)?;
        Ok(SessionGuards::new(session, client, descriptor))
    }

    fn connect(
        &self,
        key: SessionKey,
        route: &Arc<TransportRoute>,
        guards: SessionGuards,
    ) -> Option<Arc<UdpSession>> {
        let (peer, local) = key;
        let ends = ClientEnds { peer, local, port: local.port() };
        let tried = self.table.avoided(key);
        let selection = match select(&route.cluster, ends, None, &tried) {
            Ok(selection) => selection,
            Err(code) => return self.refuse(route, DropReason::NoEndpoint, code),
        };
        let endpoint = selection.endpoint.clone();
        let Some(address) = endpoint.primary.transport.addr.current() else {
            self.resolve(route, endpoint);
            return self.refuse(route, DropReason::NoEndpoint, ErrorCode::BackendDns);
        };
        let backend = SocketAddr::new(address, route.backend_port(endpoint.port, local.port()));
        let Ok(socket) = backend_datagram::connect(backend) else {
            let (now, report) = (Instant::now(), AttemptReport::Failed(ErrorCode::BackendConnect));
            route.cluster.record(&endpoint, report, now, now);
            return self.refuse(route, DropReason::NoEndpoint, ErrorCode::BackendConnect);
        };
        let listener = ("UDP", self.plan.name.clone());
        let (mut forwarding, _) = Forwarding::begin(route, listener, peer, self.worker, None);
        forwarding.attempts = 1;
        let _ = forwarding.open().endpoint.set(endpoint.label.clone());
        let session =
            UdpSession::new(key, socket, route, (endpoint, selection.in_flight), forwarding, guards);
        let session = Arc::new(session);
        self.run(key, session.clone());
        Some(session)
    }

    /// Runs a session until it ends.
    fn run(&self, key: SessionKey, session: Arc<UdpSession>) {
        let (table, worker) = (self.table.clone(), self.worker.index);
        table.lock().insert(key, session.clone());
        tokio::spawn(async move {
            let Ended { was_replaced, refused } = session.clone().run(&table.socket, worker).await;
            if !was_replaced {
                table.remove(key, &session, refused);
            }
        });
    }

    /// Waits for the addresses of a name in the background; the client sends again.
    fn resolve(&self, route: &TransportRoute, endpoint: Arc<Endpoint>) {
        let timeout = route.config.connect_timeout;
        tokio::spawn(async move {
            endpoint.primary.transport.addr.resolve(Instant::now() + timeout).await;
        });
    }
}
