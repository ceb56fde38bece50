//! `servers` → clusters and base paths.

use crate::cli::import::address::{BackendUrl, normal_path};
use crate::cli::import::report::Report;
use crate::cli::import::route_draft::UniqueNames;
use crate::cli::import::values::{items, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The backend of a document without an absolute server URL.
const DEFAULT_BACKEND: &str = "http://127.0.0.1:9000";

/// The backend of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationServer {
    pub cluster: String,
    pub base_path: String,
}

/// The clusters of the result, by the origin of their servers.
#[derive(Debug, Default)]
pub struct ServerClusters {
    by_origin: BTreeMap<String, String>,
    names: UniqueNames,
    clusters: Map<String, Value>,
    /// The URL that replaces all servers.
    replacement: Option<BackendUrl>,
}

impl ServerClusters {
    /// With `--server`, which replaces the servers of the document.
    pub fn new(replacement: Option<BackendUrl>) -> ServerClusters {
        ServerClusters { replacement, ..ServerClusters::default() }
    }

    /// The first server of a list that can be used; `position` is that of the list.
    pub fn select(
        &mut self,
        servers: Option<&Value>,
        position: &str,
        report: &mut Report,
    ) -> OperationServer {
        let servers: Vec<&Value> = items(servers).into_iter().filter(|server| server.is_object()).collect();
        for (at, server) in servers.iter().enumerate() {
            let place = format!("{position}/{at}");
            match server_url(server, &place, report) {
                Ok(url) => {
                    if let Some(others) = servers.len().checked_sub(at + 1).filter(|n| *n > 0) {
                        report.skip(
                            &place,
                            format!("{others} more in the list of servers: the first one is used"),
                        );
                    }
                    return self.server(url, &place, report);
                }
                Err(reason) => report.skip(&place, format!("server: {reason}")),
            }
        }
        let url = BackendUrl { path: String::new(), ..default_backend() };
        self.server(ServerUrl::Path(url.path), position, report)
    }

    fn server(&mut self, url: ServerUrl, position: &str, report: &mut Report) -> OperationServer {
        let (origin, base_path) = match (url, self.replacement.clone()) {
            (_, Some(replacement)) => (replacement.clone(), replacement.path),
            (ServerUrl::Absolute(url), None) => (url.clone(), url.path),
            (ServerUrl::Path(path), None) => {
                let message = format!(
                    "no server with a host: the backend is {DEFAULT_BACKEND}, set it or pass --server"
                );
                report.incomplete(position, message);
                (default_backend(), path)
            }
        };
        if origin.has_more {
            report.skip(position, "user name, query and fragment of a server URL");
        }
        OperationServer { cluster: self.cluster(&origin), base_path }
    }

    fn cluster(&mut self, url: &BackendUrl) -> String {
        if let Some(name) = self.by_origin.get(&url.origin()) {
            return name.clone();
        }
        let name = self.names.claim(&url.host);
        let endpoint = json!({ "Host": url.host, "Port": url.effective_port() });
        self.clusters
            .insert(name.clone(), json!({ "DownstreamScheme": url.scheme, "Endpoints": [endpoint] }));
        self.by_origin.insert(url.origin(), name.clone());
        name
    }

    /// `Clusters` of the result.
    pub fn into_clusters(self) -> Map<String, Value> {
        self.clusters
    }
}

enum ServerUrl {
    Absolute(BackendUrl),
    /// Relative to the URL of the document, which is not known.
    Path(String),
}

fn default_backend() -> BackendUrl {
    BackendUrl {
        scheme: "http".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: Some(9000),
        path: String::new(),
        has_more: false,
    }
}

/// The URL of a server with the defaults of its variables.
fn server_url(server: &Value, position: &str, report: &mut Report) -> Result<ServerUrl, String> {
    let template = text(server, "url").ok_or_else(|| "missing `url`".to_owned())?;
    let url = replace_variables(&template, server, position, report)?;
    if url.contains("://") {
        return BackendUrl::parse(&url).map(ServerUrl::Absolute);
    }
    if let Some(rest) = url.strip_prefix("//") {
        return BackendUrl::parse(&format!("https://{rest}")).map(ServerUrl::Absolute);
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    Ok(ServerUrl::Path(normal_path(path.trim_start_matches("./"))))
}

fn replace_variables(
    template: &str,
    server: &Value,
    position: &str,
    report: &mut Report,
) -> Result<String, String> {
    let (mut url, mut rest) = (String::new(), template);
    while let Some(open) = rest.find('{') {
        let close =
            rest[open..].find('}').ok_or_else(|| format!("`{{` without `}}` in \"{template}\""))? + open;
        let name = &rest[open + 1..close];
        let variable = server.get("variables").and_then(|variables| variables.get(name));
        let default = variable.and_then(|variable| {
            text(variable, "default")
                .or_else(|| items(variable.get("enum")).first().and_then(|v| Some(v.as_str()?.to_owned())))
        });
        let default = default.ok_or_else(|| format!("variable `{name}` of \"{template}\" has no default"))?;
        report.change(position, format!("server variable `{name}` has its default, \"{default}\""));
        url.push_str(&rest[..open]);
        url.push_str(&default);
        rest = &rest[close + 1..];
    }
    url.push_str(rest);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(servers: Value) -> (OperationServer, Map<String, Value>, Report) {
        let (mut clusters, mut report) = (ServerClusters::default(), Report::default());
        let server = clusters.select(Some(&servers), "/servers", &mut report);
        (server, clusters.into_clusters(), report)
    }

    #[test]
    fn variables_have_their_defaults() {
        let (server, clusters, report) = select(json!([{
            "url": "https://{region}.example.com:{port}/{base}",
            "variables": { "region": { "default": "eu" }, "port": { "enum": ["8443"] }, "base": { "default": "v2" } }
        }, { "url": "https://staging.example.com" }]));
        assert_eq!(server, OperationServer { cluster: "eu.example.com".into(), base_path: "/v2".into() });
        assert_eq!(clusters["eu.example.com"]["Endpoints"][0]["Port"], 8443);
        let text = report.to_text();
        assert!(text.contains("`region`") && text.contains("1 more in the list of servers"), "{text}");
    }

    #[test]
    fn a_relative_server_needs_a_backend_and_keeps_its_path() {
        let (server, clusters, report) = select(json!([{ "url": "/api/v3" }]));
        assert_eq!((server.cluster.as_str(), server.base_path.as_str()), ("127.0.0.1", "/api/v3"));
        assert_eq!(clusters.len(), 1);
        assert!(report.to_text().contains("--server"));
        let (server, _, report) = select(json!([{ "url": "{x}" }, { "url": "ftp://a" }]));
        assert_eq!(server.base_path, "");
        assert!(report.to_text().contains("variable `x`"));
    }
}
