//! One request and its response on their way through the gateway.

use super::{
    body::Framing, client_certificate::ClientCertificate, guard::ResponseGuard, head::Head,
    identity::Identity, runtime::Runtime,
};
use crate::base::{content_coding::AcceptedCoding, path_params::PathParams};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{
    any::Any,
    io::Write,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// The other end of a client connection, and how it speaks to us.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address that the connection comes from.
    pub address: SocketAddr,
    /// The address that it came to.
    pub local_address: SocketAddr,
    pub tls: bool,
    text: AddressText,
}

/// An IP address as text, written once for a connection and not once for a request.
#[derive(Clone, Copy, Debug)]
struct AddressText {
    bytes: [u8; 46],
    len: u8,
}

impl AddressText {
    fn limit_name(address: IpAddr) -> AddressText {
        let mut bytes = [0; 46];
        let all = bytes.len();
        let mut rest = &mut bytes[..];
        // The longest address has 45 characters: this cannot fail.
        let _ = write!(rest, "{address}");
        let len = (all - rest.len()) as u8;
        AddressText { bytes, len }
    }
}

impl Peer {
    pub fn new(address: SocketAddr, local_address: SocketAddr, tls: bool) -> Peer {
        Peer { address, local_address, tls, text: AddressText::limit_name(address.ip().to_canonical()) }
    }

    /// The address of the other end, IPv4 where it is one (no `::ffff:`), without brackets.
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// The same as text.
    pub fn ip_text(&self) -> &[u8] {
        &self.text.bytes[..self.text.len as usize]
    }

    /// The scheme that the client used.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// What is written down about an exchange, whatever became of it.
#[derive(Debug, Default)]
pub struct AccessRecord {
    /// Somebody wants to read it: what costs time to know is known only then.
    pub enabled: bool,
    /// The request id, where there is one.
    pub id: Vec<u8>,
    /// Path as the client sent it, without the query; kept only where an access log wants it.
    pub path: Vec<u8>,
    pub method: Vec<u8>,
    pub host: Vec<u8>,
    pub status: u16,
    pub error_code: Option<&'static str>,
    pub attempts: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The endpoint that answered, `host:port`.
    pub endpoint: Option<Arc<str>>,
    /// Whether it was spoken to over TLS.
    pub endpoint_secure: bool,
    /// From dispatch to the response head.
    pub backend: Option<Duration>,
}

/// What a limit had left after it let a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Which limit of the route.
    pub limit: u16,
    /// Requests in all.
    pub limit_name: u64,
    /// Requests left.
    pub remaining: u64,
    /// When it begins anew, on the clock of the counters.
    pub reset_after: u64,
}

/// The exchange; a request holds one plan from start to end, and this is what it carries along.
#[derive(Debug)]
pub struct Exchange {
    pub req: Head,
    pub peer: Peer,
    /// The client as seen through trusted proxies.
    pub client: IpAddr,
    /// The scheme as seen through trusted proxies.
    pub is_tls: bool,
    /// The name of the listener that it came by, where a route asks for that.
    pub listener: Option<Arc<str>>,
    pub values: PathParams,
    /// How much of the normalised target is its path; what `values` point into.
    pub path_len: usize,
    /// The query that is sent on instead of the one that came, with its `?`; empty: the one that came.
    pub query: Vec<u8>,
    /// Memory for whoever has to build some bytes.
    pub scratch: Vec<u8>,
    /// What the client proved when its connection began, where the listener wanted it to.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Who asks, once an authentication stage knows.
    pub user: Option<Arc<Identity>>,
    /// The request is the opening of a WebSocket.
    pub is_websocket: bool,
    /// What of the path says to which endpoint it belongs, where the balancer goes by that.
    pub balancer_key: Option<u64>,
    /// What is held until the answer is through, or the exchange is dropped.
    pub guards: SmallVec<[ResponseGuard; 1]>,
    /// What limits had left for this request, to be told to the client.
    pub rate_limits: SmallVec<[RateLimitStatus; 2]>,
    /// The origin (of a web page) that may read the answer; empty: none.
    pub origin: Vec<u8>,
    /// How the client wants the answer compressed, where the route does that.
    pub accepts_content_coding: AcceptedCoding,
    /// How the request's body is delimited.
    pub framing: Framing,
    /// The request's body, once a stage wanted to see it whole.
    pub body: Option<Bytes>,
    /// Bytes of body that the route takes, where that is less than the connection does.
    pub body_limit: u64,
    /// When the request began to be served: stages take the time from here.
    pub now: Instant,
    /// Which worker serves it: the shard of its counters.
    pub worker: usize,
    /// The place of its route in the plan, once it is found.
    pub route: usize,
    /// How many of the route's stages lie behind it, the one that runs included.
    pub stage_index: usize,
    /// What the cache wants to find again on the way back.
    pub cache_context: Option<Box<dyn Any + Send + Sync>>,
    /// What stages may ask for; none where nothing may happen, or before the route is known.
    pub runtime: Option<Arc<dyn Runtime>>,
    pub record: AccessRecord,
    /// An exchange that only asks what would happen: reads state, never writes, never waits.
    pub is_dry_run: bool,
}

impl Exchange {
    /// An exchange about to be filled by a listener.
    pub fn new(peer: Peer, worker: usize, now: Instant) -> Exchange {
        Exchange {
            req: Head::default(),
            client: peer.ip(),
            is_tls: peer.tls,
            listener: None,
            peer,
            values: PathParams::default(),
            path_len: 0,
            query: Vec::new(),
            certificate: None,
            user: None,
            is_websocket: false,
            balancer_key: None,
            guards: SmallVec::new(),
            rate_limits: SmallVec::new(),
            origin: Vec::new(),
            accepts_content_coding: AcceptedCoding::default(),
            framing: Framing::None,
            body: None,
            body_limit: u64::MAX,
            scratch: Vec::new(),
            now,
            worker,
            route: 0,
            stage_index: 0,
            cache_context: None,
            runtime: None,
            record: AccessRecord::default(),
            is_dry_run: false,
        }
    }

    /// Another exchange with the same request, as it is now, at the same place of the same route. What is held and what is
    /// written down stays with this one.
    pub fn fork(&self, now: Instant) -> Box<Exchange> {
        Box::new(Exchange {
            req: self.req.clone(),
            client: self.client,
            is_tls: self.is_tls,
            values: self.values.clone(),
            path_len: self.path_len,
            query: self.query.clone(),
            certificate: self.certificate.clone(),
            user: self.user.clone(),
            origin: self.origin.clone(),
            body_limit: self.body_limit,
            route: self.route,
            stage_index: self.stage_index,
            runtime: self.runtime.clone(),
            record: AccessRecord { id: self.record.id.clone(), ..AccessRecord::default() },
            is_dry_run: self.is_dry_run,
            ..Exchange::new(self.peer, self.worker, now)
        })
    }

    /// Makes it ready for the next request of the same connection; memory is kept.
    pub fn reset(&mut self, now: Instant) {
        self.client = self.peer.ip();
        self.is_tls = self.peer.tls;
        self.listener = None;
        self.values.clear();
        self.query.clear();
        self.certificate = None;
        self.user = None;
        self.is_websocket = false;
        self.balancer_key = None;
        self.guards.clear();
        self.rate_limits.clear();
        self.origin.clear();
        self.accepts_content_coding = AcceptedCoding::default();
        (self.framing, self.body) = (Framing::None, None);
        self.body_limit = u64::MAX;
        self.now = now;
        (self.route, self.stage_index) = (0, 0);
        (self.cache_context, self.runtime) = (None, None);
        let record = std::mem::take(&mut self.record);
        let [id, path, method, host] =
            [record.id, record.path, record.method, record.host].map(|mut bytes| {
                bytes.clear();
                bytes
            });
        self.record = AccessRecord { id, path, method, host, ..AccessRecord::default() };
    }
}
