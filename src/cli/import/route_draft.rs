//! A route of the result, before its key and its priority are final.

use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// One route, in the match order of its source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteDraft {
    pub key: String,
    /// Where in the source, for the report.
    pub position: String,
    pub path: String,
    /// Empty: every method.
    pub methods: Vec<String>,
    pub host: Option<String>,
    /// Header name → regular expression of its value.
    pub headers: Vec<(String, String)>,
    pub is_case_sensitive: bool,
    /// `None`: the default.
    pub priority: Option<i32>,
    pub backend_path: String,
    pub cluster: String,
    /// The other settings of the route.
    pub settings: Map<String, Value>,
}

impl RouteDraft {
    /// Whether the template is `/{name}`, whose priority is always 0.
    pub fn is_catch_all(&self) -> bool {
        self.path
            .strip_prefix("/{")
            .and_then(|rest| rest.strip_suffix('}'))
            .is_some_and(|n| !n.contains(['{', '}']))
    }

    /// Adds an entry to a setting that is a map, unless the map has it already.
    pub fn insert_entry(&mut self, setting: &str, name: &str, value: Value) {
        let map = self.settings.entry(setting).or_insert_with(|| json!({}));
        if let Some(map) = map.as_object_mut() {
            map.entry(name).or_insert(value);
        }
    }

    /// The route as an item of `Routes`.
    pub fn into_value(self) -> Value {
        let mut route = Map::new();
        let mut set = |name: &str, value: Value| route.insert(name.to_owned(), value);
        set("Key", self.key.into());
        set("UpstreamPathTemplate", self.path.into());
        if !self.methods.is_empty() {
            set("UpstreamHttpMethod", self.methods.into());
        }
        if let Some(host) = self.host {
            set("UpstreamHost", host.into());
        }
        if !self.headers.is_empty() {
            let headers: Map<String, Value> = self.headers.into_iter().map(|(n, v)| (n, v.into())).collect();
            set("UpstreamHeaderTemplates", headers.into());
        }
        if self.is_case_sensitive {
            set("RouteIsCaseSensitive", true.into());
        }
        if let Some(priority) = self.priority {
            set("Priority", priority.into());
        }
        set("DownstreamPathTemplate", self.backend_path.into());
        set("DownstreamCluster", self.cluster.into());
        route.extend(self.settings);
        Value::Object(route)
    }
}

/// Makes names unique by a number at their end.
#[derive(Debug, Default)]
pub struct UniqueNames(HashSet<String>);

impl UniqueNames {
    /// The name, or the first free one of `name-2`, `name-3`, ...
    pub fn claim(&mut self, name: &str) -> String {
        let name = if name.is_empty() { "route" } else { name };
        let numbered = (2_u64..).map(|n| format!("{name}-{n}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let free = candidates.find(|candidate| !self.0.contains(candidate)).unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
}

/// A template as literal and placeholder segments.
#[derive(Clone, Debug)]
pub struct PathSegments<'t> {
    segments: Vec<&'t str>,
    /// Whether its last placeholder spans segments.
    spans: bool,
}

impl<'t> PathSegments<'t> {
    /// The segments of a template, without its query.
    pub fn new(template: &'t str) -> PathSegments<'t> {
        let path = template.split('?').next().unwrap_or_default();
        let segments = path.split('/').filter(|segment| !segment.is_empty()).collect();
        PathSegments { segments, spans: path.ends_with('}') }
    }

    /// Whether both templates may match one path; true when that is not certain.
    pub fn may_overlap(&self, other: &PathSegments) -> bool {
        let (one, other_segments) = (&self.segments, &other.segments);
        for (at, (left, right)) in one.iter().zip(other_segments).enumerate() {
            if self.spans && at + 1 == one.len() || other.spans && at + 1 == other_segments.len() {
                return true;
            }
            let is_literal = |segment: &str| !segment.contains('{');
            if is_literal(left) && is_literal(right) && !left.eq_ignore_ascii_case(right) {
                return false;
            }
        }
        // A last placeholder that spans segments may also be absent together with its slash.
        match one.len() as i64 - other_segments.len() as i64 {
            0 => true,
            1 => self.spans,
            -1 => other.spans,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_overlap_unless_a_literal_or_the_length_differs() {
        for (one, other, expected) in [
            ("/a/{x}/", "/a/b/", true),
            ("/a/{x}/", "/A/b/c/", false),
            ("/a/{x}", "/a/b/c/", true),
            ("/a/{x}", "/a", true),
            ("/a/{x}/", "/a", false),
            ("/{x}", "/b/c", true),
            ("/a/b", "/a/c", false),
            ("/", "/{x}", true),
        ] {
            let (left, right) = (PathSegments::new(one), PathSegments::new(other));
            assert_eq!(left.may_overlap(&right), expected, "{one} {other}");
            assert_eq!(right.may_overlap(&left), expected, "{other} {one}");
        }
    }

    #[test]
    fn repeated_names_are_numbered() {
        let mut names = UniqueNames::default();
        assert_eq!(["a", "a", "a-2", ""].map(|name| names.claim(name)), ["a", "a-2", "a-2-2", "route"]);
    }
}
