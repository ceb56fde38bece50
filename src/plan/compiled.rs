//! The plan: the checked, compiled, immutable form of one document. A request holds one from start to end.

use super::aggregate::{AggregateConfig, PartTerms};
use super::dynamic_routes::DynamicRoutes;
use super::routing::{HeaderLookup, Query, RouteTable, RouteTrace, Target as RequestTarget, UrlTemplate};
use crate::{
    backend::{Cluster, attempt::AttemptConfig},
    base::{hash::stable_hash, path_params::PathParams},
    net::{
        h1::client::ClientLimits, h2, listener::Address, proxy_protocol::ProxyProtocolConfig,
        tls::server::TlsAcceptor,
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Routing},
        head::{Head, KnownHeader},
        stage::StageEntry,
    },
    stages::cors::preflight_method,
    telemetry::{CertificateExpiry, RouteMetrics, TlsMetrics},
};
use std::{borrow::Cow, ops::Deref, sync::Arc, time::Duration};

/// Everything that a request may need to know, resolved.
#[derive(Debug)]
pub struct Plan {
    /// Names the content of the document.
    pub id: String,
    /// Ocelot's statuses and bodiless errors.
    pub ocelot: bool,
    pub limits: Limits,
    pub listeners: Box<[ListenerPlan]>,
    /// When certificates of listeners end.
    pub expiries: Vec<CertificateExpiry>,
    pub access_log: bool,
    /// Where routes lead, each once.
    pub clusters: Box<[Arc<Cluster>]>,
    /// Whether any route says which web pages may read its answers.
    pub preflight: bool,
    /// Whether any route answers on some listeners only.
    pub matches_by_listener: bool,
    pub table: Arc<RouteTable>,
    /// In the order of the document, aggregates behind the routes: the table answers with places in here. Behind them stand
    /// the routes as parts of aggregates, which the table knows nothing of.
    pub routes: Box<[Arc<Route>]>,
    /// Routes that are made when a request names their service.
    pub dynamic: Option<DynamicRoutes>,
}

/// Where the gateway accepts.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    pub name: Arc<str>,
    pub address: Address,
    /// Of the file that stands for it; none: as the process makes files.
    pub mode: Option<u32>,
    /// Who may say first for whom he comes; none: nobody.
    pub proxy: Option<Arc<ProxyProtocolConfig>>,
    /// None: plain http.
    pub tls: Option<ListenerTls>,
    /// The https port to which every request is sent on.
    pub redirect: Option<u16>,
}

impl ListenerPlan {
    /// One that speaks plain http and serves.
    pub fn plain(name: impl Into<Arc<str>>, address: impl Into<Address>) -> ListenerPlan {
        let (name, address) = (name.into(), address.into());
        ListenerPlan { name, address, mode: None, proxy: None, tls: None, redirect: None }
    }
}

/// TLS on a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    pub tls_acceptor: Arc<TlsAcceptor>,
    pub metrics: Arc<TlsMetrics>,
    /// What answers say in `Strict-Transport-Security`.
    pub hsts: Option<Box<str>>,
}

/// What a stranger may do, and how long we wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub client: ClientLimits,
    pub http2: h2::Limits,
    pub body_idle: Duration,
    pub backend_idle: Duration,
    pub drain: Duration,
    pub tunnel_idle: Duration,
    pub connections: usize,
    pub connections_per_client: usize,
    pub requests_per_connection: u32,
}

/// A match, the stages, and the target.
#[derive(Debug)]
pub struct Route {
    pub label: Arc<str>,
    pub stages: Box<[StageEntry]>,
    /// Whether it answers preflights.
    pub preflight: bool,
    /// What the service is asked for.
    pub url: UrlTemplate,
    /// What of its path says which endpoint is asked; none: nothing.
    pub affinity: Option<PathHashKey>,
    pub target: Target,
    pub metrics: Arc<RouteMetrics>,
}

/// A value of the path that requests to one endpoint have in common.
#[derive(Debug)]
pub struct PathHashKey {
    pub name: Box<str>,
    /// Its place among the values that the route takes.
    pub index: Option<usize>,
}

/// The route of a request: one that the document writes, or one that was made for the service the path names.
#[derive(Debug)]
pub enum RouteRef<'p> {
    Static(&'p Arc<Route>),
    Dynamic(Arc<Route>),
}

impl Deref for RouteRef<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        match self {
            RouteRef::Static(route) => route,
            RouteRef::Dynamic(route) => route,
        }
    }
}

/// What a route leads to.
#[derive(Debug)]
pub enum Target {
    Cluster {
        cluster: Arc<Cluster>,
        terms: AttemptConfig,
    },
    /// Several routes, whose answers become one.
    Aggregate(Box<Aggregate>),
    /// What Ocelot starts with and cannot serve.
    Fail(ErrorCode, String),
}

impl Target {
    /// The same target for another route.
    pub fn clone_for_part(&self) -> Target {
        match self {
            Target::Cluster { cluster, terms } => {
                Target::Cluster { cluster: cluster.clone(), terms: terms.clone() }
            }
            Target::Fail(why, detail) => Target::Fail(*why, detail.clone()),
            Target::Aggregate(_) => {
                Target::Fail(ErrorCode::GatewayInternal, "an aggregate is no part of another one".into())
            }
        }
    }
}

/// An aggregate, ready to be asked.
#[derive(Debug)]
pub struct Aggregate {
    /// In the order of the answer.
    pub parts: Box<[Part]>,
    pub shape: AggregateConfig,
    /// How long a body may stand still.
    pub body_idle: Duration,
}

/// A part of an aggregate.
#[derive(Debug)]
pub struct Part {
    pub route: Arc<Route>,
    /// Where the plan has that route.
    pub index: usize,
    /// The names of its values: those of the aggregate, and the parameter if there is one.
    pub names: Box<[Box<str>]>,
    pub terms: PartTerms,
}

impl Plan {
    /// The route of a request. The target is normalised once, here: what is matched is what is forwarded.
    pub fn find(&self, exchange: &mut Exchange) -> Result<RouteRef<'_>, GatewayError> {
        let Exchange { request, client, routing, .. } = exchange;
        let listener = client.listener.as_deref().unwrap_or_default();
        let target = RequestTarget::normalise(request.target(), request.method() == b"OPTIONS")
            .map_err(|error| GatewayError::new(ErrorCode::RequestMalformed, error.to_string()))?;
        let host = request.get_known(KnownHeader::Host).unwrap_or_default();
        let method = self.method(request, host, listener, &target);
        let query = Query { method, host, target: &target, headers: &*request, listener };
        let found = self.table.find(&query, &mut routing.path_params);
        exchange.routing.path_len = target.path_len();
        if let Some(text) = target.is_rewritten().then(|| target.text().to_vec()) {
            exchange.request.set_target(&text);
        }
        exchange.routing.route = found.unwrap_or(usize::MAX);
        self.route_of(exchange)
    }

    /// The route of an exchange that went through [`Plan::find`].
    pub fn route_of(&self, exchange: &Exchange) -> Result<RouteRef<'_>, GatewayError> {
        match (self.routes.get(exchange.routing.route), &self.dynamic) {
            (Some(route), _) => Ok(RouteRef::Static(route)),
            (None, Some(dynamic)) => dynamic
                .find(&exchange.request.target()[..exchange.routing.path_len], exchange.now)
                .map(RouteRef::Dynamic),
            (None, None) => Err(no_route(exchange)),
        }
    }
}

impl Plan {
    /// Where routes lead, those too that are made for services as requests name them.
    pub fn all_clusters(&self) -> impl Iterator<Item = Arc<Cluster>> {
        let dynamic = self.dynamic.iter().flat_map(DynamicRoutes::clusters);
        self.clusters.iter().cloned().chain(dynamic)
    }
}

impl Plan {
    /// The routes that were considered for a request that went through [`Plan::find`], the nearest first; for people.
    pub fn trace(&self, exchange: &Exchange, most: usize) -> Vec<RouteTrace> {
        let target = RequestTarget::from_normalized(exchange.request.target(), exchange.routing.path_len);
        let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
        let listener = exchange.client.listener.as_deref().unwrap_or_default();
        let method = self.method(&exchange.request, host, listener, &target);
        self.table.trace(&Query { method, host, target: &target, headers: &exchange.request, listener }, most)
    }

    /// The method that a request is routed by. A preflight is routed by the one it asks for, if the route of that one
    /// answers preflights; if not, it is a request with the method OPTIONS like any other.
    fn method<'r>(&self, req: &'r Head, host: &[u8], listener: &str, target: &RequestTarget) -> &'r [u8] {
        let asked = if self.preflight { preflight_method(req) } else { None };
        let Some(method) = asked else { return req.method() };
        let query = Query { method, host, target, headers: req, listener };
        let found = self.table.find(&query, &mut PathParams::new());
        let answers = found.and_then(|at| self.routes.get(at)).is_some_and(|route| route.preflight);
        if answers { method } else { req.method() }
    }
}

fn no_route(exchange: &Exchange) -> GatewayError {
    let (method, path) = (
        String::from_utf8_lossy(exchange.request.method()),
        String::from_utf8_lossy(&exchange.request.target()[..exchange.routing.path_len]),
    );
    GatewayError::new(
        ErrorCode::RouteNotFound,
        format!("no route matches {method} {path}; `margay explain {method} {path}` says which came near"),
    )
}

impl Route {
    /// Writes the target that the service is asked for over the one that the client asked for.
    pub fn rewrite(&self, exchange: &mut Exchange) -> Result<(), GatewayError> {
        if let Some(affinity) = &self.affinity {
            exchange.routing.balancer_key = affinity.of(exchange);
        }
        let Exchange { request, routing: Routing { path_params, path_len, query, .. }, scratch, .. } =
            exchange;
        scratch.clear();
        let target = RequestTarget::from_normalized(request.target(), *path_len);
        self.url
            .build_with(path_params, &target, if query.is_empty() { target.query() } else { query }, scratch)
            .map_err(|_| GatewayError::new(ErrorCode::RouteMisconfigured, "the rewritten path is empty"))?;
        request.rewrite_target(scratch);
        Ok(())
    }
}

impl PathHashKey {
    /// What the value comes to, before the path is written over.
    fn of(&self, exchange: &Exchange) -> Option<u64> {
        let own = exchange.routing.path_params.get_override(&self.name);
        let value =
            own.or_else(|| exchange.routing.path_params.get(self.index?, exchange.request.target()))?;
        (!value.bytes.is_empty()).then(|| stable_hash(value.bytes))
    }
}

impl Route {
    /// The cluster that it leads to, or why it leads nowhere.
    pub fn cluster(&self) -> Result<(&Arc<Cluster>, &AttemptConfig), GatewayError> {
        match &self.target {
            Target::Cluster { cluster, terms } => Ok((cluster, terms)),
            Target::Fail(why, detail) => Err(GatewayError::new(*why, detail.clone())),
            Target::Aggregate(_) => {
                Err(GatewayError::new(ErrorCode::GatewayInternal, "an aggregate has no service of its own"))
            }
        }
    }
}

impl HeaderLookup for Head {
    /// All lines of a field, joined with commas (RFC 9110 5.3).
    fn join_header_lines(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut lines =
            self.fields().filter(|(_, n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, _, v)| v);
        let first = lines.next()?;
        let Some(second) = lines.next() else { return Some(Cow::Borrowed(first)) };
        let mut all = [first, b",", second].concat();
        lines.for_each(|line| {
            all.push(b',');
            all.extend_from_slice(line);
        });
        Some(Cow::Owned(all))
    }
}
