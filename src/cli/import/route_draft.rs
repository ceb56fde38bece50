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

/// The literal and placeholder segments of a template, and whether its last placeholder spans segments.
fn segments(template: &str) -> (Vec<&str>, bool) {
    let path = template.split('?').next().unwrap_or_default();
    (path.split('/').filter(|segment| !segment.is_empty()).collect(), path.ends_with('}'))
}

/// Whether both templates may match one path; true when that is not certain.
pub fn may_overlap(one: &str, other: &str) -> bool {
    let ((one, one_spans), (other, other_spans)) = (segments(one), segments(other));
    for at in 0..one.len().min(other.len()) {
        if one_spans && at + 1 == one.len() || other_spans && at + 1 == other.len() {
            return true;
        }
        let is_literal = |segment: &str| !segment.contains('{');
        if is_literal(one[at]) && is_literal(other[at]) && !one[at].eq_ignore_ascii_case(other[at]) {
            return false;
        }
    }
    // A last placeholder that spans segments may also be absent together with its slash.
    match one.len() as i64 - other.len() as i64 {
        0 => true,
        1 => one_spans,
        -1 => other_spans,
        _ => false,
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
            assert_eq!(may_overlap(one, other), expected, "{one} {other}");
            assert_eq!(may_overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn repeated_names_are_numbered() {
        let mut names = UniqueNames::default();
        assert_eq!(["a", "a", "a-2", ""].map(|name| names.claim(name)), ["a", "a-2", "a-2-2", "route"]);
    }
}
