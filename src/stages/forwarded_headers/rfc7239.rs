//! The field `Forwarded` (RFC 7239).

use super::node::parse_address;
use crate::base::bytes::{is_tchar, trim_ows};
use std::net::IpAddr;

/// What the proxies state about the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ForwardedClient {
    pub address: Option<IpAddr>,
    pub proto: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
}

/// The client, from the nearest proxy outward: the first address that is not a trusted proxy. `None`: the field is malformed.
pub fn client(lines: &[&[u8]], is_trusted: impl Fn(IpAddr) -> bool) -> Option<ForwardedClient> {
    let mut elements = Vec::new();
    for line in lines {
        elements.extend(parse(line)?);
    }
    let mut client: Option<ForwardedClient> = None;
    for element in elements.into_iter().rev() {
        let address = element.address;
        if address.is_none() && client.is_some() {
            break;
        }
        client = Some(element);
        if !address.is_some_and(&is_trusted) {
            break;
        }
    }
    client
}

/// RFC 7239 4: elements separated by commas, pairs of an element by semicolons; values are tokens or quoted strings.
fn parse(line: &[u8]) -> Option<Vec<ForwardedClient>> {
    let (mut elements, mut element, mut rest) = (Vec::new(), ForwardedClient::default(), trim_ows(line));
    loop {
        if !matches!(rest.first(), None | Some(b',' | b';')) {
            rest = pair(rest, &mut element)?;
        }
        let Some((separator, tail)) = rest.split_first() else { break };
        match separator {
            b';' => {}
            b',' => elements.push(std::mem::take(&mut element)),
            _ => return None,
        }
        rest = trim_ows(tail);
    }
    elements.push(element);
    Some(elements)
}

/// Reads `name=value` and returns the rest behind it.
fn pair<'l>(text: &'l [u8], element: &mut ForwardedClient) -> Option<&'l [u8]> {
    let at = text.iter().position(|b| *b == b'=')?;
    let (name, text) = (&text[..at], &text[at + 1..]);
    let (value, rest) = match text.first() {
        Some(b'"') => quoted(&text[1..])?,
        _ => {
            // Addresses and hosts are often sent without the quotes that their colons require.
            let is_value = |b: &u8| is_tchar(*b) || matches!(b, b':' | b'[' | b']');
            let end = text.iter().position(|b| !is_value(b)).unwrap_or(text.len());
            (text[..end].to_vec(), &text[end..])
        }
    };
    if name.eq_ignore_ascii_case(b"for") {
        element.address = parse_address(&value);
    } else if name.eq_ignore_ascii_case(b"proto") {
        element.proto = Some(value);
    } else if name.eq_ignore_ascii_case(b"host") {
        element.host = Some(value);
    }
    Some(trim_ows(rest))
}

/// The content of a quoted string whose opening quote was read, and the rest behind it.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut value, mut at) = (Vec::new(), 0);
    loop {
        match text.get(at)? {
            b'"' => return Some((value, &text[at + 1..])),
            b'\\' => {
                value.push(*text.get(at + 1)?);
                at += 2;
            }
            byte => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(String, String, String)> {
        let trusted: IpAddr = "10.0.0.1".parse().unwrap();
        let found = client(&[line.as_bytes()], |address| address == trusted)?;
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).unwrap();
        Some((found.address.map_or(String::new(), |a| a.to_string()), text(found.proto), text(found.host)))
    }

    #[test]
    fn the_nearest_address_that_is_no_trusted_proxy_is_the_client() {
        let is = |a: &str, p: &str, h: &str| Some((a.to_owned(), p.to_owned(), h.to_owned()));
        assert_eq!(read("for=192.0.2.1;proto=https;host=a.example"), is("192.0.2.1", "https", "a.example"));
        assert_eq!(
            read("for=6.6.6.6, For=192.0.2.1 ; Proto=http, for=10.0.0.1"),
            is("192.0.2.1", "http", "")
        );
        assert_eq!(read("for=\"[2001:db8::7]:4711\""), is("2001:db8::7", "", ""));
        assert_eq!(read("for=192.0.2.1:80"), is("192.0.2.1", "", ""));
        assert_eq!(read("host=\"a.example:\\8443\";for=10.0.0.1"), is("10.0.0.1", "", "a.example:8443"));
    }

    #[test]
    fn an_unknown_or_obfuscated_node_ends_the_chain() {
        let is = |a: &str| Some((a.to_owned(), String::new(), String::new()));
        assert_eq!(read("for=unknown"), is(""));
        assert_eq!(read("for=6.6.6.6, for=_hidden"), is(""));
        assert_eq!(read("for=6.6.6.6, for=unknown, for=10.0.0.1"), is("10.0.0.1"));
    }

    #[test]
    fn a_malformed_field_is_not_used() {
        for bad in ["for", "for=\"192.0.2.1", "for=1.1.1.1 x", "for=\"1\\"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(""), Some(Default::default()));
    }
}
