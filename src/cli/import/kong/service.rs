//! Services and upstreams → clusters.

use super::balanced_targets;
use super::entities::{Entities, KongService};
use crate::cli::import::address::{BackendUrl, normal_path};
use crate::cli::import::report::Report;
use crate::cli::import::route_draft::UniqueNames;
use crate::cli::import::values::{boolean, duration_text, get, key_text, number, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a route needs of its service.
#[derive(Clone, Debug, Default)]
pub struct ServiceTarget {
    pub cluster: String,
    /// Without a trailing slash.
    pub base_path: String,
    /// Settings that margay has on routes.
    pub route_settings: Map<String, Value>,
}

/// The clusters of the result.
pub struct Services {
    targets: BTreeMap<String, ServiceTarget>,
    clusters: Map<String, Value>,
}

impl Services {
    /// Converts all services.
    pub fn new(entities: &Entities, report: &mut Report) -> Services {
        let mut services = Services { targets: BTreeMap::new(), clusters: Map::new() };
        let mut names = UniqueNames::default();
        for service in &entities.services {
            if let Some(target) = services.convert(service, entities, &mut names, report) {
                services.targets.insert(service.name.clone(), target);
            }
        }
        services
    }

    /// The target of the routes of a service; `None`: it cannot be used.
    pub fn target(&self, service: Option<&String>) -> Option<&ServiceTarget> {
        self.targets.get(service?)
    }

    /// `Clusters` of the result.
    pub fn into_clusters(self) -> Map<String, Value> {
        self.clusters
    }

    fn convert(
        &mut self,
        service: &KongService,
        entities: &Entities,
        names: &mut UniqueNames,
        report: &mut Report,
    ) -> Option<ServiceTarget> {
        let position = format!("services.{}", service.name);
        if boolean(service.value, "enabled") == Some(false) {
            report.skip(&position, "disabled service, and its routes");
            return None;
        }
        let url = match service_url(service.value) {
            Ok(url) => url,
            Err(reason) => {
                report.skip(&position, format!("{reason}; its routes are not imported"));
                return None;
            }
        };
        let mut cluster = cluster_settings(&url, entities, report);
        if cluster.get("Endpoints").is_none() {
            report
                .skip(&position, "service whose upstream has no usable target; its routes are not imported");
            return None;
        }
        add_tls(service.value, &mut cluster, &position, report);
        let name = names.claim(&key_text(&service.name));
        self.clusters.insert(name.clone(), cluster.into());
        let is_grpc = text(service.value, "protocol").is_some_and(|protocol| protocol.starts_with("grpc"));
        let route_settings = route_settings(service.value, is_grpc, &position, report);
        Some(ServiceTarget { cluster: name, base_path: url.path, route_settings })
    }
}

/// Scheme and endpoints: the targets of the upstream with the name of the host, or the host itself.
fn cluster_settings(url: &BackendUrl, entities: &Entities, report: &mut Report) -> Map<String, Value> {
    let mut cluster = Map::new();
    cluster.insert("DownstreamScheme".to_owned(), url.scheme.clone().into());
    match entities.target_groups.iter().find(|(name, _)| *name == url.host) {
        Some((name, value)) => {
            cluster.extend(balanced_targets::settings(name, value, url.effective_port(), report));
        }
        None => {
            let endpoint = json!({ "Host": url.host, "Port": url.effective_port() });
            cluster.insert("Endpoints".to_owned(), json!([endpoint]));
        }
    }
    cluster
}

/// `url`, or `protocol`, `host`, `port` and `path`.
fn service_url(value: &Value) -> Result<BackendUrl, String> {
    if let Some(url) = text(value, "url") {
        return BackendUrl::parse(&replace_grpc(&url));
    }
    let host = text(value, "host").ok_or_else(|| "service without a host".to_owned())?;
    let protocol = replace_grpc(&text(value, "protocol").unwrap_or_else(|| "http".to_owned()));
    let port = number(value, "port").map_or(80, |port| port as u32);
    let path = normal_path(&text(value, "path").unwrap_or_default());
    BackendUrl::parse(&format!("{protocol}://{host}:{port}{path}"))
}

fn replace_grpc(text: &str) -> String {
    match text.strip_prefix("grpcs") {
        Some(rest) => format!("https{rest}"),
        None => text.strip_prefix("grpc").map_or_else(|| text.to_owned(), |rest| format!("http{rest}")),
    }
}

fn add_tls(value: &Value, cluster: &mut Map<String, Value>, position: &str, report: &mut Report) {
    if boolean(value, "tls_verify") == Some(false) {
        cluster.insert("DangerousAcceptAnyServerCertificateValidator".to_owned(), true.into());
    }
    for setting in ["client_certificate", "ca_certificates", "tls_verify_depth"] {
        if get(value, setting).is_some() {
            report.skip(position, format!("{setting}: set TlsOptions of the cluster"));
        }
    }
}

fn route_settings(value: &Value, is_grpc: bool, position: &str, report: &mut Report) -> Map<String, Value> {
    let mut settings = Map::new();
    if let Some(ms) = number(value, "read_timeout") {
        settings.insert("Timeout".to_owned(), duration_text(ms / 1000.0).into());
    }
    if number(value, "connect_timeout").is_some_and(|ms| ms != 60_000.0) {
        report.skip(position, "connect_timeout: Limits.ConnectTimeout applies to all backends");
    }
    if number(value, "write_timeout").is_some_and(|ms| ms != 60_000.0) {
        report.skip(position, "write_timeout: Limits.BodyIdleTimeout applies to all backends");
    }
    if let Some(retries) = number(value, "retries") {
        let attempts = (retries as i64 + 1).clamp(1, 10);
        let options = match attempts {
            1 => json!({ "EnableRetry": false }),
            _ => json!({ "Attempts": attempts, "On": ["Connect", "Timeout"], "OnStatus": [] }),
        };
        settings.insert("RetryOptions".to_owned(), options);
    }
    if is_grpc {
        settings.insert("DownstreamHttpVersion".to_owned(), "2.0".into());
        settings.insert("DownstreamHttpVersionPolicy".to_owned(), "RequestVersionExact".into());
    }
    settings
}
