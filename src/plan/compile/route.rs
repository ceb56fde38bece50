//! One route of the document → one route of the blueprint.

use super::cluster::{self, Clusters};
use super::discovery;
use super::members::Members;
use super::shaping;
use crate::config::document::{HostAndPort, RouteDocument, Set};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::admission::Admission;
use crate::plan::blueprint::discovery::Registry;
use crate::plan::blueprint::*;
use crate::plan::check::pending::{self, Effective};
use crate::plan::check::values::{self, Spoken, VERSION_POLICIES};
use crate::plan::check::{Outcome, Scope, Wrong, filled, items, options, template};
use crate::plan::inherit;
use crate::plan::routing::{RouteSpec, RoutingRules};
use std::fmt::Write;
use std::sync::Arc;

/// What stands around the routes of a document and concerns each of them.
pub struct Around<'d> {
    /// The registry of the document.
    pub registry: Option<Registry>,
    /// What the listeners are called.
    pub listeners: Vec<String>,
    pub members: Members<'d>,
    pub clusters: Clusters<'d>,
}

/// Reads one route, its mistakes going to `out`. What is wrong stands in as a default.
pub fn route(
    scope: &Scope,
    around: &Around,
    rules: &RoutingRules,
    index: usize,
    written: &Spanned<RouteDocument>,
    out: &mut Diagnostics,
) -> (RouteBlueprint, Option<RouteSpec>) {
    let mut reader = Reader { scope, written, out, broken: None };
    let (matches, spec) = reader.matching(around, index, rules);
    let names = spec.as_ref().map(|spec| around.members.names(written, spec));
    let mut effective = Effective::new(scope, written);
    let backend = reader.backend(around, names.as_deref(), &mut effective);
    (reader.rest(around, index, matches, names.as_deref(), backend, &effective), spec)
}

/// Reads a route as a part of an aggregate, whose values have these names.
pub fn part(
    scope: &Scope,
    around: &Around,
    names: &[Box<str>],
    index: usize,
    written: &Spanned<RouteDocument>,
    out: &mut Diagnostics,
) -> RouteBlueprint {
    let mut reader = Reader { scope, written, out, broken: None };
    let matches = reader.matches(around);
    let mut effective = Effective::new(scope, written);
    let backend = reader.backend(around, Some(names), &mut effective);
    reader.rest(around, index, matches, Some(names), backend, &effective)
}

/// Reads what an aggregate has in common with routes: all but a service.
pub fn without_service(
    scope: &Scope,
    around: &Around,
    rules: &RoutingRules,
    (index, place): (usize, usize),
    written: &Spanned<RouteDocument>,
    out: &mut Diagnostics,
) -> (RouteBlueprint, Option<RouteSpec>) {
    let mut reader = Reader { scope, written, out, broken: None };
    let (matches, spec) = reader.matching(around, place, rules);
    let names = spec.as_ref().map(|spec| Members::default().names(written, spec));
    let effective = Effective::new(scope, written);
    (reader.rest(around, index, matches, names.as_deref(), Backend::none(), &effective), spec)
}

/// What the service is asked for, where it is, and how it is spoken with.
struct Backend {
    path: Sourced<String>,
    method: Option<String>,
    cluster: Arc<ClusterBlueprint>,
    fabric: Option<Sourced<String>>,
    version: Sourced<HttpVersion>,
}

impl Backend {
    fn none() -> Backend {
        Backend {
            path: Sourced::new(String::new(), None),
            method: None,
            cluster: Arc::new(ClusterBlueprint::none()),
            fabric: None,
            version: Sourced::new(HttpVersion::Http11, None),
        }
    }
}

/// Reads the settings of one route.
pub struct Reader<'s, 'd, 'o> {
    pub scope: &'s Scope<'d>,
    pub written: &'s Spanned<RouteDocument>,
    pub out: &'o mut Diagnostics,
    pub(super) broken: Option<Broken>,
}

impl<'s> Reader<'s, '_, '_> {
    /// The value, or the report of what is wrong with it; the first status that Ocelot would answer stays.
    pub(super) fn sound<T>(&mut self, span: Span, read: Result<T, Wrong>) -> Option<T> {
        let wrong = match read {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        if let (Outcome::Answers(status), None, true) = (wrong.result, &self.broken, self.scope.ocelot) {
            self.broken = Some(Broken { status, because: wrong.message.clone() });
        }
        wrong.report(self.out, self.scope.ocelot, span);
        None
    }

    /// All that is not said yet; `names` are those that placeholders may have.
    fn rest(
        mut self,
        around: &Around,
        index: usize,
        matches: Match,
        names: Option<&[Box<str>]>,
        backend: Backend,
        effective: &Effective,
    ) -> RouteBlueprint {
        let (scope, written) = (self.scope, self.written);
        let (admission, tried) = (self.options(effective), self.attempts(effective, &around.clusters));
        RouteBlueprint {
            index,
            span: written.span,
            name: String::new(),
            handlers: options::handlers(scope, written, index, self.out),
            key: written.key.as_ref().map(|key| key.value.clone()),
            matches,
            backend_path: backend.path,
            cluster: backend.cluster,
            fabric: backend.fabric,
            state_key: state_key(written, effective),
            backend_method: backend.method,
            http_version: backend.version,
            timeout: tried.timeout,
            attempts: tried.attempts,
            fallback: tried.fallback,
            preserve_host: self.preserve_host(),
            request_id_key: self.request_id_key(),
            shaping: shaping::shaping(scope, effective, names.unwrap_or_default(), self.out),
            authentication: None,
            policies: texts(&written.policies),
            metadata: metadata(scope, written),
            admission,
            cache: None,
            compression: self.compression(),
            broken: self.broken,
            aggregate: None,
        }
    }

    /// In the order in which Ocelot would fail.
    fn backend(&mut self, around: &Around, names: Option<&[Box<str>]>, effective: &mut Effective) -> Backend {
        let path = self.backend_path(names);
        let method = self.backend_method();
        let cluster = match filled(&self.written.cluster) {
            Some(name) => self.named_cluster(&around.clusters, name),
            None => self.own_cluster(effective, around.registry.as_ref()),
        };
        self.known_key(&cluster, names);
        let fabric = self.fabric(around, names);
        let version = self.http_version(&mut effective.newer_http);
        Backend { path, method, cluster, fabric, version }
    }

    /// The name that stands before the path where Service Fabric's reverse proxy is asked; it may hold placeholders.
    fn fabric(&mut self, around: &Around, names: Option<&[Box<str>]>) -> Option<Sourced<String>> {
        let (route, ocelot) = (self.written, self.scope.ocelot);
        let name = filled(&route.service_name).filter(|_| filled(&route.cluster).is_none())?;
        let Some(Registry::Fabric(_)) = &around.registry else { return None };
        let plain = |byte: u8| discovery::is_plain(byte) || matches!(byte, b'/' | b'{' | b'}');
        let bare = name.trim_matches('/');
        if bare.is_empty() || bare.contains("//") || bare.contains("..") || !bare.bytes().all(plain) {
            let message = format!("\"{}\" is no name of a service of Service Fabric", name.value);
            self.out
                .error(codes::BAD_SERVICE_NAME, name.span, message)
                .help("write Application/Service; placeholders of the route may be used");
        } else if template::braces(self.out, ocelot, "ServiceName", name)
            && let Some(names) = names
        {
            self.known_placeholders(name, names);
        }
        Some(Sourced::new(bare.to_owned(), Some(name.span)))
    }

    fn backend_path(&mut self, names: Option<&[Box<str>]>) -> Sourced<String> {
        let (route, ocelot) = (self.written, self.scope.ocelot);
        let path = template::path(self.out, "DownstreamPathTemplate", &route.backend_path, route.span);
        if let Some(path) = path {
            let readable = template::braces(self.out, ocelot, "DownstreamPathTemplate", path);
            template::repeated(self.out, ocelot, "DownstreamPathTemplate", path);
            if let Some(names) = names.filter(|_| readable) {
                self.known_placeholders(path, names);
            }
        }
        text(&route.backend_path)
    }

    /// Every placeholder of the service's template has a value.
    fn known_placeholders(&mut self, path: &Spanned<String>, names: &[Box<str>]) {
        let (found, _) = template::placeholders(path);
        if found.iter().all(|placeholder| names.iter().any(|known| **known == *placeholder.name)) {
            return;
        }
        let claims =
            self.written.path_claims.iter().flat_map(|map| map.iter()).map(|(name, _)| name.as_str());
        let known: Vec<&str> = names.iter().map(|name| &**name).chain(claims).collect();
        for placeholder in found.into_iter().filter(|placeholder| !known.contains(&placeholder.name)) {
            template::unknown(self.out, self.scope.ocelot, path, placeholder, &known);
        }
    }

    fn backend_method(&mut self) -> Option<String> {
        let method = self.written.backend_method.as_ref().filter(|method| !method.is_empty())?;
        self.sound(method.span, values::backend_method(method))
    }

    /// The version; `newer` is set when the route asks for a later one than this gateway speaks.
    fn http_version(&mut self, newer: &mut bool) -> Sourced<HttpVersion> {
        let policy = self.version_policy();
        let usual = Sourced::new(HttpVersion::Http11, None);
        let Some(version) = self.written.http_version.as_ref().filter(|text| !text.is_empty()) else {
            return usual;
        };
        if !values::is_version(version) {
            let message = format!("DownstreamHttpVersion \"{}\" is not a version", version.value);
            let said = self.out.error(codes::BAD_HTTP_VERSION, version.span, message);
            said.help("write \"1.1\", \"1.0\" or \"2.0\"");
            return usual;
        }
        match self.sound(version.span, values::spoken(version, policy)) {
            Some(Spoken::Known(spoken)) => Sourced::new(spoken, Some(version.span)),
            spoken => {
                *newer = spoken.is_some();
                usual
            }
        }
    }

    fn version_policy(&mut self) -> &'s str {
        let Some(policy) = self.written.http_version_policy.as_ref().filter(|text| !text.is_empty()) else {
            return "";
        };
        if !VERSION_POLICIES.contains(&policy.as_str()) {
            let message = format!("DownstreamHttpVersionPolicy \"{}\" is unknown", policy.value);
            let said = self.out.error(codes::BAD_VERSION_POLICY, policy.span, message);
            if let Some(meant) = crate::config::suggest::nearest(policy, VERSION_POLICIES) {
                said.help(format!("did you mean \"{meant}\"?"));
            }
        }
        policy
    }

    pub(super) fn timeout(&mut self) -> Sourced<std::time::Duration> {
        let (time, written) = inherit::timeout(&self.written.timeout, &self.scope.global.timeout);
        if let Some(written) = written.filter(|wait| wait.positive().is_none()) {
            let message = "a Timeout of zero or less";
            Wrong::new(codes::BAD_TIMEOUT, Outcome::Does("90 seconds are taken instead"), message)
                .help("write a time greater than zero, or leave it out for 90 seconds")
                .report(self.out, self.scope.ocelot, written.span);
        }
        Sourced::new(time, written.map(|written| written.span))
    }

    fn preserve_host(&self) -> Sourced<bool> {
        let written = self.written.preserve_host.as_ref().or(self.scope.global.preserve_host.as_ref());
        Sourced::new(written.is_some_and(|on| on.value), written.map(|on| on.span))
    }

    fn request_id_key(&mut self) -> Option<Sourced<String>> {
        let key = inherit::request_id_key(&self.written.request_id_key, &self.scope.global.request_id_key)?;
        if values::is_token(key) {
            return Some(Sourced::new(key.value.clone(), Some(key.span)));
        }
        let message = format!("RequestIdKey \"{}\" is not the name of a header", key.value);
        Wrong::new(codes::BAD_HEADER_NAME, Outcome::Does("no request id is sent"), message).report(
            self.out,
            self.scope.ocelot,
            key.span,
        );
        None
    }

    /// The rules of option objects, and what those say that admit requests.
    fn options(&mut self, effective: &Effective) -> Admission {
        let (scope, route) = (self.scope, self.written);
        if let Some(authentication) = &route.authentication {
            options::authentication(scope, authentication, self.out);
        }
        options::rate_limit(&route.rate_limit, self.out);
        options::address_lists(scope, &route.security, self.out);
        if let Some(client) = &effective.client {
            options::http_client(scope, client, self.out);
            if let Some(lifetime) = &client.connection_lifetime {
                self.sound(lifetime.span, values::lifetime(lifetime.value));
            }
        }
        pending::route(effective, self.out);
        self.admission(&state_key(route, effective))
    }
}

/// The texts of a list.
fn texts(list: &crate::config::document::List<String>) -> Vec<String> {
    items(list).iter().map(|text| text.value.clone()).collect()
}

/// A text as written; empty when it is absent.
pub fn text(set: &Set<String>) -> Sourced<String> {
    match set {
        Some(text) => Sourced::new(text.value.clone(), Some(text.span)),
        None => Sourced::new(String::new(), None),
    }
}

/// Ocelot's LoadBalancerKey: methods, template, host, addresses, namespace, service, balancer and its key.
pub(super) fn state_key(route: &RouteDocument, effective: &Effective) -> String {
    fn or<'t>(set: Option<&'t Spanned<String>>, none: &'t str) -> &'t str {
        set.map_or(none, |text| text.as_str())
    }
    let mut key = String::with_capacity(160);
    for (at, method) in items(&route.methods).iter().enumerate() {
        key.push_str(if at == 0 { "" } else { "," });
        key.push_str(method);
    }
    for part in [or(route.client_path.as_ref(), ""), or(filled(&route.host), "no-host"), ""] {
        key.push('|');
        key.push_str(part);
    }
    match filled(&route.cluster) {
        Some(name) => key.push_str(&cluster::key(name)),
        None => addresses(items(&route.endpoints), &mut key),
    }
    let balancing = effective.balancing.as_ref();
    for part in [
        or(filled(&route.service_namespace), "no-svc-ns"),
        or(filled(&route.service_name), "no-svc-name"),
        or(balancing.and_then(|balancing| balancing.kind.as_ref()), "NoLoadBalancer"),
        or(balancing.and_then(|balancing| balancing.key.as_ref()), "no-lb-key"),
    ] {
        key.push('|');
        key.push_str(part);
    }
    key
}

fn addresses(entries: &[Spanned<HostAndPort>], key: &mut String) {
    if entries.is_empty() {
        key.push_str("no-host-and-port");
    }
    for (at, entry) in entries.iter().enumerate() {
        let host = entry.host.as_ref().map_or("", |host| host.as_str());
        let port = entry.port.as_ref().map_or(0, |port| port.value);
        let _ = write!(key, "{}{host}:{port}", if at == 0 { "" } else { "," });
    }
}

fn metadata(scope: &Scope, route: &RouteDocument) -> Vec<(String, String)> {
    inherit::union(&route.metadata, &scope.global.metadata)
        .map(|(key, value)| (key.value.clone(), value.map_or_else(String::new, |value| value.value.clone())))
        .collect()
}
