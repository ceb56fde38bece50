//! One route of the document → one route of the blueprint.

use super::aggregate_members::AggregateMembers;
use super::discovery;
use super::resilience::CompiledResilience;
use super::route_backend::Backend;
use super::route_compiler::{DocumentContext, RouteCompiler, text};
use super::state_keys::{request_identity, state_key};
use super::{transforms, waf};
use crate::config::options::merge_maps;
use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, Spanned, codes};
use crate::plan::blueprint::discovery::Registry;
use crate::plan::blueprint::*;
use crate::plan::check::unsupported::{self, EffectiveOptions};
use crate::plan::check::values::{self, VERSION_POLICIES, VersionChoice};
use crate::plan::check::{
    CheckContext, OcelotBehavior, OcelotTolerated, items, non_blank, options, template,
};
use crate::plan::clusters::buffering::{self, BufferingConfig};
use crate::plan::clusters::data_rate::DataRateConfig;
use crate::plan::clusters::http_handler::{self, ResolvedHttpHandler};
use crate::plan::document::RouteDocument;
use crate::plan::hubs::{HubRouteBlueprint, RouteSettings};
use crate::plan::inherit;
use crate::plan::routing::{EscapedSeparators, RouteSpec, RoutingRules};
use crate::stages::StageConfigs;
use crate::stages::authentication::options::ResolvedAuthentication;
use crate::stages::feature::RouteFacts;
use crate::stages::method::MethodOverride;
use std::sync::Arc;

/// Compiles one route. Invalid values are reported and replaced by defaults.
pub fn route(
    scope: &CheckContext,
    context: &DocumentContext,
    rules: &RoutingRules,
    index: usize,
    document: &Spanned<RouteDocument>,
    diagnostics: &mut Diagnostics,
) -> (RouteBlueprint, Option<RouteSpec>) {
    let mut reader = RouteCompiler { scope, document, diagnostics, unservable: None };
    let (matches, spec) = reader.compile_matcher(context, index, rules);
    let names = spec.as_ref().map(|spec| context.members.names(document, spec));
    let mut effective = EffectiveOptions::new(scope, document);
    let backend = reader.backend(context, names.as_deref(), &mut effective);
    (reader.finish((context, index, matches), names.as_deref(), backend, &effective), spec)
}

/// Compiles a route as a part of an aggregate, whose values have these names.
pub fn compile_part(
    scope: &CheckContext,
    context: &DocumentContext,
    names: &[Box<str>],
    index: usize,
    document: &Spanned<RouteDocument>,
    diagnostics: &mut Diagnostics,
) -> RouteBlueprint {
    let mut reader = RouteCompiler { scope, document, diagnostics, unservable: None };
    let matches = reader.matcher_document(context);
    let mut effective = EffectiveOptions::new(scope, document);
    let backend = reader.backend(context, Some(names), &mut effective);
    if let Some(hub) = &backend.hub {
        reader
            .diagnostics
            .error(
                codes::HUB_IN_AGGREGATE,
                hub.service.origin,
                "a hub service cannot be a part of an aggregate",
            )
            .help("remove the route from RouteKeys of the aggregate");
    }
    reader.finish((context, index, matches), Some(names), backend, &effective)
}

/// Compiles what an aggregate has in common with routes: everything except a backend.
pub fn compile_without_backend(
    scope: &CheckContext,
    context: &DocumentContext,
    rules: &RoutingRules,
    (index, position): (usize, usize),
    document: &Spanned<RouteDocument>,
    diagnostics: &mut Diagnostics,
) -> (RouteBlueprint, Option<RouteSpec>) {
    let mut reader = RouteCompiler { scope, document, diagnostics, unservable: None };
    let (matches, spec) = reader.compile_matcher(context, position, rules);
    let names = spec.as_ref().map(|spec| AggregateMembers::default().names(document, spec));
    let effective = EffectiveOptions::new(scope, document);
    (reader.finish((context, index, matches), names.as_deref(), Backend::no_backend(), &effective), spec)
}

impl<'s> RouteCompiler<'s, '_, '_> {
    /// The buffers; `is_limited`: the connections of the cluster are limited.
    fn buffering(&mut self, effective: &EffectiveOptions, is_limited: bool) -> BufferingConfig {
        buffering::buffering_config(effective.clusters.buffering.as_deref(), is_limited, self.diagnostics)
    }

    /// The key of the state, the attempts and the stages.
    fn behavior(
        &mut self,
        (context, index): (&DocumentContext, usize),
        (matches, names): (&Match, Option<&[Box<str>]>),
        backend: &Backend,
        effective: &EffectiveOptions,
    ) -> (String, CompiledResilience, StageConfigs) {
        self.check_options(effective);
        let state_key = state_key(self.document, effective);
        let identity = || request_identity(matches, &backend.path.value, backend.method.as_deref());
        let facts = route_facts(self.document, effective, &state_key, &identity);
        let tried = self.attempts(effective, facts, &context.clusters);
        let stages = self.compile_stages(index, names, backend.method.as_deref(), effective, facts);
        (state_key, tried, stages)
    }

    /// Everything not compiled yet; `names` are those that placeholders may have.
    fn finish(
        mut self,
        (context, index, matches): (&DocumentContext, usize, Match),
        names: Option<&[Box<str>]>,
        backend: Backend,
        effective: &EffectiveOptions,
    ) -> RouteBlueprint {
        let (state_key, tried, mut stages) =
            self.behavior((context, index), (&matches, names), &backend, effective);
        self.check_signalr(&backend, &tried.timeout, &mut stages);
        RouteBlueprint {
            stages,
            index,
            span: self.document.span,
            name: String::new(),
            key: self.document.key.clone().map(|key| key.value),
            matcher: matches,
            backend_path: backend.path,
            buffering: self.buffering(effective, backend.cluster.pooling.limit.is_some()),
            min_rates: self.min_rates(effective),
            cluster: backend.cluster,
            service: backend.service,
            naming: backend.naming,
            fabric: backend.fabric,
            escaped_separators: self.escaped_separators(backend.hub.is_some()),
            hub: backend.hub,
            service_fabric_path: backend.service_fabric_path,
            state_key,
            http_version: backend.version,
            timeout: tried.timeout,
            attempts: tried.attempts,
            fallback: tried.fallback,
            preserve_host: self.preserve_host(),
            policies: items(&self.document.policies).iter().map(|name| name.value.clone()).collect(),
            metadata: metadata(self.scope, self.document),
            broken: self.unservable,
            documents: None,
            aggregate: None,
        }
    }

    fn min_rates(&mut self, effective: &EffectiveOptions) -> MinRates {
        let (mut read, clusters) =
            (RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics), &effective.clusters);
        let (request, response) =
            (clusters.min_request_body_data_rate.as_deref(), clusters.min_response_data_rate.as_deref());
        MinRates {
            request: DataRateConfig::compile("MinRequestBodyDataRate", request, &mut read),
            response: DataRateConfig::compile("MinResponseDataRate", response, &mut read),
        }
    }

    /// The stages with options, then those without.
    fn compile_stages(
        &mut self,
        index: usize,
        names: Option<&[Box<str>]>,
        method: Option<&str>,
        effective: &EffectiveOptions,
        facts: RouteFacts,
    ) -> StageConfigs {
        let (scope, document) = (self.scope, self.document);
        let mut stages = scope.stages.compile(document, scope.global, &mut self.context(facts));
        stages.method = method.map(MethodOverride::new);
        stages.custom = Some(options::handlers(scope, document, index, self.diagnostics));
        stages.request_id = self.request_id_key();
        stages.waf = waf::route(scope, document, self.diagnostics);
        transforms::compile(scope, effective, names.unwrap_or_default(), &mut stages, self.diagnostics);
        stages
    }

    /// In the order in which Ocelot would fail.
    fn backend(
        &mut self,
        context: &DocumentContext,
        names: Option<&[Box<str>]>,
        effective: &mut EffectiveOptions,
    ) -> Backend {
        let path = self.backend_path(names);
        let method = self.backend_method();
        let service = self.internal_service();
        let hub = self.hub_service(context, effective);
        let naming = self.naming(&context.resolvers);
        let has_fabric = service.is_none() && self.document.fabric.is_some();
        let fabric = match has_fabric {
            true => self.fabric(&context.resolvers, names, effective, context.adds_forwarded_fields),
            false => None,
        };
        let cluster = match non_blank(&self.document.cluster) {
            _ if service.is_some() || hub.is_some() || has_fabric => Arc::new(ClusterBlueprint::none()),
            Some(name) => self.named_cluster(&context.clusters, name),
            None => self.own_cluster(effective, context.registry.as_ref()),
        };
        self.known_key(&cluster, names);
        self.known_agent_placeholders(names);
        let service_fabric_path = self.service_fabric_path(context, names);
        let version = self.http_version(&mut effective.newer_http);
        let fabric = fabric.map(Box::new);
        Backend { path, method, cluster, service, naming, fabric, hub, service_fabric_path, version }
    }

    /// The paths of a hub service are split at `/` before each segment is decoded: its names may contain separators.
    fn escaped_separators(&self, is_hub: bool) -> Option<EscapedSeparators> {
        let own = self.document.path_with_escaped_separators.as_ref().map(|set| set.value);
        own.or(is_hub.then_some(EscapedSeparators::Keep))
    }

    /// The hub service of the route, if it has one.
    fn hub_service(
        &mut self,
        context: &DocumentContext,
        effective: &EffectiveOptions,
    ) -> Option<Box<HubRouteBlueprint>> {
        let is_authenticated =
            effective.authentication.as_ref().is_some_and(ResolvedAuthentication::is_required);
        let settings = RouteSettings { route: self.document, is_authenticated };
        settings.compile(&context.hubs, self.diagnostics).map(Box::new)
    }

    /// The service name that precedes the path in requests to Service Fabric's reverse proxy; it may contain
    /// placeholders.
    fn service_fabric_path(
        &mut self,
        context: &DocumentContext,
        names: Option<&[Box<str>]>,
    ) -> Option<Sourced<String>> {
        let (route, ocelot) = (self.document, self.scope.ocelot);
        let name = non_blank(&route.service_name).filter(|_| non_blank(&route.cluster).is_none())?;
        let Some(Registry::ServiceFabric(_)) = &context.registry else { return None };
        let plain = |byte: u8| discovery::is_plain_http(byte) || matches!(byte, b'/' | b'{' | b'}');
        let bare = name.trim_matches('/');
        if bare.is_empty() || bare.contains("//") || bare.contains("..") || !bare.bytes().all(plain) {
            let message = format!("invalid Service Fabric service name \"{}\"", name.value);
            self.diagnostics
                .error(codes::BAD_SERVICE_NAME, name.span, message)
                .help("expected Application/Service; it may contain placeholders of the route");
        } else if template::check_braces(self.diagnostics, ocelot, "ServiceName", name)
            && let Some(names) = names
        {
            self.known_placeholders(name, names);
        }
        Some(Sourced::new(bare.to_owned(), Some(name.span)))
    }

    fn backend_path(&mut self, names: Option<&[Box<str>]>) -> Sourced<String> {
        let (route, ocelot) = (self.document, self.scope.ocelot);
        if let (None, Some(_), Some(path)) = (&route.backend_path, &route.hub_service, &route.client_path) {
            return Sourced::new(path.value.clone(), None);
        }
        let path =
            template::path(self.diagnostics, "DownstreamPathTemplate", &route.backend_path, route.span);
        if let Some(path) = path {
            let readable = template::check_braces(self.diagnostics, ocelot, "DownstreamPathTemplate", path);
            template::check_repeated(self.diagnostics, ocelot, "DownstreamPathTemplate", path);
            if let Some(names) = names.filter(|_| readable) {
                self.known_placeholders(path, names);
            }
        }
        text(&route.backend_path)
    }

    /// Every placeholder of the downstream template must have a value.
    pub(super) fn known_placeholders(&mut self, path: &Spanned<String>, names: &[Box<str>]) {
        let (found, _) = template::placeholders(path);
        if found.iter().all(|placeholder| names.iter().any(|known| **known == *placeholder.name)) {
            return;
        }
        let claims =
            self.document.path_claims.iter().flat_map(|map| map.iter()).map(|(name, _)| name.as_str());
        let known: Vec<&str> = names.iter().map(|name| &**name).chain(claims).collect();
        for placeholder in found.into_iter().filter(|placeholder| !known.contains(&placeholder.name)) {
            template::unknown_placeholder(self.diagnostics, self.scope.ocelot, path, placeholder, &known);
        }
    }

    fn backend_method(&mut self) -> Option<String> {
        let method = self.document.backend_method.as_ref().filter(|method| !method.is_empty())?;
        self.accept(method.span, values::backend_method(method))
    }

    /// The version; `newer` is set when the route requests a later one than this gateway supports.
    fn http_version(&mut self, newer: &mut bool) -> Sourced<HttpVersion> {
        let policy = self.version_policy();
        let default_value = Sourced::new(HttpVersion::Http11, None);
        let Some(version) = self.document.http_version.as_ref().filter(|text| !text.is_empty()) else {
            return default_value;
        };
        if !values::is_version(version) {
            let message = format!("invalid DownstreamHttpVersion \"{}\"", version.value);
            let diagnostic = self.diagnostics.error(codes::BAD_HTTP_VERSION, version.span, message);
            diagnostic.help("expected \"1.1\", \"1.0\" or \"2.0\"");
            return default_value;
        }
        match self.accept(version.span, values::choose_version(version, policy)) {
            Some(VersionChoice::Known(known)) => Sourced::new(known, Some(version.span)),
            other => {
                *newer = other.is_some();
                default_value
            }
        }
    }

    fn version_policy(&mut self) -> &'s str {
        let Some(policy) = self.document.http_version_policy.as_ref().filter(|text| !text.is_empty()) else {
            return "";
        };
        if !VERSION_POLICIES.contains(&policy.as_str()) {
            let message = format!("unknown DownstreamHttpVersionPolicy \"{}\"", policy.value);
            let diagnostic = self.diagnostics.error(codes::BAD_VERSION_POLICY, policy.span, message);
            if let Some(meant) = crate::config::suggest::closest_match(policy, VERSION_POLICIES) {
                diagnostic.help(format!("did you mean \"{meant}\"?"));
            }
        }
        policy
    }

    pub(super) fn timeout(&mut self) -> Sourced<std::time::Duration> {
        let (time, setting) = inherit::timeout(&self.document.timeout, &self.scope.global.timeout);
        let time = self.default_fabric_timeout(setting.is_some()).unwrap_or(time);
        if let Some(setting) = setting.filter(|timeout| timeout.non_zero().is_none()) {
            let message = "Timeout must be greater than zero";
            OcelotTolerated::new(
                codes::BAD_TIMEOUT,
                OcelotBehavior::Effect("90 seconds are used instead"),
                message,
            )
            .help("set a duration greater than zero, or remove it for 90 seconds")
            .report(self.diagnostics, self.scope.ocelot, setting.span);
        }
        Sourced::new(time, setting.map(|setting| setting.span))
    }

    fn request_id_key(&mut self) -> Option<Spanned<String>> {
        let key = inherit::request_id_key(&self.document.request_id_key, &self.scope.global.request_id_key)?;
        if values::is_token(key) {
            return Some(key.clone());
        }
        let message = format!("invalid header name \"{}\" in RequestIdKey", key.value);
        OcelotTolerated::new(
            codes::BAD_HEADER_NAME,
            OcelotBehavior::Effect("no request id is sent"),
            message,
        )
        .report(self.diagnostics, self.scope.ocelot, key.span);
        None
    }

    /// The rules of option objects.
    fn check_options(&mut self, effective: &EffectiveOptions) {
        let scope = self.scope;
        if let Some(options) = &effective.clusters.http_handler {
            let client = ResolvedHttpHandler::resolve(options);
            http_handler::check_http_handler(scope.ocelot, &client, self.diagnostics);
            if let Some(lifetime) = &client.connection_lifetime {
                self.accept(lifetime.span, http_handler::connection_lifetime(lifetime.value));
            }
        }
        unsupported::route(effective, self.diagnostics);
    }
}

/// What the compilers of option objects read of the route.
fn route_facts<'r>(
    document: &'r Spanned<RouteDocument>,
    effective: &EffectiveOptions,
    state_key: &'r str,
    request_identity: &'r dyn Fn() -> String,
) -> RouteFacts<'r> {
    let authentication = effective.authentication.as_ref();
    RouteFacts {
        span: document.span,
        methods: items(&document.methods),
        client_path: document.client_path.as_ref().map_or("", |path| path.as_str()),
        state_key,
        is_authenticated: authentication.is_some_and(ResolvedAuthentication::is_required),
        request_identity,
    }
}

fn metadata(scope: &CheckContext, route: &RouteDocument) -> Vec<(String, String)> {
    merge_maps(&route.metadata, &scope.global.metadata)
        .map(|(key, value)| (key.value.clone(), value.map_or_else(String::new, |value| value.0.clone())))
        .collect()
}
