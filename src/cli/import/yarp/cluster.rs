//! `Clusters` of YARP → clusters.

use super::time_span::seconds_text;
use crate::cli::import::address::BackendUrl;
use crate::cli::import::report::Report;
use crate::cli::import::values::{at, boolean, entries, get, number, text};
use serde_json::{Map, Value, json};

/// A converted cluster, and what its routes need.
#[derive(Clone, Debug, Default)]
pub struct YarpCluster {
    /// The settings of `Clusters.NAME`.
    pub settings: Map<String, Value>,
    /// The path of the destinations, which is in front of every path.
    pub base_path: String,
    /// Settings of `HttpRequest` that margay has on routes.
    pub route_settings: Map<String, Value>,
}

/// Converts a cluster; `None` if it has no usable destination.
pub fn convert(name: &str, value: &Value, report: &mut Report) -> Option<YarpCluster> {
    let position = format!("Clusters.{name}");
    let mut destinations: Vec<(String, BackendUrl)> = Vec::new();
    for (id, destination) in entries(get(value, "Destinations"), "Name") {
        let place = format!("{position}.Destinations.{id}");
        match BackendUrl::parse(&text(destination, "Address").unwrap_or_default()) {
            Ok(url) => destinations.push((id, url)),
            Err(reason) => report.skip(&place, reason),
        }
        for setting in ["Host", "Metadata"].into_iter().filter(|setting| get(destination, setting).is_some())
        {
            report.skip(&place, format!("{setting} of a destination"));
        }
    }
    destinations.sort_by(|a, b| a.0.cmp(&b.0));
    let Some((_, first)) = destinations.first().cloned() else {
        report.skip(&position, "cluster without a usable destination, and its routes");
        return None;
    };
    let same = |url: &BackendUrl| url.scheme == first.scheme && url.path == first.path;
    if destinations.iter().any(|(_, url)| !same(url)) {
        report.skip(&position, "destinations whose scheme or path differs from that of the first one");
        destinations.retain(|(_, url)| same(url));
    }
    let endpoint =
        |(_, url): &(String, BackendUrl)| json!({ "Host": url.host, "Port": url.effective_port() });
    let mut cluster = YarpCluster { base_path: first.path.clone(), ..YarpCluster::default() };
    cluster.settings.insert("DownstreamScheme".to_owned(), first.scheme.into());
    cluster.settings.insert("Endpoints".to_owned(), destinations.iter().map(endpoint).collect());
    cluster.add_balancing(value, destinations.len(), &position, report);
    cluster.add_health(value, &position, report);
    cluster.add_client(value, &position, report);
    Some(cluster)
}

impl YarpCluster {
    fn set(&mut self, name: &str, value: Value) {
        self.settings.insert(name.to_owned(), value);
    }

    fn add_balancing(&mut self, value: &Value, destinations: usize, position: &str, report: &mut Report) {
        if boolean(value, "SessionAffinity").is_none()
            && let Some(affinity) =
                get(value, "SessionAffinity").filter(|a| boolean(a, "Enabled") == Some(true))
        {
            return self.add_affinity(affinity, position, report);
        }
        let policy = text(value, "LoadBalancingPolicy").unwrap_or_else(|| "PowerOfTwoChoices".to_owned());
        let kind = match policy.to_ascii_lowercase().as_str() {
            "firstalphabetical" | "first" => "NoLoadBalancer",
            "random" => "Random",
            "roundrobin" => "RoundRobin",
            "leastrequests" => "LeastConnection",
            "poweroftwochoices" => "LeastRequest",
            _ => {
                report.change(position, format!("load balancing policy {policy}: LeastRequest is used"));
                "LeastRequest"
            }
        };
        if destinations > 1 || get(value, "LoadBalancingPolicy").is_some() {
            self.set("LoadBalancerOptions", json!({ "Type": kind }));
        }
    }

    fn add_affinity(&mut self, affinity: &Value, position: &str, report: &mut Report) {
        let policy = text(affinity, "Policy")
            .or_else(|| text(affinity, "Mode"))
            .unwrap_or_else(|| "HashCookie".to_owned());
        let key =
            text(affinity, "AffinityKeyName").unwrap_or_else(|| ".Yarp.ReverseProxy.Affinity".to_owned());
        report.change(position, "session affinity replaces LoadBalancingPolicy; FailurePolicy and attributes of the cookie are margay's");
        if policy.eq_ignore_ascii_case("CustomHeader") {
            report.change(position, "affinity by header: the endpoint is selected by a hash of its value");
            return self.set(
                "LoadBalancerOptions",
                json!({ "Type": "ConsistentHash", "HashOn": format!("Header:{key}") }),
            );
        }
        let mut options = json!({ "Type": "CookieStickySessions", "Key": key, "SetCookie": true });
        let lifetime =
            at(affinity, &["Cookie", "Expiration"]).or_else(|| at(affinity, &["Cookie", "MaxAge"]));
        if let Some(ms) =
            lifetime.and_then(super::time_span::seconds).map(|seconds| (seconds * 1000.0) as i64)
        {
            options["Expiry"] = ms.into();
        }
        self.set("LoadBalancerOptions", options);
    }

    fn add_health(&mut self, value: &Value, position: &str, report: &mut Report) {
        let mut options = Map::new();
        let enabled =
            |kind| at(value, &["HealthCheck", kind]).filter(|check| boolean(check, "Enabled") == Some(true));
        if let Some(active) = enabled("Active") {
            options.insert("Active".to_owned(), active_check(active, value, position, report));
        }
        if let Some(passive) = enabled("Passive") {
            let mut check = json!({ "FailureRatio": failure_ratio(value) });
            if let Some(time) = get(passive, "ReactivationPeriod").and_then(seconds_text) {
                check["EjectionTime"] = time.into();
            }
            options.insert("Passive".to_owned(), check);
        }
        let policy = at(value, &["HealthCheck", "AvailableDestinationsPolicy"]).and_then(Value::as_str);
        if policy.is_some_and(|policy| policy.eq_ignore_ascii_case("HealthyOrPanic")) {
            options.insert("PanicThreshold".to_owned(), 1.into());
        }
        let has_address = |(_, destination): &(String, &Value)| get(destination, "Health").is_some();
        if entries(get(value, "Destinations"), "Name").iter().any(has_address) {
            report.change(position, "Health of destinations: probes are sent to their Address");
        }
        if !options.is_empty() {
            self.set("HealthCheckOptions", options.into());
        }
    }

    fn add_client(&mut self, value: &Value, position: &str, report: &mut Report) {
        let client = get(value, "HttpClient");
        for (name, setting) in client.and_then(Value::as_object).into_iter().flatten() {
            match name.to_ascii_lowercase().as_str() {
                "dangerousacceptanyservercertificate" => {
                    if setting.as_bool() == Some(true) || setting.as_str() == Some("true") {
                        self.set("DangerousAcceptAnyServerCertificateValidator", true.into());
                    }
                }
                "maxconnectionsperserver" => {
                    if let Some(max) = client.and_then(|client| number(client, "MaxConnectionsPerServer")) {
                        self.set("HttpHandlerOptions", json!({ "MaxConnectionsPerServer": max as i64 }));
                    }
                }
                _ => report.skip(position, format!("HttpClient.{name}")),
            }
        }
        if let Some(request) = get(value, "HttpRequest") {
            self.add_request(request, position, report);
        }
        if get(value, "Metadata").is_some_and(|metadata| metadata.as_object().is_some_and(|m| !m.is_empty()))
        {
            report.skip(position, "Metadata of clusters");
        }
    }

    fn add_request(&mut self, request: &Value, position: &str, report: &mut Report) {
        let timeout = get(request, "ActivityTimeout").or_else(|| get(request, "Timeout"));
        if let Some(time) = timeout.and_then(seconds_text) {
            report.change(
                position,
                "ActivityTimeout becomes Timeout, the time limit for the start of the response",
            );
            self.route_settings.insert("Timeout".to_owned(), time.into());
        }
        if let Some(version) = text(request, "Version") {
            let version = if version.contains('.') { version } else { format!("{version}.0") };
            self.route_settings.insert("DownstreamHttpVersion".to_owned(), version.into());
        }
        if let Some(policy) = text(request, "VersionPolicy") {
            self.route_settings.insert("DownstreamHttpVersionPolicy".to_owned(), policy.into());
        }
        if get(request, "AllowResponseBuffering").is_some() {
            report.skip(position, "HttpRequest.AllowResponseBuffering");
        }
    }
}

/// The failure ratio of the policy TransportFailureRate.
fn failure_ratio(cluster: &Value) -> f64 {
    let ratio = at(cluster, &["Metadata", "TransportFailureRateHealthPolicy.RateLimit"]);
    let ratio = ratio.and_then(|ratio| ratio.as_str()?.trim().parse::<f64>().ok());
    ratio.filter(|ratio| *ratio > 0.0 && *ratio <= 1.0).unwrap_or(0.3)
}

fn active_check(active: &Value, cluster: &Value, position: &str, report: &mut Report) -> Value {
    let path =
        text(active, "Path").map_or("/".to_owned(), |path| format!("/{}", path.trim_start_matches('/')));
    let query =
        text(active, "Query").map_or(String::new(), |query| format!("?{}", query.trim_start_matches('?')));
    let mut check = json!({ "Path": format!("{path}{query}") });
    let interval = get(active, "Interval").and_then(seconds_text).unwrap_or_else(|| "15s".to_owned());
    check["Interval"] = interval.into();
    let timeout = get(active, "Timeout").and_then(super::time_span::seconds);
    let interval = get(active, "Interval").and_then(super::time_span::seconds).unwrap_or(15.0);
    if let Some(timeout) = timeout {
        check["Timeout"] = crate::cli::import::values::duration_text(timeout.min(interval)).into();
    }
    let threshold = at(cluster, &["Metadata", "ConsecutiveFailuresHealthPolicy.Threshold"]);
    if let Some(threshold) = threshold.and_then(|value| value.as_str()?.parse::<i64>().ok()) {
        check["UnhealthyThreshold"] = threshold.into();
    }
    if text(active, "Policy").is_some_and(|policy| !policy.eq_ignore_ascii_case("ConsecutiveFailures")) {
        report.change(position, "policy of active health checks: consecutive failures are counted");
    }
    check
}
