//! Finds the operation of a request: one table of paths, and one of operations for each API.

use crate::{
    base::percent::percent_decoded,
    pipeline::head::Head,
    stages::program::{
        entities::Operation,
        target::{Values, decoded, query_value},
    },
};
use std::{collections::HashMap, sync::Arc};

/// The APIs by their paths.
#[derive(Debug, Default)]
pub struct ApiTable {
    /// Path in lower case → the APIs with it.
    paths: HashMap<String, Vec<PathEntry>>,
    max_segments: usize,
}

/// The APIs of one path: a single one, or the versions of a set.
#[derive(Debug, Default)]
pub struct PathEntry {
    /// Without its port; empty: any host.
    pub host: String,
    /// Empty: all.
    pub listeners: Vec<String>,
    pub version: VersionPlace,
    pub apis: Vec<VersionEntry>,
}

/// Where the version is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VersionPlace {
    #[default]
    None,
    Segment,
    Query(String),
    Header(String),
}

/// One version: its revisions.
#[derive(Debug, Default)]
pub struct VersionEntry {
    /// In lower case; empty: the original.
    pub version: String,
    /// Revision → index of the API; the current one is under an empty name and its number.
    pub revisions: HashMap<String, usize>,
    /// For each API with one of these revisions its operations.
    pub operations: HashMap<usize, Vec<OperationEntry>>,
}

/// An operation in the table.
#[derive(Clone, Debug)]
pub struct OperationEntry {
    pub operation: Arc<Operation>,
    /// Its index in the API.
    pub index: usize,
}

/// The request, as the table reads it.
#[derive(Debug)]
pub struct ApiQuery<'q> {
    pub method: &'q [u8],
    pub host: &'q [u8],
    pub listener: &'q str,
    /// As the client spelled it.
    pub path: &'q [u8],
    pub query: &'q [u8],
    pub head: &'q Head,
}

/// What was found.
#[derive(Debug, Default)]
pub struct ApiMatch {
    /// The index of the API; `None`: no version or revision fits.
    pub api: Option<usize>,
    /// The index of the operation.
    pub operation: Option<usize>,
    pub values: Values,
    /// The path behind that of the API, as the client spelled it.
    pub rest: String,
    /// The methods of the path.
    pub allowed: Vec<String>,
}

impl ApiTable {
    /// Adds an entry under a path.
    pub fn add(&mut self, path: &str, entry: PathEntry) {
        let path = path.trim_matches('/').to_lowercase();
        self.max_segments = self.max_segments.max(if path.is_empty() { 0 } else { path.split('/').count() });
        self.paths.entry(path).or_default().push(entry);
    }

    /// Whether there are no APIs.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The API with the longest path, and its operation.
    pub fn find(&self, query: &ApiQuery<'_>) -> Option<ApiMatch> {
        let path = String::from_utf8_lossy(query.path);
        let path = path.strip_prefix('/')?;
        let segments: Vec<&str> = path.split('/').collect();
        let lower: Vec<String> =
            segments.iter().take(self.max_segments.max(1)).map(|segment| folded(segment)).collect();
        for count in (0..=lower.len().min(self.max_segments)).rev() {
            let mut key = lower[..count].join("/");
            let mut revision = "";
            if let Some((last, suffix)) = count.checked_sub(1).and_then(|at| split_revision(segments[at])) {
                revision = suffix;
                let mut parts = lower[..count - 1].to_vec();
                parts.push(folded(last));
                key = parts.join("/");
            }
            let entries = self.paths.get(&key).map_or(&[][..], Vec::as_slice);
            let entry = entries.iter().find(|entry| entry.fits(query));
            if let Some(entry) = entry {
                return Some(entry.find(query, &segments[count..], revision));
            }
        }
        None
    }
}

/// A segment in lower case, decoded.
fn folded(segment: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(segment.as_bytes(), false)).to_lowercase()
}

/// `orders` and `2` of `orders;rev=2`.
fn split_revision(segment: &str) -> Option<(&str, &str)> {
    let (name, revision) = segment.split_once(";rev=")?;
    (!revision.is_empty() && revision.bytes().all(|b| b.is_ascii_digit())).then_some((name, revision))
}

impl PathEntry {
    fn fits(&self, query: &ApiQuery<'_>) -> bool {
        let host = String::from_utf8_lossy(query.host);
        let host = host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(&*host, |(host, _)| host);
        (self.host.is_empty() || self.host.eq_ignore_ascii_case(host))
            && (self.listeners.is_empty() || self.listeners.iter().any(|name| name == query.listener))
    }

    fn find(&self, query: &ApiQuery<'_>, rest: &[&str], revision: &str) -> ApiMatch {
        let text = String::from_utf8_lossy(query.query);
        let text = text.strip_prefix('?').unwrap_or(&text);
        let version = match &self.version {
            VersionPlace::None => Some(String::new()),
            VersionPlace::Query(name) => query_value(text, name).map(|value| decoded(value, true)),
            VersionPlace::Header(name) => {
                query.head.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
            }
            VersionPlace::Segment => return self.find_in_segment(query, rest, revision, text),
        };
        match version {
            Some(version) => self.of_version(&version.to_lowercase(), query, rest, revision, text),
            None => self.of_version("", query, rest, revision, text),
        }
    }

    /// The version is the next segment; without one of its name the original takes the request.
    fn find_in_segment(&self, query: &ApiQuery<'_>, rest: &[&str], revision: &str, text: &str) -> ApiMatch {
        if let Some(first) = rest.first() {
            let (name, own_revision) = split_revision(first).unwrap_or((first, revision));
            let name = folded(name);
            if !name.is_empty() && self.apis.iter().any(|entry| entry.version == name) {
                return self.of_version(&name, query, &rest[1..], own_revision, text);
            }
        }
        self.of_version("", query, rest, revision, text)
    }

    fn of_version(
        &self,
        version: &str,
        query: &ApiQuery<'_>,
        rest: &[&str],
        revision: &str,
        text: &str,
    ) -> ApiMatch {
        let Some(entry) = self.apis.iter().find(|entry| entry.version == version) else {
            return ApiMatch::default();
        };
        let Some(api) = entry.revisions.get(revision).copied() else { return ApiMatch::default() };
        let joined = rest.join("/");
        let path = if rest.is_empty() { String::new() } else { format!("/{joined}") };
        // One slash more or less at the end makes no difference.
        let segments = match rest {
            [inner @ .., ""] => inner,
            all => all,
        };
        let found = ApiMatch { api: Some(api), rest: path, ..ApiMatch::default() };
        let fitting: Vec<(&OperationEntry, Values)> = entry
            .operations
            .get(&api)
            .into_iter()
            .flatten()
            .filter_map(|candidate| Some((candidate, candidate.operation.template.find(segments, text)?)))
            .collect();
        found.with_operation(fitting, query)
    }
}

impl ApiMatch {
    /// Adds the operation among those whose templates fit, or the methods that they have.
    fn with_operation(mut self, fitting: Vec<(&OperationEntry, Values)>, query: &ApiQuery<'_>) -> ApiMatch {
        for (candidate, _) in &fitting {
            if !self.allowed.contains(&candidate.operation.method) {
                self.allowed.push(candidate.operation.method.clone());
            }
        }
        // An operation that takes OPTIONS answers preflights itself.
        for method in [query.method, requested_method(query)] {
            if let Some((candidate, values)) =
                fitting.iter().find(|(one, _)| one.operation.method.as_bytes() == method)
            {
                self.operation = Some(candidate.index);
                self.values.clone_from(values);
                break;
            }
        }
        self
    }
}

/// The method by which operations are found: that of a CORS preflight is the requested one.
fn requested_method<'q>(query: &'q ApiQuery<'_>) -> &'q [u8] {
    let is_preflight = query.method == b"OPTIONS" && query.head.get(b"Origin").is_some();
    match query.head.get(b"Access-Control-Request-Method") {
        Some(method) if is_preflight => method,
        _ => query.method,
    }
}
