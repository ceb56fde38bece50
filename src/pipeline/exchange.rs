//! One request and its response on their way through the gateway.

pub use super::peer::Peer;
pub use super::record::AccessRecord;
use super::{
    affinity::Affinity,
    body::Framing,
    client_certificate::ClientCertificate,
    guard::ResponseGuard,
    head::Head,
    identity::Identity,
    inspection::{RelayedBody, ResponseInspector},
    response::RouteResult,
};
use crate::base::{
    budget::{Budget, BufferCharge},
    content_coding::AcceptedCoding,
    data_rate::MinDataRate,
    escaped_separators::EscapedSeparators,
    path_params::PathParams,
};
use crate::telemetry::trace::RequestTrace;
use bytes::Bytes;
use smallvec::SmallVec;
use std::{any::Any, fmt::Debug, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Instant};

/// The client of an exchange: its connection, and what the gateway has verified about it.
///
/// ```
/// use margay::pipeline::exchange::Exchange;
///
/// /// The user for a header of the backend.
/// fn user_name(exchange: &Exchange) -> Option<&str> {
///     exchange.client.user.as_ref()?.claim_value("sub")
/// }
/// ```
#[derive(Debug)]
pub struct Client {
    /// The peer of the connection: the client itself or a proxy in front of the gateway.
    pub peer: Peer,
    /// The client's address, taken from forwarding headers if the peer is a trusted proxy.
    pub ip: IpAddr,
    /// The client used `https`, taken from forwarding headers if the peer is a trusted proxy.
    pub is_tls: bool,
    /// The listener that accepted the connection; set only if a route of the plan matches by listener.
    pub listener: Option<Arc<str>>,
    /// What the listener does with escaped separators in paths; `None`: as the plan has it.
    pub escaped_separators: Option<EscapedSeparators>,
    /// The client certificate, if the listener requested one and the client presented it.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The authenticated user; set by an authentication stage.
    pub user: Option<Arc<Identity>>,
}

impl Client {
    fn new(peer: Peer) -> Client {
        Client {
            ip: peer.ip(),
            is_tls: peer.tls,
            peer,
            listener: None,
            escaped_separators: None,
            certificate: None,
            user: None,
        }
    }
}

/// The body of the request.
///
/// ```
/// use margay::pipeline::{exchange::Exchange, stage::Step};
///
/// /// Reads the body, up to 64 KiB, before the request continues.
/// fn on_request(exchange: &mut Exchange) -> Step {
///     match &exchange.body.collected {
///         None => Step::ReadBody(64 * 1024),
///         Some(body) => {
///             let length = body.len().to_string();
///             exchange.request.set(b"X-Body-Length", length.as_bytes());
///             Step::Next
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct RequestBody {
    /// How the body is delimited.
    pub framing: Framing,
    /// The collected body, if a stage returned `Step::ReadBody`; otherwise the body is streamed.
    pub collected: Option<Bytes>,
    /// A body that is relayed while a stage inspects it; the stage returned `Step::InspectBody`.
    pub relayed: Option<RelayedBody>,
    /// The maximum size in bytes on this route; `u64::MAX` if only the listener limits it.
    pub limit: u64,
    /// The minimum rate of the client while it is waited for: that of the route.
    pub min_rate: Option<MinDataRate>,
}

impl RequestBody {
    fn new() -> RequestBody {
        RequestBody {
            framing: Framing::None,
            collected: None,
            relayed: None,
            limit: u64::MAX,
            min_rate: None,
        }
    }
}

/// The matched route and the state of the walk through it.
#[derive(Debug, Default)]
pub struct Routing {
    /// The index of the matched route in the plan.
    pub route: usize,
    /// The number of stages of the route that have run, including the running one.
    pub stage_index: usize,
    /// The placeholder values of the route's template; ranges of the normalized target.
    pub path_params: PathParams,
    /// The length of the path within the normalized target; the query follows it.
    pub path_len: usize,
    /// The path of the normalized target as the client spelled it, without its dot segments; empty if it is the same.
    pub spelled_path: Vec<u8>,
    /// The query that replaces the request's own, with its `?`; empty if the request's own is forwarded.
    pub query: Vec<u8>,
    /// What the request requires of its endpoint.
    pub affinity: Affinity,
    /// The hash key taken from the path, if the cluster balances by a path placeholder.
    pub balancer_key: Option<u64>,
    /// Of an API: the path behind its own, as the client spelled it.
    pub operation_path: Vec<u8>,
    /// Of an API: the methods of the operations with the path.
    pub allowed_methods: Vec<u8>,
    /// The hosts of the endpoints, if the path names their agents.
    pub agent_hosts: Vec<String>,
}

impl Routing {
    fn reset(&mut self) {
        (self.route, self.stage_index, self.balancer_key) = (0, 0, None);
        self.affinity = Affinity::default();
        self.path_params.clear();
        self.spelled_path.clear();
        self.query.clear();
        self.operation_path.clear();
        self.allowed_methods.clear();
        self.agent_hosts.clear();
    }
}

/// What request stages leave for the response.
///
/// ```
/// use margay::pipeline::{exchange::Exchange, guard::ResponseGuard};
/// use std::sync::Arc;
///
/// /// Holds a permit until the response body has ended.
/// fn hold(exchange: &mut Exchange, permit: Arc<()>) {
///     exchange.response.guards.push(ResponseGuard::new(permit));
/// }
/// ```
#[derive(Debug, Default)]
pub struct ResponseContext {
    /// Permits and counts that are released when the response body ends or the exchange is dropped.
    pub guards: SmallVec<[ResponseGuard; 1]>,
    /// The rate limits that admitted the request, for the response headers.
    pub rate_limits: SmallVec<[RateLimitStatus; 2]>,
    /// The allowed CORS origin of the request; empty if there is none.
    pub cors_origin: Vec<u8>,
    /// The content coding negotiated from `Accept-Encoding`, on routes that compress.
    pub accepted_coding: AcceptedCoding,
    /// Fields that the authentication stage adds to the response.
    pub fields: Vec<(Box<str>, Vec<u8>)>,
    /// The state that the cache stage keeps from request to response.
    pub cache_context: Option<Box<dyn Any + Send + Sync>>,
    /// What a stage found in a dry run, for its explanation.
    pub note: Option<Box<str>>,
    /// Inspects the response before the client receives it.
    pub inspector: Option<Box<dyn ResponseInspector>>,
    /// What the subscription check found, for the program behind it.
    pub caller_context: Option<Box<dyn Any + Send + Sync>>,
    /// The memory of an earlier response head, for the next one.
    pub spare_head: Head,
}

impl ResponseContext {
    fn reset(&mut self) {
        self.guards.clear();
        self.rate_limits.clear();
        self.cors_origin.clear();
        self.fields.clear();
        self.accepted_coding = AcceptedCoding::default();
        self.cache_context = None;
        (self.inspector, self.note) = (None, None);
        self.caller_context = None;
    }
}

/// The state of a rate limit after it admitted a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// The index of the limit on its route.
    pub limit: u16,
    /// The requests allowed per period.
    pub quota: u64,
    /// The requests left in the period.
    pub remaining: u64,
    /// When the limit resets, in nanoseconds on the clock of the counters.
    pub resets_at_ns: u64,
}

/// A background task, polled to its end by the worker.
pub type Task<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The server as stages see it, with the plan of the exchange: background tasks and subrequests.
pub trait Runtime: Send + Sync + Debug {
    /// Starts a task on the worker of the caller; outside of a worker the task is dropped.
    fn spawn(&self, task: Task);

    /// Runs a forked exchange from behind the stage that forked it: the remaining stages, then the target. The exchange
    /// belongs to the caller and has no body; it is neither logged nor counted.
    fn run_remaining(self: Arc<Self>, exchange: Box<Exchange>) -> Task<RouteResult>;

    /// The memory for buffered bodies, which clients share.
    fn buffering_memory(&self) -> Option<&Arc<Budget>> {
        None
    }
}

/// A request, its client and everything that is learned about them on the way to the response. The exchange holds one plan from
/// start to end.
///
/// ```
/// use margay::pipeline::{exchange::{Exchange, Peer}, head::Head};
///
/// # let address = "192.0.2.7:4711".parse().unwrap();
/// let mut exchange = Exchange::new(Peer::new(address, address, false), 0, std::time::Instant::now());
/// exchange.request = Head::request(b"GET", b"/orders?page=2");
/// exchange.request.append(b"Host", b"shop.example");
/// assert_eq!(exchange.client.ip.to_string(), "192.0.2.7");
/// ```
#[derive(Debug)]
pub struct Exchange {
    /// Request line and headers; stages edit them before they are forwarded.
    pub request: Head,
    /// The body of the request.
    pub body: RequestBody,
    /// The client and its connection.
    pub client: Client,
    /// The matched route and the progress on it.
    pub routing: Routing,
    /// What request stages leave for the response.
    pub response: ResponseContext,
    /// The request opens a WebSocket (RFC 6455 or RFC 8441).
    pub is_websocket: bool,
    /// The entry of the access log.
    pub record: AccessRecord,
    /// The trace of a sampled request.
    pub trace: Option<Box<RequestTrace>>,
    /// When the request head was received; stages use this instead of reading the clock.
    pub now: Instant,
    /// The index of the worker that serves the exchange, and of its shard in counters.
    pub worker: usize,
    /// Background tasks and subrequests; `None` in a dry run and until the route is matched.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// What the web application firewall keeps from its first position to its second.
    pub firewall: Option<Box<dyn Any + Send + Sync>>,
    /// Reusable memory for building values; its content is undefined.
    pub scratch: Vec<u8>,
    /// A dry run (`margay explain`): stages read state, never write it and never wait.
    pub is_dry_run: bool,
}

impl Exchange {
    /// An empty exchange of a connection, to be filled by its listener.
    pub fn new(peer: Peer, worker: usize, now: Instant) -> Exchange {
        Exchange {
            request: Head::default(),
            body: RequestBody::new(),
            client: Client::new(peer),
            routing: Routing::default(),
            response: ResponseContext::default(),
            is_websocket: false,
            record: AccessRecord::default(),
            trace: None,
            now,
            worker,
            runtime: None,
            firewall: None,
            scratch: Vec::new(),
            is_dry_run: false,
        }
    }

    /// An exchange without a body that continues a copy of the current request at the same stage of the same route. Guards and the
    /// access record stay with the original.
    pub fn fork(&self, now: Instant) -> Box<Exchange> {
        let Exchange { client, routing, .. } = self;
        Box::new(Exchange {
            request: self.request.clone(),
            body: RequestBody { limit: self.body.limit, ..RequestBody::new() },
            client: Client {
                ip: client.ip,
                is_tls: client.is_tls,
                certificate: client.certificate.clone(),
                user: client.user.clone(),
                ..Client::new(client.peer)
            },
            routing: Routing {
                route: routing.route,
                stage_index: routing.stage_index,
                path_params: routing.path_params.clone(),
                path_len: routing.path_len,
                spelled_path: routing.spelled_path.clone(),
                query: routing.query.clone(),
                affinity: routing.affinity,
                balancer_key: None,
                operation_path: routing.operation_path.clone(),
                allowed_methods: Vec::new(),
                agent_hosts: Vec::new(),
            },
            response: ResponseContext {
                cors_origin: self.response.cors_origin.clone(),
                ..ResponseContext::default()
            },
            runtime: self.runtime.clone(),
            record: AccessRecord { id: self.record.id.clone(), ..AccessRecord::default() },
            is_dry_run: self.is_dry_run,
            ..Exchange::new(client.peer, self.worker, now)
        })
    }

    /// The charge for a body that is buffered for the client.
    pub fn buffer_charge(&self) -> Option<BufferCharge> {
        let memory = self.runtime.as_ref()?.buffering_memory()?;
        Some(BufferCharge::new(memory.clone(), self.client.ip))
    }

    /// Prepares the exchange for the next request of the same connection; allocated memory is kept.
    pub fn reset(&mut self, now: Instant) {
        self.body = RequestBody::new();
        self.client = Client::new(self.client.peer);
        self.routing.reset();
        self.response.reset();
        self.is_websocket = false;
        self.record.reset();
        self.trace = None;
        self.now = now;
        self.runtime = None;
        self.firewall = None;
    }
}
