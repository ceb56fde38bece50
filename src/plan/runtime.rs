//! The plan: the checked, compiled, immutable form of one document. A request holds one from start to end.

use super::aggregate::{PartTerms, Shape};
use super::dynamic::Dynamic;
use super::routing::{Considered, HeaderLookup, Query, RouteTable, Target as RequestTarget, UrlTemplate};
use crate::{
    backend::{Cluster, attempt::Terms},
    base::{path_values::PathValues, spread::spread},
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        head::{Head, Known},
        stage::Placed,
    },
    stages::cors::preflight,
    telemetry::{Expiry, RouteMetrics, TlsMetrics},
    wire::{
        h1::client::ClientLimits, h2, listen::Address, proxy_protocol::Reception, tls::server::Handshakes,
    },
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
    pub expiries: Vec<Expiry>,
    pub access_log: bool,
    /// Where routes lead, each once.
    pub clusters: Box<[Arc<Cluster>]>,
    /// Whether any route says which web pages may read its answers.
    pub cors: bool,
    /// Whether any route answers on some listeners only.
    pub by_listener: bool,
    pub table: Arc<RouteTable>,
    /// In the order of the document, aggregates behind the routes: the table answers with places in here. Behind them stand
    /// the routes as parts of aggregates, which the table knows nothing of.
    pub routes: Box<[Arc<Route>]>,
    /// Routes that are made when a request names their service.
    pub dynamic: Option<Dynamic>,
}

/// Where the gateway accepts.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    pub name: Arc<str>,
    pub address: Address,
    /// Of the file that stands for it; none: as the process makes files.
    pub mode: Option<u32>,
    /// Who may say first for whom he comes; none: nobody.
    pub proxy: Option<Arc<Reception>>,
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
    pub handshakes: Arc<Handshakes>,
    pub metrics: Arc<TlsMetrics>,
    /// What answers say in `Strict-Transport-Security`.
    pub strict: Option<Box<str>>,
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
    pub stages: Box<[Placed]>,
    /// Whether it answers preflights.
    pub cors: bool,
    /// What the service is asked for.
    pub url: UrlTemplate,
    /// What of its path says which endpoint is asked; none: nothing.
    pub affinity: Option<Affinity>,
    pub target: Target,
    pub metrics: Arc<RouteMetrics>,
}

/// A value of the path that requests to one endpoint have in common.
#[derive(Debug)]
pub struct Affinity {
    pub name: Box<str>,
    /// Its place among the values that the route takes.
    pub index: Option<usize>,
}

/// The route of a request: one that the document writes, or one that was made for the service the path names.
#[derive(Debug)]
pub enum Found<'p> {
    Written(&'p Arc<Route>),
    Made(Arc<Route>),
}

impl Deref for Found<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        match self {
            Found::Written(route) => route,
            Found::Made(route) => route,
        }
    }
}

/// What a route leads to.
#[derive(Debug)]
pub enum Target {
    Cluster {
        cluster: Arc<Cluster>,
        terms: Terms,
    },
    /// Several routes, whose answers become one.
    Aggregate(Box<Aggregate>),
    /// What Ocelot starts with and cannot serve.
    Fail(Why, String),
}

impl Target {
    /// The same target for another route.
    pub fn again(&self) -> Target {
        match self {
            Target::Cluster { cluster, terms } => {
                Target::Cluster { cluster: cluster.clone(), terms: terms.clone() }
            }
            Target::Fail(why, detail) => Target::Fail(*why, detail.clone()),
            Target::Aggregate(_) => {
                Target::Fail(Why::GatewayFault, "an aggregate is no part of another one".into())
            }
        }
    }
}

/// An aggregate, ready to be asked.
#[derive(Debug)]
pub struct Aggregate {
    /// In the order of the answer.
    pub parts: Box<[Part]>,
    pub shape: Shape,
    /// How long a body may stand still.
    pub body_idle: Duration,
}

/// A part of an aggregate.
#[derive(Debug)]
pub struct Part {
    pub route: Arc<Route>,
    /// Where the plan has that route.
    pub place: usize,
    /// The names of its values: those of the aggregate, and the parameter if there is one.
    pub names: Box<[Box<str>]>,
    pub terms: PartTerms,
}

impl Plan {
    /// The route of a request. The target is normalised once, here: what is matched is what is forwarded.
    pub fn find(&self, x: &mut Exchange) -> Result<Found<'_>, Cause> {
        let Exchange { req, values, listener, .. } = x;
        let listener = listener.as_deref().unwrap_or_default();
        let target = RequestTarget::normalise(req.target(), req.method() == b"OPTIONS")
            .map_err(|error| Cause::new(Why::RequestMalformed, error.to_string()))?;
        let host = req.known(Known::Host).unwrap_or_default();
        let method = self.method(req, host, listener, &target);
        let query = Query { method, host, target: &target, headers: &*req, listener };
        let found = self.table.find(&query, values);
        x.path_len = target.path_len();
        if let Some(text) = target.was_changed().then(|| target.text().to_vec()) {
            x.req.set_target(&text);
        }
        x.route = found.unwrap_or(usize::MAX);
        self.route_of(x)
    }

    /// The route of an exchange that went through [`Plan::find`].
    pub fn route_of(&self, x: &Exchange) -> Result<Found<'_>, Cause> {
        match (self.routes.get(x.route), &self.dynamic) {
            (Some(route), _) => Ok(Found::Written(route)),
            (None, Some(dynamic)) => dynamic.find(&x.req.target()[..x.path_len], x.now).map(Found::Made),
            (None, None) => Err(no_route(x)),
        }
    }
}

impl Plan {
    /// Where routes lead, those too that are made for services as requests name them.
    pub fn all_clusters(&self) -> impl Iterator<Item = Arc<Cluster>> {
        let dynamic = self.dynamic.iter().flat_map(Dynamic::clusters);
        self.clusters.iter().cloned().chain(dynamic)
    }
}

impl Plan {
    /// The routes that were considered for a request that went through [`Plan::find`], the nearest first; for people.
    pub fn trace(&self, x: &Exchange, most: usize) -> Vec<Considered> {
        let target = RequestTarget::from_normal(x.req.target(), x.path_len);
        let host = x.req.known(Known::Host).unwrap_or_default();
        let listener = x.listener.as_deref().unwrap_or_default();
        let method = self.method(&x.req, host, listener, &target);
        self.table.trace(&Query { method, host, target: &target, headers: &x.req, listener }, most)
    }

    /// The method that a request is routed by. A preflight is routed by the one it asks for, if the route of that one
    /// answers preflights; if not, it is a request with the method OPTIONS like any other.
    fn method<'r>(&self, req: &'r Head, host: &[u8], listener: &str, target: &RequestTarget) -> &'r [u8] {
        let asked = if self.cors { preflight(req) } else { None };
        let Some(method) = asked else { return req.method() };
        let query = Query { method, host, target, headers: req, listener };
        let found = self.table.find(&query, &mut PathValues::new());
        let answers = found.and_then(|at| self.routes.get(at)).is_some_and(|route| route.cors);
        if answers { method } else { req.method() }
    }
}

fn no_route(x: &Exchange) -> Cause {
    let (method, path) =
        (String::from_utf8_lossy(x.req.method()), String::from_utf8_lossy(&x.req.target()[..x.path_len]));
    Cause::new(
        Why::RouteNone,
        format!("no route matches {method} {path}; `margay explain {method} {path}` says which came near"),
    )
}

impl Route {
    /// Writes the target that the service is asked for over the one that the client asked for.
    pub fn rewrite(&self, x: &mut Exchange) -> Result<(), Cause> {
        if let Some(affinity) = &self.affinity {
            x.affinity = affinity.of(x);
        }
        let Exchange { req, values, scratch, path_len, query, .. } = x;
        scratch.clear();
        let target = RequestTarget::from_normal(req.target(), *path_len);
        self.url
            .build_with(values, &target, if query.is_empty() { target.query() } else { query }, scratch)
            .map_err(|_| Cause::new(Why::RouteBroken, "the rewritten path is empty"))?;
        req.rewrite_target(scratch);
        Ok(())
    }
}

impl Affinity {
    /// What the value comes to, before the path is written over.
    fn of(&self, x: &Exchange) -> Option<u64> {
        let own = x.values.overridden(&self.name);
        let value = own.or_else(|| x.values.get(self.index?, x.req.target()))?;
        (!value.bytes.is_empty()).then(|| spread(value.bytes))
    }
}

impl Route {
    /// The cluster that it leads to, or why it leads nowhere.
    pub fn cluster(&self) -> Result<(&Arc<Cluster>, &Terms), Cause> {
        match &self.target {
            Target::Cluster { cluster, terms } => Ok((cluster, terms)),
            Target::Fail(why, detail) => Err(Cause::new(*why, detail.clone())),
            Target::Aggregate(_) => {
                Err(Cause::new(Why::GatewayFault, "an aggregate has no service of its own"))
            }
        }
    }
}

impl HeaderLookup for Head {
    /// All lines of a field, joined with commas (RFC 9110 5.3).
    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
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
