//! Single values with which Ocelot starts whatever they are: each is parsed here, or reported with what Ocelot does
//! instead.

use super::{OcelotBehavior, OcelotTolerated};
use crate::base::method::parse_method;
use crate::config::{codes, suggest};
use crate::plan::blueprint::HttpVersion;
use crate::plan::document::HostAndPort;
use std::net::Ipv6Addr;

/// The policies of HTTP versions, by their exact names.
pub const VERSION_POLICIES: [&str; 3] =
    ["RequestVersionExact", "RequestVersionOrLower", "RequestVersionOrHigher"];

/// Whether a text is a token (RFC 9110, section 5.6.2), as methods and header names are.
pub fn is_token(text: &str) -> bool {
    crate::base::bytes::is_token(text.as_bytes())
}

/// The method of requests to the backend.
pub fn backend_method(text: &str) -> Result<String, OcelotTolerated> {
    parse_method(text).ok_or_else(|| {
        let message = format!("DownstreamHttpMethod \"{text}\" is not a method");
        OcelotTolerated::new(codes::BAD_BACKEND_METHOD, OcelotBehavior::Status(404), message)
            .help("must be a method name such as \"GET\"")
    })
}

/// A scheme in lower case; which of the four are supported is checked elsewhere.
pub fn scheme(text: &str) -> Result<&'static str, OcelotTolerated> {
    let known = ["http", "https", "ws", "wss"];
    let found = known.into_iter().find(|known| known.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let message = format!("unknown DownstreamScheme \"{text}\"");
        OcelotTolerated::new(codes::BAD_SCHEME, OcelotBehavior::Status(500), message)
            .did_you_mean(suggest::closest_match(text, known))
            .help("expected http, https, ws or wss")
    })
}

/// A host name, IPv4 or IPv6 address (without brackets).
pub fn host(text: &str) -> Result<String, OcelotTolerated> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bare.parse::<Ipv6Addr>().is_ok() || (!text.is_empty() && text.chars().all(name)) {
        return Ok(bare.to_owned());
    }
    let error = OcelotTolerated::new(
        codes::BAD_HOST,
        OcelotBehavior::Status(500),
        format!("invalid Host \"{text}\""),
    );
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split(['/', ':', '?', '#']).next().unwrap_or_default().trim();
    let meant = Some(host).filter(|host| !host.is_empty() && *host != text && host.chars().all(name));
    Err(error.did_you_mean(meant).help("must be a host name or an IP address; the port has its own setting"))
}

/// The port; `None` if it is absent or 0.
pub fn port(entry: &HostAndPort) -> Result<Option<u16>, OcelotTolerated> {
    let Some(port) = entry.port.as_ref().filter(|port| port.value != 0) else { return Ok(None) };
    u16::try_from(port.value).map(Some).map_err(|_| {
        let result = match port.value {
            ..0 => OcelotBehavior::Effect("the port of the listener is used"),
            _ => OcelotBehavior::Status(500),
        };
        let message = format!("Port {} is out of range", port.value);
        OcelotTolerated::new(codes::BAD_PORT, result, message).help("must be between 1 and 65535")
    })
}

/// `DownstreamHttpVersion`: a digit, optionally a dot or comma and another digit. Ocelot does not start otherwise.
pub fn is_version(text: &str) -> bool {
    match text.as_bytes() {
        [major] => major.is_ascii_digit(),
        [major, b'.' | b',', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// The version that the settings select, given how strict the policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChoice {
    Known(HttpVersion),
    /// HTTP/3 only, which this version does not support.
    Unsupported,
}

/// The selected version (docs/ocelot-behavior.md, section 27): without TLS, HTTP/2 only where no lower version is
/// allowed; over TLS also where it is allowed.
pub fn choose_version(version: &str, policy: &str) -> Result<VersionChoice, OcelotTolerated> {
    let (exact, higher) = (policy == "RequestVersionExact", policy == "RequestVersionOrHigher");
    match version.as_bytes() {
        b"1.0" => Ok(VersionChoice::Known(HttpVersion::Http10)),
        [b'1', b'.', _] if higher => Ok(VersionChoice::Known(HttpVersion::Http2OverTls)),
        [b'1', b'.', _] => Ok(VersionChoice::Known(HttpVersion::Http11)),
        [b'2', b'.', _] if exact || higher => Ok(VersionChoice::Known(HttpVersion::Http2)),
        [b'3'..=b'9', b'.', _] if exact || higher => Ok(VersionChoice::Unsupported),
        [b'2'..=b'9', b'.', _] => Ok(VersionChoice::Known(HttpVersion::Http2OverTls)),
        [b'0', b'.', _] => {
            let message = format!("unknown DownstreamHttpVersion \"{version}\"");
            Err(OcelotTolerated::new(codes::BAD_HTTP_VERSION, OcelotBehavior::Status(500), message)
                .did_you_mean(Some("1.1")))
        }
        _ => Err(is_short_version(version)),
    }
}

/// `2` and `2,0` pass Ocelot's validation and are then not recognized.
fn is_short_version(version: &str) -> OcelotTolerated {
    let message = format!("DownstreamHttpVersion \"{version}\" has no dot");
    let meant = format!("{}.{}", &version[..1], version.get(2..).unwrap_or("0"));
    let meant = if version.len() == 1 && version == "1" { "1.1".to_owned() } else { meant };
    OcelotTolerated::new(codes::BAD_HTTP_VERSION, OcelotBehavior::Effect("1.1 is used"), message)
        .did_you_mean(Some(&meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_ocelots_grammar_and_selection() {
        assert!(is_version("1.1") && is_version("2,0") && is_version("3"));
        assert!(
            !is_version("10")
                && !is_version("1.10")
                && !is_version("")
                && !is_version("1.")
                && !is_version("a")
        );
        let (exact, higher, lower) =
            ("RequestVersionExact", "RequestVersionOrHigher", "RequestVersionOrLower");
        let known = |version, policy| choose_version(version, policy).ok();
        assert_eq!(known("1.0", higher), Some(VersionChoice::Known(HttpVersion::Http10)));
        assert_eq!(known("1.1", exact), Some(VersionChoice::Known(HttpVersion::Http11)));
        assert_eq!(known("1.1", higher), Some(VersionChoice::Known(HttpVersion::Http2OverTls)));
        assert_eq!(known("2.0", ""), Some(VersionChoice::Known(HttpVersion::Http2OverTls)));
        assert_eq!(known("2.0", exact), Some(VersionChoice::Known(HttpVersion::Http2)));
        assert_eq!(known("2.0", higher), Some(VersionChoice::Known(HttpVersion::Http2)));
        assert_eq!(known("3.0", lower), Some(VersionChoice::Known(HttpVersion::Http2OverTls)));
        assert_eq!(known("3.0", exact), Some(VersionChoice::Unsupported));
        let error = choose_version("2", "RequestVersionExact").expect_err("no point");
        assert_eq!(
            (error.result, error.help),
            (OcelotBehavior::Effect("1.1 is used"), vec!["did you mean \"2.0\"?".into()])
        );
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        assert_eq!(host("localhost").ok().as_deref(), Some("localhost"));
        assert_eq!(host("[::1]").ok().as_deref(), Some("::1"));
        assert_eq!(host("10.0.0.1").ok().as_deref(), Some("10.0.0.1"));
        let error = host("http://catalog:8080/x").expect_err("a url");
        assert_eq!(error.help[0], "did you mean \"catalog\"?");
    }
}
