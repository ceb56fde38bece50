//! `Routes` of YARP → routes, with their rank in YARP's match order.

use super::cluster::YarpCluster;
use super::path::{self, YarpPath};
use super::{conditions, time_span, transforms};
use crate::cli::import::hosts::HostCondition;
use crate::cli::import::report::Report;
use crate::cli::import::route_draft::RouteDraft;
use crate::cli::import::schemes;
use crate::cli::import::values::{at, get, items, key_text, number, strings, text, text_of};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The order of YARP and ASP.NET Core: `Order`, precedence of the path, methods, hosts, headers, query.
pub type Rank = (i64, Vec<u8>, bool, u8, usize, bool);

/// A route and its rank; equal ranks keep their order.
pub struct RankedRoute {
    pub rank: Rank,
    pub draft: RouteDraft,
}

/// The routes for one route of YARP: one for each form of its path, host, query and changed method.
pub fn convert(
    name: &str,
    value: &Value,
    clusters: &BTreeMap<String, YarpCluster>,
    schemes: &mut Map<String, Value>,
    report: &mut Report,
) -> Vec<RankedRoute> {
    let position = format!("Routes.{name}");
    let cluster_id = text(value, "ClusterId").unwrap_or_default();
    let Some(cluster) = clusters.get(&cluster_id) else {
        report.skip(&position, format!("route to the unknown or unusable cluster \"{cluster_id}\""));
        return Vec::new();
    };
    let pattern =
        at(value, &["Match", "Path"]).and_then(text_of).unwrap_or_else(|| "/{**catch-all}".to_owned());
    let paths = match path::convert(&pattern) {
        Ok(paths) => paths,
        Err(reason) => {
            report.skip(&position, reason);
            return Vec::new();
        }
    };
    for change in &paths.changes {
        report.change(&position, change.clone());
    }
    let base = RouteDraft {
        key: key_text(name),
        position: position.clone(),
        headers: conditions::headers(value, &position, report),
        cluster: cluster_id,
        settings: settings(value, cluster, &position, schemes, report),
        ..RouteDraft::default()
    };
    let source = RouteSource { value, cluster, paths: &paths.paths };
    source.expand(&base, report)
}

struct RouteSource<'v> {
    value: &'v Value,
    cluster: &'v YarpCluster,
    paths: &'v [YarpPath],
}

impl RouteSource<'_> {
    fn expand(&self, base: &RouteDraft, report: &mut Report) -> Vec<RankedRoute> {
        let hosts = conditions::hosts(self.value, &base.position, report);
        let queries = conditions::queries(self.value, &base.position, report);
        let transforms = items(get(self.value, "Transforms"));
        let spans = self.paths.iter().any(|path| path.client.ends_with('}'));
        if spans && queries.iter().any(|query| !query.is_empty()) {
            report.change(
                &base.position,
                "query condition with a catch-all: the catch-all matches one segment",
            );
        }
        let order = number(self.value, "Order").map_or(0, |order| order as i64);
        let mut routes = Vec::new();
        for host in &hosts {
            for path in self.paths {
                for (query, methods) in product(&queries, &self.method_groups(&transforms)) {
                    let mut draft = RouteDraft { methods, ..base.clone() };
                    add_host(&mut draft, host);
                    let mut sink = Report::default();
                    let report = if routes.is_empty() { &mut *report } else { &mut sink };
                    transforms::apply(&mut draft, path, &self.cluster.base_path, &transforms, report);
                    draft.path = with_query(&path.client, &query);
                    let rank = (
                        order,
                        path.precedence.clone(),
                        draft.methods.is_empty(),
                        host_rank(host),
                        usize::MAX - base.headers.len(),
                        query.is_empty(),
                    );
                    routes.push(RankedRoute { rank, draft });
                }
            }
        }
        routes
    }

    /// The methods of the route; those that a transform changes are separate groups.
    fn method_groups(&self, transforms: &[&Value]) -> Vec<Vec<String>> {
        let upper = |method: String| method.to_ascii_uppercase();
        let methods: Vec<String> = at(self.value, &["Match"])
            .map(|m| strings(m, "Methods"))
            .unwrap_or_default()
            .into_iter()
            .map(upper)
            .collect();
        let changed: Vec<String> = transforms
            .iter()
            .filter_map(|transform| text(transform, "HttpMethodChange"))
            .map(upper)
            .collect();
        let (split, rest): (Vec<String>, Vec<String>) = match methods.is_empty() {
            true => (changed, Vec::new()),
            false => methods.iter().cloned().partition(|method| changed.contains(method)),
        };
        let mut groups: Vec<Vec<String>> = split.into_iter().map(|method| vec![method]).collect();
        if methods.is_empty() || !rest.is_empty() {
            groups.push(rest);
        }
        groups
    }
}

fn product(queries: &[String], groups: &[Vec<String>]) -> Vec<(String, Vec<String>)> {
    queries.iter().flat_map(|query| groups.iter().map(move |group| (query.clone(), group.clone()))).collect()
}

/// The template with a query; the slash that ends the path is optional in front of it.
fn with_query(client: &str, query: &str) -> String {
    match client.strip_suffix('/').filter(|_| !query.is_empty()) {
        Some("") => format!("/{query}"),
        Some(path) => format!("{path}/{query}"),
        None => format!("{client}{query}"),
    }
}

fn add_host(draft: &mut RouteDraft, host: &HostCondition) {
    draft.host = host.exact.clone();
    if let Some(expression) = &host.expression {
        draft.headers.push(("Host".to_owned(), expression.clone()));
    }
}

fn host_rank(host: &HostCondition) -> u8 {
    match (&host.exact, &host.expression) {
        (Some(_), _) => 0,
        (None, Some(_)) => 1,
        (None, None) => 2,
    }
}

/// The settings of a route that are no match conditions.
fn settings(
    value: &Value,
    cluster: &YarpCluster,
    position: &str,
    schemes: &mut Map<String, Value>,
    report: &mut Report,
) -> Map<String, Value> {
    let mut settings = cluster.route_settings.clone();
    if let Some(time) = get(value, "Timeout").and_then(time_span::seconds_text) {
        settings.insert("Timeout".to_owned(), time.into());
    }
    if let Some(size) = number(value, "MaxRequestBodySize").filter(|size| *size >= 0.0) {
        settings.insert("RequestSizeOptions".to_owned(), json!({ "MaxRequestBodySize": size as u64 }));
    }
    let metadata = get(value, "Metadata").and_then(Value::as_object).into_iter().flatten();
    let metadata: Map<String, Value> =
        metadata.filter_map(|(k, v)| Some((k.clone(), text_of(v)?.into()))).collect();
    if !metadata.is_empty() {
        settings.insert("Metadata".to_owned(), metadata.into());
    }
    add_authorization(value, position, schemes, &mut settings, report);
    for policy in ["CorsPolicy", "RateLimiterPolicy", "OutputCachePolicy", "TimeoutPolicy"] {
        if let Some(name) = text(value, policy).filter(|name| !name.eq_ignore_ascii_case("disable")) {
            report
                .skip(position, format!("{policy} \"{name}\": its settings are in the code of the program"));
        }
    }
    settings
}

/// The policy is defined in code; a scheme without keys keeps the route closed until the operator completes it.
fn add_authorization(
    value: &Value,
    position: &str,
    schemes: &mut Map<String, Value>,
    settings: &mut Map<String, Value>,
    report: &mut Report,
) {
    let Some(policy) =
        text(value, "AuthorizationPolicy").filter(|name| !name.eq_ignore_ascii_case("anonymous"))
    else {
        return;
    };
    let key = key_text(&policy);
    schemes.entry(key.clone()).or_insert_with(schemes::jwt_without_keys);
    let message = format!(
        "AuthorizationPolicy \"{policy}\": its rules are in the code of the program; the route rejects every caller until \
         AuthenticationSchemes.{key} has keys"
    );
    report.incomplete(position, message);
    settings.insert("AuthenticationOptions".to_owned(), json!({ "AuthenticationProviderKeys": [key] }));
}
