//! The plan: the checked, compiled, immutable form of one document. A request uses the same plan from start to end.

use super::administration::Administration;
use super::apis::{
    build::PlanApis,
    table::{ApiMatch, ApiQuery},
};
use super::blueprint::{Limits, Listener};
use super::dynamic_routes::DynamicRoutes;
use super::hubs::build::PlanHubs;
use super::roles::RolesPlan;
pub use super::route::{Aggregate, AggregatePart, ClientPace, PathHashKey, Route, Target};
use super::routing::{
    EscapedSeparators, HeaderLookup, Query, RouteTable, RouteTrace, Target as RequestTarget,
};
use super::telemetry::PlanTelemetry;
use super::transport::TransportListener;
use crate::{
    backend::{Cluster, fabric::Resolver},
    base::{budget::Budget, path_params::PathParams},
    net::{agents::config::TunnelsConfig, tls::server::TlsAcceptor},
    pipeline::{
        client_fields::ClientFieldRules,
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Routing},
        head::{Head, KnownHeader},
    },
    stages::{cors::preflight_method, forwarded_headers::TrustedProxies},
    state::SharedState,
    telemetry::{CertificateExpiry, TlsMetrics},
};
use std::{borrow::Cow, ops::Deref, sync::Arc};

/// A compiled configuration.
#[derive(Debug)]
pub struct Plan {
    /// Identifies the content of the document.
    pub id: String,
    /// Ocelot compatibility: its status codes and errors without a body.
    pub ocelot: bool,
    pub limits: Limits,
    /// Memory for buffered bodies.
    pub buffering_memory: Arc<Budget>,
    /// What clients may not send.
    pub client_fields: Arc<ClientFieldRules>,
    /// The proxies whose fields are trusted.
    pub proxies: TrustedProxies,
    pub listeners: Box<[ListenerPlan]>,
    /// The addresses for operators, and their credentials.
    pub administration: Arc<Administration>,
    /// The roles, and who may reach what.
    pub roles: Arc<RolesPlan>,
    /// Expiry of the listener certificates.
    pub expiries: Vec<CertificateExpiry>,
    pub telemetry: PlanTelemetry,
    /// The state that several gateways share.
    pub shared_state: Option<Arc<SharedState>>,
    /// Agents, and who may reach them.
    pub tunnels: Arc<TunnelsConfig>,
    /// The clusters of all routes and transport routes, without duplicates.
    pub clusters: Box<[Arc<Cluster>]>,
    /// The resolvers of services with partitions.
    pub resolvers: Box<[Arc<Resolver>]>,
    /// Realtime hubs.
    pub hubs: PlanHubs,
    /// Whether any route responds to CORS preflight requests.
    pub preflight: bool,
    /// Whether routes or the firewall need the name of the listener.
    pub uses_listener_names: bool,
    pub table: Arc<RouteTable>,
    /// What is done with escaped separators in paths, unless the listener or the route differs.
    pub escaped_separators: EscapedSeparators,
    /// In the order of the document, aggregates after routes: the table returns indexes of this list. The parts of
    /// aggregates follow; they are not in the table.
    pub routes: Box<[Arc<Route>]>,
    /// The APIs; their routes follow all others.
    pub apis: Option<PlanApis>,
    /// Routes of discovered services, created by the first request.
    pub dynamic: Option<DynamicRoutes>,
}

/// A listener of a plan.
pub type ListenerPlan = Listener<ListenerTls, Arc<TransportListener>>;

impl ListenerPlan {
    /// Whether connections of the other listener may continue under this one.
    pub fn has_same_policy(&self, other: &ListenerPlan) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(one), Some(another)) => one.tls_acceptor.has_same_policy(&another.tls_acceptor),
            (one, another) => one.is_none() && another.is_none(),
        };
        let policy =
            |of: &ListenerPlan| (of.name.clone(), of.proxy.clone(), of.redirect.clone(), of.protocol);
        same_tls && policy(self) == policy(other)
    }
}

/// TLS on a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    pub tls_acceptor: Arc<TlsAcceptor>,
    pub metrics: Arc<TlsMetrics>,
}

/// The route of a request: of the document, or created for a discovered service.
#[derive(Debug)]
pub enum RouteRef<'p> {
    /// A route of the document.
    Static(&'p Arc<Route>),
    /// A route of a discovered service.
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

impl Plan {
    /// Finds the route of a request. The target is normalized here, once: what is matched is what is forwarded.
    pub fn find(&self, exchange: &mut Exchange) -> Result<RouteRef<'_>, GatewayError> {
        self.accept_client_fields(exchange)?;
        let target =
            RequestTarget::normalize(exchange.request.target(), exchange.request.method() == b"OPTIONS")
                .map_err(|error| GatewayError::new(ErrorCode::RequestMalformed, error.to_string()))?;
        let separators = exchange.client.escaped_separators.unwrap_or(self.escaped_separators);
        let unescaped = if separators == EscapedSeparators::Unescape { target.unescaped() } else { None };
        let mut target = unescaped.unwrap_or(target);
        let mut values = std::mem::take(&mut exchange.routing.path_params);
        let mut found = self.search(exchange, &target, &mut values);
        let own = found.and_then(|at| self.routes.get(at)).and_then(|route| route.escaped_separators);
        match own.unwrap_or(separators) {
            EscapedSeparators::Reject => self.check_separators(exchange, &target, found)?,
            EscapedSeparators::Unescape => {
                if let Some(unescaped) = target.unescaped() {
                    found = self.search(exchange, &unescaped, &mut values);
                    target = unescaped;
                }
            }
            EscapedSeparators::Keep => {}
        }
        let found = self.search_apis(exchange, &target, found);
        let text = target.is_rewritten().then(|| target.text().to_vec());
        let Routing { path_len, spelled_path, .. } = &mut exchange.routing;
        *path_len = target.path_len();
        spelled_path.clear();
        spelled_path.extend_from_slice(target.spelled().unwrap_or_default());
        if let Some(text) = text {
            exchange.request.set_target(&text);
        }
        match found {
            MatchedRoute::Route(found) => {
                exchange.routing.path_params = values;
                exchange.routing.route = found.unwrap_or(usize::MAX);
            }
            MatchedRoute::Api(at, matched) => take_match(exchange, at, matched),
        }
        self.route_of(exchange)
    }

    /// The API of the request, unless a route that is not a catch-all takes it.
    fn search_apis(&self, exchange: &Exchange, target: &RequestTarget, found: Option<usize>) -> MatchedRoute {
        let Some(apis) = self.apis.as_ref().filter(|apis| !apis.table.is_empty()) else {
            return MatchedRoute::Route(found);
        };
        let route = found.and_then(|at| self.routes.get(at));
        if route.is_some_and(|route| !route.is_catch_all) {
            return MatchedRoute::Route(found);
        }
        let query = ApiQuery {
            method: exchange.request.method(),
            host: exchange.request.get_known(KnownHeader::Host).unwrap_or_default(),
            listener: exchange.client.listener.as_deref().unwrap_or_default(),
            path: target.spelled().unwrap_or(target.path()),
            query: target.query(),
            head: &exchange.request,
        };
        match apis.find(&query) {
            Some((at, matched)) => MatchedRoute::Api(at, matched),
            None => MatchedRoute::Route(found.or(apis.no_route)),
        }
    }

    /// Rejects a path that a backend may read as one of another route, which may have another authentication. Ocelot's
    /// configurations may rely on such paths.
    fn check_separators(
        &self,
        exchange: &Exchange,
        target: &RequestTarget,
        found: Option<usize>,
    ) -> Result<(), GatewayError> {
        let is_of_another_route = |reading: RequestTarget| {
            let other = self.search(exchange, &reading, &mut PathParams::new());
            other.is_some() && other != found
        };
        let detail = if target.has_hidden_dot_segment() {
            "the path contains a dot segment next to %2f, %5c, a backslash or a semicolon"
        } else if found.is_some() && !self.ocelot && target.other_readings().any(is_of_another_route) {
            "with %2f, %5c or a backslash read as /, or without what follows a semicolon, the path is one of another route"
        } else {
            return Ok(());
        };
        Err(GatewayError::new(ErrorCode::RequestPath, detail))
    }

    /// The index of the route that matches this target.
    fn search(&self, exchange: &Exchange, target: &RequestTarget, values: &mut PathParams) -> Option<usize> {
        let Exchange { request, client, .. } = exchange;
        let listener = client.listener.as_deref().unwrap_or_default();
        let host = request.get_known(KnownHeader::Host).unwrap_or_default();
        let method = self.method(request, host, listener, target);
        self.table.find(&Query { method, host, target, headers: request, listener }, values)
    }

    /// Removes the fields that the client may not send, and takes the client's address, scheme and host from those of a
    /// trusted proxy: before routing, so that the host of the route is the host that the backend gets.
    pub fn accept_client_fields(&self, exchange: &mut Exchange) -> Result<(), GatewayError> {
        let is_trusted = self.proxies.contains(exchange);
        let believed = |field| is_trusted && self.proxies.trusts(field);
        self.client_fields.apply(&mut exchange.request, exchange.worker, believed)?;
        if is_trusted {
            self.proxies.apply(exchange);
        }
        Ok(())
    }

    /// The route of an exchange that went through [`Plan::find`].
    pub fn route_of(&self, exchange: &Exchange) -> Result<RouteRef<'_>, GatewayError> {
        match (self.routes.get(exchange.routing.route), &self.dynamic) {
            (Some(route), _) => Ok(RouteRef::Static(route)),
            (None, Some(dynamic)) => dynamic
                .find(
                    &exchange.request.target()[..exchange.routing.path_len],
                    exchange.client.ip,
                    exchange.now,
                )
                .map(RouteRef::Dynamic),
            (None, None) => Err(no_route(exchange)),
        }
    }
}

impl Plan {
    /// The clusters of all routes, including those of discovered services.
    pub fn all_clusters(&self) -> impl Iterator<Item = Arc<Cluster>> {
        let dynamic = self.dynamic.iter().flat_map(DynamicRoutes::clusters);
        self.clusters.iter().cloned().chain(dynamic)
    }
}

impl Plan {
    /// The routes considered for a request that went through [`Plan::find`], at most `max`, the nearest first; for `explain`.
    pub fn trace(&self, exchange: &Exchange, max: usize) -> Vec<RouteTrace> {
        let target = RequestTarget::from_normalized(exchange.request.target(), exchange.routing.path_len);
        let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
        let listener = exchange.client.listener.as_deref().unwrap_or_default();
        let method = self.method(&exchange.request, host, listener, &target);
        self.table.trace(&Query { method, host, target: &target, headers: &exchange.request, listener }, max)
    }

    /// The method by which a request is routed. A CORS preflight is routed by the method it requests, if that route
    /// responds to preflights; otherwise by OPTIONS.
    fn method<'r>(&self, req: &'r Head, host: &[u8], listener: &str, target: &RequestTarget) -> &'r [u8] {
        let requested = if self.preflight { preflight_method(req) } else { None };
        let Some(method) = requested else { return req.method() };
        let query = Query { method, host, target, headers: req, listener };
        let found = self.table.find(&query, &mut PathParams::new());
        let responds = found.and_then(|at| self.routes.get(at)).is_some_and(|route| route.preflight);
        if responds { method } else { req.method() }
    }
}

/// A route of the table, or an operation of an API.
enum MatchedRoute {
    Route(Option<usize>),
    Api(usize, ApiMatch),
}

/// Keeps what the table of APIs found.
fn take_match(exchange: &mut Exchange, at: usize, matched: ApiMatch) {
    let routing = &mut exchange.routing;
    routing.route = at;
    routing.path_params = PathParams::new();
    for (name, value) in matched.values {
        routing.path_params.set(name, value.as_bytes());
    }
    routing.operation_path = matched.rest.into_bytes();
    routing.allowed_methods = matched.allowed.join(", ").into_bytes();
}

fn no_route(exchange: &Exchange) -> GatewayError {
    let (method, path) = (
        String::from_utf8_lossy(exchange.request.method()),
        String::from_utf8_lossy(&exchange.request.target()[..exchange.routing.path_len]),
    );
    GatewayError::new(
        ErrorCode::RouteNotFound,
        format!("no route matches {method} {path}; `margay explain {method} {path}` lists the near misses"),
    )
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
