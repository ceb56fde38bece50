//! Under which key an answer is kept: what was asked for, and by whom where that matters.
//!
//! Keys are 128 bits of keyed hashes, as for limits: nobody outside can make two requests meet under one key.

pub use crate::stages::partition_key::Key;
use crate::{
    pipeline::{
        exchange::Exchange,
        head::{Head, KnownHeader},
        identity::Identity,
    },
    stages::partition_key::{KeyHasher, PartitionKeys},
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
    pub per_identity: bool,
    /// Credentials that nobody looked at here: the service may.
    pub credentials: bool,
    /// What the client literally sent counts: Ocelot's key.
    pub ocelot_literal: bool,
}

/// Makes the keys of one route.
#[derive(Debug)]
pub struct CacheKeyBuilder {
    rules: KeyRules,
    /// For addresses, the same on all routes.
    resource: KeyHasher,
    /// For everything else, another one on each route.
    namespace: KeyHasher,
}

/// What a request is found under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputedKey {
    pub key: Key,
    /// The hash of the address alone.
    pub resource: u64,
}

/// Claims that say when and for how long a token was made, and nothing about its bearer.
const EXCLUDED_HEADERS: [&str; 5] = ["exp", "iat", "nbf", "jti", "auth_time"];

/// Fields out of which services make addresses and choose what they do, though they are no part of the address.
const SUSPICIOUS_HEADERS: [&[u8]; 13] = [
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

impl CacheKeyBuilder {
    /// Equal names make equal keys for equal requests.
    pub fn new(keys: &PartitionKeys, name: &str, rules: KeyRules) -> CacheKeyBuilder {
        let mut namespace = keys.digest();
        namespace.add(name.as_bytes());
        CacheKeyBuilder { rules, resource: keys.digest(), namespace }
    }

    /// The key of a request that is answered like one with this method.
    pub fn compute(&self, exchange: &Exchange, method: &[u8], body: Option<&[u8]>) -> ComputedKey {
        let address = self.resource(exchange).finish();
        let mut digest = self.namespace.clone();
        address.0.iter().for_each(|half| digest.add(&half.to_ne_bytes()));
        digest.add(method);
        for name in &self.rules.headers {
            exchange.request.get_all(name.as_bytes()).for_each(|line| digest.add(line));
            digest.write_absent();
        }
        self.add_identity(exchange, &mut digest);
        if self.rules.per_identity {
            suspicious_headers(&exchange.request, &mut digest);
        }
        if self.rules.credentials && exchange.client.user.is_none() {
            exchange.request.get_all(b"authorization").for_each(|line| digest.add(line));
            digest.write_absent();
        }
        if let Some(body) = body {
            digest.add(body);
        }
        ComputedKey { key: digest.finish(), resource: address.0[0] }
    }

    fn resource(&self, exchange: &Exchange) -> KeyHasher {
        let mut digest = self.resource.clone();
        digest.add(if exchange.client.is_tls { b"https" } else { b"http" });
        let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
        if self.rules.ocelot_literal {
            digest.add(host);
            digest.add(exchange.request.original_target());
        } else {
            digest.add(&normalized_host(host, exchange.client.is_tls));
            let (path, query) = routed_target(exchange);
            digest.add(path);
            add_query(query, self.rules.query.as_deref(), &mut digest);
        }
        digest
    }

    fn add_identity(&self, exchange: &Exchange, digest: &mut KeyHasher) {
        let Some(user) = exchange.client.user.as_deref() else { return digest.write_absent() };
        for name in &self.rules.claims {
            user.claim_values(name).for_each(|value| digest.add(value.as_bytes()));
            digest.write_absent();
        }
        if self.rules.identity {
            all_of(user, digest);
        }
    }
}

/// Path and query as they were matched.
fn routed_target(exchange: &Exchange) -> (&[u8], &[u8]) {
    let target = exchange.request.routed_target();
    target.split_at(exchange.routing.path_len.min(target.len()))
}

/// The host in small letters, without the port that goes without saying.
fn normalized_host(host: &[u8], secure: bool) -> SmallVec<[u8; 64]> {
    let usual: &[u8] = if secure { b":443" } else { b":80" };
    host.strip_suffix(usual).unwrap_or(host).iter().map(u8::to_ascii_lowercase).collect()
}

/// The whole query, or those parameters of it, in the order of the query.
fn add_query(query: &[u8], names: Option<&[Box<str>]>, digest: &mut KeyHasher) {
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

fn all_of(user: &Identity, digest: &mut KeyHasher) {
    digest.add(user.scheme.as_bytes());
    for claim in user.claims().iter().filter(|claim| !EXCLUDED_HEADERS.contains(&&*claim.name)) {
        digest.add(claim.name.as_bytes());
        digest.add(claim.value.as_bytes());
    }
}

fn suspicious_headers(request: &Head, digest: &mut KeyHasher) {
    for (which, name, value) in request.fields() {
        let trick = match which {
            KnownHeader::XForwardedHost | KnownHeader::XForwardedProto | KnownHeader::Forwarded => true,
            KnownHeader::Other => is_suspicious(name),
            _ => false,
        };
        if trick {
            digest.add(&name.iter().map(u8::to_ascii_lowercase).collect::<SmallVec<[u8; 32]>>());
            digest.add(value);
        }
    }
}

fn is_suspicious(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F'))
        && SUSPICIOUS_HEADERS.iter().any(|trick| name.eq_ignore_ascii_case(trick))
}

/// The address as a text: scheme, host, path and query.
pub fn url(exchange: &Exchange) -> Box<[u8]> {
    let (path, query) = routed_target(exchange);
    let host = normalized_host(
        exchange.request.get_known(KnownHeader::Host).unwrap_or_default(),
        exchange.client.is_tls,
    );
    let scheme: &[u8] = if exchange.client.is_tls { b"https://" } else { b"http://" };
    [scheme, &host, path, query].concat().into()
}

impl CacheKeyBuilder {
    /// The hash of another address on the same host, as a `Location` names it; none: it is on another host, or none.
    pub fn location_key(&self, exchange: &Exchange, location: &[u8]) -> Option<u64> {
        let host = normalized_host(
            exchange.request.get_known(KnownHeader::Host).unwrap_or_default(),
            exchange.client.is_tls,
        );
        let scheme: &[u8] = if exchange.client.is_tls { b"https://" } else { b"http://" };
        let location = location.split(|b| *b == b'#').next().unwrap_or_default();
        let absolute = match location.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)) {
            Some(_) => {
                let rest = &location[scheme.len()..];
                let end = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
                (normalized_host(&rest[..end], exchange.client.is_tls) == host)
                    .then(|| rest[end..].to_vec())?
            }
            None if location.windows(3).any(|part| part == b"://") || location.starts_with(b"//") => {
                return None;
            }
            None => relative(routed_target(exchange).0, location),
        };
        let end = absolute.iter().position(|b| *b == b'?').unwrap_or(absolute.len());
        let mut digest = self.resource.clone();
        digest.add(if exchange.client.is_tls { b"https" } else { b"http" });
        digest.add(&host);
        digest.add(if end == 0 { b"/" } else { &absolute[..end] });
        add_query(&absolute[end..], self.rules.query.as_deref(), &mut digest);
        Some(digest.finish().0[0])
    }

    /// Whether that is the address of the request itself.
    pub fn is_same_resource(&self, exchange: &Exchange, location: &[u8]) -> bool {
        self.location_key(exchange, location) == Some(self.resource(exchange).finish().0[0])
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
        x.request = Head::request(b"GET", target.as_bytes());
        x.routing.path_len = target.find('?').unwrap_or(target.len());
        fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
        x
    }

    fn same(rules: &KeyRules, one: &Exchange, two: &Exchange) -> bool {
        let keyer = CacheKeyBuilder::new(&PartitionKeys::default(), "route", rules.clone());
        keyer.compute(one, b"GET", None) == keyer.compute(two, b"GET", None)
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
            x.client.user = Some(Arc::new(user));
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
        let rules = KeyRules { per_identity: true, credentials: true, ..KeyRules::default() };
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
        let keyer = CacheKeyBuilder::new(&PartitionKeys::default(), "route", KeyRules::default());
        let at = |target| exchange(target, &[("Host", "h.test")]);
        let address = |target| keyer.compute(&at(target), b"GET", None).resource;
        let post = at("/a/b?x=1");
        for (location, target) in [
            ("c", "/a/c"),
            ("/d?y=2", "/d?y=2"),
            ("http://H.test:80/e", "/e"),
            ("http://h.test", "/"),
            ("?z", "/a/b?z"),
            ("/f#part", "/f"),
        ] {
            assert_eq!(keyer.location_key(&post, location.as_bytes()), Some(address(target)), "{location}");
        }
        for location in ["http://other.test/e", "//other.test/e", "https://h.test/e"] {
            assert_eq!(keyer.location_key(&post, location.as_bytes()), None, "{location}");
        }
        assert!(keyer.is_same_resource(&post, b"/a/b?x=1") && !keyer.is_same_resource(&post, b"/a/b"));
    }
}
