//! Addresses of replicas: a URL, or `{"Endpoints":{"listener name":"URL"}}`.

use super::transport_slot::TransportSlot;
use crate::base::url::HttpUrl;
use serde_json::Value;
use std::net::IpAddr;

/// Maximum length of an address in bytes.
pub const MAX_ADDRESS_BYTES: usize = 64 << 10;
/// Maximum number of listener names of an address.
pub const MAX_LISTENERS: usize = 64;

/// The scheme of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum EndpointScheme {
    Http,
    Https,
}

impl EndpointScheme {
    /// The name in URLs.
    pub fn name(self) -> &'static str {
        match self {
            EndpointScheme::Http => "http",
            EndpointScheme::Https => "https",
        }
    }
}

/// The endpoint of one listener of a replica.
#[derive(Debug)]
pub struct ListenerEndpoint {
    /// The name of the listener; empty if the address is a URL.
    pub name: Box<str>,
    /// `None`: the URL has no scheme.
    pub scheme: Option<EndpointScheme>,
    pub host: Box<str>,
    /// `None`: the default of the scheme.
    pub port: Option<u16>,
    /// The path of the URL, without a slash at its end.
    pub base_path: Box<str>,
    is_loopback: bool,
    is_link_local: bool,
    /// The backend endpoint, once a request used it.
    pub transport: TransportSlot,
}

impl ListenerEndpoint {
    /// Parses the URL of a listener; `None` if it is not one of HTTP.
    pub fn parse(name: &str, url: &str) -> Option<ListenerEndpoint> {
        let (scheme, parsed) = match url.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => {
                (Some(EndpointScheme::Http), HttpUrl::parse(url))
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                (Some(EndpointScheme::Https), HttpUrl::parse(url))
            }
            Some(_) => return None,
            // The port is the only mark of such a text: `orders` alone is no address.
            None if has_port(url) => (None, HttpUrl::parse(&format!("http://{url}"))),
            None => return None,
        };
        let parsed = parsed.ok()?;
        let path = parsed.target.split(['?', '#']).next().unwrap_or_default();
        let base_path = path.strip_suffix('/').unwrap_or(path).into();
        let port = scheme.is_none() || has_port(url);
        Some(ListenerEndpoint {
            name: name.into(),
            scheme,
            is_loopback: is_loopback_host(&parsed.host),
            is_link_local: is_link_local_host(&parsed.host),
            host: parsed.host.into(),
            port: port.then_some(parsed.port),
            base_path,
            transport: TransportSlot::default(),
        })
    }

    /// The port to connect to.
    pub fn port_for(&self, scheme: EndpointScheme) -> u16 {
        self.port.unwrap_or(match scheme {
            EndpointScheme::Http => 80,
            EndpointScheme::Https => 443,
        })
    }

    /// The authority of requests: the host, and the port unless it is the default.
    pub fn authority(&self, scheme: EndpointScheme) -> String {
        HttpUrl {
            tls: scheme == EndpointScheme::Https,
            host: self.host.to_string(),
            port: self.port_for(scheme),
            target: String::new(),
        }
        .authority()
    }

    /// Whether the host is an address of this machine or of its link: loopback, unspecified or link-local.
    pub fn is_local(&self) -> bool {
        self.is_loopback || self.is_link_local
    }

    /// Whether the host is a link-local address, such as that of a metadata service.
    pub fn is_link_local(&self) -> bool {
        self.is_link_local
    }
}

/// Whether a text without scheme has the form `host:port`, with or without a path.
fn has_port(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a host is a loopback or unspecified address, or a name of one.
pub fn is_loopback_host(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => last.eq_ignore_ascii_case("localhost"),
    }
}

fn is_link_local_host(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local(),
        Err(_) => false,
    }
}

/// The address of a replica.
#[derive(Debug)]
pub struct ReplicaAddress {
    /// The address as the naming interface has it.
    pub text: Box<str>,
    /// The endpoints of HTTP, in the byte order of their listener names.
    pub endpoints: Box<[ListenerEndpoint]>,
}

impl ReplicaAddress {
    /// Parses the text of an address. One that is broken has no endpoints.
    pub fn parse(text: &str) -> ReplicaAddress {
        let endpoints = if text.len() > MAX_ADDRESS_BYTES {
            Vec::new()
        } else if text.trim_start().starts_with('{') {
            listed_endpoints(text).unwrap_or_default()
        } else {
            ListenerEndpoint::parse("", text.trim()).into_iter().collect()
        };
        ReplicaAddress::new(text.into(), endpoints)
    }

    /// The address of these listeners and URLs.
    pub fn from_listeners<'l>(listeners: impl Iterator<Item = (&'l str, &'l str)> + Clone) -> ReplicaAddress {
        let urls: serde_json::Map<String, Value> =
            listeners.clone().map(|(name, url)| (name.to_owned(), url.into())).collect();
        // The cluster escapes slashes in its addresses.
        let text = serde_json::json!({ "Endpoints": urls }).to_string().replace('/', "\\/");
        let endpoints = listeners.filter_map(|(name, url)| ListenerEndpoint::parse(name, url)).collect();
        ReplicaAddress::new(text.into(), endpoints)
    }

    fn new(text: Box<str>, mut endpoints: Vec<ListenerEndpoint>) -> ReplicaAddress {
        endpoints.sort_by(|one, other| one.name.as_bytes().cmp(other.name.as_bytes()));
        ReplicaAddress { text, endpoints: endpoints.into() }
    }
}

fn listed_endpoints(text: &str) -> Option<Vec<ListenerEndpoint>> {
    let parsed: Value = serde_json::from_str(text).ok()?;
    let listeners = parsed.get("Endpoints")?.as_object()?;
    if listeners.len() > MAX_LISTENERS {
        return None;
    }
    let one = |(name, url): (&String, &Value)| ListenerEndpoint::parse(name, url.as_str()?.trim());
    Some(listeners.iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        let one = |endpoint: &ListenerEndpoint| {
            let scheme = endpoint.scheme.map_or("-", EndpointScheme::name);
            format!("{}={scheme} {} {:?} {}", endpoint.name, endpoint.host, endpoint.port, endpoint.base_path)
        };
        ReplicaAddress::parse(text).endpoints.iter().map(one).collect()
    }

    #[test]
    fn an_address_is_a_url_or_a_map_of_listeners_in_byte_order() {
        assert_eq!(names("http://h:1/x"), ["=http h Some(1) /x"]);
        assert_eq!(names("HTTPS://h/x/"), ["=https h None /x"]);
        assert_eq!(names("10.0.0.4:8080"), ["=- 10.0.0.4 Some(8080) "]);
        assert_eq!(names("10.0.0.4:8080/base"), ["=- 10.0.0.4 Some(8080) /base"]);
        let map = r#"{"Endpoints":{"b":"http:\/\/b","a":"http://a","B2":"http://c"}}"#;
        assert_eq!(names(map), ["B2=http c None ", "a=http a None ", "b=http b None "]);
    }

    #[test]
    fn what_is_no_address_has_no_endpoint() {
        for text in [
            "",
            "{broken",
            "{}",
            r#"{"Other":{}}"#,
            r#"{"Endpoints":[]}"#,
            r#"{"Endpoints":{"a":7}}"#,
            r#"{"Endpoints":{"a":"net.tcp://h:1/"}}"#,
            "net.tcp://h:1/",
            "http://",
            "orders",
            "h:x",
            ":80",
        ] {
            assert!(names(text).is_empty(), "{text}");
        }
        let many: serde_json::Map<_, _> =
            (0..=MAX_LISTENERS).map(|at| (at.to_string(), "http://a".into())).collect();
        assert!(names(&serde_json::json!({ "Endpoints": many }).to_string()).is_empty());
        assert!(names(&format!("http://a/{}", "x".repeat(MAX_ADDRESS_BYTES))).is_empty());
    }

    #[test]
    fn listeners_become_the_text_of_the_naming_interface() {
        let address = ReplicaAddress::from_listeners([("web", "http://h:1/")].into_iter());
        assert_eq!(&*address.text, r#"{"Endpoints":{"web":"http:\/\/h:1\/"}}"#);
        assert_eq!(names(&address.text), ["web=http h Some(1) "]);
    }

    #[test]
    fn addresses_of_this_machine_and_of_its_link_are_local() {
        for (host, local, link) in [
            ("127.0.0.1", true, false),
            ("127.9.9.9", true, false),
            ("[::1]", true, false),
            ("[::ffff:127.0.0.1]", true, false),
            ("0.0.0.0", true, false),
            ("localhost", true, false),
            ("a.LocalHost.", true, false),
            ("169.254.169.254", true, true),
            ("[fe80::1]", true, true),
            ("10.0.0.1", false, false),
            ("node1.cluster", false, false),
        ] {
            let endpoint = ListenerEndpoint::parse("", &format!("http://{host}:1/")).unwrap();
            assert_eq!((endpoint.is_local(), endpoint.is_link_local()), (local, link), "{host}");
        }
    }

    #[test]
    fn the_authority_leaves_out_the_default_port() {
        let authority = |url: &str, scheme| ListenerEndpoint::parse("", url).unwrap().authority(scheme);
        assert_eq!(authority("http://h:80/", EndpointScheme::Http), "h");
        assert_eq!(authority("http://h:81/", EndpointScheme::Http), "h:81");
        assert_eq!(authority("[::1]:443", EndpointScheme::Https), "[::1]");
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_none(text in ".{0,80}", json in "\\{\"Endpoints\":\\{\".{0,9}\":\".{0,20}\"\\}\\}") {
            let (_, _) = (ReplicaAddress::parse(&text), ReplicaAddress::parse(&json));
        }
    }
}
