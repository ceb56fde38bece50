//! `PartitionBy`: what tells one count from another, and the key under which it is kept.
//!
//! A key is 128 bits of two keyed hashes: a stranger cannot make two keys meet, and a count takes the same memory
//! whatever the texts behind it.

use super::feature::CompileContext;
use crate::{
    config::{Span, Spanned, codes},
    pipeline::exchange::Exchange,
};
use std::{
    hash::{BuildHasher, DefaultHasher, Hasher, RandomState},
    net::IpAddr,
};

/// One thing by which requests are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The header that names the client; a request without it is nobody's.
    ClientId(Box<str>),
    /// The address of the client; of an IPv6 address the first 64 bits, for those are one subscriber's.
    Ip,
    /// The first claim of that type; all callers without it are one.
    Claim(Box<str>),
    /// All values of that header; all requests without it are one.
    Header(Box<str>),
    /// The route.
    Route,
}

impl KeyPart {
    /// Reads `IP`, `Route`, `ClientId`, `Claim:type`, `Header:name`, words without regard to case.
    pub fn parse(text: &str, client_id_header: &str) -> Option<KeyPart> {
        let text = text.trim();
        let named = |prefix: &str| {
            let (word, name) = text.split_once(':')?;
            let name = name.trim();
            (word.trim_end().eq_ignore_ascii_case(prefix) && !name.is_empty()).then(|| Box::from(name))
        };
        match text.to_ascii_lowercase().as_str() {
            "ip" => Some(KeyPart::Ip),
            "route" => Some(KeyPart::Route),
            "clientid" => Some(KeyPart::ClientId(client_id_header.into())),
            _ => named("claim").map(KeyPart::Claim).or_else(|| named("header").map(KeyPart::Header)),
        }
    }

    /// As it is written in a document.
    pub fn text(&self) -> String {
        match self {
            KeyPart::ClientId(_) => "ClientId".into(),
            KeyPart::Ip => "IP".into(),
            KeyPart::Claim(name) => format!("Claim:{name}"),
            KeyPart::Header(name) => format!("Header:{name}"),
            KeyPart::Route => "Route".into(),
        }
    }

    /// Whether it can be known only after authentication.
    pub fn is_claim(&self) -> bool {
        matches!(self, KeyPart::Claim(_))
    }
}

/// Parts as they are written, for people.
pub fn format_list(parts: &[KeyPart]) -> String {
    parts.iter().map(KeyPart::text).collect::<Vec<_>>().join(", ")
}

/// Under which a count is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u64; 2]);

/// What makes keys for the life of the process; nobody outside can foresee them.
#[derive(Debug, Default)]
pub struct PartitionKeys([RandomState; 2]);

impl PartitionKeys {
    /// Makes the keys of one limit; equal names (and parts) give equal keys.
    pub fn of(&self, name: &str, parts: &[KeyPart]) -> KeyBuilder {
        let mut seed = self.digest();
        seed.add(name.as_bytes());
        KeyBuilder { seed, parts: parts.iter().filter(|part| **part != KeyPart::Route).cloned().collect() }
    }

    /// The beginning of a key of whatever is added to it.
    pub(super) fn digest(&self) -> KeyHasher {
        KeyHasher([self.0[0].build_hasher(), self.0[1].build_hasher()])
    }
}

/// Makes the keys of one limit.
#[derive(Debug)]
pub struct KeyBuilder {
    seed: KeyHasher,
    parts: Box<[KeyPart]>,
}

/// Two keyed hashes on their way.
#[derive(Clone, Debug)]
pub(super) struct KeyHasher([DefaultHasher; 2]);

impl KeyHasher {
    /// Its length goes first, so that `ab, c` and `a, bc` differ.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for hasher in &mut self.0 {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        }
    }

    pub(super) fn finish(&self) -> Key {
        Key([self.0[0].finish(), self.0[1].finish()])
    }
}

impl KeyBuilder {
    /// Whether all requests have the same key.
    pub fn is_single(&self) -> bool {
        self.parts.is_empty()
    }

    /// The key of a request; none where the client had to say who it is and did not.
    pub fn key(&self, exchange: &Exchange) -> Option<Key> {
        let mut digest = self.seed.clone();
        for part in &self.parts {
            match part {
                KeyPart::ClientId(header) => digest.add(client_id(exchange, header)?),
                KeyPart::Ip => add_address(&mut digest, exchange.client.ip),
                KeyPart::Claim(name) => {
                    match exchange.client.user.as_ref().and_then(|user| user.claim_value(name)) {
                        Some(value) => digest.add(value.as_bytes()),
                        None => digest.write_absent(),
                    }
                }
                KeyPart::Header(name) => {
                    exchange.request.get_all(name.as_bytes()).for_each(|line| digest.add(line));
                    digest.write_absent();
                }
                KeyPart::Route => {}
            }
        }
        Some(digest.finish())
    }
}

impl KeyHasher {
    /// What no text can be mistaken for: a length that none has.
    pub(super) fn write_absent(&mut self) {
        for hasher in &mut self.0 {
            hasher.write_usize(usize::MAX);
        }
    }
}

/// Who the client says it is, unless it says nothing.
pub fn client_id<'x>(exchange: &'x Exchange, header: &str) -> Option<&'x [u8]> {
    exchange.request.get(header.as_bytes()).filter(|id| !id.is_empty())
}

fn add_address(digest: &mut KeyHasher, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(v4) => digest.add(&v4.octets()),
        IpAddr::V6(v6) => digest.add(&v6.octets()[..8]),
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
                    .help(format!("write {client_id}IP, Route, Claim:TYPE or Header:NAME"));
            }
        }
    }
    parts
}

/// Callers who do not authenticate have no claims: all of them share one count.
fn warn_anonymous_claims(part: &KeyPart, span: Span, context: &mut CompileContext) {
    if part.is_claim() && !context.route.is_authenticated {
        let message =
            "the count is partitioned by a claim, and callers do not authenticate: they share one count";
        context.diagnostics.warning(codes::NOBODY_TO_JUDGE, span, message).help(
            "name the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
        );
    }
}

/// The name under which a limit counts: with the route's key where routes are counted separately.
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
        let mut x = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        x.request = Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
        x
    }

    fn parts(texts: &[&str]) -> Vec<KeyPart> {
        texts.iter().map(|text| KeyPart::parse(text, "Oc-Client").expect(text)).collect()
    }

    #[test]
    fn parts_are_read_as_they_are_written() {
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
    fn each_part_tells_requests_apart_and_nothing_else_does() {
        let keys = PartitionKeys::default();
        let by = |texts: &[&str]| keys.of("rule", &parts(texts));
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
            let keyer = by(texts);
            let key = keyer.key(&one);
            assert_eq!(
                (keyer.key(&two) == key, keyer.key(&three) == key),
                (same_two, same_three),
                "{texts:?}"
            );
        }
        assert_ne!(keys.of("other", &[]).key(&one), keys.of("rule", &[]).key(&one));
    }

    #[test]
    fn who_has_to_be_named_and_is_not_has_no_key() {
        let keyer = PartitionKeys::default().of("rule", &parts(&["ClientId"]));
        assert_eq!(keyer.key(&exchange("10.0.0.1:1", &[])), None);
        assert_eq!(keyer.key(&exchange("10.0.0.1:1", &[("Oc-Client", "")])), None);
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client_with_all_addresses() {
        let keyer = PartitionKeys::default().of("rule", &[KeyPart::Ip]);
        let key = |from| keyer.key(&exchange(from, &[]));
        assert_eq!(key("[2001:db8:1:2::1]:1"), key("[2001:db8:1:2:ffff::]:9"));
        assert_ne!(key("[2001:db8:1:2::1]:1"), key("[2001:db8:1:3::1]:1"));
        assert_eq!(key("[::ffff:10.0.0.1]:1"), key("10.0.0.1:1"));
    }
}
