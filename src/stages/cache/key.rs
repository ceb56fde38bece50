//! Under which key an answer is kept: what was asked for, and by whom where that matters.
//!
//! Keys are 128 bits of keyed hashes, as for limits: nobody outside can make two requests meet under one key.

pub use crate::stages::partition::Key;
use crate::{
    pipeline::{
        exchange::Exchange,
        head::{Head, Known},
        identity::Identity,
    },
    stages::partition::{Digest, Keys},
};
use smallvec::SmallVec;

/// What makes two requests different, beside what they ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// Parameters of the query that count; none: the whole query.
    pub query: Option<Vec<Box<str>>>,
    pub headers: Vec<Box<str>>,
    pub claims: Vec<Box<str>>,
    /// All that is known of the caller, but for what changes with every token.
    pub identity: bool,
    /// Fields by which services make addresses.
    pub careful: bool,
    /// Credentials that nobody looked at here: the service may.
    pub credentials: bool,
    /// What the client literally sent counts: Ocelot's key.
    pub literal: bool,
}

/// Makes the keys of one route.
#[derive(Debug)]
pub struct CacheKeyer {
    rules: KeyRules,
    /// For addresses, the same on all routes.
    address: Digest,
    /// For everything else, another one on each route.
    space: Digest,
}

/// What a request is found under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub key: Key,
    /// The hash of the address alone.
    pub address: u64,
}

/// Claims that say when and for how long a token was made, and nothing about its bearer.
const PASSING: [&str; 5] = ["exp", "iat", "nbf", "jti", "auth_time"];

/// Fields out of which services make addresses and choose what they do, though they are no part of the address.
const TRICKS: [&[u8]; 13] = [
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-host",
    b"x-original-host",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-http-method-override",
    b"x-http-method",
    b"x-method-override",
    b"front-end-https",
];

impl CacheKeyer {
    /// Equal names make equal keys for equal requests.
    pub fn new(keys: &Keys, name: &str, rules: KeyRules) -> CacheKeyer {
        let mut space = keys.digest();
        space.add(name.as_bytes());
        CacheKeyer { rules, address: keys.digest(), space }
    }

    /// The key of a request that is answered like one with this method.
    pub fn find(&self, x: &Exchange, method: &[u8], body: Option<&[u8]>) -> Found {
        let address = self.address(x).finish();
        let mut digest = self.space.clone();
        address.0.iter().for_each(|half| digest.add(&half.to_ne_bytes()));
        digest.add(method);
        for name in &self.rules.headers {
            x.req.all(name.as_bytes()).for_each(|line| digest.add(line));
            digest.add_nothing();
        }
        self.who(x, &mut digest);
        if self.rules.careful {
            tricks(&x.req, &mut digest);
        }
        if self.rules.credentials && x.user.is_none() {
            x.req.all(b"authorization").for_each(|line| digest.add(line));
            digest.add_nothing();
        }
        if let Some(body) = body {
            digest.add(body);
        }
        Found { key: digest.finish(), address: address.0[0] }
    }

    fn address(&self, x: &Exchange) -> Digest {
        let mut digest = self.address.clone();
        digest.add(if x.secure { b"https" } else { b"http" });
        let host = x.req.known(Known::Host).unwrap_or_default();
        if self.rules.literal {
            digest.add(host);
            digest.add(x.req.asked());
        } else {
            digest.add(&plain_host(host, x.secure));
            let (path, query) = target(x);
            digest.add(path);
            add_query(query, self.rules.query.as_deref(), &mut digest);
        }
        digest
    }

    fn who(&self, x: &Exchange, digest: &mut Digest) {
        let Some(user) = x.user.as_deref() else { return digest.add_nothing() };
        for name in &self.rules.claims {
            user.all(name).for_each(|value| digest.add(value.as_bytes()));
            digest.add_nothing();
        }
        if self.rules.identity {
            all_of(user, digest);
        }
    }
}

/// Path and query as they were matched.
fn target(x: &Exchange) -> (&[u8], &[u8]) {
    let target = x.req.matched();
    target.split_at(x.path_len.min(target.len()))
}

/// The host in small letters, without the port that goes without saying.
fn plain_host(host: &[u8], secure: bool) -> SmallVec<[u8; 64]> {
    let usual: &[u8] = if secure { b":443" } else { b":80" };
    host.strip_suffix(usual).unwrap_or(host).iter().map(u8::to_ascii_lowercase).collect()
}

/// The whole query, or those parameters of it, in the order of the query.
fn add_query(query: &[u8], names: Option<&[Box<str>]>, digest: &mut Digest) {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let Some(names) = names else { return digest.add(query) };
    for part in query.split(|b| *b == b'&') {
        let name = part.split(|b| *b == b'=').next().unwrap_or_default();
        let name = crate::base::percent::percent_decoded(name, true);
        if names.iter().any(|known| known.as_bytes() == &*name) {
            digest.add(part);
        }
    }
}

fn all_of(user: &Identity, digest: &mut Digest) {
    digest.add(user.scheme.as_bytes());
    for claim in user.claims().iter().filter(|claim| !PASSING.contains(&&*claim.name)) {
        digest.add(claim.name.as_bytes());
        digest.add(claim.value.as_bytes());
    }
}

fn tricks(request: &Head, digest: &mut Digest) {
    for (which, name, value) in request.fields() {
        let trick = match which {
            Known::XForwardedHost | Known::XForwardedProto | Known::Forwarded => true,
            Known::Other => is_trick(name),
            _ => false,
        };
        if trick {
            digest.add(&name.iter().map(u8::to_ascii_lowercase).collect::<SmallVec<[u8; 32]>>());
            digest.add(value);
        }
    }
}

fn is_trick(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F'))
        && TRICKS.iter().any(|trick| name.eq_ignore_ascii_case(trick))
}

/// The address as a text: scheme, host, path and query.
pub fn url(x: &Exchange) -> Box<[u8]> {
    let (path, query) = target(x);
    let host = plain_host(x.req.known(Known::Host).unwrap_or_default(), x.secure);
    let scheme: &[u8] = if x.secure { b"https://" } else { b"http://" };
    [scheme, &host, path, query].concat().into()
}

impl CacheKeyer {
    /// The hash of another address on the same host, as a `Location` names it; none: it is on another host, or none.
    pub fn elsewhere(&self, x: &Exchange, location: &[u8]) -> Option<u64> {
        let host = plain_host(x.req.known(Known::Host).unwrap_or_default(), x.secure);
        let scheme: &[u8] = if x.secure { b"https://" } else { b"http://" };
        let location = location.split(|b| *b == b'#').next().unwrap_or_default();
        let absolute = match location.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)) {
            Some(_) => {
                let rest = &location[scheme.len()..];
                let end = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
                (plain_host(&rest[..end], x.secure) == host).then(|| rest[end..].to_vec())?
            }
            None if location.windows(3).any(|part| part == b"://") || location.starts_with(b"//") => {
                return None;
            }
            None => relative(target(x).0, location),
        };
        let end = absolute.iter().position(|b| *b == b'?').unwrap_or(absolute.len());
        let mut digest = self.address.clone();
        digest.add(if x.secure { b"https" } else { b"http" });
        digest.add(&host);
        digest.add(if end == 0 { b"/" } else { &absolute[..end] });
        add_query(&absolute[end..], self.rules.query.as_deref(), &mut digest);
        Some(digest.finish().0[0])
    }

    /// Whether that is the address of the request itself.
    pub fn is_itself(&self, x: &Exchange, location: &[u8]) -> bool {
        self.elsewhere(x, location) == Some(self.address(x).finish().0[0])
    }
}

/// A reference beside that path (RFC 3986 5.2, without `..`: such ones name nothing that is known here).
fn relative(path: &[u8], reference: &[u8]) -> Vec<u8> {
    match reference.first() {
        None => path.to_vec(),
        Some(b'/') => reference.to_vec(),
        Some(b'?') => [path, reference].concat(),
        Some(_) => {
            let end = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
            [&path[..end], reference].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::{sync::Arc, time::Instant};

    fn exchange(target: &str, fields: &[(&str, &str)]) -> Exchange {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut x = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        x.req = Head::request(b"GET", target.as_bytes());
        x.path_len = target.find('?').unwrap_or(target.len());
        fields.iter().for_each(|(name, value)| x.req.append(name.as_bytes(), value.as_bytes()));
        x
    }

    fn same(rules: &KeyRules, one: &Exchange, two: &Exchange) -> bool {
        let keyer = CacheKeyer::new(&Keys::default(), "route", rules.clone());
        keyer.find(one, b"GET", None) == keyer.find(two, b"GET", None)
    }

    #[test]
    fn hosts_paths_and_queries_make_keys() {
        let rules = KeyRules::default();
        let one = exchange("/a?x=1", &[("Host", "H.test:80")]);
        for (target, host, equal) in [
            ("/a?x=1", "h.test", true),
            ("/a?x=1", "h.test:8080", false),
            ("/A?x=1", "h.test", false),
            ("/a?x=2", "h.test", false),
            ("/a", "h.test", false),
        ] {
            assert_eq!(same(&rules, &one, &exchange(target, &[("Host", host)])), equal, "{target} {host}");
        }
    }

    #[test]
    fn only_chosen_parameters_count_where_some_are_chosen() {
        let rules = KeyRules { query: Some(vec!["page".into()]), ..KeyRules::default() };
        let one = exchange("/a?utm=1&page=2", &[]);
        assert!(same(&rules, &one, &exchange("/a?page=2&utm=7", &[])));
        assert!(!same(&rules, &one, &exchange("/a?page=3", &[])));
        assert!(!same(&rules, &one, &exchange("/a?%70age=2", &[])));
    }

    #[test]
    fn callers_have_keys_of_their_own_whatever_their_tokens_say_about_time() {
        let with = |claims: &[(&str, &str)]| {
            let mut x = exchange("/a", &[]);
            let mut user = Identity::new("jwt".into());
            claims.iter().for_each(|(name, value)| user.add(name, value));
            x.user = Some(Arc::new(user));
            x
        };
        let all = KeyRules { identity: true, ..KeyRules::default() };
        let a = with(&[("sub", "a"), ("role", "r"), ("exp", "1")]);
        assert!(same(&all, &a, &with(&[("sub", "a"), ("role", "r"), ("exp", "2")])));
        assert!(!same(&all, &a, &with(&[("sub", "b"), ("role", "r")])));
        assert!(!same(&all, &a, &with(&[("sub", "a"), ("role", "s")])));
        assert!(!same(&all, &a, &exchange("/a", &[])));
        let role = KeyRules { claims: vec!["role".into()], ..KeyRules::default() };
        assert!(same(&role, &a, &with(&[("sub", "b"), ("role", "r")])));
        assert!(!same(&role, &a, &with(&[("sub", "a"), ("role", "s")])));
    }

    #[test]
    fn fields_that_make_addresses_never_meet_under_one_key() {
        let rules = KeyRules { careful: true, credentials: true, ..KeyRules::default() };
        let plain = exchange("/a", &[]);
        for name in
            ["X-Forwarded-Host", "X-Original-URL", "Forwarded", "X-HTTP-Method-Override", "Authorization"]
        {
            assert!(!same(&rules, &plain, &exchange("/a", &[(name, "evil")])), "{name}");
        }
        assert!(same(&rules, &plain, &exchange("/a", &[("X-Other", "1"), ("X-Forwarded-For", "1.2.3.4")])));
    }

    #[test]
    fn a_location_on_the_same_host_is_found_and_others_are_not() {
        let keyer = CacheKeyer::new(&Keys::default(), "route", KeyRules::default());
        let at = |target| exchange(target, &[("Host", "h.test")]);
        let address = |target| keyer.find(&at(target), b"GET", None).address;
        let post = at("/a/b?x=1");
        for (location, target) in [
            ("c", "/a/c"),
            ("/d?y=2", "/d?y=2"),
            ("http://H.test:80/e", "/e"),
            ("http://h.test", "/"),
            ("?z", "/a/b?z"),
            ("/f#part", "/f"),
        ] {
            assert_eq!(keyer.elsewhere(&post, location.as_bytes()), Some(address(target)), "{location}");
        }
        for location in ["http://other.test/e", "//other.test/e", "https://h.test/e"] {
            assert_eq!(keyer.elsewhere(&post, location.as_bytes()), None, "{location}");
        }
        assert!(keyer.is_itself(&post, b"/a/b?x=1") && !keyer.is_itself(&post, b"/a/b"));
    }
}
