//! Upstreams and their targets → endpoints, load balancing and health checks.

use crate::cli::import::address::split_port;
use crate::cli::import::report::Report;
use crate::cli::import::values::{at, duration_text, get, items, number, strings, text};
use serde_json::{Map, Value, json};

/// The largest weight of an endpoint.
const MAX_WEIGHT: u64 = 1000;

/// The settings of a cluster for an upstream.
pub fn settings(name: &str, value: &Value, default_port: u16, report: &mut Report) -> Map<String, Value> {
    let position = format!("upstreams.{name}");
    let mut settings = Map::new();
    let endpoints = endpoints(value, default_port, &position, report);
    if endpoints.is_empty() {
        return settings;
    }
    settings.insert("Endpoints".to_owned(), endpoints.into());
    settings.insert("LoadBalancerOptions".to_owned(), balancer(value, &position, report));
    let health = health(value, &position, report);
    if !health.is_empty() {
        settings.insert("HealthCheckOptions".to_owned(), health.into());
    }
    if get(value, "host_header").is_some() {
        report.skip(&position, "host_header: the Host field of requests is the host of the endpoint");
    }
    settings
}

fn endpoints(value: &Value, default_port: u16, position: &str, report: &mut Report) -> Vec<Value> {
    let mut targets: Vec<(String, u16, u64)> = Vec::new();
    for target in items(get(value, "targets")) {
        let address = text(target, "target").unwrap_or_default();
        let weight = number(target, "weight").map_or(100, |weight| weight.max(0.0) as u64);
        match split_port(&address) {
            _ if weight == 0 => report.skip(position, format!("target {address} has the weight 0")),
            Ok((host, port)) => targets.push((host, port.unwrap_or(default_port), weight)),
            Err(reason) => report.skip(position, format!("target: {reason}")),
        }
    }
    let divisor = targets.iter().fold(0, |divisor, target| greatest_common_divisor(divisor, target.2)).max(1);
    let largest = targets.iter().map(|target| target.2 / divisor).max().unwrap_or(1);
    if largest > MAX_WEIGHT {
        report.change(position, format!("weights are scaled to 1 to {MAX_WEIGHT}"));
    }
    let scaled = |weight: u64| match largest > MAX_WEIGHT {
        true => (weight / divisor * MAX_WEIGHT / largest).max(1),
        false => weight / divisor,
    };
    let endpoint = |(host, port, weight): &(String, u16, u64)| match scaled(*weight) {
        1 => json!({ "Host": host, "Port": port }),
        weight => json!({ "Host": host, "Port": port, "Weight": weight }),
    };
    targets.iter().map(endpoint).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn balancer(value: &Value, position: &str, report: &mut Report) -> Value {
    let algorithm = text(value, "algorithm").unwrap_or_else(|| "round-robin".to_owned());
    let hash_on = text(value, "hash_on").unwrap_or_else(|| "none".to_owned());
    match (algorithm.as_str(), hash_on.as_str()) {
        ("least-connections", _) => json!({ "Type": "LeastConnection" }),
        ("latency", _) => json!({ "Type": "PeakEwma" }),
        ("sticky-sessions", _) => {
            let cookie = text(value, "sticky_sessions_cookie").unwrap_or_else(|| "MargayEndpoint".to_owned());
            json!({ "Type": "CookieStickySessions", "Key": cookie, "SetCookie": true })
        }
        ("consistent-hashing", _)
        | (_, "ip" | "header" | "cookie" | "consumer" | "path" | "query_arg" | "uri_capture") => {
            let key = match hash_on.as_str() {
                "header" => text(value, "hash_on_header").map(|name| format!("Header:{name}")),
                "cookie" => text(value, "hash_on_cookie").map(|name| format!("Cookie:{name}")),
                "ip" => Some("IP".to_owned()),
                _ => None,
            };
            if key.is_none() {
                report.change(
                    position,
                    format!("hash_on {hash_on}: requests are hashed by their client address"),
                );
            }
            json!({ "Type": "ConsistentHash", "HashOn": key.unwrap_or_else(|| "IP".to_owned()) })
        }
        ("round-robin", _) => json!({ "Type": "RoundRobin" }),
        (other, _) => {
            report.change(position, format!("algorithm {other}: RoundRobin is used"));
            json!({ "Type": "RoundRobin" })
        }
    }
}

fn health(value: &Value, position: &str, report: &mut Report) -> Map<String, Value> {
    let mut health = Map::new();
    if let Some(active) =
        at(value, &["healthchecks", "active"]).and_then(|active| active_check(active, position, report))
    {
        health.insert("Active".to_owned(), active);
    }
    if let Some(passive) =
        at(value, &["healthchecks", "passive"]).and_then(|passive| passive_check(passive, position, report))
    {
        health.insert("Passive".to_owned(), passive);
    }
    if at(value, &["healthchecks"])
        .and_then(|checks| number(checks, "threshold"))
        .is_some_and(|threshold| threshold > 0.0)
    {
        report.skip(position, "healthchecks.threshold");
    }
    health
}

/// An active check is on if one of its intervals is.
fn active_check(active: &Value, position: &str, report: &mut Report) -> Option<Value> {
    let field = |state: &str, name: &str| {
        get(active, state).and_then(|state| number(state, name)).filter(|n| *n > 0.0)
    };
    let intervals = [field("healthy", "interval"), field("unhealthy", "interval")];
    let interval = intervals.into_iter().flatten().fold(f64::INFINITY, f64::min);
    if !interval.is_finite() {
        return None;
    }
    if intervals[0] != intervals[1] {
        report.change(
            position,
            "intervals of healthy and unhealthy targets differ: the shorter one applies to all",
        );
    }
    let kind = text(active, "type").unwrap_or_else(|| "http".to_owned());
    let mut check = match kind.as_str() {
        "tcp" => json!({ "Type": "Tcp" }),
        _ => json!({ "Path": text(active, "http_path").unwrap_or_else(|| "/".to_owned()) }),
    };
    check["Interval"] = duration_text(interval).into();
    let timeout = number(active, "timeout").unwrap_or(1.0).min(interval);
    check["Timeout"] = duration_text(timeout.max(0.01)).into();
    let statuses =
        get(active, "healthy").map(|healthy| strings(healthy, "http_statuses")).unwrap_or_default();
    if kind != "tcp" {
        let default = || vec!["200".to_owned(), "302".to_owned()];
        check["ExpectedStatus"] = if statuses.is_empty() { default() } else { statuses }.into();
    }
    for (name, threshold) in [
        ("HealthyThreshold", field("healthy", "successes")),
        ("UnhealthyThreshold", field("unhealthy", "http_failures").or(field("unhealthy", "tcp_failures"))),
    ] {
        if let Some(threshold) = threshold {
            check[name] = (threshold as i64).into();
        }
    }
    Some(check)
}

/// Passive checks of Kong end with an active check or an operator; margay ends an ejection after its time.
fn passive_check(passive: &Value, position: &str, report: &mut Report) -> Option<Value> {
    let unhealthy = get(passive, "unhealthy")?;
    let counts =
        ["http_failures", "tcp_failures", "timeouts"].map(|name| number(unhealthy, name).unwrap_or(0.0));
    let failures = counts.into_iter().filter(|count| *count > 0.0).fold(f64::INFINITY, f64::min);
    if !failures.is_finite() {
        return None;
    }
    report.change(position, "passive health checks: an ejected endpoint returns after EjectionTime");
    let mut check = json!({ "ConsecutiveFailures": failures as i64 });
    let statuses = strings(unhealthy, "http_statuses");
    if counts[0] > 0.0 && !statuses.is_empty() {
        check["FailureStatuses"] = statuses.into();
    }
    Some(check)
}
