//! The request target of the request to the backend: `DownstreamPathTemplate` with its values, and the query
//! (docs/ocelot-behavior.md, section 7).

use super::escape::{PATH, QUERY, contains, decoded, push_encoded, push_escaped};
use super::path::{Target, remove_dot_segments};
use super::query::{push_merged_query, push_raw, push_reencoded_query};
use super::rules::RoutingRules;
use crate::base::path_params::{Param, PathParams};

/// A template and its values resulted in an empty path: a configuration error, responded to with 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of the backend request is empty")]
pub struct EmptyPath;

/// A compiled `DownstreamPathTemplate`.
#[derive(Clone, Debug)]
pub struct UrlTemplate {
    path: Vec<UrlPart>,
    /// The part after the first `?`; `None` without one.
    query: Option<Vec<UrlPart>>,
    /// The placeholder names of the route: parameters of these names are not forwarded.
    names: Vec<Box<str>>,
    /// Ocelot's exact behavior: a `+` of a path value remains a `+` in a query, where it means a space, and trailing
    /// slashes of the query are removed like those of the path.
    ocelot: bool,
}

#[derive(Clone, Debug)]
enum UrlPart {
    Text(Box<[u8]>),
    /// The path of the request without its first segment.
    Remainder,
    /// A placeholder: the index among the route's values, if the route has one of this name. `unknown` is sent when
    /// it has no value.
    Placeholder {
        index: Option<usize>,
        name: Box<str>,
        unknown: Box<[u8]>,
    },
}

impl UrlTemplate {
    /// Compiles a template; `names` are the names of the route's values ([`super::RouteTable::names`]).
    pub fn compile(template: &str, names: &[Box<str>], rules: &RoutingRules) -> UrlTemplate {
        let (path, query) = match template.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (template, None),
        };
        UrlTemplate {
            path: parts(path, names, PATH),
            query: query.map(|q| parts(q, names, QUERY)),
            names: names.to_vec(),
            ocelot: rules.ocelot_value_extraction,
        }
    }

    /// The path after its first segment, which names the service, and the query as received.
    pub fn after_first_segment(rules: &RoutingRules) -> UrlTemplate {
        let path = vec![UrlPart::Remainder];
        UrlTemplate { path, query: None, names: Vec::new(), ocelot: rules.ocelot_value_extraction }
    }

    /// A prefix before the path, and the query as received: placeholders of the path are not parameters.
    pub fn with_prefix(
        prefix: &str,
        template: &str,
        names: &[Box<str>],
        rules: &RoutingRules,
    ) -> UrlTemplate {
        let whole = UrlTemplate::compile(&format!("/{prefix}{template}"), names, rules);
        UrlTemplate { names: Vec::new(), ..whole }
    }

    /// The names of placeholders without a value of the route: they are sent literally, encoded, unless
    /// [`PathParams::set`] sets their value.
    pub fn unresolved_names(&self) -> impl Iterator<Item = &str> {
        self.path.iter().chain(self.query.iter().flatten()).filter_map(|part| match part {
            UrlPart::Placeholder { index: None, name, .. } => Some(&**name),
            _ => None,
        })
    }

    /// Appends path and query of the request to be sent to the buffer.
    pub fn build(
        &self,
        values: &PathParams,
        target: &Target<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), EmptyPath> {
        self.build_with(values, target, target.query(), buffer)
    }

    /// The same with another query, including its `?`, instead of the received one.
    pub fn build_with(
        &self,
        values: &PathParams,
        target: &Target<'_>,
        query: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), EmptyPath> {
        let start = buffer.len();
        self.push_path(values, target, buffer);
        let no_slash = !target.path().ends_with(b"/");
        let Some(parts) = &self.query else {
            if buffer.len() == start && !matches!(self.path[..], [UrlPart::Remainder]) {
                return Err(EmptyPath);
            }
            normalize_path_tail(no_slash, start, buffer);
            self.push_incoming(query, buffer);
            return Ok(());
        };
        normalize_path_tail(false, start, buffer);
        let mut own = Vec::new();
        self.push_query(parts, values, target, &mut own);
        if no_slash && self.ocelot {
            trim_slashes(0, &mut own);
        }
        match query.split_first() {
            None => push_raw(&own, buffer),
            Some((_, raw)) => push_merged_query(&own, raw, &self.names, buffer),
        }
        Ok(())
    }

    /// The received query, if the template has none.
    fn push_incoming(&self, query: &[u8], buffer: &mut Vec<u8>) {
        let raw = query.get(1..).unwrap_or_default();
        match self.names.is_empty() || raw.is_empty() {
            true => push_raw(raw, buffer),
            false => push_reencoded_query(raw, &self.names, buffer),
        }
    }

    fn push_path(&self, values: &PathParams, target: &Target<'_>, buffer: &mut Vec<u8>) {
        for part in &self.path {
            match part {
                UrlPart::Text(text) => buffer.extend_from_slice(text),
                UrlPart::Remainder => buffer.extend_from_slice(after_first_segment(target.path())),
                UrlPart::Placeholder { index, name, unknown } => {
                    match value(values, *index, name, target.text()) {
                        None => buffer.extend_from_slice(unknown),
                        Some(Param { bytes, at: Some(at) }) if at + bytes.len() <= target.path_len() => {
                            buffer.extend_from_slice(bytes);
                        }
                        Some(Param { bytes, .. }) => push_untrusted(bytes, buffer),
                    }
                }
            }
        }
    }

    fn push_query(&self, parts: &[UrlPart], values: &PathParams, target: &Target<'_>, buffer: &mut Vec<u8>) {
        for part in parts {
            match part {
                UrlPart::Text(text) => buffer.extend_from_slice(text),
                UrlPart::Remainder => {}
                UrlPart::Placeholder { index, name, unknown } => {
                    match value(values, *index, name, target.text()) {
                        None => buffer.extend_from_slice(unknown),
                        Some(Param { bytes, at: Some(at) }) if at >= target.path_len() => {
                            push_escaped(bytes, QUERY, buffer);
                        }
                        Some(Param { bytes, .. }) => self.push_as_parameter(bytes, buffer),
                    }
                }
            }
        }
    }

    /// A value that is not from a query: characters that would end or split a parameter are encoded.
    fn push_as_parameter(&self, bytes: &[u8], buffer: &mut Vec<u8>) {
        for (i, byte) in bytes.iter().enumerate() {
            let stays = match byte {
                b'&' => false,
                b'+' => self.ocelot,
                b'%' => decoded(&bytes[i..]).is_some(),
                b => contains(*b, QUERY),
            };
            match stays {
                true => buffer.push(*byte),
                false => push_encoded(*byte, buffer),
            }
        }
    }
}

/// `/service/rest` without `/service`.
fn after_first_segment(path: &[u8]) -> &[u8] {
    let second = path.get(1..).and_then(|rest| memchr::memchr(b'/', rest));
    second.map_or(&[], |at| &path[at + 1..])
}

fn value<'v>(values: &'v PathParams, index: Option<usize>, name: &str, text: &'v [u8]) -> Option<Param<'v>> {
    values.get_override(name).or_else(|| values.get(index?, text))
}

/// Splits template text at its placeholders; the text between them is encoded once.
fn parts(text: &str, names: &[Box<str>], class: u8) -> Vec<UrlPart> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|n| open + n) else { break };
        push_part(&rest[..open], class, &mut parts);
        let name = &rest[open + 1..close];
        let index = names.iter().position(|n| &**n == name);
        let unknown = escaped(&rest[open..=close], class);
        parts.push(UrlPart::Placeholder { index, name: name.into(), unknown });
        rest = &rest[close + 1..];
    }
    push_part(rest, class, &mut parts);
    parts
}

fn push_part(text: &str, class: u8, parts: &mut Vec<UrlPart>) {
    if !text.is_empty() {
        parts.push(UrlPart::Text(escaped(text, class)));
    }
}

fn escaped(text: &str, class: u8) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len());
    push_escaped(text.as_bytes(), class, &mut out);
    out.into_boxed_slice()
}

/// A value from a query, a header or an override, written into the path: encoded and without dot segments, so that it
/// cannot climb out of its segment.
fn push_untrusted(bytes: &[u8], buffer: &mut Vec<u8>) {
    let start = buffer.len();
    push_escaped(bytes, PATH, buffer);
    if has_dot_segment(b'/', &buffer[start..]) {
        let relative = buffer[start] != b'/';
        remove_dot_segments(buffer, start);
        if relative && buffer.get(start) == Some(&b'/') {
            buffer.remove(start);
        }
    }
}

/// Normalizes a path that begins at `start`: removes trailing slashes when the request had none, and dot segments;
/// the path is never empty.
fn normalize_path_tail(no_slash: bool, start: usize, buffer: &mut Vec<u8>) {
    if no_slash {
        trim_slashes(start, buffer);
    }
    if has_dot_segment(0, &buffer[start..]) {
        remove_dot_segments(buffer, start);
    }
    if buffer.get(start) != Some(&b'/') {
        buffer.insert(start, b'/');
    }
}

fn trim_slashes(start: usize, buffer: &mut Vec<u8>) {
    let len = buffer[start..].iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    buffer.truncate(start + len);
}

/// Whether a segment of `text` may be `.` or `..` in some spelling. `before` is the byte before the text.
fn has_dot_segment(before: u8, text: &[u8]) -> bool {
    let starts = |rest: &[u8]| matches!(rest, [b'.', ..] | [b'%', b'2', b'e' | b'E', ..]);
    before == b'/' && starts(text) || memchr::memchr_iter(b'/', text).any(|at| starts(&text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::routing::Template;

    /// Matches `url` with the template and builds.
    fn built(from: &str, to: &str, url: &str, rules: RoutingRules) -> String {
        let template = Template::compile(from, false, &rules).unwrap();
        let target = Target::normalize(url.as_bytes(), false).unwrap();
        template.matches(&target).expect("the template matches");
        let mut values = PathParams::new();
        template.extract(&target, &mut values);
        let mut out = Vec::new();
        UrlTemplate::compile(to, template.names(), &rules).build(&values, &target, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn ocelot(from: &str, to: &str, url: &str) -> String {
        built(from, to, url, RoutingRules::ocelot())
    }

    #[test]
    fn values_replace_their_placeholders() {
        assert_eq!(ocelot("/a/{x}/{y}", "/b/{y}/{x}/{x}", "/a/1/2/3"), "/b/2/3/1/1");
        assert_eq!(ocelot("/a/{x}", "/b/{y}", "/a/1"), "/b/%7By%7D");
        assert_eq!(ocelot("/a/{x}", "/b/{X}", "/a/1"), "/b/%7BX%7D");
        assert_eq!(ocelot("/a/{x}", "/b/{x}", "/a/x%20y%2Fz"), "/b/x%20y%2Fz");
    }

    #[test]
    fn a_trailing_slash_requires_a_trailing_slash_in_the_request() {
        assert_eq!(ocelot("/a/{x}", "/b/{x}/", "/a/1"), "/b/1");
        assert_eq!(ocelot("/a/{x}", "/b/{x}/", "/a/1/"), "/b/1//");
        assert_eq!(ocelot("/a", "/", "/a"), "/");
        assert_eq!(ocelot("/a/{x}", "/b/{x}", "/a"), "/b");
        assert_eq!(ocelot("/a/{x}", "/b/{x}/?f=1", "/a"), "/b//?f=1");
        assert_eq!(ocelot("/a?x={x}", "/b/?x={x}", "/a?x=1/"), "/b/?x=1");
        assert_eq!(built("/a?x={x}", "/b/?x={x}", "/a?x=1/", RoutingRules::default()), "/b/?x=1%2F");
    }

    #[test]
    fn the_query_depends_on_the_templates() {
        assert_eq!(ocelot("/a", "/b", "/a?flag&b=%2F&c=+"), "/b?flag&b=%2F&c=+");
        assert_eq!(ocelot("/a", "/b", "/a?"), "/b");
        assert_eq!(ocelot("/a/{x}", "/b/{x}", "/a/1?flag"), "/b/1?flag=");
        assert_eq!(ocelot("/c?{all}", "/d?{all}", "/c?x=1"), "/d?x=1");
        assert_eq!(ocelot("/c?{all}", "/d?{all}", "/c"), "/d");
        assert_eq!(ocelot("/a/{x}", "/b?y={x}&v=a:b", "/a/1"), "/b?y=1&v=a:b");
        assert_eq!(ocelot("/a/{x}", "/b?y={x}&v=a:b", "/a/1?"), "/b?y=1&v=a%3Ab");
    }

    #[test]
    fn values_cannot_climb_out_of_the_path_or_split_parameters() {
        assert_eq!(ocelot("/a?p={p}", "/b/{p}/c", "/a?p=../../admin"), "/b/admin/c");
        assert_eq!(ocelot("/a?p={p}", "/b/{p}", "/a?p=%2e%2e/x/.."), "/b");
        assert_eq!(ocelot("/a?p={p}", "/b/{p}", "/a?p=x?y%23"), "/b/x%3Fy%23");
        assert_eq!(ocelot("/{p}/a", "/b?p={p}&q=1", "/x&q=2/a"), "/b?p=x%26q=2&q=1");
        assert_eq!(ocelot("/x{p}", "/.{p}", "/x."), "/");
    }

    #[test]
    fn the_first_segment_is_the_service_and_the_remainder_is_the_path() {
        let rest = |url: &str| {
            let target = Target::normalize(url.as_bytes(), false).unwrap();
            let (template, mut out) =
                (UrlTemplate::after_first_segment(&RoutingRules::default()), Vec::new());
            template.build(&PathParams::new(), &target, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (url, sent) in [
            ("/product/a/b?c=d&c=+", "/a/b?c=d&c=+"),
            ("/product/", "/"),
            ("/product", "/"),
            ("/product?x", "/?x"),
            ("/product/a%2Fb/", "/a%2Fb/"),
            ("/product/../stock/x", "/x"),
        ] {
            assert_eq!(rest(url), sent, "{url}");
        }
    }

    #[test]
    fn service_fabric_paths_have_the_service_as_prefix_and_the_query_is_unchanged() {
        let rules = RoutingRules::ocelot();
        let template = Template::compile("/api/{version}/values", false, &rules).unwrap();
        let target = Target::normalize(b"/api/1.0/values?version=2&PartitionKey=+", false).unwrap();
        let mut values = PathParams::new();
        template.matches(&target).expect("the template matches");
        template.extract(&target, &mut values);
        let url = UrlTemplate::with_prefix("App_{version}/Api", "/values", template.names(), &rules);
        let mut out = Vec::new();
        url.build(&values, &target, &mut out).unwrap();
        assert_eq!(out, b"/App_1.0/Api/values?version=2&PartitionKey=+");
    }

    #[test]
    fn an_override_takes_precedence_and_resolves_unknown_names() {
        let template = UrlTemplate::compile("/b/{x}?n={n}", &["x".into()], &RoutingRules::default());
        assert_eq!(template.unresolved_names().collect::<Vec<_>>(), ["n"]);
        let target = Target::from_normalized(b"/a/1", 4);
        let mut values = PathParams::new();
        values.push_range(3, 4);
        values.set("x", b"2 3");
        values.set("n", b"a&b+c");
        let mut out = Vec::new();
        template.build(&values, &target, &mut out).unwrap();
        assert_eq!(out, b"/b/2%203?n=a%26b%2Bc");
    }

    #[test]
    fn an_empty_template_is_an_error() {
        let template = UrlTemplate::compile("", &[], &RoutingRules::default());
        let target = Target::from_normalized(b"/", 1);
        assert_eq!(template.build(&PathParams::new(), &target, &mut Vec::new()), Err(EmptyPath));
    }
}
