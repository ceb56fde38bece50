//! The request of a dry run, from its method and URL.

use crate::pipeline::body::Framing;
use crate::pipeline::exchange::{Exchange, Peer};
use crate::pipeline::head::Head;
use http::uri::Authority;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

/// The request as it would be received from this machine: the authority of the URL is its `Host`, unless a header
/// overrides it. The URL may be just a path.
///
/// # Errors
/// A phrase about the URL: an unsupported scheme, a space.
pub fn parse_request(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Exchange, String> {
    // A path may contain a URL.
    let absolute = url.split_once("://").filter(|_| !url.starts_with('/'));
    let (tls, rest) = match absolute {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, _)) => return Err(format!("unsupported scheme {scheme}://: expected http or https")),
        None => (false, url),
    };
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let is_valid = match absolute {
        Some(_) => rest[..path].parse::<Authority>().is_ok(),
        None => rest == "*" || rest.starts_with('/'),
    };
    if !is_valid {
        return Err(format!("invalid URL {url}: expected a path such as /items, or http://HOST/PATH"));
    }
    let (authority, target) = if rest == "*" { ("", rest) } else { rest.split_at(path) };
    let target =
        if target.starts_with('/') || target == "*" { target.to_owned() } else { format!("/{target}") };
    if target.bytes().chain(method.bytes()).any(|b| b <= b' ' || b == 0x7f) {
        return Err("method and URL cannot contain spaces".to_owned());
    }
    let mut head = Head::default();
    head.begin(method.as_bytes(), target.as_bytes());
    head.append(b"Host", if authority.is_empty() { b"localhost" } else { authority.as_bytes() });
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("host") {
            head.remove(name.as_bytes());
        }
        head.append(name.as_bytes(), value.as_bytes());
    }
    let mut exchange = Exchange::new(peer(IpAddr::V4(Ipv4Addr::LOCALHOST), tls), 0, Instant::now());
    exchange.request = head;
    Ok(exchange)
}

/// The request of [`parse_request`], from a client with this address on a listener; `None`: the first.
///
/// # Errors
/// As [`parse_request`].
pub fn parse_request_from(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    from: IpAddr,
    listener: Option<&str>,
) -> Result<Exchange, String> {
    let parsed = parse_request(method, url, headers)?;
    let mut exchange = Exchange::new(peer(from, parsed.client.peer.tls), 0, Instant::now());
    exchange.request = parsed.request;
    exchange.client.listener = listener.map(Into::into);
    Ok(exchange)
}

/// Adds a body to the request of a dry run; without a `Content-Type` it is a form, as with curl.
pub fn add_body(exchange: &mut Exchange, body: Vec<u8>) {
    if body.is_empty() {
        return;
    }
    if exchange.request.get(b"content-type").is_none() {
        exchange.request.append(b"Content-Type", b"application/x-www-form-urlencoded");
    }
    exchange.body.framing = Framing::Length(body.len() as u64);
    exchange.body.collected = Some(body.into());
}

fn peer(from: IpAddr, tls: bool) -> Peer {
    let local = SocketAddr::from(([127, 0, 0, 1], if tls { 443 } else { 80 }));
    Peer::new(SocketAddr::new(from, 0), local, tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_absolute_or_a_path_and_a_header_may_set_the_host() {
        let parse = |url: &str, headers: &[(&str, &str)]| {
            parse_request("GET", url, headers).map(|exchange| {
                let host = exchange.request.get(b"host").unwrap_or_default();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(exchange.request.target()), text(host), exchange.client.peer.tls)
            })
        };
        let is = |target: &str, host: &str, tls| Ok((target.to_owned(), host.to_owned(), tls));
        assert_eq!(parse("https://a.example/x?y", &[]), is("/x?y", "a.example", true));
        assert_eq!(parse("http://a.example?y", &[]), is("/?y", "a.example", false));
        assert_eq!(parse("/x", &[("host", "b.example")]), is("/x", "b.example", false));
        assert_eq!(parse("/x?u=http://y/", &[]), is("/x?u=http://y/", "localhost", false));
        assert_eq!(parse("*", &[]), is("*", "localhost", false));
        assert!(parse("ftp://a.example/", &[]).is_err());
        assert!(parse("/a b", &[]).is_err());
        for url in ["hello", "hello/a", "http://[::1", "http:///x", "{\"url\":5}", "?x"] {
            assert!(parse(url, &[]).is_err(), "{url}");
        }
    }
}
