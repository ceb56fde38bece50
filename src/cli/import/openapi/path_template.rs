//! Path templates of OpenAPI as templates of margay.
//!
//! In OpenAPI a parameter is one segment or a part of it. In margay the last placeholder spans segments unless a `/`
//! follows, so a template that ends in a parameter gets a trailing slash: `/pets/{id}/` matches `/pets/7` and `/pets/7/`.

use std::collections::BTreeSet;

/// The placeholder for the parameters of a query after the fixed ones.
const QUERY_REST: &str = "{other_parameters}";

const QUERY_NOT_MATCHED: &str = "query parameters of a path template are not matched";

/// One path of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// The path, with valid and different placeholder names.
    path: String,
    /// A fixed query: `action=list`.
    query: Option<String>,
    /// The last placeholder spans segments: `{+path}`, `{path*}`.
    spans_segments: bool,
    /// What was changed, for the report.
    pub changes: Vec<&'static str>,
}

impl PathTemplate {
    /// Parses a key of `paths`. `query_names` are the query parameters of the operations, which placeholders must not
    /// be named like: margay removes parameters with the name of a placeholder.
    pub fn parse(text: &str, query_names: &BTreeSet<String>) -> Result<PathTemplate, String> {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = split_query(text);
        if !path.starts_with('/') {
            return Err("the path does not begin with a slash".to_owned());
        }
        if path.contains("//") {
            return Err("the path contains a double slash".to_owned());
        }
        let mut names = PlaceholderNames { used: BTreeSet::new(), query_names, changes: Vec::new() };
        let mut parsed = String::with_capacity(path.len());
        let mut spans_segments = false;
        let query = match query.filter(|query| !query.is_empty()) {
            Some(query) if query.contains(['{', '}']) => {
                names.changes.push(QUERY_NOT_MATCHED);
                None
            }
            query => query,
        };
        let mut rest = path;
        while let Some(open) = rest.find(['{', '}']) {
            let close = rest[open..].find('}').map(|at| open + at);
            let Some(close) = close.filter(|_| rest.as_bytes()[open] == b'{') else {
                return Err("the path has a brace without its counterpart".to_owned());
            };
            let raw = &rest[open + 1..close];
            parsed.push_str(&rest[..open]);
            rest = &rest[close + 1..];
            if raw.starts_with(['?', '&']) {
                names.changes.push(QUERY_NOT_MATCHED);
                continue;
            }
            spans_segments = rest.is_empty() && (raw.starts_with(['+', '/']) || raw.ends_with('*'));
            parsed.push_str(&format!("{{{}}}", names.claim(raw)));
        }
        parsed.push_str(rest);
        Ok(PathTemplate { path: parsed, query, spans_segments, changes: names.changes })
    }

    /// `UpstreamPathTemplate`: one, or two with a fixed query.
    pub fn client_paths(&self, prefix: &str) -> Vec<String> {
        let path = join(prefix, &self.path);
        match &self.query {
            None => vec![format!("{path}{}", self.end())],
            Some(query) => vec![format!("{path}?{query}"), format!("{path}?{query}&{QUERY_REST}")],
        }
    }

    /// `DownstreamPathTemplate`.
    pub fn backend_path(&self, base_path: &str) -> String {
        let end = if self.query.is_none() { self.end() } else { "" };
        format!("{}{end}", join(base_path, &self.path))
    }

    /// The slash that ends a parameter.
    fn end(&self) -> &'static str {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        if last.contains('{') && !self.spans_segments { "/" } else { "" }
    }
}

/// Prefix and path; a path `/` after a prefix keeps its slash.
fn join(prefix: &str, path: &str) -> String {
    format!("{prefix}{path}")
}

/// Path and query; a `?` within braces is part of a template.
fn split_query(text: &str) -> (&str, Option<String>) {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '?' if depth == 0 => {
                return (&text[..at], Some(text[at + 1..].to_owned()));
            }
            _ => {}
        }
    }
    (text, None)
}

struct PlaceholderNames<'q> {
    used: BTreeSet<String>,
    query_names: &'q BTreeSet<String>,
    changes: Vec<&'static str>,
}

impl PlaceholderNames<'_> {
    /// A valid name that is free in this path.
    fn claim(&mut self, raw: &str) -> String {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let bare = raw.trim_start_matches(['+', '/', ';', '.', '#']).trim_end_matches('*');
        let mut name: String = bare.chars().map(|c| if word(c) { c } else { '_' }).collect();
        if name.is_empty() {
            name = "parameter".to_owned();
        }
        if self.query_names.iter().any(|query| query.eq_ignore_ascii_case(&name)) {
            self.changes.push("path parameter renamed: a query parameter of the operation has its name");
            name = format!("path_{name}");
        }
        let numbered = (2_u32..).map(|n| format!("{name}_{n}"));
        let mut candidates = std::iter::once(name.clone()).chain(numbered);
        let free = candidates.find(|candidate| !self.used.contains(candidate)).unwrap_or_default();
        if free != name {
            self.changes.push("path parameter renamed: the path has its name twice");
        }
        self.used.insert(free.clone());
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(text: &str) -> Result<Vec<String>, String> {
        PathTemplate::parse(text, &BTreeSet::new()).map(|template| template.client_paths(""))
    }

    #[test]
    fn a_parameter_at_the_end_is_one_segment() {
        for (text, expected) in [
            ("/pets", "/pets"),
            ("/pets/", "/pets/"),
            ("/pets/{id}", "/pets/{id}/"),
            ("/a/{b}.json", "/a/{b}.json/"),
            ("/{x}{y}", "/{x}{y}/"),
            ("/files/{+path}", "/files/{path}"),
            ("/files/{path*}", "/files/{path}"),
            ("/a/{x}/b/{x}", "/a/{x}/b/{x_2}/"),
            ("/a/{user id}", "/a/{user_id}/"),
            ("/a/{}", "/a/{parameter}/"),
            ("/a/{id}{?page,size}", "/a/{id}/"),
            ("/#X-Amz-Target=Scan", "/"),
        ] {
            assert_eq!(client(text), Ok(vec![expected.to_owned()]), "{text}");
        }
    }

    #[test]
    fn a_fixed_query_is_matched_alone_and_with_more_parameters() {
        assert_eq!(
            client("/?Action=List"),
            Ok(vec!["/?Action=List".to_owned(), "/?Action=List&{other_parameters}".to_owned()])
        );
    }

    #[test]
    fn a_path_that_margay_cannot_match_has_a_reason() {
        for text in ["pets", "", "/a//b", "/a/{b", "/a/b}"] {
            assert!(client(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_parameter_is_not_named_like_a_query_parameter() {
        let query = BTreeSet::from(["ID".to_owned()]);
        let template = PathTemplate::parse("/pets/{id}", &query).unwrap();
        assert_eq!(template.backend_path("/v1"), "/v1/pets/{path_id}/");
    }

    proptest! {
        #[test]
        fn any_key_is_a_template_or_has_a_reason(text in "[/a-z{}?#*+.]{0,24}") {
            if let Ok(template) = PathTemplate::parse(&text, &BTreeSet::new()) {
                for path in template.client_paths("") {
                    prop_assert!(path.starts_with('/'), "{}", path);
                    prop_assert_eq!(path.matches('{').count(), path.matches('}').count());
                }
            }
        }
    }
}
