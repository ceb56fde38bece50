//! `margay status`, `routes`, `clusters` and `history`: pages of the API as text or JSON.

use super::arguments::{AdminOptions, ClustersCommand, HistoryCommand, RoutesCommand, StatusCommand};
use super::columns::{Columns, cell};
use super::connection::AdminClient;
use super::error::ClientError;
use super::table::{age_text, printable, table};
use crate::cli::output;
use serde_json::{Value, json};

/// Prints a page: its JSON, or the text of it.
fn show(options: &AdminOptions, path: &str, text: impl Fn(&Value) -> String) -> Result<(), ClientError> {
    let page = AdminClient::new(options)?.get(path)?.body;
    output::write_stdout(&if options.json { format!("{page:#}\n") } else { text(&page) });
    Ok(())
}

/// `margay status`.
pub fn status(command: &StatusCommand) -> Result<(), ClientError> {
    show(&command.admin, "/v1/status", status_text)
}

fn status_text(page: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in page.as_object().into_iter().flatten() {
        match value {
            Value::Object(members) => {
                for (inner, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    lines.push((format!("{name}.{inner}"), inner_text(inner, value)));
                }
            }
            Value::Array(items) => {
                lines.extend(items.iter().map(|item| (name.clone(), inner_text(name, item))));
            }
            value => lines.push((name.clone(), cell(name, value))),
        }
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let label = |name: &str| name.trim_end_matches("_seconds").replace('_', " ");
    lines.iter().map(|(name, text)| format!("{:width$}  {text}\n", label(name))).collect()
}

/// `name value, name value` of an object.
fn inner_text(name: &str, value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{} {}", name.replace('_', " "), cell(name, value))
            };
            members.iter().map(member).collect::<Vec<_>>().join(", ")
        }
        value => cell(name, value),
    }
}

/// `margay routes`.
pub fn routes(command: &RoutesCommand) -> Result<(), ClientError> {
    let filter = command.filter.as_deref();
    show(&command.admin, "/v1/routes", |page| routes_text(page, filter))
}

fn routes_text(page: &Value, filter: Option<&str>) -> String {
    let rows: Vec<Value> = route_rows(page).into_iter().filter(|row| is_selected(row, filter)).collect();
    if rows.is_empty() {
        return "no routes\n".to_owned();
    }
    let columns = Columns::new(&rows);
    let heads: Vec<&str> = columns.heads.iter().map(String::as_str).collect();
    table(&heads, &columns.rows)
}

/// The routes of the page as flat rows.
pub fn route_rows(page: &Value) -> Vec<Value> {
    page.get("routes").and_then(Value::as_array).into_iter().flatten().map(route_row).collect()
}

fn route_row(route: &Value) -> Value {
    let value = |pointer: &str| route.pointer(pointer).cloned().unwrap_or(Value::Null);
    let target = match value("/target/name") {
        Value::Null => value("/target/kind"),
        name => name,
    };
    let errors = route.pointer("/traffic/errors").and_then(Value::as_object).into_iter().flatten();
    let errors: Vec<String> = errors.map(|(code, count)| format!("{code} {count}")).collect();
    json!({
        "route": value("/name"),
        "path": value("/path"),
        "target": target,
        "req/s": value("/traffic/requests_per_second"),
        "5xx_ratio": value("/traffic/server_error_ratio"),
        "p50_seconds": value("/traffic/latency_seconds/p50"),
        "p99_seconds": value("/traffic/latency_seconds/p99"),
        "in_flight": value("/traffic/in_flight"),
        "total": value("/traffic/requests_total"),
        "errors": errors.join(", "),
    })
}

fn is_selected(item: &Value, filter: Option<&str>) -> bool {
    let name = ["name", "route", "cluster"].iter().find_map(|member| item.get(member)?.as_str());
    filter.is_none_or(|filter| name.unwrap_or_default().contains(filter))
}

/// `margay clusters`.
pub fn clusters(command: &ClustersCommand) -> Result<(), ClientError> {
    let filter = command.filter.as_deref();
    show(&command.admin, "/v1/clusters", |page| clusters_text(page, filter))
}

/// One row for each endpoint.
fn clusters_text(page: &Value, filter: Option<&str>) -> String {
    let clusters = page.get("clusters").and_then(Value::as_array).into_iter().flatten();
    let mut rows = Vec::new();
    for cluster in clusters.filter(|cluster| is_selected(cluster, filter)) {
        let text =
            |value: &Value, name: &str| value.get(name).map_or(String::new(), |value| cell(name, value));
        let endpoints = cluster.get("endpoints").and_then(Value::as_array).cloned().unwrap_or_default();
        for (at, endpoint) in endpoints.iter().enumerate() {
            let head = |name: &str| if at == 0 { text(cluster, name) } else { String::new() };
            let names = ["endpoint", "weight", "health", "in_flight", "reason"];
            rows.push(
                [head("cluster"), head("balancer")]
                    .into_iter()
                    .chain(names.map(|name| text(endpoint, name)))
                    .collect(),
            );
        }
        if endpoints.is_empty() {
            let state =
                if cluster.get("resolved") == Some(&false.into()) { "not resolved" } else { "no endpoints" };
            rows.push(vec![text(cluster, "cluster"), text(cluster, "balancer"), state.to_owned()]);
        }
    }
    if rows.is_empty() {
        return "no clusters\n".to_owned();
    }
    table(&["cluster", "balancer", "endpoint", ">weight", "health", ">in flight", "reason"], &rows)
}

/// `margay history`.
pub fn history(command: &HistoryCommand) -> Result<(), ClientError> {
    show(&command.admin, "/v1/history", history_text)
}

fn history_text(page: &Value) -> String {
    let mut text = String::new();
    for entry in page.get("entries").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| entry.get(name).map_or(String::new(), |value| cell(name, value));
        let time = field("time");
        let author =
            [field("who"), field("from")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let by = if author.is_empty() { String::new() } else { format!(" by {}", author.join(" from ")) };
        let reason = entry.get("reason").and_then(Value::as_str).map(printable).unwrap_or_default();
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        let saved = if entry.get("saved") == Some(&false.into()) { ", not saved" } else { "" };
        text.push_str(&format!(
            "{:>4}  {time}  {} ({}{by}{saved}){reason}\n",
            field("number"),
            field("outcome").replace('_', " "),
            field("origin"),
        ));
        for change in entry.get("changes").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("      {}\n", printable(change.as_str().unwrap_or_default())));
        }
    }
    if page.get("unsaved") == Some(&true.into()) {
        text.push_str(
            "The active configuration differs from the configuration files: save it with `apply --save`.\n",
        );
    }
    if page.get("durable") == Some(&false.into()) {
        text.push_str("The history is in memory only: DataDirectory cannot be written.\n");
    }
    if text.is_empty() { "no changes\n".to_owned() } else { text }
}

/// The uptime of the status page, for `top`.
pub fn uptime_text(page: &Value) -> String {
    page.get("uptime_seconds").and_then(Value::as_u64).map_or(String::new(), age_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_have_one_row_for_each_endpoint() {
        let page = json!({ "clusters": [
            { "cluster": "a", "balancer": "RoundRobin", "endpoints": [
                { "endpoint": "h:1", "weight": 1, "health": "healthy", "in_flight": 2 },
                { "endpoint": "h:2", "weight": 1, "health": "drained", "reason": "by operator" }
            ] },
            { "cluster": "b", "balancer": "Random", "resolved": false, "endpoints": [] }
        ] });
        let text = clusters_text(&page, None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[2].trim_start().starts_with("h:2") && lines[3].contains("not resolved"), "{text}");
        assert_eq!(clusters_text(&page, Some("x")), "no clusters\n");
    }

    #[test]
    fn routes_have_their_rate_latency_and_errors() {
        let page = json!({ "routes": [{
            "name": "orders", "path": "/orders", "methods": [], "target": { "kind": "cluster", "name": "shop" },
            "traffic": {
                "requests_total": 7, "in_flight": 1, "errors": { "backend.connect": 2 }, "requests_per_second": 1.5,
                "server_error_ratio": 0.25, "latency_seconds": { "mean": 0.1, "p50": 0.002, "p90": 0.1, "p99": 0.25 }
            }
        }] });
        let text = routes_text(&page, Some("ord"));
        let cells: Vec<_> =
            text.lines().nth(1).unwrap().split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(
            cells,
            ["orders", "/orders", "shop", "1.5", "25.0%", "2.0ms", "250ms", "1", "7", "backend.connect 2"]
        );
        assert_eq!(routes_text(&page, Some("x")), "no routes\n");
    }

    #[test]
    fn the_history_states_who_and_why() {
        let page = json!({ "durable": false, "unsaved": true, "entries": [{
            "number": 3, "time": "2026-01-01T00:00:00Z", "id": "ab", "origin": "api", "who": "ops", "from": "127.0.0.1", "changes": ["route a: new"],
            "outcome": "rolled_back", "reason": "route a: 5xx", "saved": false
        }] });
        let text = history_text(&page);
        assert!(text.contains("   3  2026-01-01T00:00:00Z"), "{text}");
        assert!(
            text.contains(
                "rolled back (api by ops from 127.0.0.1, not saved): route a: 5xx\n      route a: new\n"
            ),
            "{text}"
        );
        assert!(text.contains("apply --save") && text.contains("in memory only"), "{text}");
    }
}
