//! One UDP session: its socket to an endpoint, the replies that arrive there, and its end.

use super::{dial::report_success, session::Forwarding};
use crate::{
    backend::{Cluster, endpoint::Endpoint, health::AttemptReport, selection::InFlightGuard},
    base::client_counts::ClientCountGuard,
    net::{
        backend_datagram::send_now,
        datagram::{DatagramListener, MAX_DATAGRAM_BYTES},
        descriptors::DescriptorGuard,
    },
    pipeline::error::ErrorCode,
    plan::transport::{TransportListener, TransportRoute},
    server::gateway::SessionGuard,
    telemetry::{AttemptOutcome, DropReason, ForwardedTo},
};
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{io::ReadBuf, net::UdpSocket, time::Sleep};

thread_local! {
    /// The buffer of a worker for replies.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The client, and the address that it sends to.
pub type SessionKey = (SocketAddr, SocketAddr);

/// A session. Its task receives the replies; the task of the listener sends what the client sends.
pub struct UdpSession {
    key: SessionKey,
    socket: UdpSocket,
    route: Arc<TransportRoute>,
    endpoint: Arc<Endpoint>,
    started: Instant,
    /// Milliseconds from the start to the last datagram.
    active_ms: AtomicU64,
    replies: AtomicU64,
    is_ended: AtomicBool,
    end: Mutex<Option<&'static str>>,
    forwarding: Forwarding,
    _in_flight: Option<InFlightGuard>,
    _guards: SessionGuards,
}

/// Whether an endpoint belongs to the cluster and is well.
fn serves(cluster: &Cluster, endpoint: &Endpoint) -> bool {
    let (members, health) = (cluster.members(), &endpoint.state.health);
    let is_member = members.endpoints.iter().any(|known| Arc::ptr_eq(&known.state, &endpoint.state));
    is_member && (members.is_panic || health.is_drained() || health.is_eligible(cluster.health()))
}

impl UdpSession {
    /// A session on a connected socket.
    pub fn new(
        key: SessionKey,
        socket: UdpSocket,
        route: &Arc<TransportRoute>,
        (endpoint, in_flight): (Arc<Endpoint>, Option<InFlightGuard>),
        forwarding: Forwarding,
        guards: SessionGuards,
    ) -> UdpSession {
        UdpSession {
            key,
            socket,
            route: route.clone(),
            endpoint,
            started: Instant::now(),
            active_ms: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            is_ended: AtomicBool::new(false),
            end: Mutex::new(None),
            forwarding,
            _in_flight: in_flight,
            _guards: guards,
        }
    }

    /// The entry among the open connections.
    pub fn forwarding(&self) -> &Forwarding {
        &self.forwarding
    }

    /// Whether the session goes on: its endpoint is still one of its route, and well.
    pub fn is_current(&self, current: &TransportListener) -> bool {
        if self.is_ended.load(Relaxed) {
            return false;
        }
        let same_route = |route: &&Arc<TransportRoute>| route.label == self.route.label;
        let Some(route) = current.routes.iter().find(same_route) else { return false };
        serves(&route.cluster, &self.endpoint)
    }

    /// Ends the session; its task notices.
    pub fn end(&self, end: &'static str) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
        self.is_ended.store(true, Relaxed);
        self.forwarding.open().terminate(super::registry::Termination::Drain);
    }

    fn touch(&self) {
        self.active_ms.store(self.started.elapsed().as_millis() as u64, Relaxed);
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Sends a datagram of the client to the endpoint. `false`: the endpoint refused an earlier one, the session ends, and this one
    /// was not sent.
    pub fn send(&self, bytes: &[u8], worker: usize) -> bool {
        self.touch();
        match send_now(&self.socket, bytes) {
            Ok(sent) => count_forwarded(&self.forwarding, worker, ForwardedTo::Service, sent),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.end("backend.reset");
                return false;
            }
            Err(error) => count_dropped(&self.route, worker, &error),
        }
        true
    }

    /// Forwards replies until the session ends.
    pub async fn run(self: Arc<Self>, listener: &DatagramListener, worker: usize) -> Ended {
        let end = {
            let mut timer = pin!(tokio::time::sleep_until(self.deadline().into()));
            poll_fn(|cx| self.poll(cx, timer.as_mut(), listener, worker)).await
        };
        let own = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (end, now) = (own.unwrap_or(end), Instant::now());
        self.is_ended.store(true, Relaxed);
        let is_refused = end == "backend.reset";
        if is_refused {
            let report = AttemptReport::Failed(ErrorCode::BackendConnect);
            self.route.cluster.record(&self.endpoint, report, self.started, now);
            self.route.cluster.attempts.count(worker, AttemptOutcome::Reset);
        }
        self.forwarding.record_end(end);
        let refused = is_refused.then(|| self.endpoint.clone());
        Ended { was_replaced: end == "endpoint.gone", refused }
    }

    fn deadline(&self) -> Instant {
        let config = &self.route.config;
        let idle = self.started + Duration::from_millis(self.active_ms.load(Relaxed)) + config.idle_timeout;
        config.max_duration.map_or(idle, |max| idle.min(self.started + max))
    }

    fn poll(
        &self,
        cx: &mut Context,
        mut timer: Pin<&mut Sleep>,
        listener: &DatagramListener,
        worker: usize,
    ) -> Poll<&'static str> {
        if let Poll::Ready(why) = self.forwarding.open().poll_terminated(cx) {
            return Poll::Ready(why.name());
        }
        if let Poll::Ready(end) = self.poll_replies(cx, listener, worker) {
            return Poll::Ready(end);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.route.config.max_duration.is_some_and(|max| now >= self.started + max) {
                return Poll::Ready("duration");
            }
            if now >= self.deadline() {
                return Poll::Ready("idle");
            }
            timer.as_mut().reset(self.deadline().max(now + Duration::from_millis(1)).into());
        }
        Poll::Pending
    }

    fn poll_replies(
        &self,
        cx: &mut Context,
        listener: &DatagramListener,
        worker: usize,
    ) -> Poll<&'static str> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(MAX_DATAGRAM_BYTES, 0);
            loop {
                let mut space = ReadBuf::new(buffer);
                match ready!(self.socket.poll_recv(cx, &mut space)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        return Poll::Ready("backend.reset");
                    }
                    Err(error) => {
                        log::debug!("datagrams of {}: {error}", self.endpoint.label);
                        return Poll::Ready("backend.reset");
                    }
                }
                let (client, local) = self.key;
                let bytes = space.filled();
                match listener.try_send(bytes, local, client) {
                    Ok(sent) => count_forwarded(&self.forwarding, worker, ForwardedTo::Client, sent),
                    Err(error) => count_dropped(&self.route, worker, &error),
                }
                self.touch();
                let replies = self.replies.fetch_add(1, Relaxed) + 1;
                if replies == 1 {
                    report_success(&self.route.cluster, &self.endpoint, self.started, Instant::now());
                    self.route.cluster.attempts.count(worker, AttemptOutcome::Success);
                }
                if self.route.config.replies.is_some_and(|max| replies >= u64::from(max)) {
                    return Poll::Ready("replies");
                }
            }
        })
    }
}

/// What a session counts for.
#[derive(Debug)]
pub struct SessionGuards {
    _session: SessionGuard,
    _client: ClientCountGuard,
    _descriptor: DescriptorGuard,
}

impl SessionGuards {
    /// The guards of a session.
    pub fn new(
        session: SessionGuard,
        client: ClientCountGuard,
        descriptor: DescriptorGuard,
    ) -> SessionGuards {
        SessionGuards { _session: session, _client: client, _descriptor: descriptor }
    }
}

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// Another session of the client replaces it.
    pub was_replaced: bool,
    /// The endpoint, if it refused.
    pub refused: Option<Arc<Endpoint>>,
}

/// Counts a datagram that the kernel did not take.
fn count_dropped(route: &TransportRoute, worker: usize, error: &std::io::Error) {
    let is_too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
    let reason = if is_too_long { DropReason::Long } else { DropReason::Full };
    route.metrics.drop_datagram(worker, reason);
}

/// Counts a forwarded datagram.
fn count_forwarded(forwarding: &Forwarding, worker: usize, to: ForwardedTo, bytes: usize) {
    let open = forwarding.open();
    open.bytes[to as usize].fetch_add(bytes as u64, Relaxed);
    open.route.metrics.add_datagram(worker, to, bytes as u64);
}
