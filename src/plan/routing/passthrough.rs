//! Queries in margay's own mode: what no template names is forwarded byte for byte.

use super::escape::push_as_spelled;
use crate::base::percent::percent_decoded;
use std::borrow::Cow;

/// The names of the parameters in the query of a template.
pub(super) fn parameter_names(template: &str) -> impl Iterator<Item = &str> {
    let query = template.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').filter_map(|parameter| parameter.split_once('=')).map(|(name, _)| name);
    names.filter(|name| !name.is_empty() && !name.contains(['{', '}']))
}

/// `DownstreamPathTemplate` without the placeholder for the rest of the query, which is forwarded anyway: `/b?x=1` for
/// `/b?x=1&{rest}` if `UpstreamPathTemplate` ends in `?{rest}` or `&{rest}`.
pub fn without_query_rest<'t>(backend: &'t str, client: &str) -> Cow<'t, str> {
    let Some((path, query)) = backend.split_once('?') else { return backend.into() };
    let mut placeholders = client.split_once('?').map_or("", |(_, query)| query).split('&').rev();
    let Some(rest) = placeholders.next().filter(|last| is_placeholder(last)) else { return backend.into() };
    if placeholders.any(is_placeholder) || !query.split('&').any(|parameter| parameter == rest) {
        return backend.into();
    }
    let kept: Vec<&str> = query.split('&').filter(|parameter| *parameter != rest).collect();
    match kept.is_empty() {
        true => path.into(),
        false => format!("{path}?{}", kept.join("&")).into(),
    }
}

fn is_placeholder(parameter: &str) -> bool {
    parameter.starts_with('{') && parameter.find('}') == Some(parameter.len() - 1)
}

/// Writes the query of the template, then the parameters of the request that no template names, as they are. `query` is that
/// of the request, with its `?`.
pub(super) fn push_query(own: &[u8], query: &[u8], named: &[Box<[u8]>], buffer: &mut Vec<u8>) {
    let Some((_, raw)) = query.split_first() else {
        if !own.is_empty() {
            buffer.push(b'?');
            buffer.extend_from_slice(own);
        }
        return;
    };
    buffer.push(b'?');
    buffer.extend_from_slice(own);
    let start = buffer.len();
    let is_named = |parameter: &[u8]| {
        let name = parameter.split(|b| *b == b'=').next().unwrap_or_default();
        let name = percent_decoded(name, true);
        named.iter().any(|known| **known == *name)
    };
    if named.is_empty() || !raw.split(|b| *b == b'&').any(is_named) {
        return push_separated(raw, own, buffer);
    }
    let mut is_first = own.is_empty();
    for parameter in raw.split(|b| *b == b'&').filter(|parameter| !is_named(parameter)) {
        if !std::mem::take(&mut is_first) {
            buffer.push(b'&');
        }
        push_as_spelled(parameter, buffer);
    }
    if buffer.len() == start && own.is_empty() {
        // Nothing is left.
        buffer.pop();
    }
}

/// Writes the query of the request behind that of the template.
fn push_separated(raw: &[u8], own: &[u8], buffer: &mut Vec<u8>) {
    if !own.is_empty() && !raw.is_empty() {
        buffer.push(b'&');
    }
    push_as_spelled(raw, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(own: &str, query: &str, templates: &[&str]) -> String {
        let named: Vec<Box<[u8]>> =
            templates.iter().flat_map(|t| parameter_names(t)).map(|n| n.as_bytes().into()).collect();
        let mut out = Vec::new();
        push_query(own.as_bytes(), query.as_bytes(), &named, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parameters_without_a_template_are_forwarded_byte_for_byte() {
        for query in ["", "?", "?a=1&a=2&b", "?e=&=v&&", "?f[n]=x|y&s=a/b+c==&t=%2b%zz", "?ID=1&id=2", "??&"]
        {
            assert_eq!(built("", query, &["/a/{id}"]), query);
        }
        assert_eq!(built("", "?q=é", &[]), "?q=%C3%A9", "no byte beyond ASCII");
        assert_eq!(built("u=7", "?id=1&&x", &["/b?u={id}"]), "?u=7&id=1&&x");
        assert_eq!(built("u=7", "", &["/b?u={id}"]), "?u=7");
        assert_eq!(built("u=7", "?", &["/b?u={id}"]), "?u=7");
    }

    #[test]
    fn the_placeholder_for_the_rest_of_the_query_is_removed() {
        for (client, backend, without) in [
            ("/a/{id}?{rest}", "/b/{id}?{rest}", "/b/{id}"),
            ("/a?x={x}&{rest}", "/b?y={x}&{rest}", "/b?y={x}"),
            ("/a?{rest}", "/b?{rest}&z=1", "/b?z=1"),
            ("/a?{p}&{q}", "/b?{q}&{p}", "/b?{q}&{p}"),
            ("/a/{id}", "/b?{id}", "/b?{id}"),
            ("/a?x={rest}", "/b?{rest}", "/b?{rest}"),
            ("/a?{rest}", "/b/{rest}", "/b/{rest}"),
        ] {
            assert_eq!(without_query_rest(backend, client), without, "{client} {backend}");
        }
    }

    #[test]
    fn parameters_that_a_template_names_are_those_of_the_template() {
        assert_eq!(built("u=7", "?x=1&%75=8&u&y", &["/b?u={id}"]), "?u=7&x=1&y");
        assert_eq!(built("", "?q=1", &["/a?q={q}"]), "");
        assert_eq!(built("", "?q=1&&x=+", &["/a?q={q}"]), "?&x=+");
        assert_eq!(built("", "?x=1", &["/a?{all}"]), "?x=1");
    }
}
