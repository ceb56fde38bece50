//! OpenAPI 3.0, 3.1 and 3.2 → gateway.json: one route for each operation. A pure function of the document.

mod operations;
mod path_template;
mod reference;
mod route_headers;
mod security;
mod servers;
mod specificity;
#[cfg(test)]
mod tests;

use super::address::{BackendUrl, normal_path};
use super::assemble::assemble;
use super::match_order::into_routes;
use super::report::Report;
use super::route_draft::{RouteDraft, UniqueNames};
use super::values::{key_text, strings, text};
use operations::Operation;
use path_template::PathTemplate;
use security::SecuritySchemes;
use serde_json::{Map, Value, json};
use servers::ServerClusters;
use std::collections::{BTreeMap, BTreeSet};

/// What the command line adds to the document.
#[derive(Clone, Debug, Default)]
pub struct OpenapiOptions {
    /// The URL of the backend, instead of the servers of the document.
    pub server: Option<String>,
    /// In front of every path that clients request.
    pub prefix: Option<String>,
    /// Whether clients request the base path of the server, too.
    pub keep_base_path: bool,
}

/// The configuration and the report of a document; the error is a sentence.
pub fn import(root: &Value, options: &OpenapiOptions) -> Result<(Value, Report), String> {
    check_version(root)?;
    let replacement = options.server.as_deref().map(BackendUrl::parse).transpose();
    let replacement = replacement.map_err(|reason| format!("--server: {reason}"))?;
    let mut importer = Importer {
        root,
        options,
        prefix: normal_path(options.prefix.as_deref().unwrap_or_default()),
        servers: ServerClusters::new(replacement),
        document_server: None,
        security: SecuritySchemes::new(root),
        matched: BTreeMap::new(),
        report: Report::default(),
    };
    let operations = operations::collect(root, &mut importer.report);
    importer.report_unused_parts(&operations);
    let query_names = query_names(&operations);
    let drafts: Vec<RouteDraft> =
        operations.iter().flat_map(|operation| importer.drafts(operation, &query_names)).collect();
    Ok(importer.finish(operations.len(), drafts))
}

fn check_version(root: &Value) -> Result<(), String> {
    if let Some(version) = text(root, "swagger") {
        return Err(format!(
            "expected OpenAPI 3.0 or 3.1, found Swagger {version}: convert it first, for example with swagger2openapi"
        ));
    }
    match text(root, "openapi") {
        Some(version) if version.starts_with("3.") => Ok(()),
        Some(version) => Err(format!("expected OpenAPI 3.0 or 3.1, found \"openapi\": \"{version}\"")),
        None => Err("expected an OpenAPI document, found no member `openapi`".to_owned()),
    }
}

/// The query parameters of each path, of all its operations.
fn query_names<'d>(operations: &[Operation<'d>]) -> BTreeMap<&'d str, BTreeSet<String>> {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for operation in operations {
        names.entry(operation.path).or_default().extend(operation.parameter_names("query"));
    }
    names
}

/// A path without the names of its placeholders, a method, and the query parameters.
type MatchedRequests = (String, String, Vec<(String, String)>);

struct Importer<'d> {
    root: &'d Value,
    options: &'d OpenapiOptions,
    prefix: String,
    servers: ServerClusters,
    document_server: Option<servers::OperationServer>,
    security: SecuritySchemes<'d>,
    /// What earlier routes match, and their positions: paths without the names of their placeholders, and methods.
    matched: BTreeMap<MatchedRequests, String>,
    report: Report,
}

impl Importer<'_> {
    /// The routes of an operation: one, or two for a path with a fixed query; none if it cannot be matched.
    fn drafts(
        &mut self,
        operation: &Operation,
        query_names: &BTreeMap<&str, BTreeSet<String>>,
    ) -> Vec<RouteDraft> {
        let names = query_names.get(operation.path).cloned().unwrap_or_default();
        let template = match PathTemplate::parse(operation.path, &names) {
            Ok(template) => template,
            Err(reason) => {
                self.report.skip(&operation.position, reason);
                return Vec::new();
            }
        };
        for change in &template.changes {
            self.report.change(&operation.position, *change);
        }
        let server = self.server(operation);
        let base_path = if self.options.keep_base_path { server.base_path.as_str() } else { "" };
        let prefix = format!("{}{base_path}", self.prefix);
        let security = operation.value.get("security").or_else(|| self.root.get("security"));
        let draft = RouteDraft {
            key: key(operation),
            position: operation.position.clone(),
            methods: vec![operation.method.clone()],
            headers: route_headers::conditions(operation, &mut self.report),
            is_case_sensitive: true,
            backend_path: template.backend_path(&server.base_path),
            cluster: server.cluster,
            settings: self.settings(operation, security),
            ..RouteDraft::default()
        };
        let paths = template.client_paths(&prefix);
        let drafts = paths.into_iter().map(|path| RouteDraft { path, ..draft.clone() });
        drafts.filter(|draft| self.is_new(draft)).collect()
    }

    fn server(&mut self, operation: &Operation) -> servers::OperationServer {
        if let Some((list, position)) = &operation.servers {
            return self.servers.select(Some(list), position, &mut self.report);
        }
        match &self.document_server {
            Some(server) => server.clone(),
            None => {
                let server = self.servers.select(self.root.get("servers"), "/servers", &mut self.report);
                self.document_server = Some(server.clone());
                server
            }
        }
    }

    fn settings(&mut self, operation: &Operation, security: Option<&Value>) -> Map<String, Value> {
        let mut settings = self.security.settings(security, &operation.position, &mut self.report);
        let tags = strings(operation.value, "tags");
        if !tags.is_empty() {
            settings.insert("Metadata".to_owned(), json!({ "tags": tags.join(",") }));
        }
        settings
    }

    /// Whether no earlier route matches exactly the same requests.
    fn is_new(&mut self, draft: &RouteDraft) -> bool {
        let mut path = String::new();
        for (at, piece) in draft.path.split('{').enumerate() {
            path.push_str(if at == 0 {
                piece
            } else {
                piece.split_once('}').map_or(piece, |(_, rest)| rest)
            });
            path.push('{');
        }
        let condition = (path, draft.methods.concat(), draft.headers.clone());
        match self.matched.get(&condition) {
            Some(first) => {
                let message = format!("matches the same requests as {first}");
                self.report.skip(&draft.position, message);
                false
            }
            None => {
                self.matched.insert(condition, draft.position.clone());
                true
            }
        }
    }

    /// Parts of a document that are no routing information.
    fn report_unused_parts(&mut self, operations: &[Operation]) {
        for operation in operations {
            let value = operation.value;
            let schemas = value.get("requestBody").is_some() || !operation.parameters.is_empty();
            let parts = [
                (schemas, "request parameters and bodies are not validated by the gateway"),
                (
                    value.get("callbacks").is_some(),
                    "callbacks: requests of the backend do not pass the gateway",
                ),
                (value.get("deprecated") == Some(&true.into()), "`deprecated` has no effect on routing"),
            ];
            for (_, message) in parts.iter().filter(|(is_present, _)| *is_present) {
                self.report.skip(&operation.position, *message);
            }
        }
        if self.root.get("webhooks").is_some() {
            self.report.skip("/webhooks", "webhooks: requests of the backend do not pass the gateway");
        }
        let extensions =
            self.root.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-"));
        extensions.for_each(|(name, _)| self.report.skip(format!("/{name}"), format!("extension `{name}`")));
    }

    fn finish(mut self, operations: usize, mut drafts: Vec<RouteDraft>) -> (Value, Report) {
        // Repeated names are numbered in the order of the document.
        let mut names = UniqueNames::default();
        for draft in &mut drafts {
            draft.key = names.claim(&draft.key);
        }
        let routes = into_routes(specificity::sort(drafts), &mut self.report);
        let clusters = self.servers.into_clusters();
        let schemes = self.security.into_schemes(&mut self.report);
        let source = [("operations", operations)];
        (assemble(&source, (routes, clusters, schemes), &mut self.report), self.report)
    }
}

/// `operationId`, or the first tag with method and path.
fn key(operation: &Operation) -> String {
    if let Some(id) = text(operation.value, "operationId") {
        return key_text(&id);
    }
    let tag =
        strings(operation.value, "tags").into_iter().next().map_or(String::new(), |tag| format!("{tag}."));
    let words = operation.path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> =
        std::iter::once(operation.method.to_ascii_lowercase()).chain(words.map(str::to_owned)).collect();
    key_text(&format!("{tag}{}", words.join("-")))
}
