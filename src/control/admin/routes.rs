//! The routes with their rates, latencies and errors, from the counters of the metrics.

use super::{
    context::AdminContext,
    error::AdminError,
    extract::PathParams,
    page::JsonPage,
    rates::{RateBase, Snapshot},
};
use crate::{
    config::Sources,
    control::candidate::Candidate,
    plan::{
        Plan, Target,
        blueprint::{Blueprint, RouteBlueprint},
        explain::{Explainer, Setting, StageDescription, describe_stage},
    },
    telemetry::{Metrics, RouteMetrics, Totals, counters::STATUS_CLASSES},
};
use axum::extract::State;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// All routes.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RouteList {
    /// The time over which rates and latencies are computed: about a minute if the page is requested repeatedly, else since
    /// the last request or the start.
    pub window_seconds: f64,
    pub routes: Vec<RouteStatus>,
}

/// A route and its traffic.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RouteStatus {
    /// The name in metrics and logs.
    pub name: String,
    /// `file:line:column`; absent for requests without a route and for discovered services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// `UpstreamPathTemplate`.
    pub path: String,
    /// Empty: every method.
    pub methods: Vec<String>,
    /// `UpstreamHost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub target: RouteTarget,
    pub traffic: Traffic,
}

/// Where a route leads.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct RouteTarget {
    /// `cluster`, `service` (of the gateway itself), `aggregate`, `error` or `none`.
    pub kind: String,
    /// The name of the cluster or of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The traffic of a route.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Traffic {
    /// Requests completed since the start.
    pub requests_total: u64,
    pub in_flight: u64,
    /// Requests since the start, by status class.
    pub status_classes: BTreeMap<String, u64>,
    /// Failures since the start, by error code.
    pub errors: BTreeMap<String, u64>,
    /// Within the window.
    pub requests_per_second: f64,
    /// The share of responses with 5xx within the window, 0 to 1.
    pub server_error_ratio: f64,
    /// Within the window; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_seconds: Option<Latency>,
}

/// Quantiles of the time from the request head to the last byte of the response, interpolated within the buckets of the
/// histogram.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

/// A route with its stages and settings.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RouteDetail {
    pub window_seconds: f64,
    pub route: RouteStatus,
    /// In the order in which they run.
    pub stages: Vec<StageDescription>,
    /// The effective settings with their origin.
    pub settings: Vec<Setting>,
    /// The policies it names, weakest first.
    pub policies: Vec<String>,
}

/// All routes with rates, latency quantiles and errors by code.
#[utoipa::path(get, path = "/v1/routes", tag = "routes", responses((status = 200, body = RouteList)))]
pub async fn list_routes(State(context): State<AdminContext>) -> Result<JsonPage<RouteList>, AdminError> {
    let (gateway, candidate) = (context.gateway()?, context.candidate()?);
    let shared = context.shared.clone();
    let list = move || {
        let (plan, metrics) = (gateway.plan.load(), gateway.metrics());
        let base = shared.rates.observe(Snapshot::take(metrics));
        let table = RouteTable { plan: &plan, metrics, base: &base };
        RouteList { window_seconds: base.window.as_secs_f64(), routes: table.rows(&candidate) }
    };
    context.shared.work.run(list).await.map(JsonPage)
}

/// One route with its traffic, its stages, and its effective settings.
#[utoipa::path(get, path = "/v1/routes/{name}", tag = "routes",
    params(("name" = String, Path, description = "The name of the route, percent-encoded.")),
    responses((status = 200, body = RouteDetail)))]
pub async fn show_route(
    State(context): State<AdminContext>,
    PathParams(name): PathParams<String>,
) -> Result<JsonPage<RouteDetail>, AdminError> {
    let (gateway, candidate) = (context.gateway()?, context.candidate()?);
    let (plan, metrics) = (gateway.plan.load(), gateway.metrics());
    let base = context.shared.rates.observe(Snapshot::take(metrics));
    let unknown = || AdminError::not_found(format!("no route \"{name}\"; /v1/routes lists all"));
    let blueprint = candidate.blueprint.as_ref().ok_or_else(unknown)?;
    let route = blueprint.routes.iter().find(|route| route.name == name).ok_or_else(unknown)?;
    let compiled = plan.routes.iter().find(|compiled| *compiled.label == *name).ok_or_else(unknown)?;
    let sources = &candidate.loaded.sources;
    let table = RouteTable { plan: &plan, metrics, base: &base };
    let explainer = Explainer { plan: &plan, blueprint, sources };
    Ok(JsonPage(RouteDetail {
        window_seconds: base.window.as_secs_f64(),
        route: table.row(route, sources),
        stages: compiled.stages.iter().map(describe_stage).collect(),
        settings: explainer.settings(route),
        policies: route.policies.clone(),
    }))
}

/// What the rows are made of.
struct RouteTable<'t> {
    plan: &'t Plan,
    metrics: &'t Metrics,
    base: &'t RateBase,
}

impl RouteTable<'_> {
    /// The routes in the order of the document, discovered services, and requests without a route.
    fn rows(&self, candidate: &Candidate) -> Vec<RouteStatus> {
        let sources = &candidate.loaded.sources;
        let routes = candidate.blueprint.iter().flat_map(|blueprint: &Blueprint| &blueprint.routes);
        let mut rows: Vec<_> = routes.map(|route| self.row(route, sources)).collect();
        let dynamic = self.plan.dynamic.iter().flat_map(|dynamic| dynamic.labels());
        rows.extend(dynamic.map(|label| self.other(label, "/{service}/...", &self.metrics.route(label))));
        let unrouted = self.metrics.unrouted();
        rows.push(self.other(unrouted.label(), "", unrouted));
        rows
    }

    fn row(&self, route: &RouteBlueprint, sources: &Sources) -> RouteStatus {
        RouteStatus {
            location: Some(sources.location(route.span)),
            methods: route.matcher.methods.clone(),
            host: route.matcher.host.clone(),
            target: self.target(&route.name),
            ..self.other(&route.name, &route.matcher.client_path.value, &self.metrics.route(&route.name))
        }
    }

    fn other(&self, name: &str, path: &str, metrics: &Arc<RouteMetrics>) -> RouteStatus {
        RouteStatus {
            name: name.to_owned(),
            location: None,
            path: path.to_owned(),
            methods: Vec::new(),
            host: None,
            target: RouteTarget { kind: "none".to_owned(), name: None },
            traffic: traffic(metrics, self.base),
        }
    }

    fn target(&self, name: &str) -> RouteTarget {
        let route = self.plan.routes.iter().find(|route| *route.label == *name);
        let (kind, name) = match route.map(|route| &route.target) {
            Some(Target::Cluster { cluster, .. }) => ("cluster", Some(cluster.label.to_string())),
            Some(Target::Agent(_)) => ("agents", None),
            Some(Target::Fabric(fabric)) => ("services", Some(fabric.resolver.config.name.to_string())),
            Some(Target::Hub(target)) => ("hub", Some(target.service.config.name.to_string())),
            Some(Target::Internal { service, .. }) => ("service", Some(service.name().to_owned())),
            Some(Target::Aggregate(_)) => ("aggregate", None),
            Some(Target::Fail(code, _)) => ("error", Some(code.name().to_owned())),
            None => ("none", None),
        };
        RouteTarget { kind: kind.to_owned(), name }
    }
}

fn traffic(metrics: &RouteMetrics, base: &RateBase) -> Traffic {
    let totals = metrics.totals();
    let earlier = base.totals(metrics.label());
    let (ended, failed) =
        (totals.ended() - earlier.ended().min(totals.ended()), server_errors(&totals, &earlier));
    let duration = totals.duration.since(&earlier.duration);
    let quantile = |at| duration.quantile(at).map_or(0.0, |quantile| quantile.as_secs_f64());
    let latency = |mean: Duration| Latency {
        mean: mean.as_secs_f64(),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
    };
    let classes = STATUS_CLASSES.iter().zip(totals.classes).filter(|(_, count)| *count > 0);
    Traffic {
        requests_total: totals.ended(),
        in_flight: totals.in_flight,
        status_classes: classes.map(|(class, count)| ((*class).to_owned(), count)).collect(),
        errors: metrics.errors().into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        requests_per_second: ended as f64 / base.window.as_secs_f64().max(0.001),
        server_error_ratio: if ended == 0 { 0.0 } else { failed as f64 / ended as f64 },
        latency_seconds: duration.mean().map(latency),
    }
}

fn server_errors(totals: &Totals, earlier: &Totals) -> u64 {
    totals.classes[4].saturating_sub(earlier.classes[4])
}
