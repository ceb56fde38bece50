//! The route table: finds the route of a request (docs/ocelot-behavior.md, section 6.1).
//!
//! Ocelot collects every match and selects the first one with an `UpstreamHost`, otherwise the first. That is
//! equivalent to one order: routes of this exact host before routes of any host, then priority descending, then the
//! order in the file.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::escape::folded_hash;
use super::headers::{HeaderLookup, HeaderTemplates};
use super::index::Index;
use super::path::Target;
use super::rules::RoutingRules;
use super::template::Template;
use crate::base::path_params::PathParams;

/// The match conditions of one route. `index` is the caller's number for it.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// The number that [`RouteTable::find`] returns.
    pub index: usize,
    /// The path template.
    pub template: Template,
    /// Methods, case-insensitive; empty: any method.
    pub methods: Vec<String>,
    /// The host; `None` or empty: any host.
    pub host: Option<String>,
    /// The header templates.
    pub headers: HeaderTemplates,
    /// The names of the listeners; empty: all listeners.
    pub listeners: Vec<String>,
    /// Higher priorities are matched first. A catch-all `/{name}` always has 0.
    pub priority: i64,
}

/// The parts of a request that the table matches.
pub struct Query<'q, H: ?Sized> {
    /// The method.
    pub method: &'q [u8],
    /// The Host header, with its port.
    pub host: &'q [u8],
    /// The normalized request target.
    pub target: &'q Target<'q>,
    /// The headers.
    pub headers: &'q H,
    /// The name of the listener that accepted the request.
    pub listener: &'q str,
}

/// All routes, ready to be searched.
#[derive(Debug)]
pub struct RouteTable {
    pub(super) routes: Vec<Route>,
    pub(super) rules: RoutingRules,
    /// Routes of one host, by the folded hash of its name.
    pub(super) hosts: HashMap<u32, Vec<Group>, BuildHasherDefault<IdentityHasher>>,
    pub(super) any_host: Group,
}

/// Keys are hashes already and are only spread by one multiplication.
#[derive(Debug, Default)]
pub(super) struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from(folded_hash(bytes));
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash);
    }
}

/// One route in the table.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) spec: RouteSpec,
    pub(super) methods: Methods,
    pub(super) names: Vec<Box<str>>,
}

/// The routes of one host, in the order they are tried.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) host: Box<str>,
    /// Rank → index in `routes`.
    pub(super) order: Vec<u32>,
    pub(super) index: Index,
}

impl RouteTable {
    /// Builds the table; `specs` are in file order, aggregates after routes.
    pub fn new(specs: Vec<RouteSpec>, rules: RoutingRules) -> RouteTable {
        let routes: Vec<Route> = specs.into_iter().map(Route::new).collect();
        let mut by_host: HashMap<&str, Vec<u32>> = HashMap::new();
        for (position, route) in routes.iter().enumerate() {
            by_host.entry(route.host()).or_default().push(position as u32);
        }
        let any_host = Group::new("", by_host.remove("").unwrap_or_default(), &routes);
        let mut hosts: HashMap<u32, Vec<Group>, _> = HashMap::default();
        for (host, places) in merge_hosts_ignoring_case(by_host, &rules) {
            hosts.entry(folded_hash(host.as_bytes())).or_default().push(Group::new(&host, places, &routes));
        }
        RouteTable { routes, rules, hosts, any_host }
    }

    /// The route of this request. Its placeholder values replace those in `values`.
    pub fn find<H: HeaderLookup + ?Sized>(
        &self,
        query: &Query<'_, H>,
        values: &mut PathParams,
    ) -> Option<usize> {
        let route = self.find_route(query)?;
        values.clear();
        route.extract(query, values);
        Some(route.spec.index)
    }

    /// The names of the values of the route with this index: path, query, then header placeholders.
    pub fn names(&self, index: usize) -> &[Box<str>] {
        let route = match self.routes.get(index) {
            Some(route) if route.spec.index == index => Some(route),
            _ => self.routes.iter().find(|r| r.spec.index == index),
        };
        route.map_or(&[], |r| &r.names)
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub(super) fn find_route<H: HeaderLookup + ?Sized>(&self, query: &Query<'_, H>) -> Option<&Route> {
        if query.target.path().first() != Some(&b'/') {
            return None;
        }
        let method = Method::from_name(query.method);
        let own = self.group(query.host).and_then(|group| self.search(group, query, method));
        own.or_else(|| self.search(&self.any_host, query, method))
    }

    /// The routes of exactly the host in this Host header.
    pub(super) fn group(&self, header: &[u8]) -> Option<&Group> {
        if self.hosts.is_empty() {
            return None;
        }
        let host = self.rules.host(header);
        let same = |group: &&Group| match self.rules.ocelot_host_matching {
            true => group.host.as_bytes() == host,
            false => group.host.as_bytes().eq_ignore_ascii_case(host),
        };
        self.hosts.get(&folded_hash(host))?.iter().find(same)
    }

    fn search<H: HeaderLookup + ?Sized>(
        &self,
        group: &Group,
        query: &Query<'_, H>,
        method: Method<'_>,
    ) -> Option<&Route> {
        let route = |rank: u32| &self.routes[group.order[rank as usize] as usize];
        let none = group.order.len() as u32;
        let best = group.index.best_match(query.target, none, &mut |rank| {
            let route = route(rank);
            route.methods.contains(method)
                && route.accepts_listener(query.listener)
                && route.spec.template.matches(query.target).is_ok()
                && route.spec.headers.matches(query.headers).is_ok()
        });
        (best < none).then(|| route(best))
    }
}

/// Hosts that differ only in case are one host, except in Ocelot's exact mode.
fn merge_hosts_ignoring_case(
    by_host: HashMap<&str, Vec<u32>>,
    rules: &RoutingRules,
) -> HashMap<String, Vec<u32>> {
    let mut folded: HashMap<String, Vec<u32>> = HashMap::new();
    for (host, places) in by_host {
        let name = if rules.ocelot_host_matching { host.to_owned() } else { host.to_ascii_lowercase() };
        folded.entry(name).or_default().extend(places);
    }
    folded
}

impl Route {
    fn new(spec: RouteSpec) -> Route {
        let names = spec.template.names().iter().chain(spec.headers.names()).cloned().collect();
        Route { methods: Methods::new(&spec.methods), names, spec }
    }

    /// The host; empty: any host.
    pub(super) fn host(&self) -> &str {
        self.spec.host.as_deref().unwrap_or_default()
    }

    /// Whether the route accepts requests from this listener.
    pub(super) fn accepts_listener(&self, listener: &str) -> bool {
        self.spec.listeners.is_empty() || self.spec.listeners.iter().any(|name| name == listener)
    }

    pub(super) fn priority(&self) -> i64 {
        if self.spec.template.is_catch_all() { 0 } else { self.spec.priority }
    }

    pub(super) fn extract<H: HeaderLookup + ?Sized>(&self, query: &Query<'_, H>, values: &mut PathParams) {
        self.spec.template.extract(query.target, values);
        self.spec.headers.extract(query.headers, values);
    }
}

impl Group {
    fn new(host: &str, mut places: Vec<u32>, routes: &[Route]) -> Group {
        places.sort_by_key(|position| (std::cmp::Reverse(routes[*position as usize].priority()), *position));
        let mut index = Index::new();
        for (rank, position) in places.iter().enumerate() {
            index.insert(routes[*position as usize].spec.template.program(), rank as u32);
        }
        index.shrink();
        Group { host: host.into(), order: places, index }
    }
}

/// A set of methods: common ones as bits, others by name.
#[derive(Debug)]
pub(super) struct Methods {
    bits: u16,
    custom: Vec<Box<[u8]>>,
}

/// The method of one request.
#[derive(Clone, Copy)]
pub(super) enum Method<'m> {
    Known(u16),
    Other(&'m [u8]),
}

const STANDARD_METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT"];

impl<'m> Method<'m> {
    pub(super) fn from_name(method: &'m [u8]) -> Method<'m> {
        match STANDARD_METHODS.iter().position(|known| known.eq_ignore_ascii_case(method)) {
            Some(bit) => Method::Known(1 << bit),
            None => Method::Other(method),
        }
    }
}

impl Methods {
    fn new(methods: &[String]) -> Methods {
        let mut made = Methods { bits: if methods.is_empty() { u16::MAX } else { 0 }, custom: Vec::new() };
        for method in methods {
            match Method::from_name(method.trim().as_bytes()) {
                Method::Known(bit) => made.bits |= bit,
                Method::Other(other) => made.custom.push(other.into()),
            }
        }
        made
    }

    /// Whether the set contains this method.
    pub(super) fn contains(&self, method: Method<'_>) -> bool {
        match method {
            Method::Known(bit) => self.bits & bit != 0,
            Method::Other(m) => self.any() || self.custom.iter().any(|o| o.eq_ignore_ascii_case(m)),
        }
    }

    /// Whether every method of `other` is in this set.
    pub(super) fn is_superset(&self, other: &Methods) -> bool {
        self.any()
            || !other.any()
                && other.bits & !self.bits == 0
                && other.custom.iter().all(|o| self.contains(Method::Other(o)))
    }

    fn any(&self) -> bool {
        self.bits == u16::MAX
    }
}
