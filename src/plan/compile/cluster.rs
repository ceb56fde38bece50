//! Where requests go: addresses and how one is chosen, a route's own or under a name in `Clusters`.

use super::discovery;
use super::pooling::{of_cluster, pooling};
use super::route::{Reader, state_key};
use super::sockets;
use super::tls::Written as Tls;
use super::{balancing, health};
use crate::backend::balance::HashOn;
use crate::config::document::{ClusterDocument, HostAndPort};
use crate::config::{Diagnostics, Sources, Span, Spanned, codes, suggest};
use crate::plan::blueprint::discovery::{Found, Registry};
use crate::plan::blueprint::*;
use crate::plan::check::pending::Effective;
use crate::plan::check::{Scope, Wrong, filled, items, options, values};
use crate::plan::inherit::{Balancing, HttpClient, merged};
use crate::wire::gate::Pooling;
use crate::wire::tls::client::ClientTls;
use std::cell::Cell;
use std::sync::Arc;

/// What identifies the state of a named cluster across plans.
pub fn key(name: &str) -> String {
    format!("cluster {name}")
}

/// The clusters that have names.
pub struct Clusters<'d>(Vec<Named<'d>>);

struct Named<'d> {
    name: &'d Spanned<String>,
    cluster: Arc<ClusterBlueprint>,
    used: Cell<bool>,
}

impl<'d> Clusters<'d> {
    /// Reads `Clusters`, its mistakes going to `out`.
    pub fn read(scope: &Scope<'d>, registry: Option<&Registry>, out: &mut Diagnostics) -> Self {
        let written = scope.document.clusters.iter().flat_map(|map| map.iter());
        let read = |(name, document): (&'d Spanned<String>, &'d Spanned<ClusterDocument>)| Named {
            name,
            cluster: Arc::new(cluster(scope, registry, name, document, out)),
            used: Cell::new(false),
        };
        Clusters(written.map(read).collect())
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<ClusterBlueprint>> {
        let found = self.0.iter().find(|known| known.name.value == name)?;
        found.used.set(true);
        Some(&found.cluster)
    }

    /// Says that there is no cluster of that name.
    pub(super) fn unknown(&self, name: &Spanned<String>, out: &mut Diagnostics) {
        let message = format!("there is no cluster \"{}\"", name.value);
        let said = out.error(codes::UNKNOWN_CLUSTER, name.span, message);
        if let Some(meant) = suggest::nearest(name, self.0.iter().map(|known| known.name.as_str())) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(format!(
            "clusters stand at the top level, beside Routes:\n\"Clusters\": {{ \"{}\": {{ \"Endpoints\": \
             [{{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }}] }} }}",
            name.value
        ));
    }

    /// A cluster that nothing leads to is most likely a mistake.
    pub fn report_unused(&self, out: &mut Diagnostics) {
        for unused in self.0.iter().filter(|named| !named.used.get()) {
            let message = format!("no route leads to the cluster \"{}\"", unused.name.value);
            let said = out.warning(codes::UNUSED_CLUSTER, unused.name.span, message);
            said.help("name it in the DownstreamCluster of a route, or leave it out");
        }
    }
}

fn cluster(
    scope: &Scope,
    registry: Option<&Registry>,
    name: &Spanned<String>,
    written: &Spanned<ClusterDocument>,
    out: &mut Diagnostics,
) -> ClusterBlueprint {
    let groups = &scope.groups;
    let balancing = merged(&written.load_balancer, groups.load_balancer.as_ref(), None);
    let balancing = balancing.map(|options| Balancing::of(&options));
    let client = merged(&written.http_handler, groups.http_handler.as_ref(), None);
    let client = client.map(|options| HttpClient::of(&options));
    if let Some(client) = &client {
        options::http_client(scope, client, out);
    }
    let pooling = of_cluster(client.as_ref(), out);
    let mut reader = ClusterReader { sources: scope.sources, out };
    let balancer = reader.balancer(balancing.as_ref());
    let health = merged(&written.health, groups.health.as_ref(), None);
    let health = health::health(written.health.as_ref().map(|set| set.span), health.as_deref(), reader.out);
    let endpoints = reader.endpoints(written);
    weights(items(&written.endpoints), &balancer, reader.out);
    health::ports(&health, &endpoints, reader.out);
    let scheme = reader.scheme(written);
    let found = reader.found(scope, registry, written);
    let tls = Tls { options: &written.tls, any: &written.accept_any_certificate, key: None, scheme };
    let tls = tls.read(scope, out);
    sockets::over_tls(items(&written.endpoints), scheme, &tls, scope, out);
    ClusterBlueprint {
        key: key(name),
        name: Some(name.value.clone()),
        scheme,
        tls,
        pooling,
        endpoints,
        balancer,
        health,
        found,
    }
}

/// Reads the settings of one named cluster: Ocelot has none, so nothing is let pass for its sake.
struct ClusterReader<'o> {
    sources: &'o Sources,
    out: &'o mut Diagnostics,
}

impl ClusterReader<'_> {
    fn sound<T>(&mut self, span: Span, read: Result<T, Wrong>) -> Option<T> {
        read.map_err(|wrong| wrong.report(self.out, false, span)).ok()
    }

    fn balancer(&mut self, balancing: Option<&Balancing>) -> Sourced<BalancerKind> {
        let Some(balancing) = balancing else { return Sourced::new(BalancerKind::First, None) };
        let read = balancing::balancer(balancing, false, self.out);
        let (span, read) = read.map_or((None, None), |(span, read)| (Some(span), self.sound(span, read)));
        Sourced::new(read.unwrap_or_default(), span)
    }

    fn scheme(&mut self, written: &ClusterDocument) -> Scheme {
        let Some(written) = written.scheme.as_ref().filter(|scheme| !scheme.is_empty()) else {
            return Scheme::Incoming;
        };
        spoken(self.sound(written.span, values::scheme(written)))
    }

    /// Who says where the service is, if it has a name.
    fn found(
        &mut self,
        scope: &Scope,
        registry: Option<&Registry>,
        written: &Spanned<ClusterDocument>,
    ) -> Option<Found> {
        let own = written.discovery.as_ref().map(|own| discovery::registry(scope, own, self.out));
        let Some(name) = filled(&written.service_name) else {
            if let Some(own) = &written.discovery {
                let message = "the cluster has a Discovery and no ServiceName to look up";
                self.out
                    .error(codes::NO_REGISTRY, own.span, message)
                    .help("name the service, or leave it out");
            }
            return None;
        };
        let (namespace, scheme) = (&written.service_namespace, &written.scheme);
        discovery::addresses_too(false, "Endpoints", &written.endpoints, self.out);
        let service = discovery::service(false, name, namespace, scheme, self.out);
        let registry = match own {
            Some(own) => Some(own?),
            None => registry.cloned(),
        };
        discovery::found(name.span, registry.as_ref(), scope, service, self.out)
    }

    fn endpoints(&mut self, written: &Spanned<ClusterDocument>) -> Vec<Endpoint> {
        if items(&written.endpoints).is_empty() && filled(&written.service_name).is_none() {
            let place = written.endpoints.as_ref().map_or(written.span, |list| list.span);
            self.out
                .error(codes::NO_ENDPOINTS, place, "the cluster has no Endpoints")
                .help("name the service: \"Endpoints\": [{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }]");
        }
        items(&written.endpoints).iter().filter_map(|entry| self.endpoint(entry)).collect()
    }

    fn endpoint(&mut self, entry: &Spanned<HostAndPort>) -> Option<Endpoint> {
        let Some(host) = filled(&entry.host) else {
            no_host(entry, "Endpoints", self.out);
            return None;
        };
        if let Some(read) = sockets::service(entry, host, self.sources, self.out) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.out) });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let read = self.sound(host.span, values::host(host));
        let port = self.sound(port_span, values::port(entry)).unwrap_or(None);
        Some(Endpoint { host: read?, port, weight: weight(entry, self.out) })
    }
}

impl Reader<'_, '_, '_> {
    /// The cluster that the route names. It has addresses and options of its own; those of a route would contradict it.
    pub(super) fn named_cluster(
        &mut self,
        clusters: &Clusters,
        name: &Spanned<String>,
    ) -> Arc<ClusterBlueprint> {
        options::contradictions(self.written, self.out);
        if let Some(found) = clusters.named(name) {
            return found.clone();
        }
        clusters.unknown(name, self.out);
        Arc::new(ClusterBlueprint {
            key: key(name),
            name: Some(name.value.clone()),
            scheme: Scheme::Http,
            tls: ClientTls::default(),
            pooling: Pooling::default(),
            endpoints: Vec::new(),
            balancer: Sourced::new(BalancerKind::First, None),
            health: Sourced::new(HealthSpec::default(), None),
            found: None,
        })
    }

    /// The addresses of the route itself, read in the order in which Ocelot would fail.
    pub(super) fn own_cluster(
        &mut self,
        effective: &Effective,
        registry: Option<&Registry>,
    ) -> Arc<ClusterBlueprint> {
        let balancer = self.balancer(effective);
        let scheme = self.scheme();
        let mut endpoints = self.endpoints(&balancer.value);
        weights(items(&self.written.endpoints), &balancer, self.out);
        let found = self.found(registry, &mut endpoints);
        let health = self.health();
        health::ports(&health, &endpoints, self.out);
        let key = state_key(self.written, effective);
        let route = self.written;
        let tls = Tls {
            options: &route.tls,
            any: &route.accept_any_certificate,
            key: route.key.as_ref().map(|key| key.as_str()),
            scheme,
        };
        let tls = tls.read(self.scope, self.out);
        sockets::over_tls(items(&route.endpoints), scheme, &tls, self.scope, self.out);
        let pooling = pooling(effective.client.as_ref(), self.out);
        Arc::new(ClusterBlueprint {
            key,
            name: None,
            scheme,
            tls,
            pooling,
            endpoints,
            balancer,
            health,
            found,
        })
    }

    /// What the balancer hashes is a value that the route takes from the path.
    pub(super) fn known_key(&mut self, cluster: &ClusterBlueprint, names: Option<&[Box<str>]>) {
        let (BalancerKind::ConsistentHash(HashOn::Path(name)), Some(names)) =
            (&cluster.balancer.value, names)
        else {
            return;
        };
        if names.iter().any(|known| **known == **name) {
            return;
        }
        let place = cluster.name.as_ref().and(self.written.cluster.as_ref()).map(|set| set.span);
        let message =
            format!("the path of the route has no placeholder \"{name}\", by which an address is chosen");
        let said = self.out.error(codes::BAD_HASH_KEY, place.or(cluster.balancer.from), message);
        if let Some(meant) = suggest::nearest(name, names.iter().map(|known| &**known)) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
    }

    /// Who says where the service is, if it has a name. The reverse proxy of Service Fabric stands in its place.
    fn found(&mut self, registry: Option<&Registry>, endpoints: &mut Vec<Endpoint>) -> Option<Found> {
        let (scope, route) = (self.scope, self.written);
        let name = filled(&route.service_name)?;
        if let Some(Registry::Fabric(proxy)) = registry {
            *endpoints = vec![proxy.clone()];
            return None;
        }
        discovery::addresses_too(scope.ocelot, "DownstreamHostAndPorts", &route.endpoints, self.out);
        let service =
            discovery::service(scope.ocelot, name, &route.service_namespace, &route.scheme, self.out);
        discovery::found(name.span, registry, scope, service, self.out)
    }

    fn scheme(&mut self) -> Scheme {
        let Some(written) = self.written.scheme.as_ref().filter(|scheme| !scheme.is_empty()) else {
            return Scheme::Incoming;
        };
        spoken(self.sound(written.span, values::scheme(written)))
    }

    fn endpoints(&mut self, balancer: &BalancerKind) -> Vec<Endpoint> {
        let written = items(&self.written.endpoints);
        let discovered = self.written.service_name.as_ref().is_some_and(|name| !name.is_empty());
        if written.is_empty() && !discovered {
            let place = self.written.endpoints.as_ref().map_or(self.written.span, |list| list.span);
            self.out.error(codes::NO_ENDPOINTS, place, "the route has no DownstreamHostAndPorts").help(
                "name the service: \"DownstreamHostAndPorts\": [{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }]",
            );
        }
        let mut endpoints = Vec::with_capacity(written.len());
        for (position, entry) in written.iter().enumerate() {
            let before = self.broken.clone();
            endpoints.extend(self.endpoint(entry, discovered));
            let is_asked = position == 0 || written.len() == 1;
            if before.is_none() && (!is_asked && *balancer == BalancerKind::First) {
                self.broken = None;
            }
        }
        endpoints
    }

    fn endpoint(&mut self, entry: &Spanned<HostAndPort>, discovered: bool) -> Option<Endpoint> {
        let Some(host) = filled(&entry.host) else {
            if !discovered {
                no_host(entry, "DownstreamHostAndPorts", self.out);
            }
            return None;
        };
        if let Some(read) = sockets::service(entry, host, self.scope.sources, self.out) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.out) });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let read = self.sound(host.span, values::host(host));
        let port = self.sound(port_span, values::port(entry)).unwrap_or(None);
        Some(Endpoint { host: read?, port, weight: weight(entry, self.out) })
    }

    fn balancer(&mut self, effective: &Effective) -> Sourced<BalancerKind> {
        let Some(balancing) = &effective.balancing else { return Sourced::new(BalancerKind::First, None) };
        let read = balancing::balancer(balancing, self.scope.ocelot, self.out);
        let (span, read) = read.map_or((None, None), |(span, read)| (Some(span), self.sound(span, read)));
        Sourced::new(read.unwrap_or_default(), span)
    }

    fn health(&mut self) -> Sourced<HealthSpec> {
        let key = self.written.key.as_ref().map(|key| key.as_str());
        let options = merged(&self.written.health, self.scope.groups.health.as_ref(), key);
        health::health(self.written.health.as_ref().map(|set| set.span), options.as_deref(), self.out)
    }
}

fn spoken(scheme: Option<&str>) -> Scheme {
    match scheme {
        Some("https" | "wss") => Scheme::Https,
        _ => Scheme::Http,
    }
}

fn no_host(entry: &Spanned<HostAndPort>, list: &str, out: &mut Diagnostics) {
    let place = entry.host.as_ref().map_or(entry.span, |host| host.span);
    out.error(codes::NO_HOST, place, format!("an entry of {list} has no Host"))
        .help("write a host name or an address");
}

/// The heaviest that an address can be.
const HEAVIEST: u32 = 1000;

fn weight(entry: &HostAndPort, out: &mut Diagnostics) -> u32 {
    let Some(written) = &entry.weight else { return 1 };
    match u32::try_from(written.value).ok().filter(|weight| (1..=HEAVIEST).contains(weight)) {
        Some(weight) => weight,
        None => {
            let message = format!("Weight is {}", written.value);
            out.error(codes::BAD_WEIGHT, written.span, message)
                .help(format!("it may be 1 to {HEAVIEST}; an address that shall get nothing is left out"));
            1
        }
    }
}

/// Weights are shares of several; where always the first is asked there are none.
fn weights(entries: &[Spanned<HostAndPort>], balancer: &Sourced<BalancerKind>, out: &mut Diagnostics) {
    if balancer.value != BalancerKind::First {
        return;
    }
    for weight in entries.iter().filter_map(|entry| entry.weight.as_ref()) {
        out.error(
            codes::BAD_WEIGHT,
            weight.span,
            "Weight means nothing where always the first address is asked",
        )
        .help("choose a balancer: \"LoadBalancerOptions\": { \"Type\": \"RoundRobin\" }");
    }
}
