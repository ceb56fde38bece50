//! Cache keys: the resource, and the identity of the caller where the response depends on it.
//!
//! A key is a keyed 128-bit hash, as for rate limits: clients cannot produce collisions.

pub use crate::stages::key_hasher::Key;
use crate::{
    pipeline::{
        exchange::Exchange,
        head::{Head, KnownHeader},
        identity::Identity,
    },
    stages::{
        key_hasher::{DigestHasher, KeyHasher, PartHasher},
        partition_key::PartitionKeys,
    },
};
use smallvec::SmallVec;

/// What distinguishes requests for the same resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// Query parameters that are part of the key; `None`: the whole query.
    pub query: Option<Vec<Box<str>>>,
    pub headers: Vec<Box<str>>,
    pub claims: Vec<Box<str>>,
    /// All claims of the caller, except those that change with each token.
    pub identity: bool,
    /// Request fields from which backends build URLs (see `SUSPICIOUS_HEADERS`).
    pub per_identity: bool,
    /// `Authorization` of requests without an authenticated user: the backend may evaluate it.
    pub credentials: bool,
    /// Host and target exactly as the client sent them: Ocelot's key.
    pub ocelot_literal: bool,
}

/// Computes the keys of one route.
#[derive(Debug)]
pub struct CacheKeyBuilder {
    rules: KeyRules,
    /// For resources: the same on all routes.
    resource: KeyHasher,
    /// For everything else: different on each route.
    namespace: KeyHasher,
    /// The same for state that several gateways share.
    pub(super) shared_namespace: DigestHasher,
}

/// The key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputedKey {
    pub key: Key,
    /// The hash of the URL alone, for invalidation.
    pub resource: u64,
}

/// Claims that describe the token instead of the caller.
const TOKEN_CLAIMS: [&str; 5] = ["exp", "iat", "nbf", "jti", "auth_time"];

/// Fields from which backends build URLs or choose an action: not in the URL, but known from cache poisoning.
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
    /// Builders with the same name compute equal keys for equal requests.
    pub fn new(keys: &PartitionKeys, name: &str, rules: KeyRules) -> CacheKeyBuilder {
        let (mut namespace, mut shared_namespace) = (keys.hasher(), DigestHasher::default());
        namespace.add(name.as_bytes());
        shared_namespace.add(name.as_bytes());
        CacheKeyBuilder { rules, resource: keys.hasher(), namespace, shared_namespace }
    }

    /// The key of a request, computed with this method.
    pub fn compute(&self, exchange: &Exchange, method: &[u8], body: Option<&[u8]>) -> ComputedKey {
        let resource = self.resource(exchange).finish();
        let mut digest = self.namespace.clone();
        resource.0.iter().for_each(|half| digest.add(&half.to_ne_bytes()));
        self.add_request(exchange, method, body, &mut digest);
        ComputedKey { key: digest.finish(), resource: resource.0[0] }
    }

    pub(super) fn add_request(
        &self,
        exchange: &Exchange,
        method: &[u8],
        body: Option<&[u8]>,
        digest: &mut impl PartHasher,
    ) {
        digest.add(method);
        for name in &self.rules.headers {
            exchange.request.get_all(name.as_bytes()).for_each(|line| digest.add(line));
            digest.write_absent();
        }
        self.add_identity(exchange, digest);
        if self.rules.per_identity {
            add_suspicious_headers(&exchange.request, digest);
        }
        if self.rules.credentials && exchange.client.user.is_none() {
            exchange.request.get_all(b"authorization").for_each(|line| digest.add(line));
            digest.write_absent();
        }
        if let Some(body) = body {
            digest.add(body);
        }
    }

    fn resource(&self, exchange: &Exchange) -> KeyHasher {
        let mut digest = self.resource.clone();
        self.add_resource(exchange, &mut digest);
        digest
    }

    pub(super) fn add_resource(&self, exchange: &Exchange, digest: &mut impl PartHasher) {
        digest.add(if exchange.client.is_tls { b"https" } else { b"http" });
        let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
        if self.rules.ocelot_literal {
            digest.add(host);
            digest.add(exchange.request.original_target());
        } else {
            digest.add(&normalized_host(host, exchange.client.is_tls));
            let (path, query) = routed_target(exchange);
            digest.add(path);
            add_query(query, self.rules.query.as_deref(), digest);
        }
    }

    fn add_identity(&self, exchange: &Exchange, digest: &mut impl PartHasher) {
        let Some(user) = exchange.client.user.as_deref() else { return digest.write_absent() };
        for name in &self.rules.claims {
            user.claim_values(name).for_each(|value| digest.add(value.as_bytes()));
            digest.write_absent();
        }
        if self.rules.identity {
            add_claims(user, digest);
        }
    }
}

/// Path and query as the router matched them.
fn routed_target(exchange: &Exchange) -> (&[u8], &[u8]) {
    let target = exchange.request.routed_target();
    target.split_at(exchange.routing.path_len.min(target.len()))
}

/// The host in lowercase, without the default port of the scheme.
fn normalized_host(host: &[u8], secure: bool) -> SmallVec<[u8; 64]> {
    let default_port: &[u8] = if secure { b":443" } else { b":80" };
    host.strip_suffix(default_port).unwrap_or(host).iter().map(u8::to_ascii_lowercase).collect()
}

/// Adds the whole query, or the named parameters in the order of the query.
fn add_query(query: &[u8], names: Option<&[Box<str>]>, digest: &mut impl PartHasher) {
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

fn add_claims(user: &Identity, digest: &mut impl PartHasher) {
    digest.add(user.scheme.as_bytes());
    for claim in user.claims().iter().filter(|claim| !TOKEN_CLAIMS.contains(&&*claim.name)) {
        digest.add(claim.name.as_bytes());
        digest.add(claim.value.as_bytes());
    }
}

fn add_suspicious_headers(request: &Head, digest: &mut impl PartHasher) {
    for (which, name, value) in request.fields() {
        let is_relevant = match which {
            KnownHeader::XForwardedHost | KnownHeader::XForwardedProto | KnownHeader::Forwarded => true,
            KnownHeader::Other | KnownHeader::ProxyProvided => is_suspicious(name),
            _ => false,
        };
        if is_relevant {
            digest.add(&name.iter().map(u8::to_ascii_lowercase).collect::<SmallVec<[u8; 32]>>());
            digest.add(value);
        }
    }
}

fn is_suspicious(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F'))
        && SUSPICIOUS_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The URL: scheme, host, path and query.
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
    /// The resource hash of a `Location` on the same host; `None` for another host.
    pub fn location_key(&self, exchange: &Exchange, location: &[u8]) -> Option<u64> {
        let mut digest = self.resource.clone();
        self.add_location(exchange, location, &mut digest)?;
        Some(digest.finish().0[0])
    }

    pub(super) fn add_location(
        &self,
        exchange: &Exchange,
        location: &[u8],
        digest: &mut impl PartHasher,
    ) -> Option<()> {
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
            None => resolve_relative(routed_target(exchange).0, location),
        };
        let end = absolute.iter().position(|b| *b == b'?').unwrap_or(absolute.len());
        digest.add(if exchange.client.is_tls { b"https" } else { b"http" });
        digest.add(&host);
        digest.add(if end == 0 { b"/" } else { &absolute[..end] });
        add_query(&absolute[end..], self.rules.query.as_deref(), digest);
        Some(())
    }

    /// Whether `location` is the URL of the request.
    pub fn is_same_resource(&self, exchange: &Exchange, location: &[u8]) -> bool {
        self.location_key(exchange, location) == Some(self.resource(exchange).finish().0[0])
    }
}

/// Resolves a relative reference (RFC 3986 5.2, without `..`: no stored resource has such a path).
fn resolve_relative(path: &[u8], reference: &[u8]) -> Vec<u8> {
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

    fn request(target: &str, fields: &[(&str, &str)]) -> Exchange {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut exchange = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        exchange.request = Head::request(b"GET", target.as_bytes());
        exchange.routing.path_len = target.find('?').unwrap_or(target.len());
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        exchange
    }

    fn equal_keys(rules: &KeyRules, one: &Exchange, two: &Exchange) -> bool {
        let key_builder = CacheKeyBuilder::new(&PartitionKeys::default(), "route", rules.clone());
        key_builder.compute(one, b"GET", None) == key_builder.compute(two, b"GET", None)
    }

    #[test]
    fn host_path_and_query_are_part_of_the_key() {
        let rules = KeyRules::default();
        let one = request("/a?x=1", &[("Host", "H.test:80")]);
        for (target, host, equal) in [
            ("/a?x=1", "h.test", true),
            ("/a?x=1", "h.test:8080", false),
            ("/A?x=1", "h.test", false),
            ("/a?x=2", "h.test", false),
            ("/a", "h.test", false),
        ] {
            assert_eq!(
                equal_keys(&rules, &one, &request(target, &[("Host", host)])),
                equal,
                "{target} {host}"
            );
        }
    }

    #[test]
    fn only_named_parameters_are_part_of_the_key() {
        let rules = KeyRules { query: Some(vec!["page".into()]), ..KeyRules::default() };
        let one = request("/a?utm=1&page=2", &[]);
        assert!(equal_keys(&rules, &one, &request("/a?page=2&utm=7", &[])));
        assert!(!equal_keys(&rules, &one, &request("/a?page=3", &[])));
        assert!(!equal_keys(&rules, &one, &request("/a?%70age=2", &[])));
    }

    #[test]
    fn callers_have_separate_keys_independent_of_token_times() {
        let with = |claims: &[(&str, &str)]| {
            let mut exchange = request("/a", &[]);
            let mut user = Identity::new("jwt".into());
            claims.iter().for_each(|(name, value)| user.add(name, value));
            exchange.client.user = Some(Arc::new(user));
            exchange
        };
        let all = KeyRules { identity: true, ..KeyRules::default() };
        let a = with(&[("sub", "a"), ("role", "r"), ("exp", "1")]);
        assert!(equal_keys(&all, &a, &with(&[("sub", "a"), ("role", "r"), ("exp", "2")])));
        assert!(!equal_keys(&all, &a, &with(&[("sub", "b"), ("role", "r")])));
        assert!(!equal_keys(&all, &a, &with(&[("sub", "a"), ("role", "s")])));
        assert!(!equal_keys(&all, &a, &request("/a", &[])));
        let role = KeyRules { claims: vec!["role".into()], ..KeyRules::default() };
        assert!(equal_keys(&role, &a, &with(&[("sub", "b"), ("role", "r")])));
        assert!(!equal_keys(&role, &a, &with(&[("sub", "a"), ("role", "s")])));
    }

    #[test]
    fn suspicious_fields_change_the_key() {
        let rules = KeyRules { per_identity: true, credentials: true, ..KeyRules::default() };
        let plain = request("/a", &[]);
        for name in
            ["X-Forwarded-Host", "X-Original-URL", "Forwarded", "X-HTTP-Method-Override", "Authorization"]
        {
            assert!(!equal_keys(&rules, &plain, &request("/a", &[(name, "evil")])), "{name}");
        }
        assert!(equal_keys(
            &rules,
            &plain,
            &request("/a", &[("X-Other", "1"), ("X-Forwarded-For", "1.2.3.4")])
        ));
    }

    #[test]
    fn a_location_on_the_same_host_has_a_resource_hash() {
        let key_builder = CacheKeyBuilder::new(&PartitionKeys::default(), "route", KeyRules::default());
        let at = |target| request(target, &[("Host", "h.test")]);
        let resource = |target| key_builder.compute(&at(target), b"GET", None).resource;
        let post = at("/a/b?x=1");
        for (location, target) in [
            ("c", "/a/c"),
            ("/d?y=2", "/d?y=2"),
            ("http://H.test:80/e", "/e"),
            ("http://h.test", "/"),
            ("?z", "/a/b?z"),
            ("/f#part", "/f"),
        ] {
            assert_eq!(
                key_builder.location_key(&post, location.as_bytes()),
                Some(resource(target)),
                "{location}"
            );
        }
        for location in ["http://other.test/e", "//other.test/e", "https://h.test/e"] {
            assert_eq!(key_builder.location_key(&post, location.as_bytes()), None, "{location}");
        }
        assert!(
            key_builder.is_same_resource(&post, b"/a/b?x=1") && !key_builder.is_same_resource(&post, b"/a/b")
        );
    }
}
