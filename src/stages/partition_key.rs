//! `PartitionBy`: the parts of the key of a limit (client ID, IP address, claim, header; ASP.NET partitioned limiters,
//! nginx `limit_req_zone`).
//!
//! A key is 128 bits of two keyed hashes: clients cannot produce collisions, and every counter takes the same memory.

use super::feature::CompileContext;
pub use super::key_hasher::{Digest, Key};
use super::key_hasher::{DigestHasher, KeyHasher, PartHasher};
use crate::{
    base::client_prefix::ClientPrefix,
    config::{Span, Spanned, codes},
    pipeline::exchange::Exchange,
};
use std::{hash::RandomState, net::IpAddr};

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The header with the client ID; a request without it has no key.
    ClientId(Box<str>),
    /// The address of the client; the first 64 bits of an IPv6 address, because a subscriber gets a /64.
    Ip,
    /// The first claim of that type; callers without it share a key.
    Claim(Box<str>),
    /// All values of that header; requests without it share a key.
    Header(Box<str>),
    /// The route.
    Route,
}

impl KeyPart {
    /// Parses `IP`, `Route`, `ClientId`, `Claim:type`, `Header:name`; keywords are case-insensitive.
    pub fn parse(text: &str, client_id_header: &str) -> Option<KeyPart> {
        let text = text.trim();
        let named = |prefix: &str| {
            let (keyword, name) = text.split_once(':')?;
            let name = name.trim();
            (keyword.trim_end().eq_ignore_ascii_case(prefix) && !name.is_empty()).then(|| Box::from(name))
        };
        match text.to_ascii_lowercase().as_str() {
            "ip" => Some(KeyPart::Ip),
            "route" => Some(KeyPart::Route),
            "clientid" => Some(KeyPart::ClientId(client_id_header.into())),
            _ => named("claim").map(KeyPart::Claim).or_else(|| named("header").map(KeyPart::Header)),
        }
    }

    /// The form in a document.
    pub fn text(&self) -> String {
        match self {
            KeyPart::ClientId(_) => "ClientId".into(),
            KeyPart::Ip => "IP".into(),
            KeyPart::Claim(name) => format!("Claim:{name}"),
            KeyPart::Header(name) => format!("Header:{name}"),
            KeyPart::Route => "Route".into(),
        }
    }

    /// Whether it is known only after authentication.
    pub fn is_claim(&self) -> bool {
        matches!(self, KeyPart::Claim(_))
    }
}

/// The parts, for descriptions.
pub fn format_list(parts: &[KeyPart]) -> String {
    parts.iter().map(KeyPart::text).collect::<Vec<_>>().join(", ")
}

/// The random seeds of keys, for the life of the process.
#[derive(Debug, Default)]
pub struct PartitionKeys([RandomState; 2]);

impl PartitionKeys {
    /// A builder for the keys of one limit; equal names and parts give equal keys.
    pub fn builder(&self, name: &str, parts: &[KeyPart]) -> KeyBuilder {
        let mut seed = self.hasher();
        seed.add(name.as_bytes());
        let parts = parts.iter().filter(|part| **part != KeyPart::Route).cloned().collect();
        KeyBuilder { seed, name: name.into(), parts }
    }

    /// An empty hasher.
    pub(super) fn hasher(&self) -> KeyHasher {
        KeyHasher::new(&self.0)
    }
}

/// Computes the keys of one limit.
#[derive(Debug)]
pub struct KeyBuilder {
    seed: KeyHasher,
    name: Box<str>,
    parts: Box<[KeyPart]>,
}

impl KeyBuilder {
    /// Whether all requests have the same key.
    pub fn is_single(&self) -> bool {
        self.parts.is_empty()
    }

    /// The key of a request; `None` without a required client ID.
    pub fn key(&self, exchange: &Exchange) -> Option<Key> {
        let mut hasher = self.seed.clone();
        self.add_parts(&mut hasher, exchange)?;
        Some(hasher.finish())
    }

    /// The key of a request for a store that several processes share: a part of its SHA-256.
    pub fn digest(&self, exchange: &Exchange) -> Option<Digest> {
        let mut hasher = self.digest_seed();
        self.add_parts(&mut hasher, exchange)?;
        Some(hasher.finish())
    }

    /// The same for the values of the parts, as [`KeyBuilder::key_of_values`].
    pub fn digest_of_values(&self, values: &[&str]) -> Option<Digest> {
        let mut hasher = self.digest_seed();
        self.add_values(&mut hasher, values)?;
        Some(hasher.finish())
    }

    fn digest_seed(&self) -> DigestHasher {
        let mut hasher = DigestHasher::default();
        hasher.add(self.name.as_bytes());
        hasher
    }

    fn add_parts(&self, hasher: &mut impl PartHasher, exchange: &Exchange) -> Option<()> {
        for part in &self.parts {
            match part {
                KeyPart::ClientId(header) => hasher.add(client_id(exchange, header)?),
                KeyPart::Ip => add_address(hasher, exchange.client.ip),
                KeyPart::Claim(name) => {
                    match exchange.client.user.as_ref().and_then(|user| user.claim_value(name)) {
                        Some(value) => hasher.add(value.as_bytes()),
                        None => hasher.write_absent(),
                    }
                }
                KeyPart::Header(name) => {
                    exchange.request.get_all(name.as_bytes()).for_each(|line| hasher.add(line));
                    hasher.write_absent();
                }
                KeyPart::Route => {}
            }
        }
        Some(())
    }
}

impl KeyBuilder {
    /// The key of requests with these values, one for each part; `None` if there is another number, or an invalid address.
    pub fn key_of_values(&self, values: &[&str]) -> Option<Key> {
        let mut hasher = self.seed.clone();
        self.add_values(&mut hasher, values)?;
        Some(hasher.finish())
    }

    fn add_values(&self, hasher: &mut impl PartHasher, values: &[&str]) -> Option<()> {
        if values.len() != self.parts.len() {
            return None;
        }
        for (part, value) in self.parts.iter().zip(values) {
            match part {
                KeyPart::Ip => add_address(hasher, value.parse().ok()?),
                KeyPart::ClientId(_) | KeyPart::Claim(_) => hasher.add(value.as_bytes()),
                KeyPart::Header(_) => {
                    hasher.add(value.as_bytes());
                    hasher.write_absent();
                }
                KeyPart::Route => {}
            }
        }
        Some(())
    }
}

/// The client ID in a request header.
pub fn client_id<'r>(exchange: &'r Exchange, header: &str) -> Option<&'r [u8]> {
    exchange.request.get(header.as_bytes()).filter(|id| !id.is_empty())
}

fn add_address(hasher: &mut impl PartHasher, address: IpAddr) {
    match ClientPrefix::from(address).address() {
        IpAddr::V4(v4) => hasher.add(&v4.octets()),
        IpAddr::V6(v6) => hasher.add(&v6.octets()[..8]),
    }
}

/// Compiles `PartitionBy`, reporting invalid entries.
pub fn compile_parts(
    list: &[Spanned<String>],
    client_id_header: Option<&str>,
    context: &mut CompileContext,
) -> Vec<KeyPart> {
    let mut parts = Vec::with_capacity(list.len());
    for text in list {
        let part = KeyPart::parse(text, client_id_header.unwrap_or_default());
        match part.filter(|part| client_id_header.is_some() || !matches!(part, KeyPart::ClientId(_))) {
            Some(part) if !parts.contains(&part) => {
                warn_anonymous_claims(&part, text.span, context);
                parts.push(part);
            }
            Some(_) => {}
            None => {
                let client_id = if client_id_header.is_some() { "ClientId, " } else { "" };
                let message = format!("unknown PartitionBy entry \"{}\"", text.value);
                context
                    .diagnostics
                    .error(codes::BAD_PARTITION, text.span, message)
                    .help(format!("expected {client_id}IP, Route, Claim:TYPE or Header:NAME"));
            }
        }
    }
    parts
}

/// Callers that do not authenticate have no claims: all of them share one count.
fn warn_anonymous_claims(part: &KeyPart, span: Span, context: &mut CompileContext) {
    if part.is_claim() && !context.route.is_authenticated {
        let message =
            "the count is partitioned by a claim, but callers do not authenticate: they share one count";
        context
            .diagnostics
            .warning(codes::CLAIMS_WITHOUT_AUTHENTICATION, span, message)
            .help("set the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }");
    }
}

/// The name of a limit's counters: with the route's key where routes are counted separately.
pub fn limit_name(parts: &[KeyPart], rule: &str, state_key: &str) -> String {
    let route = if parts.contains(&KeyPart::Route) { state_key } else { "" };
    format!("{rule}|{}|{route}", format_list(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{exchange::Peer, head::Head, identity::Identity};
    use std::{sync::Arc, time::Instant};

    fn exchange(from: &str, fields: &[(&str, &str)]) -> Exchange {
        let from = from.parse().expect("address");
        let mut exchange = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        exchange.request = Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        exchange
    }

    fn parts(texts: &[&str]) -> Vec<KeyPart> {
        texts.iter().map(|text| KeyPart::parse(text, "Oc-Client").expect(text)).collect()
    }

    #[test]
    fn parts_are_parsed_and_printed() {
        for text in ["ClientId", "IP", "Claim:sub", "Header:X-Key", "Route"] {
            assert_eq!(KeyPart::parse(text, "Oc-Client").map(|part| part.text()).as_deref(), Some(text));
        }
        assert_eq!(
            KeyPart::parse("claim:http://x/y", "").map(|p| p.text()).as_deref(),
            Some("Claim:http://x/y")
        );
        for text in ["", "Claim", "Claim:", "Query:x", "IPs"] {
            assert_eq!(KeyPart::parse(text, "Oc-Client"), None, "{text}");
        }
    }

    #[test]
    fn only_the_parts_distinguish_requests() {
        let keys = PartitionKeys::default();
        let builder = |texts: &[&str]| keys.builder("rule", &parts(texts));
        let one = exchange("10.0.0.1:1", &[("Oc-Client", "a"), ("X", "1")]);
        let two = exchange("10.0.0.1:2", &[("oc-client", "a"), ("X", "2")]);
        let mut three = exchange("10.0.0.2:1", &[("Oc-Client", "b"), ("X", "1")]);
        let mut user = Identity::new("jwt".into());
        user.add("sub", "s");
        three.client.user = Some(Arc::new(user));
        for (texts, same_two, same_three) in [
            (&["ClientId"][..], true, false),
            (&["IP"], true, false),
            (&["Header:x"], false, true),
            (&["Claim:sub"], true, false),
            (&["Claim:role"], true, true),
            (&["Route"], true, true),
            (&["ClientId", "Header:X"], false, false),
        ] {
            let key_builder = builder(texts);
            let key = key_builder.key(&one);
            assert_eq!(
                (key_builder.key(&two) == key, key_builder.key(&three) == key),
                (same_two, same_three),
                "{texts:?}"
            );
        }
        assert_ne!(keys.builder("other", &[]).key(&one), keys.builder("rule", &[]).key(&one));
    }

    #[test]
    fn values_have_the_key_of_the_requests_with_them() {
        let keys = PartitionKeys::default();
        let mut one = exchange("10.0.0.1:1", &[("Oc-Client", "a"), ("X", "1")]);
        let mut user = Identity::new("jwt".into());
        user.add("sub", "s");
        one.client.user = Some(Arc::new(user));
        for (texts, values) in [
            (&["ClientId"][..], &["a"][..]),
            (&["IP", "Route"], &["10.0.0.1"]),
            (&["Header:X", "Claim:sub"], &["1", "s"]),
            (&[], &[]),
        ] {
            let builder = keys.builder("rule", &parts(texts));
            assert_eq!(builder.key_of_values(values), builder.key(&one), "{texts:?}");
        }
        let builder = keys.builder("rule", &parts(&["IP"]));
        assert_eq!([builder.key_of_values(&["host"]), builder.key_of_values(&[])], [None, None]);
    }

    #[test]
    fn a_request_without_a_required_client_id_has_no_key() {
        let key_builder = PartitionKeys::default().builder("rule", &parts(&["ClientId"]));
        assert_eq!(key_builder.key(&exchange("10.0.0.1:1", &[])), None);
        assert_eq!(key_builder.key(&exchange("10.0.0.1:1", &[("Oc-Client", "")])), None);
    }

    #[test]
    fn an_ipv6_prefix_of_64_bits_is_one_client() {
        let key_builder = PartitionKeys::default().builder("rule", &[KeyPart::Ip]);
        let key = |from| key_builder.key(&exchange(from, &[]));
        assert_eq!(key("[2001:db8:1:2::1]:1"), key("[2001:db8:1:2:ffff::]:9"));
        assert_ne!(key("[2001:db8:1:2::1]:1"), key("[2001:db8:1:3::1]:1"));
        assert_eq!(key("[::ffff:10.0.0.1]:1"), key("10.0.0.1:1"));
    }
}
