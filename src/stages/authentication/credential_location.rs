//! Finds credentials in a request, and removes them from its query.

use crate::pipeline::{cookies::cookie_value, exchange::Exchange};
use memchr::memmem;

/// Where credentials are in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CredentialLocations {
    pub header: String,
    pub query: Option<String>,
    /// Whether the query parameter is sent to the backend.
    pub keeps_query: bool,
    pub cookie: Option<String>,
}

/// The credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<T> {
    None,
    /// Unverified credentials.
    Value(T),
    /// The same field twice: recipients may read different ones.
    Ambiguous,
}

impl CredentialLocations {
    /// The query parameter that is removed before the request is sent to the backend.
    pub fn removed_parameter(&self) -> Option<&str> {
        self.query.as_deref().filter(|_| !self.keeps_query)
    }

    /// The credentials: from the header, else the query, else the cookie. `scheme` is a required prefix in
    /// `Authorization` (RFC 9110 11.4) and an optional one in other headers.
    pub fn find<'r>(&self, exchange: &'r Exchange, scheme: &str) -> Credential<&'r [u8]> {
        match self.find_in_header(exchange, scheme) {
            Credential::None => self.find_elsewhere(exchange).map_or(Credential::None, Credential::Value),
            found => found,
        }
    }

    /// The credentials in the header.
    pub fn find_in_header<'r>(&self, exchange: &'r Exchange, scheme: &str) -> Credential<&'r [u8]> {
        let is_header = |name: &[u8]| name.eq_ignore_ascii_case(self.header.as_bytes());
        let mut lines =
            exchange.request.fields().filter(|(_, name, _)| is_header(name)).map(|(_, _, line)| line);
        if let Some(line) = lines.next() {
            if lines.next().is_some() {
                return Credential::Ambiguous;
            }
            let may_be_bare = !self.header.eq_ignore_ascii_case("authorization");
            match after_scheme(line, scheme).or_else(|| may_be_bare.then_some(line)) {
                Some(text) if !text.is_empty() => return Credential::Value(text),
                _ => {}
            }
        }
        Credential::None
    }

    /// The credentials in the query, else in the cookie.
    pub fn find_elsewhere<'r>(&self, exchange: &'r Exchange) -> Option<&'r [u8]> {
        let query = self.query.as_ref().and_then(|name| query_value(exchange, name));
        let found =
            query.or_else(|| self.cookie.as_ref().and_then(|name| cookie_value(&exchange.request, name)));
        found.filter(|text| !text.is_empty())
    }
}

/// The credentials after the name of the scheme and spaces.
fn after_scheme<'l>(line: &'l [u8], scheme: &str) -> Option<&'l [u8]> {
    let (name, rest) = line.split_at_checked(scheme.len())?;
    let has_scheme = name.eq_ignore_ascii_case(scheme.as_bytes()) && rest.first().is_none_or(|b| *b == b' ');
    has_scheme.then(|| rest.trim_ascii())
}

/// The raw value of a query parameter; tokens and keys need no escapes.
fn query_value<'r>(exchange: &'r Exchange, name: &str) -> Option<&'r [u8]> {
    let query = exchange.request.target().get(exchange.routing.path_len + 1..)?;
    query.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Removes a parameter from the query, so that neither backends nor logs get it.
pub fn strip(exchange: &mut Exchange, name: &str) {
    while let Some((start, end)) = parameter_range(exchange, name) {
        let Exchange { request, routing, scratch, .. } = exchange;
        scratch.clear();
        scratch.extend_from_slice(&request.target()[..start]);
        scratch.extend_from_slice(&request.target()[end..]);
        request.set_target(scratch);
        routing.path_params.remove_range(start, end);
    }
}

/// The range of a parameter, with one of its delimiters.
fn parameter_range(exchange: &Exchange, name: &str) -> Option<(usize, usize)> {
    let target = exchange.request.target();
    let query = target
        .get(exchange.routing.path_len + 1..)
        .filter(|query| memmem::find(query, name.as_bytes()).is_some())?;
    let mut start = exchange.routing.path_len + 1;
    for pair in query.split(|b| *b == b'&') {
        let end = start + pair.len();
        let matches =
            pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'=');
        if matches {
            let first = start == exchange.routing.path_len + 1;
            return match end == target.len() {
                true => Some((start - 1, end)),
                false if first => Some((start, end + 1)),
                false => Some((start - 1, end)),
            };
        }
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::exchange;
    use super::*;

    fn locations() -> CredentialLocations {
        CredentialLocations {
            header: "Authorization".into(),
            query: Some("access_token".into()),
            keeps_query: false,
            cookie: Some("session".into()),
        }
    }

    fn credential(fields: &[(&str, &str)], target: &str) -> Option<String> {
        match locations().find(&exchange(target, fields), "Bearer") {
            Credential::Value(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Credential::None => None,
            Credential::Ambiguous => Some("ambiguous".into()),
        }
    }

    #[test]
    fn header_query_and_cookie_are_read_in_this_order() {
        let (bearer, cookie) = (("Authorization", "bearer  a.b.c "), ("Cookie", "x=y; session=\"k\""));
        assert_eq!(credential(&[bearer, cookie], "/p?access_token=q").as_deref(), Some("a.b.c"));
        assert_eq!(credential(&[cookie], "/p?a=b&access_token=q").as_deref(), Some("q"));
        assert_eq!(credential(&[cookie], "/p?xaccess_token=q").as_deref(), Some("k"));
        assert_eq!(credential(&[], "/p"), None);
    }

    #[test]
    fn another_scheme_is_ignored_and_a_duplicate_header_is_ambiguous() {
        for line in ["Basic YTpi", "Bearer", "Bearer ", "Bearerx y", ""] {
            assert_eq!(credential(&[("Authorization", line)], "/"), None, "{line}");
        }
        let duplicate = [("Authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(credential(&duplicate, "/").as_deref(), Some("ambiguous"));
    }

    #[test]
    fn another_header_may_have_credentials_without_a_scheme() {
        let locations = CredentialLocations { header: "X-Token".into(), ..CredentialLocations::default() };
        let bare = exchange("/", &[("x-token", "abc")]);
        assert_eq!(locations.find(&bare, "Bearer"), Credential::Value(&b"abc"[..]));
        let exchange = exchange("/", &[("x-token", "Bearer abc")]);
        assert_eq!(locations.find(&exchange, "Bearer"), Credential::Value(&b"abc"[..]));
    }

    #[test]
    fn a_removed_parameter_moves_the_values_after_it() {
        for (before, after) in [
            ("/p?t=1", "/p"),
            ("/p?t=1&a=2", "/p?a=2"),
            ("/p?a=2&t=1", "/p?a=2"),
            ("/p?a=2&t=1&t&b=3", "/p?a=2&b=3"),
            ("/p?tt=1", "/p?tt=1"),
            ("/p", "/p"),
        ] {
            let mut exchange = exchange(before, &[]);
            strip(&mut exchange, "t");
            assert_eq!(exchange.request.target(), after.as_bytes(), "{before}");
        }
        let mut exchange = exchange("/p?t=1&a=2", &[]);
        exchange.routing.path_params.push_range(9, 10);
        strip(&mut exchange, "t");
        assert_eq!(
            exchange.routing.path_params.get(0, exchange.request.target()).map(|value| value.bytes),
            Some(&b"2"[..])
        );
    }
}
