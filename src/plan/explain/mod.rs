//! `margay explain`: which route a request matches and why, and the request that would be sent to the backend, from a
//! dry run of the same matcher and stages as live traffic. Envoy has the router check tool for this.
//!
//! Entry point: [`Explainer::explain`], called by `cli::explain`. It owns nothing; the plan it explains is built for
//! one call.

mod discovery;
mod endpoints;
mod fabric;
mod operation;
mod parts;
mod program;
mod report;
mod request;
pub(crate) mod resilience;
mod summary;

pub use discovery::DiscoveryLookup;
pub use fabric::{ReplicaExplanation, ServiceExplanation};
pub use operation::ApiExplanation;
pub use report::{
    Explanation, MatchedRoute, NearMiss, PartExplanation, Rejection, Setting, StageDescription,
};
pub use request::{add_body, parse_request, parse_request_from};

use super::{
    blueprint::{Blueprint, DynamicBlueprint, RouteBlueprint, Sourced},
    compiled::{Plan, Route, RouteRef, Target},
    internal_target,
    routing::{MatchOutcome, RouteTrace},
};
use crate::{
    backend::{
        Cluster,
        attempt::{AttemptConfig, Http2},
    },
    config::{Sources, Span},
    net::h1::{encode::put_request, hop_by_hop},
    pipeline::{
        body::{Framing, NoClient},
        error::GatewayError,
        exchange::Exchange,
        head::{Head, KnownHeader, Version},
        response::RouteResult,
        stage::{StageEntry, run_request, run_response},
    },
};
use std::future::Future;
use std::pin::Pin;
use summary::{duration, health_check_summary};

/// Maximum number of near misses that are listed.
const MAX_NEAR_MISSES: usize = 5;

/// Settings of endpoints that routes to services with partitions do not have.
const NOT_OF_SERVICES: [&str; 3] = ["LoadBalancerOptions.Type", "HealthCheckOptions", "PreserveHost"];

/// Explains requests by a plan and the blueprint and sources that it was built from.
pub struct Explainer<'e> {
    pub plan: &'e Plan,
    pub blueprint: &'e Blueprint,
    pub sources: &'e Sources,
}

/// The name of a stage, and what it does on its route.
pub fn describe_stage(entry: &StageEntry) -> StageDescription {
    StageDescription { name: entry.stage.name(), description: entry.stage.describe() }
}

impl Explainer<'_> {
    /// Explains a request: the exchange contains its head and the client address.
    pub async fn explain(&self, exchange: Exchange) -> Explanation {
        self.explain_with(exchange, false).await
    }

    /// The same without querying discovery providers: a discovered service stands for its endpoints.
    pub async fn explain_offline(&self, exchange: Exchange) -> Explanation {
        self.explain_with(exchange, true).await
    }

    async fn explain_with(&self, mut exchange: Exchange, is_offline: bool) -> Explanation {
        exchange.is_dry_run = true;
        // Explained requests have no such list.
        let hop = hop_by_hop::strip(&mut exchange.request, usize::MAX).unwrap_or_default();
        let found = self.plan.find(&mut exchange);
        let mut explanation = Explanation { is_offline, ..self.on_match(&exchange) };
        match found {
            Ok(route) => {
                if let (RouteRef::Dynamic(_), Some(dynamic)) = (&route, &self.blueprint.dynamic) {
                    explanation.route = Some(self.dynamic_route(&route, dynamic));
                }
                self.dry_run(&route, hop, exchange, &mut explanation).await;
            }
            Err(error) => explanation.reject(&Err(error), self.plan.ocelot),
        }
        explanation
    }

    fn on_match(&self, exchange: &Exchange) -> Explanation {
        let (route, near_misses) = self.trace(exchange);
        Explanation {
            method: text(exchange.request.method()),
            target: text(exchange.request.target()),
            route,
            near_misses,
            api_management: self.plan.apis.is_some().then(ApiExplanation::default),
            ..Explanation::default()
        }
    }

    fn trace(&self, exchange: &Exchange) -> (Option<MatchedRoute>, Vec<NearMiss>) {
        let (mut matched_route, mut near_misses) = (None, Vec::new());
        for RouteTrace { index, verdict } in self.plan.trace(exchange, MAX_NEAR_MISSES + 1) {
            let Some(route) = self.blueprint.routes.get(index) else { continue };
            match verdict {
                MatchOutcome::Matched { .. } => {
                    matched_route = Some(self.matched_route(index, route, exchange));
                }
                // Every path begins with a slash: not a near miss.
                MatchOutcome::Path { matched: 0 | 1 } => {}
                missed => near_misses.push(self.near_miss(route, &missed)),
            }
        }
        near_misses.truncate(MAX_NEAR_MISSES);
        (matched_route, near_misses)
    }

    fn matched_route(&self, index: usize, route: &RouteBlueprint, exchange: &Exchange) -> MatchedRoute {
        let names = self.plan.table.names(index);
        let value = |name: &str| {
            exchange
                .routing
                .path_params
                .get_by_name(name, names, exchange.request.target())
                .map_or(String::new(), |v| text(v.bytes))
        };
        MatchedRoute {
            name: route.name.clone(),
            location: self.sources.location(route.span),
            template: route.matcher.client_path.value.clone(),
            values: names.iter().map(|name| (name.to_string(), value(name))).collect(),
        }
    }

    fn near_miss(&self, route: &RouteBlueprint, verdict: &MatchOutcome) -> NearMiss {
        let matcher = &route.matcher;
        let name_of = |index: usize| self.blueprint.routes.get(index).map_or("", |r| r.name.as_str());
        let reason = match verdict {
            MatchOutcome::Matched { .. } => "matches".to_owned(),
            MatchOutcome::LowerPriority { by } => format!("matches, but \"{}\" has priority", name_of(*by)),
            MatchOutcome::NoHost => {
                format!("only for the host {}", matcher.host.as_deref().unwrap_or_default())
            }
            MatchOutcome::NoListener => format!("only on the listener {}", matcher.listeners.join(", ")),
            MatchOutcome::NoMethod => format!("only for {}", matcher.methods.join(", ")),
            MatchOutcome::NoHeader(header) => format!("the header {header} is missing or different"),
            MatchOutcome::Path { matched } => format!("the path differs after {matched} bytes"),
        };
        let (name, template) = (route.name.clone(), matcher.client_path.value.clone());
        NearMiss { name, location: self.sources.location(route.span), template, reason }
    }

    /// Runs the request stages and records the request that would be sent to the backend.
    async fn dry_run(
        &self,
        route: &Route,
        hop: hop_by_hop::HopByHop,
        mut exchange: Exchange,
        explanation: &mut Explanation,
    ) {
        let (ran, early) = run_stages(&route.stages, &mut exchange, &mut explanation.stages).await;
        explanation.settings = self.static_route(route).map_or_else(Vec::new, |route| self.settings(route));
        if let (None, Target::Aggregate(aggregate)) = (&early, &route.target) {
            let dry_run = &|route, exchange| self.dry_run_part(route, exchange);
            explanation.parts = parts::explain(aggregate, &exchange, dry_run).await;
            return;
        }
        let Some(early) = explanation.add_program(route, &mut exchange, early) else { return };
        let rewritten = if early.is_none() { route.rewrite(&mut exchange) } else { Ok(()) };
        if let (None, Ok(()), Some((service, request))) =
            (&early, &rewritten, internal_target::describe(route, hop, &exchange))
        {
            (explanation.endpoints, explanation.request) = (vec![service], request);
            return;
        }
        let mut outcome = match early {
            Some(outcome) => outcome,
            None => match self.explain_backend(route, rewritten, hop, &mut exchange, explanation).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
        };
        run_response(&route.stages[..ran], &mut exchange, &mut outcome);
        explanation.reject(&outcome, self.plan.ocelot);
    }

    /// Records the endpoints of the backend and the request to it.
    async fn explain_backend(
        &self,
        route: &Route,
        rewritten: Result<(), GatewayError>,
        hop: hop_by_hop::HopByHop,
        exchange: &mut Exchange,
        explanation: &mut Explanation,
    ) -> Result<(), GatewayError> {
        rewritten?;
        if let Target::Fabric(fabric) = &route.target {
            let (service, authority) = fabric::explain(fabric, exchange).await?;
            explanation.endpoints = vec![service.url.clone()];
            explanation.request = request_lines(exchange, authority.as_bytes(), hop, &fabric.terms);
            explanation.service = Some(service);
            return Ok(());
        }
        if let Target::Agent(agent) = &route.target {
            let cluster = agent.cluster(&exchange.routing.agent_hosts, exchange.now);
            describe_request(explanation, &cluster, &agent.terms, hop, exchange, None);
            return Ok(());
        }
        let (cluster, terms) = route.cluster()?;
        let service = self.service(route).filter(|_| explanation.is_offline);
        explanation.discovery = DiscoveryLookup::query_unless(service.is_some(), cluster).await;
        describe_request(explanation, cluster, terms, hop, exchange, service);
        Ok(())
    }

    /// The name of the discovered service of a route.
    fn service(&self, route: &Route) -> Option<&str> {
        let blueprint = self.static_route(route)?;
        blueprint.cluster.discovery.as_ref().map(|found| found.service.name.as_str())
    }

    /// A dry run of a part of an aggregate.
    fn dry_run_part<'r>(
        &'r self,
        route: &'r Route,
        exchange: Exchange,
    ) -> Pin<Box<dyn Future<Output = Explanation> + 'r>> {
        Box::pin(async move {
            let mut explanation = Explanation::default();
            self.dry_run(route, hop_by_hop::HopByHop::default(), exchange, &mut explanation).await;
            explanation
        })
    }

    /// The blueprint of a route.
    fn static_route(&self, route: &Route) -> Option<&RouteBlueprint> {
        let dynamic = self.blueprint.dynamic.iter();
        let dynamic = dynamic.flat_map(|all| all.entries.iter().map(|e| &e.route).chain([&all.defaults]));
        self.blueprint.routes.iter().chain(dynamic).find(|r| r.name == *route.label)
    }

    /// The route of a dynamically discovered service.
    fn dynamic_route(&self, route: &Route, dynamic: &DynamicBlueprint) -> MatchedRoute {
        let span = self.static_route(route).map_or(dynamic.defaults.span, |blueprint| blueprint.span);
        let (name, location) = (route.label.to_string(), self.sources.location(span));
        MatchedRoute { name, location, template: "/{service}/...".to_owned(), values: Vec::new() }
    }

    /// The effective settings of a route, with their origin.
    pub fn settings(&self, route: &RouteBlueprint) -> Vec<Setting> {
        if route.aggregate.is_some() {
            return vec![self.setting("UpstreamPathTemplate", &route.matcher.client_path, Clone::clone)];
        }
        if let Some(settings) = internal_target::settings(route) {
            return settings.iter().map(|(name, value)| self.setting(name, value, Clone::clone)).collect();
        }
        let mut settings = vec![
            self.setting("UpstreamPathTemplate", &route.matcher.client_path, Clone::clone),
            self.setting("DownstreamPathTemplate", &route.backend_path, Clone::clone),
            self.setting("DownstreamHttpVersion", &route.http_version, |version| version.name().to_owned()),
            self.setting("Timeout", &route.timeout, |timeout| duration(*timeout)),
            self.setting("LoadBalancerOptions.Type", &route.cluster.balancer, |kind| kind.name().to_owned()),
            self.setting("HealthCheckOptions", &route.cluster.health, health_check_summary),
            self.setting("PreserveHost", &route.preserve_host, ToString::to_string),
        ];
        if route.fabric.is_some() {
            settings.retain(|setting| !NOT_OF_SERVICES.contains(&setting.name));
        }
        settings.retain(|setting| !setting.value.is_empty() || setting.name != "HealthCheckOptions");
        let id = route.stages.request_id.as_ref();
        let id = id.map(|key| Sourced::new(key.value.clone(), Some(key.span)));
        settings.extend(id.map(|key| self.setting("RequestIdKey", &key, Clone::clone)));
        let plain = |(name, value)| Setting { name, value, origin: String::new() };
        settings.extend(resilience::describe(route).into_iter().map(plain));
        settings
    }

    fn setting<T>(&self, name: &'static str, value: &Sourced<T>, show: impl Fn(&T) -> String) -> Setting {
        let origin = value.origin.map_or("default".to_owned(), |span: Span| self.sources.location(span));
        Setting { name, value: show(&value.value), origin }
    }
}

/// Runs the request stages one after the other, and describes them; what the request would use of a rate limit is part of the
/// description.
async fn run_stages(
    stages: &[StageEntry],
    exchange: &mut Exchange,
    descriptions: &mut Vec<StageDescription>,
) -> (usize, Option<RouteResult>) {
    for (at, entry) in stages.iter().enumerate() {
        let counted = exchange.response.rate_limits.len();
        let (ran, early) = run_request(&stages[..=at], exchange, &mut NoClient).await;
        let mut description = describe_stage(entry);
        let used = exchange.response.rate_limits[counted..].iter();
        let used =
            used.map(|limit| format!("{} of {}", limit.quota.saturating_sub(limit.remaining), limit.quota));
        let used = used.collect::<Vec<_>>().join(", ");
        if !used.is_empty() {
            description.description += &format!(" (would use {used})");
        }
        if let Some(note) = exchange.response.note.take() {
            description.description += &format!(" ({note})");
        }
        descriptions.push(description);
        if early.is_some() {
            return (ran, early);
        }
    }
    (stages.len(), None)
}

/// Records the endpoints and the request that would be sent to one of them.
fn describe_request(
    explanation: &mut Explanation,
    cluster: &Cluster,
    terms: &AttemptConfig,
    hop: hop_by_hop::HopByHop,
    exchange: &Exchange,
    service: Option<&str>,
) {
    let members = cluster.members();
    let health = cluster.health();
    explanation.endpoints =
        members.endpoints.iter().map(|endpoint| endpoints::describe(endpoint, health, exchange)).collect();
    let authority = match (members.endpoints.first(), service) {
        (Some(first), _) => &*first.transport_for(exchange).authority,
        (None, Some(service)) => service.as_bytes(),
        (None, None) => return explanation.reject(&Err(cluster.no_endpoint_error()), false),
    };
    let own_host = terms.preserve_host.then(|| exchange.request.get_known(KnownHeader::Host)).flatten();
    explanation.request = request_lines(exchange, own_host.unwrap_or(authority), hop, terms);
}

/// The lines of the request to the backend.
fn request_lines(
    exchange: &Exchange,
    host: &[u8],
    hop: hop_by_hop::HopByHop,
    terms: &AttemptConfig,
) -> Vec<String> {
    let mut bytes = Vec::new();
    let version = if terms.http2 == Http2::Always { Version::Http2 } else { terms.version };
    put_request(&mut bytes, &exchange.request, host, framing(&exchange.request), hop, version);
    text(&bytes).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A dry run has no body; its framing is that of `Content-Length`.
fn framing(head: &Head) -> Framing {
    match head.get_known(KnownHeader::ContentLength).and_then(crate::base::bytes::decimal) {
        Some(n) => Framing::Length(n),
        None => Framing::None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
