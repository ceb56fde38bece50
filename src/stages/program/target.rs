//! Where the request goes: the URL of the service, the path of the operation, and the query.

use crate::base::percent::{percent_decoded, percent_encoded};
use std::sync::Arc;

/// The URL of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceUrl {
    pub is_https: bool,
    pub host: String,
    pub port: u16,
    /// Without a slash at its end.
    pub base: String,
    /// Without `?`.
    pub query: String,
}

impl ServiceUrl {
    /// An absolute http(s) URL.
    pub fn parse(text: &str) -> Option<ServiceUrl> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(if is_https { 443 } else { 80 });
        let is_plain = |text: &str| text.bytes().all(|b| b > b' ' && b != 0x7f);
        if !is_plain(path) || !is_plain(query) {
            return None;
        }
        Some(ServiceUrl {
            is_https,
            host: host.to_owned(),
            port,
            base: path.trim_end_matches('/').to_owned(),
            query: query.to_owned(),
        })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Scheme, host and port, as the key of connections.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme(), self.host, self.port)
    }

    /// The host with its port, unless that is the usual one.
    pub fn authority(&self) -> String {
        match (self.is_https, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// The URL without its query.
    pub fn text(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.base)
    }

    /// The URL with its query.
    pub fn with_query(&self) -> String {
        if self.query.is_empty() { self.text() } else { format!("{}?{}", self.text(), self.query) }
    }
}

/// Host and port; no user, no empty host.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.is_empty() || authority.contains(['@', ' ', '\\']) {
        return None;
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (_, after) = rest.split_once(']')?;
        let host = authority.get(..authority.len() - after.len())?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => (!host.is_empty()).then_some((host, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

/// The target of the request to the service.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `None`: that of the route.
    pub url: Option<Arc<ServiceUrl>>,
    /// Behind the base path, as the client spelled it; empty or with a slash in front.
    pub path: String,
    /// Without `?`.
    pub query: String,
}

impl Target {
    /// The path of the request.
    pub fn full_path(&self) -> String {
        let base = self.url.as_ref().map_or("", |url| url.base.as_str());
        let path = format!("{base}{}", self.path);
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// The query of the request: that of the service first.
    pub fn full_query(&self) -> String {
        let base = self.url.as_ref().map_or("", |url| url.query.as_str());
        match (base.is_empty(), self.query.is_empty()) {
            (true, _) => self.query.clone(),
            (false, true) => base.to_owned(),
            (false, false) => format!("{base}&{}", self.query),
        }
    }

    /// Path and query.
    pub fn text(&self) -> String {
        let query = self.full_query();
        if query.is_empty() { self.full_path() } else { format!("{}?{query}", self.full_path()) }
    }
}

/// The URL that the client requested.
#[derive(Clone, Debug, Default)]
pub struct RequestUrl {
    pub is_https: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
    /// Without `?`.
    pub query: String,
}

/// The template of an operation.
#[derive(Clone, Debug, Default)]
pub struct OperationTemplate {
    segments: Vec<Vec<TemplatePart>>,
    /// The rest of the path, with its name.
    rest: Option<String>,
    query: Vec<(String, TemplatePart)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    /// In lower case.
    Literal(String),
    Value(String),
}

/// The values of a match: name and text as the client spelled it.
pub type Values = Vec<(String, String)>;

impl OperationTemplate {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<OperationTemplate, String> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut template = OperationTemplate::default();
        let trimmed = path.trim_start_matches('/');
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        let segments: Vec<&str> = trimmed.split('/').filter(|_| !trimmed.is_empty()).collect();
        for (at, segment) in segments.iter().enumerate() {
            let rest = match *segment {
                "*" => Some(String::new()),
                name => name.strip_prefix("{*").and_then(|name| name.strip_suffix('}')).map(str::to_owned),
            };
            match rest {
                Some(_) if at + 1 < segments.len() => return Err("`*` must be the last segment".to_owned()),
                Some(name) => template.rest = Some(name),
                None => template.segments.push(parse_segment(segment)?),
            }
        }
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
                Some(placeholder) => TemplatePart::Value(placeholder.to_owned()),
                None => TemplatePart::Literal(value.to_owned()),
            };
            template.query.push((name.to_owned(), value));
        }
        Ok(template)
    }

    /// Literal segments before placeholders before `*`, from left to right; then more query parameters.
    pub fn rank(&self) -> (Vec<u8>, std::cmp::Reverse<usize>) {
        let class = |parts: &Vec<TemplatePart>| {
            u8::from(parts.iter().any(|part| matches!(part, TemplatePart::Value(_))))
        };
        let mut path: Vec<u8> = self.segments.iter().map(class).collect();
        path.extend(self.rest.is_some().then_some(2));
        (path, std::cmp::Reverse(self.query.len()))
    }

    /// The names of its placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let parts = self.segments.iter().flatten().chain(self.query.iter().map(|(_, part)| part));
        let values = parts.filter_map(|part| match part {
            TemplatePart::Value(name) => Some(name.as_str()),
            TemplatePart::Literal(_) => None,
        });
        values.chain(self.rest.as_deref())
    }

    /// The query parameters that it names.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        self.query.iter().map(|(name, _)| name.as_str())
    }

    /// The values of a path behind the API's own and of a query.
    pub fn find(&self, segments: &[&str], query: &str) -> Option<Values> {
        let mut values = Values::new();
        let fits = match self.rest {
            Some(_) => segments.len() >= self.segments.len(),
            None => segments.len() == self.segments.len(),
        };
        if !fits {
            return None;
        }
        for (parts, segment) in self.segments.iter().zip(segments) {
            match_segment(parts, segment, &mut values)?;
        }
        if let Some(name) = &self.rest {
            let rest = segments[self.segments.len()..].join("/");
            values.push((if name.is_empty() { "*".to_owned() } else { name.clone() }, rest));
        }
        for (name, part) in &self.query {
            let value = query_value(query, name)?;
            match part {
                TemplatePart::Literal(literal) if *literal == decoded(value, true) || literal == value => {}
                TemplatePart::Literal(_) => return None,
                TemplatePart::Value(name) => values.push((name.clone(), value.replace('+', "%20"))),
            }
        }
        Some(values)
    }
}

/// The first value of a query parameter, encoded.
pub fn query_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(key, true) == name).then_some(value)
    })
}

/// Percent-decoded text.
pub fn decoded(text: &str, in_query: bool) -> String {
    String::from_utf8_lossy(&percent_decoded(text.as_bytes(), in_query)).into_owned()
}

fn parse_segment(segment: &str) -> Result<Vec<TemplatePart>, String> {
    let (mut parts, mut rest) = (Vec::new(), segment);
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or("a `{` is not closed")? + open;
        let name = &rest[open + 1..close];
        if name.is_empty() || name.contains('{') {
            return Err("a placeholder is a name in braces: {id}".to_owned());
        }
        if open > 0 {
            parts.push(TemplatePart::Literal(decoded(&rest[..open], false).to_lowercase()));
        } else if matches!(parts.last(), Some(TemplatePart::Value(_))) {
            return Err("two placeholders need a text between them".to_owned());
        }
        parts.push(TemplatePart::Value(name.to_owned()));
        rest = &rest[close + 1..];
    }
    if rest.contains('}') {
        return Err("a `}` has no `{`".to_owned());
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(TemplatePart::Literal(decoded(rest, false).to_lowercase()));
    }
    Ok(parts)
}

/// Matches one segment; a value ends where the next literal begins.
fn match_segment(parts: &[TemplatePart], segment: &str, values: &mut Values) -> Option<()> {
    if let [TemplatePart::Value(name)] = parts {
        values.push((name.clone(), segment.to_owned()));
        return (!segment.is_empty()).then_some(());
    }
    let text = decoded(segment, false);
    let lower = text.to_lowercase();
    if let [TemplatePart::Literal(literal)] = parts {
        return (*literal == lower).then_some(());
    }
    let mut at = 0;
    for (index, part) in parts.iter().enumerate() {
        match part {
            TemplatePart::Literal(literal) => {
                lower.get(at..)?.starts_with(literal.as_str()).then_some(())?;
                at += literal.len();
            }
            TemplatePart::Value(name) => {
                let end = match parts.get(index + 1) {
                    Some(TemplatePart::Literal(next)) if index + 2 == parts.len() => {
                        lower.len().checked_sub(next.len()).filter(|end| lower.get(*end..) == Some(next))?
                    }
                    Some(TemplatePart::Literal(next)) => at + lower.get(at..)?.find(next.as_str())?,
                    _ => lower.len(),
                };
                if end <= at {
                    return None;
                }
                values.push((name.clone(), percent_encoded(text.get(at..end)?)));
                at = end;
            }
        }
    }
    (at == lower.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(template: &str, path: &str, query: &str) -> Option<Values> {
        let segments: Vec<&str> = path.split('/').filter(|_| !path.is_empty()).collect();
        OperationTemplate::parse(template).unwrap().find(&segments, query)
    }

    #[test]
    fn templates_match_segments_parts_of_segments_rests_and_queries() {
        assert_eq!(
            find("/v{n}/a.{ext}", "v12/A.txt", "").unwrap(),
            [("n".into(), "12".into()), ("ext".into(), "txt".into())]
        );
        assert!(find("/v{n}", "v", "").is_none());
        assert!(find("/NEW/", "new", "").is_some());
        assert_eq!(find("/*", "", "").unwrap(), [("*".into(), String::new())]);
        assert_eq!(find("/a/{*rest}", "a/b/c", "").unwrap(), [("rest".into(), "b/c".into())]);
        assert!(find("/find?q={q}&kind=a", "find", "kind=a&q=x").is_some());
        assert!(find("/find?q={q}&kind=a", "find", "kind=b&q=x").is_none());
        assert!(OperationTemplate::parse("/{a").is_err());
    }

    #[test]
    fn literals_rank_before_placeholders_and_these_before_the_rest() {
        let mut templates = ["/*", "/{id}", "/{id}/items", "/new/{what}", "/new"];
        templates.sort_by_key(|text| OperationTemplate::parse(text).unwrap().rank());
        assert_eq!(templates, ["/new", "/new/{what}", "/{id}", "/{id}/items", "/*"]);
    }

    #[test]
    fn a_service_url_is_absolute_and_keeps_base_path_and_query() {
        let url = ServiceUrl::parse("http://h.example:81/alt/?k=1").unwrap();
        assert_eq!((url.base.as_str(), url.query.as_str(), url.port), ("/alt", "k=1", 81));
        let target = Target { url: Some(Arc::new(url)), path: "/7".into(), query: "v=2".into() };
        assert_eq!(target.text(), "/alt/7?k=1&v=2");
        for text in ["ftp://x", "/x", "http://", "http://u@h/", "http://h:x/"] {
            assert!(ServiceUrl::parse(text).is_none(), "{text}");
        }
    }
}
