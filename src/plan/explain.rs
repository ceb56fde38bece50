//! Why a request goes where it goes, and what the service would be sent: the matcher and the stages of traffic, walked
//! by a dry exchange.

use super::{
    aggregate::explain::{Told, parts},
    blueprint::{Blueprint, RouteBlueprint, Sourced, discovery::DynamicBlueprint},
    failures,
    routing::{Considered, Verdict},
    runtime::{Found, Plan, Route, Target},
    sought::Sought,
};
use crate::{
    backend::{
        Cluster,
        attempt::{Http2, Terms},
        endpoint::Endpoint,
        health::{HealthSpec, ProbeKind},
    },
    config::{Sources, Span},
    pipeline::{
        answer::Outcome,
        body::{Framing, Nobody},
        cause::Why,
        exchange::Exchange,
        head::{Head, Known, Version},
        stage::{Placed, back, walk},
    },
    wire::h1::{encode::put_request, hop},
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How many routes that were not chosen are told of.
const MISSES: usize = 5;

/// The answer, as data; [`Explanation::text`] is the same for people.
#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    pub method: String,
    /// The path and query after normalisation: what is matched.
    pub target: String,
    pub route: Option<Chosen>,
    /// Routes that were considered and not chosen, the nearest first.
    pub others: Vec<Other>,
    pub stages: Vec<Step>,
    pub settings: Vec<Setting>,
    /// The request that the service would get, line by line; nothing if the gateway would answer itself.
    pub request: Vec<String>,
    pub endpoints: Vec<String>,
    /// Who says where the service is, if that is not written down.
    pub registry: Option<Sought>,
    /// What an aggregate would ask; empty for any other route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Told>,
    /// What the gateway itself would answer.
    pub answer: Option<Refusal>,
}

/// The route that takes the request.
#[derive(Debug, Serialize)]
pub struct Chosen {
    pub name: String,
    pub place: String,
    pub template: String,
    /// Placeholder and value.
    pub values: Vec<(String, String)>,
}

/// A route that does not.
#[derive(Debug, Serialize)]
pub struct Other {
    pub name: String,
    pub place: String,
    pub template: String,
    pub why: String,
}

/// A stage that ran.
#[derive(Debug, Serialize)]
pub struct Step {
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
pub struct Refusal {
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
    pub async fn explain(&self, mut x: Exchange) -> Explanation {
        x.dry = true;
        let hop = hop::strip(&mut x.req);
        let found = self.plan.find(&mut x);
        let mut told = self.found(&x);
        match found {
            Ok(route) => {
                if let (Found::Made(_), Some(dynamic)) = (&route, &self.blueprint.dynamic) {
                    told.route = Some(self.made(&route, dynamic));
                }
                self.follow(&route, hop, x, &mut told).await;
            }
            Err(cause) => told.refuse(&Err(cause), self.plan.ocelot),
        }
        told
    }

    fn found(&self, x: &Exchange) -> Explanation {
        let (chosen, others) = self.considered(x);
        Explanation {
            method: text(x.req.method()),
            target: text(x.req.target()),
            route: chosen,
            others,
            ..Explanation::default()
        }
    }

    fn considered(&self, x: &Exchange) -> (Option<Chosen>, Vec<Other>) {
        let (mut chosen, mut others) = (None, Vec::new());
        for Considered { index, verdict } in self.plan.trace(x, MISSES + 1) {
            let Some(route) = self.blueprint.routes.get(index) else { continue };
            match verdict {
                Verdict::Matched { .. } => chosen = Some(self.chosen(index, route, x)),
                // Every path begins with a slash: that is not near.
                Verdict::Path { matched: 0 | 1 } => {}
                missed => others.push(self.other(route, &missed)),
            }
        }
        others.truncate(MISSES);
        (chosen, others)
    }

    fn chosen(&self, index: usize, route: &RouteBlueprint, x: &Exchange) -> Chosen {
        let names = self.plan.table.names(index);
        let value = |name: &str| {
            x.values.by_name(name, names, x.req.target()).map_or(String::new(), |v| text(v.bytes))
        };
        Chosen {
            name: route.name.clone(),
            place: self.sources.place(route.span),
            template: route.matches.client_path.value.clone(),
            values: names.iter().map(|name| (name.to_string(), value(name))).collect(),
        }
    }

    fn other(&self, route: &RouteBlueprint, verdict: &Verdict) -> Other {
        let matches = &route.matches;
        let name_of = |index: usize| self.blueprint.routes.get(index).map_or("", |r| r.name.as_str());
        let why = match verdict {
            Verdict::Matched { .. } => "matches".to_owned(),
            Verdict::Outranked { by } => format!("matches too, but \"{}\" goes first", name_of(*by)),
            Verdict::NoHost => format!("only for the host {}", matches.host.as_deref().unwrap_or_default()),
            Verdict::NoListener => format!("only on the listener {}", matches.listeners.join(", ")),
            Verdict::NoMethod => format!("only for {}", matches.methods.join(", ")),
            Verdict::NoHeader(header) => format!("the header {header} is missing or different"),
            Verdict::Path { matched } => format!("the path differs after {matched} bytes"),
        };
        let (name, template) = (route.name.clone(), matches.client_path.value.clone());
        Other { name, place: self.sources.place(route.span), template, why }
    }

    /// Walks the stages and writes down what the service would be sent.
    pub async fn follow(&self, route: &Route, hop: hop::Hop, mut x: Exchange, told: &mut Explanation) {
        let (ran, early) = walk(&route.stages, &mut x, &mut Nobody).await;
        let step = |placed: &Placed| Step { name: placed.stage.name(), does: placed.stage.describe() };
        told.stages = route.stages[..ran].iter().map(step).collect();
        if let Some(blueprint) = self.written(route) {
            told.settings = self.settings(blueprint);
        }
        if let (None, Target::Aggregate(aggregate)) = (&early, &route.target) {
            told.parts = parts(self, aggregate, &x).await;
            return;
        }
        let mut outcome = match early {
            Some(outcome) => outcome,
            None => match route.rewrite(&mut x).and_then(|()| route.cluster()) {
                Ok((cluster, terms)) => {
                    told.registry = Sought::of(cluster).await;
                    return told.send(cluster, terms, hop, &x);
                }
                Err(cause) => Err(cause),
            },
        };
        back(&route.stages[..ran], &mut x, &mut outcome);
        told.refuse(&outcome, self.plan.ocelot);
    }

    /// What the route was made of.
    fn written(&self, route: &Route) -> Option<&RouteBlueprint> {
        let dynamic = self.blueprint.dynamic.iter();
        let dynamic = dynamic.flat_map(|all| all.entries.iter().map(|e| &e.route).chain([&all.general]));
        self.blueprint.routes.iter().chain(dynamic).find(|r| r.name == *route.label)
    }

    /// A route that was made for the service that the path names.
    fn made(&self, route: &Route, dynamic: &DynamicBlueprint) -> Chosen {
        let span = self.written(route).map_or(dynamic.general.span, |written| written.span);
        let (name, place) = (route.label.to_string(), self.sources.place(span));
        Chosen { name, place, template: "/{service}/...".to_owned(), values: Vec::new() }
    }

    fn settings(&self, route: &RouteBlueprint) -> Vec<Setting> {
        if route.aggregate.is_some() {
            return vec![self.setting("UpstreamPathTemplate", &route.matches.client_path, Clone::clone)];
        }
        let mut settings = vec![
            self.setting("UpstreamPathTemplate", &route.matches.client_path, Clone::clone),
            self.setting("DownstreamPathTemplate", &route.backend_path, Clone::clone),
            self.setting("DownstreamHttpVersion", &route.http_version, |version| version.name().to_owned()),
            self.setting("Timeout", &route.timeout, |timeout| duration(*timeout)),
            self.setting("LoadBalancerOptions.Type", &route.cluster.balancer, |kind| kind.name().to_owned()),
            self.setting("HealthCheckOptions", &route.cluster.health, watched),
            self.setting("PreserveHost", &route.preserve_host, ToString::to_string),
        ];
        settings.retain(|setting| !setting.value.is_empty() || setting.name != "HealthCheckOptions");
        settings
            .extend(route.request_id_key.as_ref().map(|key| self.setting("RequestIdKey", key, Clone::clone)));
        let plain = |(name, value)| Setting { name, value, origin: String::new() };
        settings.extend(failures::told(route).into_iter().map(plain));
        settings
    }

    fn setting<T>(&self, name: &'static str, value: &Sourced<T>, show: impl Fn(&T) -> String) -> Setting {
        let origin = value.from.map_or("default".to_owned(), |span: Span| self.sources.place(span));
        Setting { name, value: show(&value.value), origin }
    }
}

impl Explanation {
    fn send(&mut self, cluster: &Cluster, terms: &Terms, hop: hop::Hop, x: &Exchange) {
        let members = cluster.members();
        let health = cluster.health();
        self.endpoints = members.list.iter().map(|endpoint| shown(endpoint, health, x)).collect();
        let Some(first) = members.list.first() else {
            return self.refuse(&Err(cluster.none()), false);
        };
        let host = terms
            .preserve_host
            .then(|| x.req.known(Known::Host))
            .flatten()
            .unwrap_or(&first.way(x).authority);
        let mut bytes = Vec::new();
        let version = if terms.http2 == Http2::Always { Version::Http2 } else { terms.version };
        put_request(&mut bytes, &x.req, host, framing(&x.req), hop, version);
        self.request = text(&bytes).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    }

    fn refuse(&mut self, outcome: &Outcome, ocelot: bool) {
        self.answer = Some(match outcome {
            Ok(answer) => {
                Refusal { status: answer.status(), why: String::new(), detail: "the gateway answers".into() }
            }
            Err(cause) => Refusal {
                status: cause.status(ocelot),
                why: cause.why.name().to_owned(),
                // That no route fits is said by those that do not.
                detail: if cause.why == Why::RouteNone && self.route.is_none() {
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
        topic(&mut page, "route", self.route.as_ref().map_or_else(none, |route| vec![route.row()]));
        let other = |o: &Other| [&o.name, &o.place, &o.template, &o.why].map(String::clone).to_vec();
        topic(&mut page, "not", self.others.iter().map(other).collect());
        let step = |step: &Step| vec![step.name.to_owned(), step.does.clone()];
        topic(&mut page, "stages", self.stages.iter().map(step).collect());
        let setting = |s: &Setting| vec![s.name.to_owned(), s.value.clone(), s.origin.clone()];
        topic(&mut page, "settings", self.settings.iter().map(setting).collect());
        let to = (!self.endpoints.is_empty()).then(|| vec![self.endpoints.join(" or ")]);
        topic(&mut page, "service", to.into_iter().collect());
        topic(&mut page, "found", self.registry.iter().map(Sought::row).collect());
        topic(&mut page, "sends", self.request.iter().map(|line| vec![line.clone()]).collect());
        topic(&mut page, "parts", self.parts.iter().map(Told::row).collect());
        topic(&mut page, "answer", self.answer.iter().map(Refusal::row).collect());
        page
    }
}

impl Chosen {
    fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.place.clone(), self.template.clone()];
        row.extend(self.values.iter().map(|(name, value)| format!("{name} = \"{value}\"")));
        row
    }
}

impl Refusal {
    pub fn row(&self) -> Vec<String> {
        vec![self.status.to_string(), self.why.clone(), self.detail.clone()]
    }
}

/// Rows in columns; the topic stands before the first.
fn topic(page: &mut String, name: &str, rows: Vec<Vec<String>>) {
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
fn shown(endpoint: &Endpoint, health: &HealthSpec, x: &Exchange) -> String {
    let scheme = if endpoint.way(x).transport.tls.is_some() { "https://" } else { "" };
    format!("{scheme}{}{}", endpoint.label, well(health, endpoint))
}

/// What an endpoint is, where that is not well.
fn well(health: &HealthSpec, endpoint: &Endpoint) -> String {
    match health.told(&endpoint.state.health, Instant::now()) {
        ("healthy" | "unknown" | "unchecked", ..) => String::new(),
        (word, why, _) => format!(" ({word}: {why})"),
    }
}

/// What is done about the health of a cluster, in a few words.
fn watched(health: &HealthSpec) -> String {
    let mut all = Vec::new();
    if let Some(active) = &health.active {
        let what = match &active.kind {
            ProbeKind::Tcp => "connects".to_owned(),
            ProbeKind::Http { target, .. } => format!("GET {target}"),
        };
        all.push(format!("{what} every {}", duration(active.interval)));
    }
    if let Some(passive) = &health.passive {
        let row = passive.consecutive.map(|n| format!("{n} failures in a row"));
        let ratio = passive.ratio.map(|ratio| format!("{}% failures", ratio * 100.0));
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
    match head.known(Known::ContentLength).and_then(crate::base::bytes::decimal) {
        Some(n) => Framing::Length(n),
        None => Framing::None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
