//! The request target of the request to the backend: `DownstreamPathTemplate` with its values, and the query
//! (docs/ocelot-behavior.md, section 7).

use super::escape::{PATH, QUERY, contains, decoded, push_as_spelled, push_encoded, push_escaped};
use super::passthrough::{parameter_names, push_query};
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
    path: Box<[UrlPart]>,
    /// The part after the first `?`; `None` without one.
    query: Option<Box<[UrlPart]>>,
    /// Ocelot: the placeholder names of the route; parameters of these names are not forwarded.
    names: Box<[Box<str>]>,
    /// The parameters that the templates of the route name: those of the request are not forwarded.
    parameters: Box<[Box<[u8]>]>,
    /// Ocelot rebuilds the query, removes slashes at the end of path and query, and keeps a `+` of a path value in a query,
    /// where it is a space. In margay's own mode path values and queries are forwarded byte for byte.
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
            names: if rules.ocelot_value_extraction { names.into() } else { Box::default() },
            parameters: parameter_names(template).map(|name| name.as_bytes().into()).collect(),
            ocelot: rules.ocelot_value_extraction,
        }
    }

    /// The same for a route whose `UpstreamPathTemplate` names parameters as well.
    pub fn with_client_template(mut self, template: &str) -> UrlTemplate {
        let more = parameter_names(template).map(|name| Box::from(name.as_bytes()));
        self.parameters = std::mem::take(&mut self.parameters).into_iter().chain(more).collect();
        self
    }

    /// The path after its first segment, which names the service, and the query as received.
    pub fn after_first_segment(rules: &RoutingRules) -> UrlTemplate {
        UrlTemplate {
            path: [UrlPart::Remainder].into(),
            query: None,
            names: Box::default(),
            parameters: Box::default(),
            ocelot: rules.ocelot_value_extraction,
        }
    }

    /// A prefix before the path, and the query as received: placeholders of the path are not parameters.
    pub fn with_prefix(
        prefix: &str,
        template: &str,
        names: &[Box<str>],
        rules: &RoutingRules,
    ) -> UrlTemplate {
        let whole = UrlTemplate::compile(&format!("/{prefix}{template}"), names, rules);
        UrlTemplate { names: Box::default(), ..whole }
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
        if !self.ocelot {
            return self.finish(values, target, query, start, buffer);
        }
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
        if no_slash {
            trim_slashes(0, &mut own);
        }
        match query.split_first() {
            None => push_raw(&own, buffer),
            Some((_, raw)) => push_merged_query(&own, raw, &self.names, buffer),
        }
        Ok(())
    }

    /// The rest of the URL in margay's own mode: slashes stay as the template has them, and so does the query.
    fn finish(
        &self,
        values: &PathParams,
        target: &Target<'_>,
        query: &[u8],
        start: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), EmptyPath> {
        if buffer.len() == start && self.query.is_none() && !matches!(self.path[..], [UrlPart::Remainder]) {
            return Err(EmptyPath);
        }
        normalize_path_tail(false, start, buffer);
        let mut own = Vec::new();
        if let Some(parts) = &self.query {
            self.push_query(parts, values, target, &mut own);
        }
        push_query(&own, query, &self.parameters, buffer);
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
                UrlPart::Remainder if self.ocelot => {
                    buffer.extend_from_slice(after_first_segment(target.path()));
                }
                UrlPart::Remainder => {
                    buffer.extend_from_slice(after_first_segment(target.spelled().unwrap_or(target.path())));
                }
                UrlPart::Placeholder { index, name, unknown } => {
                    match value(values, *index, name, target.text()) {
                        None => buffer.extend_from_slice(unknown),
                        Some(Param { bytes, at: Some(at) }) if at + bytes.len() <= target.path_len() => {
                            let spelled =
                                if self.ocelot { bytes } else { target.spelled_range(at, at + bytes.len()) };
                            buffer.extend_from_slice(spelled);
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
                        Some(Param { bytes, at: Some(at) }) if at >= target.path_len() => match self.ocelot {
                            true => push_escaped(bytes, QUERY, buffer),
                            false => push_as_spelled(bytes, buffer),
                        },
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
fn parts(text: &str, names: &[Box<str>], class: u8) -> Box<[UrlPart]> {
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
    parts.into()
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
#[path = "url_tests.rs"]
mod tests;
