//! Routes of Kong → routes, with their rank in Kong's match order.

use super::entities::{Entities, KongRoute};
use super::plugins::{self, PluginContext, RouteEffects};
use super::regex_path;
use super::service::{ServiceTarget, Services};
use crate::cli::import::hosts::HostCondition;
use crate::cli::import::report::Report;
use crate::cli::import::route_draft::RouteDraft;
use crate::cli::import::values::{boolean, get, key_text, number, regex_escape, strings, text_of};
use serde_json::Value;
use std::cmp::Reverse;

/// The priority of Kong's router, flavor traditional_compatible: the number of match attributes, plain hosts, the number
/// of headers, regular expressions and their priority, the length of the path.
pub type Rank = Reverse<(usize, bool, usize, bool, i64, usize)>;

/// A route and its rank; equal ranks keep their order.
pub struct RankedRoute {
    pub rank: Rank,
    pub draft: RouteDraft,
}

/// A path of a route, converted.
struct RoutePath {
    client: String,
    /// What `strip_path` leaves: the template behind the base path.
    stripped: String,
    is_regex: bool,
    is_case_sensitive: bool,
    length: usize,
}

/// The routes for one route of Kong: one for each path and host.
pub fn convert(
    route: &KongRoute,
    entities: &Entities,
    services: &Services,
    context: &mut PluginContext,
    report: &mut Report,
) -> Vec<RankedRoute> {
    let position = format!("routes.{}", route.name);
    let Some(target) = services.target(route.service.as_ref()) else {
        report.skip(&position, "route without a usable service");
        return Vec::new();
    };
    if let Err(reason) = check_protocols(route.value, &position, report) {
        report.skip(&position, reason);
        return Vec::new();
    }
    let effects = plugins::apply(&entities.plugins_of(route), route, context, report);
    if let Some(reason) = effects.reason_to_omit {
        report.skip(&position, reason);
        return Vec::new();
    }
    let paths = paths(route.value, entities.has_implicit_regex, &position, report);
    let hosts = hosts(route.value, &position, report);
    let (Some(paths), Some(hosts)) = (paths, hosts) else { return Vec::new() };
    for setting in ["snis", "sources", "destinations"] {
        if get(route.value, setting).is_some_and(|list| list.as_array().is_some_and(|list| !list.is_empty()))
        {
            report.change(&position, format!("match on {setting}: the route matches without it"));
        }
    }
    let source =
        RouteSource { route, target, effects: &effects, headers: headers(route.value, &position, report) };
    let all = paths.iter().flat_map(|path| hosts.iter().map(move |host| (path, host)));
    all.map(|(path, host)| source.draft(path, host, &hosts)).collect()
}

/// Whether the route serves HTTP.
fn check_protocols(value: &Value, position: &str, report: &mut Report) -> Result<(), &'static str> {
    if get(value, "expression").is_some() {
        return Err("routes with an `expression` are not imported");
    }
    let protocols = strings(value, "protocols");
    let is_http = |p: &String| p.starts_with("http") || p.starts_with("grpc") || p.starts_with("ws");
    if !protocols.is_empty() && !protocols.iter().any(is_http) {
        return Err("routes of TCP, TLS or UDP are not imported");
    }
    if !protocols.is_empty() && !protocols.iter().any(|p| matches!(p.as_str(), "http" | "grpc" | "ws")) {
        report.change(
            position,
            "https only: the route also matches plain HTTP; set RedirectToHttps on the plain listener",
        );
    }
    Ok(())
}

/// The paths of a route; `None` if it has paths and none of them can be matched.
fn paths(
    value: &Value,
    has_implicit_regex: bool,
    position: &str,
    report: &mut Report,
) -> Option<Vec<RoutePath>> {
    let texts = strings(value, "paths");
    if texts.is_empty() {
        return Some(vec![prefix_path("/")]);
    }
    let mut paths = Vec::new();
    for text in &texts {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~/%-".contains(c);
        let regex = match text.strip_prefix('~') {
            Some(regex) => Some(regex),
            None => Some(text.as_str()).filter(|text| has_implicit_regex && !text.chars().all(is_plain)),
        };
        match regex {
            Some(regex) => regex_paths(regex, position, &mut paths, report),
            None if !text.starts_with('/') || text.contains("//") || text.contains(['{', '}', '?', '#']) => {
                report.skip(position, format!("path \"{text}\" cannot be matched"));
            }
            None => {
                if text.len() > 1 {
                    report
                        .change(position, "a prefix matches whole segments: /a matches /a and /a/b, not /ab");
                }
                paths.push(prefix_path(text));
            }
        }
    }
    Some(paths).filter(|paths| !paths.is_empty())
}

fn prefix_path(text: &str) -> RoutePath {
    RoutePath {
        client: format!("{}/{{rest}}", text.trim_end_matches('/')),
        stripped: "/{rest}".to_owned(),
        is_regex: false,
        is_case_sensitive: true,
        length: text.len(),
    }
}

fn regex_paths(regex: &str, position: &str, paths: &mut Vec<RoutePath>, report: &mut Report) {
    match regex_path::convert(regex) {
        Err(reason) => report.skip(position, format!("path \"~{regex}\": {reason}")),
        Ok(templates) => {
            for template in templates {
                if template.is_wider {
                    report.change(
                        position,
                        format!("path \"~{regex}\": the template also matches other values"),
                    );
                }
                let stripped = template.rest.map_or("/".to_owned(), |rest| format!("/{{{rest}}}"));
                paths.push(RoutePath {
                    client: template.client,
                    stripped,
                    is_regex: true,
                    is_case_sensitive: !template.ignores_case,
                    length: regex.len(),
                });
            }
        }
    }
}

/// The hosts of a route, one entry without a condition if it has none; `None` if none of them can be matched.
fn hosts(value: &Value, position: &str, report: &mut Report) -> Option<Vec<HostCondition>> {
    let texts = strings(value, "hosts");
    if texts.is_empty() {
        return Some(vec![HostCondition::default()]);
    }
    let mut hosts = Vec::new();
    for text in &texts {
        match HostCondition::parse(text) {
            Ok(host) => hosts.push(host),
            Err(reason) => report.skip(position, reason),
        }
    }
    Some(hosts).filter(|hosts| !hosts.is_empty())
}

/// Header name → regular expression: one of the values, case-insensitive; a value after `~*` is an expression.
fn headers(value: &Value, position: &str, report: &mut Report) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, values) in get(value, "headers").and_then(Value::as_object).into_iter().flatten() {
        let texts: Vec<String> = match values {
            Value::Array(values) => values.iter().filter_map(text_of).collect(),
            single => text_of(single).into_iter().collect(),
        };
        let expression = |text: &String| {
            text.strip_prefix("~*").map_or_else(|| regex_escape(text), |regex| format!(".*(?:{regex}).*"))
        };
        let all: Vec<String> = texts.iter().map(expression).collect();
        if all.is_empty() {
            report.change(position, format!("header {name} without values: the route matches without it"));
        } else {
            headers.push((name.clone(), format!("(?i:{})", all.join("|"))));
        }
    }
    headers
}

struct RouteSource<'v> {
    route: &'v KongRoute<'v>,
    target: &'v ServiceTarget,
    effects: &'v RouteEffects,
    headers: Vec<(String, String)>,
}

impl RouteSource<'_> {
    fn draft(&self, path: &RoutePath, host: &HostCondition, hosts: &[HostCondition]) -> RankedRoute {
        let value = self.route.value;
        let methods: Vec<String> =
            strings(value, "methods").into_iter().map(|m| m.to_ascii_uppercase()).collect();
        let mut draft = RouteDraft {
            key: key_text(&self.route.name),
            position: format!("routes.{}", self.route.name),
            path: path.client.clone(),
            methods,
            host: host.exact.clone(),
            headers: self.headers.clone(),
            is_case_sensitive: path.is_case_sensitive,
            backend_path: self.backend_path(path),
            cluster: self.target.cluster.clone(),
            settings: self.target.route_settings.clone(),
            ..RouteDraft::default()
        };
        if let Some(expression) = &host.expression {
            draft.headers.push(("Host".to_owned(), expression.clone()));
        }
        if boolean(value, "preserve_host") == Some(true) {
            draft.settings.insert("PreserveHost".to_owned(), true.into());
        }
        draft.settings.extend(self.effects.settings.clone());
        RankedRoute { rank: self.rank(path, hosts), draft }
    }

    fn backend_path(&self, path: &RoutePath) -> String {
        let is_stripped = boolean(self.route.value, "strip_path") != Some(false);
        let kept = if is_stripped { &path.stripped } else { &path.client };
        let full = match &self.effects.path {
            Some(replaced) => replaced.clone(),
            // A rest that is empty leaves no slash behind the base path.
            None if kept == "/" && !self.target.base_path.is_empty() => self.target.base_path.clone(),
            None => format!("{}{kept}", self.target.base_path),
        };
        format!("{full}{}", self.effects.query)
    }

    fn rank(&self, path: &RoutePath, hosts: &[HostCondition]) -> Rank {
        let is_set = |name: &&str| {
            get(self.route.value, name).is_some_and(|v| v.as_array().is_none_or(|list| !list.is_empty()))
        };
        let attributes = ["methods", "hosts", "headers", "paths", "snis", "sources", "destinations"];
        let has_plain_hosts = hosts.iter().all(|host| host.exact.is_some());
        let priority = number(self.route.value, "regex_priority").map_or(0, |priority| priority as i64);
        Reverse((
            attributes.iter().filter(|name| is_set(name)).count(),
            has_plain_hosts,
            self.headers.len(),
            path.is_regex,
            if path.is_regex { priority } else { 0 },
            path.length,
        ))
    }
}
