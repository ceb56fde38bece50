//! Why a request goes where it goes, and what the service would be sent: the matcher and the stages of traffic, walked
//! by a dry exchange.

use super::{
    aggregate::explain::{PartExplanation, parts},
    blueprint::{Blueprint, RouteBlueprint, Sourced, discovery::DynamicBlueprint},
    compiled::{Plan, Route, RouteRef, Target},
    failures,
    routing::{MatchOutcome, RouteTrace},
    sought::DiscoveryLookup,
};
use crate::{
    backend::{
        Cluster,
        attempt::{AttemptConfig, Http2},
        endpoint::Endpoint,
        health::{HealthConfig, ProbeKind},
    },
    config::{Sources, Span},
    net::h1::{encode::put_request, hop_by_hop},
    pipeline::{
        body::{Framing, NoClient},
        error::ErrorCode,
        exchange::Exchange,
        head::{Head, KnownHeader, Version},
        response::RouteResult,
        stage::{StageEntry, run_request, run_response},
    },
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How many routes that were not chosen are told of.
const MAX_NEAR_MISSES: usize = 5;

/// The answer, as data; [`Explanation::text`] is the same for people.
#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    pub method: String,
    /// The path and query after normalisation: what is matched.
    pub target: String,
    pub route: Option<MatchedRoute>,
    /// Routes that were considered and not chosen, the nearest first.
    pub others: Vec<NearMiss>,
    pub stages: Vec<StageDescription>,
    pub settings: Vec<Setting>,
    /// The request that the service would get, line by line; nothing if the gateway would answer itself.
    pub request: Vec<String>,
    pub endpoints: Vec<String>,
    /// Who says where the service is, if that is not written down.
    pub registry: Option<DiscoveryLookup>,
    /// What an aggregate would ask; empty for any other route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartExplanation>,
    /// What the gateway itself would answer.
    pub answer: Option<Rejection>,
}

/// The route that takes the request.
#[derive(Debug, Serialize)]
pub struct MatchedRoute {
    pub name: String,
    pub place: String,
    pub template: String,
    /// Placeholder and value.
    pub values: Vec<(String, String)>,
}

/// A route that does not.
#[derive(Debug, Serialize)]
pub struct NearMiss {
    pub name: String,
    pub place: String,
    pub template: String,
    pub why: String,
}

/// A stage that ran.
#[derive(Debug, Serialize)]
pub struct StageDescription {
    pub name: &'static str,
    pub does: String,
}

/// A value that is in force, and where it comes from.
#[derive(Debug, Serialize)]
pub struct Setting {
    pub name: &'static str,
    pub value: String,
    pub origin: String,
}

/// An answer of the gateway's own.
#[derive(Debug, Serialize)]
pub struct Rejection {
    pub status: u16,
    pub why: String,
    pub detail: String,
}

/// What explains: the plan that would serve, and what it was made of.
pub struct Explainer<'e> {
    pub plan: &'e Plan,
    pub blueprint: &'e Blueprint,
    pub sources: &'e Sources,
}

impl Explainer<'_> {
    /// Explains a request. The exchange carries its head and the address it comes from.
    pub async fn explain(&self, mut exchange: Exchange) -> Explanation {
        exchange.is_dry_run = true;
        let hop = hop_by_hop::strip_request(&mut exchange.request);
        let found = self.plan.find(&mut exchange);
        let mut told = self.on_match(&exchange);
        match found {
            Ok(route) => {
                if let (RouteRef::Dynamic(_), Some(dynamic)) = (&route, &self.blueprint.dynamic) {
                    told.route = Some(self.dynamic_route(&route, dynamic));
                }
                self.dry_run(&route, hop, exchange, &mut told).await;
            }
            Err(cause) => told.reject(&Err(cause), self.plan.ocelot),
        }
        told
    }

    fn on_match(&self, exchange: &Exchange) -> Explanation {
        let (chosen, others) = self.considered(exchange);
        Explanation {
            method: text(exchange.request.method()),
            target: text(exchange.request.target()),
            route: chosen,
            others,
            ..Explanation::default()
        }
    }

    fn considered(&self, exchange: &Exchange) -> (Option<MatchedRoute>, Vec<NearMiss>) {
        let (mut chosen, mut others) = (None, Vec::new());
        for RouteTrace { index, verdict } in self.plan.trace(exchange, MAX_NEAR_MISSES + 1) {
            let Some(route) = self.blueprint.routes.get(index) else { continue };
            match verdict {
                MatchOutcome::Matched { .. } => chosen = Some(self.chosen(index, route, exchange)),
                // Every path begins with a slash: that is not near.
                MatchOutcome::Path { matched: 0 | 1 } => {}
                missed => others.push(self.other(route, &missed)),
            }
        }
        others.truncate(MAX_NEAR_MISSES);
        (chosen, others)
    }

    fn chosen(&self, index: usize, route: &RouteBlueprint, exchange: &Exchange) -> MatchedRoute {
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
            place: self.sources.location(route.span),
            template: route.matcher.client_path.value.clone(),
            values: names.iter().map(|name| (name.to_string(), value(name))).collect(),
        }
    }

    fn other(&self, route: &RouteBlueprint, verdict: &MatchOutcome) -> NearMiss {
        let matches = &route.matcher;
        let name_of = |index: usize| self.blueprint.routes.get(index).map_or("", |r| r.name.as_str());
        let why = match verdict {
            MatchOutcome::Matched { .. } => "matches".to_owned(),
            MatchOutcome::LowerPriority { by } => format!("matches too, but \"{}\" goes first", name_of(*by)),
            MatchOutcome::NoHost => {
                format!("only for the host {}", matches.host.as_deref().unwrap_or_default())
            }
            MatchOutcome::NoListener => format!("only on the listener {}", matches.listeners.join(", ")),
            MatchOutcome::NoMethod => format!("only for {}", matches.methods.join(", ")),
            MatchOutcome::NoHeader(header) => format!("the header {header} is missing or different"),
            MatchOutcome::Path { matched } => format!("the path differs after {matched} bytes"),
        };
        let (name, template) = (route.name.clone(), matches.client_path.value.clone());
        NearMiss { name, place: self.sources.location(route.span), template, why }
    }

    /// Walks the stages and writes down what the service would be sent.
    pub async fn dry_run(
        &self,
        route: &Route,
        hop: hop_by_hop::HopByHop,
        mut exchange: Exchange,
        told: &mut Explanation,
    ) {
        let (ran, early) = run_request(&route.stages, &mut exchange, &mut NoClient).await;
        let step = |placed: &StageEntry| StageDescription {
            name: placed.stage.name(),
            does: placed.stage.describe(),
        };
        told.stages = route.stages[..ran].iter().map(step).collect();
        if let Some(blueprint) = self.static_route(route) {
            told.settings = self.settings(blueprint);
        }
        if let (None, Target::Aggregate(aggregate)) = (&early, &route.target) {
            told.parts = parts(self, aggregate, &exchange).await;
            return;
        }
        let mut outcome = match early {
            Some(outcome) => outcome,
            None => match route.rewrite(&mut exchange).and_then(|()| route.cluster()) {
                Ok((cluster, terms)) => {
                    told.registry = DiscoveryLookup::query(cluster).await;
                    return told.describe_request(cluster, terms, hop, &exchange);
                }
                Err(cause) => Err(cause),
            },
        };
        run_response(&route.stages[..ran], &mut exchange, &mut outcome);
        told.reject(&outcome, self.plan.ocelot);
    }

    /// What the route was made of.
    fn static_route(&self, route: &Route) -> Option<&RouteBlueprint> {
        let dynamic = self.blueprint.dynamic.iter();
        let dynamic = dynamic.flat_map(|all| all.entries.iter().map(|e| &e.route).chain([&all.defaults]));
        self.blueprint.routes.iter().chain(dynamic).find(|r| r.name == *route.label)
    }

    /// A route that was made for the service that the path names.
    fn dynamic_route(&self, route: &Route, dynamic: &DynamicBlueprint) -> MatchedRoute {
        let span = self.static_route(route).map_or(dynamic.defaults.span, |written| written.span);
        let (name, place) = (route.label.to_string(), self.sources.location(span));
        MatchedRoute { name, place, template: "/{service}/...".to_owned(), values: Vec::new() }
    }

    fn settings(&self, route: &RouteBlueprint) -> Vec<Setting> {
        if route.aggregate.is_some() {
            return vec![self.setting("UpstreamPathTemplate", &route.matcher.client_path, Clone::clone)];
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
        settings.retain(|setting| !setting.value.is_empty() || setting.name != "HealthCheckOptions");
        settings
            .extend(route.request_id_key.as_ref().map(|key| self.setting("RequestIdKey", key, Clone::clone)));
        let plain = |(name, value)| Setting { name, value, origin: String::new() };
        settings.extend(failures::describe(route).into_iter().map(plain));
        settings
    }

    fn setting<T>(&self, name: &'static str, value: &Sourced<T>, show: impl Fn(&T) -> String) -> Setting {
        let origin = value.origin.map_or("default".to_owned(), |span: Span| self.sources.location(span));
        Setting { name, value: show(&value.value), origin }
    }
}

impl Explanation {
    fn describe_request(
        &mut self,
        cluster: &Cluster,
        terms: &AttemptConfig,
        hop: hop_by_hop::HopByHop,
        exchange: &Exchange,
    ) {
        let members = cluster.members();
        let health = cluster.health();
        self.endpoints =
            members.endpoints.iter().map(|endpoint| describe_endpoint(endpoint, health, exchange)).collect();
        let Some(first) = members.endpoints.first() else {
            return self.reject(&Err(cluster.no_endpoint_error()), false);
        };
        let host = terms
            .preserve_host
            .then(|| exchange.request.get_known(KnownHeader::Host))
            .flatten()
            .unwrap_or(&first.transport_for(exchange).authority);
        let mut bytes = Vec::new();
        let version = if terms.http2 == Http2::Always { Version::Http2 } else { terms.version };
        put_request(&mut bytes, &exchange.request, host, framing(&exchange.request), hop, version);
        self.request = text(&bytes).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    }

    fn reject(&mut self, outcome: &RouteResult, ocelot: bool) {
        self.answer = Some(match outcome {
            Ok(answer) => Rejection {
                status: answer.status(),
                why: String::new(),
                detail: "the gateway answers".into(),
            },
            Err(cause) => Rejection {
                status: cause.status(ocelot),
                why: cause.why.name().to_owned(),
                // That no route fits is said by those that do not.
                detail: if cause.why == ErrorCode::RouteNotFound && self.route.is_none() {
                    String::new()
                } else {
                    cause.detail.to_string()
                },
            },
        });
    }

    /// For people: one topic after the other, its name in the first column.
    pub fn text(&self) -> String {
        let mut page = String::new();
        let none = || vec![vec!["none".to_owned()]];
        write_section(&mut page, "route", self.route.as_ref().map_or_else(none, |route| vec![route.row()]));
        let other = |o: &NearMiss| [&o.name, &o.place, &o.template, &o.why].map(String::clone).to_vec();
        write_section(&mut page, "not", self.others.iter().map(other).collect());
        let step = |step: &StageDescription| vec![step.name.to_owned(), step.does.clone()];
        write_section(&mut page, "stages", self.stages.iter().map(step).collect());
        let setting = |s: &Setting| vec![s.name.to_owned(), s.value.clone(), s.origin.clone()];
        write_section(&mut page, "settings", self.settings.iter().map(setting).collect());
        let to = (!self.endpoints.is_empty()).then(|| vec![self.endpoints.join(" or ")]);
        write_section(&mut page, "service", to.into_iter().collect());
        write_section(&mut page, "found", self.registry.iter().map(DiscoveryLookup::row).collect());
        write_section(&mut page, "sends", self.request.iter().map(|line| vec![line.clone()]).collect());
        write_section(&mut page, "parts", self.parts.iter().map(PartExplanation::row).collect());
        write_section(&mut page, "answer", self.answer.iter().map(Rejection::row).collect());
        page
    }
}

impl MatchedRoute {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.place.clone(), self.template.clone()];
        row.extend(self.values.iter().map(|(name, value)| format!("{name} = \"{value}\"")));
        row
    }
}

impl Rejection {
    pub fn row(&self) -> Vec<String> {
        vec![self.status.to_string(), self.why.clone(), self.detail.clone()]
    }
}

/// Rows in columns; the topic stands before the first.
fn write_section(page: &mut String, name: &str, rows: Vec<Vec<String>>) {
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..).map_while(width).collect();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = format!("{:<10}{}", if number == 0 { name } else { "" }, cells.join("  "));
        page.push_str(line.trim_end());
        page.push('\n');
    }
}

/// Where the service is, and how it is spoken to where that is not plain.
fn describe_endpoint(endpoint: &Endpoint, health: &HealthConfig, exchange: &Exchange) -> String {
    let scheme = if endpoint.transport_for(exchange).transport.tls.is_some() { "https://" } else { "" };
    format!("{scheme}{}{}", endpoint.label, health_note(health, endpoint))
}

/// What an endpoint is, where that is not well.
fn health_note(health: &HealthConfig, endpoint: &Endpoint) -> String {
    let status = endpoint.state.health.status(health, Instant::now());
    match status.name {
        "healthy" | "unknown" | "unchecked" => String::new(),
        name => format!(" ({name}: {})", status.reason),
    }
}

/// What is done about the health of a cluster, in a few words.
fn health_check_summary(health: &HealthConfig) -> String {
    let mut all = Vec::new();
    if let Some(active) = &health.active {
        let what = match &active.kind {
            ProbeKind::Tcp => "connects".to_owned(),
            ProbeKind::Http { target, .. } => format!("GET {target}"),
        };
        all.push(format!("{what} every {}", duration(active.interval)));
    }
    if let Some(passive) = &health.passive {
        let row = passive.consecutive_failures.map(|n| format!("{n} failures in a row"));
        let ratio = passive.failure_ratio.map(|ratio| format!("{}% failures", ratio * 100.0));
        let when: Vec<String> = row.into_iter().chain(ratio).collect();
        all.push(format!("left alone after {}", when.join(" or ")));
    }
    all.join("; ")
}

fn duration(of: Duration) -> String {
    if of.subsec_millis() == 0 { format!("{}s", of.as_secs()) } else { format!("{}ms", of.as_millis()) }
}

/// A dry request has no body; what it says of one is believed.
fn framing(head: &Head) -> Framing {
    match head.get_known(KnownHeader::ContentLength).and_then(crate::base::bytes::decimal) {
        Some(n) => Framing::Length(n),
        None => Framing::None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
