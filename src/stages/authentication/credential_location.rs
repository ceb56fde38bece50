//! Where credentials stand in a request, and taking them out of it.

use super::settings::CredentialLocations;
use crate::pipeline::{cookies::cookie_value, exchange::Exchange};
use memchr::memmem;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'x> {
    None,
    /// Something that may be credentials.
    Value(&'x [u8]),
    /// The same field twice: who reads which one is anybody's guess.
    Ambiguous,
}

impl CredentialLocations {
    /// The credentials: in the header, else in the query, else in the cookie. `scheme` must stand before those in
    /// `Authorization` (RFC 9110 11.4) and may stand before those in another header.
    pub fn find<'x>(&self, exchange: &'x Exchange, scheme: &str) -> Credential<'x> {
        let own = |name: &[u8]| name.eq_ignore_ascii_case(self.header.as_bytes());
        let mut lines = exchange.request.fields().filter(|(_, name, _)| own(name)).map(|(_, _, line)| line);
        if let Some(line) = lines.next() {
            if lines.next().is_some() {
                return Credential::Ambiguous;
            }
            let bare = !self.header.eq_ignore_ascii_case("authorization");
            match after_scheme(line, scheme).or_else(|| bare.then_some(line)) {
                Some(text) if !text.is_empty() => return Credential::Value(text),
                _ => {}
            }
        }
        let query = self.query.as_ref().and_then(|name| in_query(exchange, name));
        match query.or_else(|| self.cookie.as_ref().and_then(|name| cookie_value(&exchange.request, name))) {
            Some(text) if !text.is_empty() => Credential::Value(text),
            _ => Credential::None,
        }
    }
}

/// What follows the name of the scheme and blanks.
fn after_scheme<'l>(line: &'l [u8], scheme: &str) -> Option<&'l [u8]> {
    let (name, rest) = line.split_at_checked(scheme.len())?;
    let named = name.eq_ignore_ascii_case(scheme.as_bytes()) && rest.first().is_none_or(|b| *b == b' ');
    named.then(|| rest.trim_ascii())
}

/// The value of a query parameter, as it stands there; tokens and keys need no escapes.
fn in_query<'x>(exchange: &'x Exchange, name: &str) -> Option<&'x [u8]> {
    let query = exchange.request.target().get(exchange.routing.path_len + 1..)?;
    query.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Takes a parameter out of the query, so that neither services nor anybody's log gets to see it.
pub fn strip(exchange: &mut Exchange, name: &str) {
    while let Some((start, end)) = parameter(exchange, name) {
        let Exchange { request, routing, scratch, .. } = exchange;
        scratch.clear();
        scratch.extend_from_slice(&request.target()[..start]);
        scratch.extend_from_slice(&request.target()[end..]);
        request.set_target(scratch);
        routing.path_params.remove_range(start, end);
    }
}

/// Where a parameter stands, with one of the signs that separate it from the rest.
fn parameter(exchange: &Exchange, name: &str) -> Option<(usize, usize)> {
    let target = exchange.request.target();
    let query = target
        .get(exchange.routing.path_len + 1..)
        .filter(|query| memmem::find(query, name.as_bytes()).is_some())?;
    let mut start = exchange.routing.path_len + 1;
    for pair in query.split(|b| *b == b'&') {
        let end = start + pair.len();
        let named = pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'=');
        if named {
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

    fn places() -> CredentialLocations {
        CredentialLocations {
            header: "Authorization".into(),
            query: Some("access_token".into()),
            cookie: Some("session".into()),
        }
    }

    fn found(fields: &[(&str, &str)], target: &str) -> Option<String> {
        match places().find(&exchange(target, fields), "Bearer") {
            Credential::Value(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Credential::None => None,
            Credential::Ambiguous => Some("several".into()),
        }
    }

    #[test]
    fn the_header_comes_before_the_query_and_the_query_before_the_cookie() {
        let (bearer, cookie) = (("Authorization", "bearer  a.b.c "), ("Cookie", "x=y; session=\"k\""));
        assert_eq!(found(&[bearer, cookie], "/p?access_token=q").as_deref(), Some("a.b.c"));
        assert_eq!(found(&[cookie], "/p?a=b&access_token=q").as_deref(), Some("q"));
        assert_eq!(found(&[cookie], "/p?xaccess_token=q").as_deref(), Some("k"));
        assert_eq!(found(&[], "/p"), None);
    }

    #[test]
    fn another_scheme_is_nothing_and_the_header_twice_is_several() {
        for line in ["Basic YTpi", "Bearer", "Bearer ", "Bearerx y", ""] {
            assert_eq!(found(&[("Authorization", line)], "/"), None, "{line}");
        }
        let twice = [("Authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(found(&twice, "/").as_deref(), Some("several"));
    }

    #[test]
    fn another_header_may_hold_the_credentials_alone() {
        let places = CredentialLocations { header: "X-Token".into(), query: None, cookie: None };
        let x = exchange("/", &[("x-token", "abc")]);
        assert_eq!(places.find(&x, "Bearer"), Credential::Value(b"abc"));
        let x = exchange("/", &[("x-token", "Bearer abc")]);
        assert_eq!(places.find(&x, "Bearer"), Credential::Value(b"abc"));
    }

    #[test]
    fn a_stripped_parameter_leaves_no_trace_and_moves_the_values_behind_it() {
        for (before, after) in [
            ("/p?t=1", "/p"),
            ("/p?t=1&a=2", "/p?a=2"),
            ("/p?a=2&t=1", "/p?a=2"),
            ("/p?a=2&t=1&t&b=3", "/p?a=2&b=3"),
            ("/p?tt=1", "/p?tt=1"),
            ("/p", "/p"),
        ] {
            let mut x = exchange(before, &[]);
            strip(&mut x, "t");
            assert_eq!(x.request.target(), after.as_bytes(), "{before}");
        }
        let mut x = exchange("/p?t=1&a=2", &[]);
        x.routing.path_params.push_range(9, 10);
        strip(&mut x, "t");
        assert_eq!(
            x.routing.path_params.get(0, x.request.target()).map(|value| value.bytes),
            Some(&b"2"[..])
        );
    }
}
