//! Encodings, URLs and addresses.

use super::{
    super::{
        error::EvalError,
        value::{Map, Value},
    },
    function::{Function, bytes_of, free, text_of},
};
use crate::base::{
    hex,
    percent::{percent_decoded, percent_encoded},
};
use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    },
};
use std::{net::IpAddr, sync::Arc};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("base64.encode", 1, 1, |_, a| Ok(Value::text(STANDARD.encode(bytes_of("base64.encode", &a[0])?)))),
    free("base64.decode", 1, 1, |_, a| {
        let decoded = STANDARD_LENIENT.decode(text_of("base64.decode", &a[0])?.trim());
        decoded.map(|bytes| Value::Bytes(bytes.into())).map_err(|_| EvalError::new("the text is not base64"))
    }),
    free("base64url.encode", 1, 1, |_, a| {
        Ok(Value::text(URL_SAFE_NO_PAD.encode(bytes_of("base64url.encode", &a[0])?)))
    }),
    free("base64url.decode", 1, 1, |_, a| {
        let decoded = URL_LENIENT.decode(text_of("base64url.decode", &a[0])?.trim());
        decoded
            .map(|bytes| Value::Bytes(bytes.into()))
            .map_err(|_| EvalError::new("the text is not base64url"))
    }),
    free("hex.encode", 1, 1, |_, a| Ok(Value::text(hex::encode(bytes_of("hex.encode", &a[0])?)))),
    free("hex.decode", 1, 1, |_, a| {
        let bytes = hex::decode(text_of("hex.decode", &a[0])?);
        bytes
            .map(|bytes| Value::Bytes(bytes.into()))
            .ok_or_else(|| EvalError::new("the text is not hexadecimal"))
    }),
    free("url.encode", 1, 1, |_, a| Ok(Value::text(percent_encoded(text_of("url.encode", &a[0])?)))),
    free("url.decode", 1, 1, |_, a| {
        let decoded = percent_decoded(text_of("url.decode", &a[0])?.as_bytes(), false);
        std::str::from_utf8(&decoded).map(Value::text).map_err(|_| EvalError::new("the text is not UTF-8"))
    }),
    free("html.encode", 1, 1, |_, a| {
        let mut text = String::new();
        for c in text_of("html.encode", &a[0])?.chars() {
            match c {
                '&' => text.push_str("&amp;"),
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                '"' => text.push_str("&quot;"),
                '\'' => text.push_str("&#39;"),
                c => text.push(c),
            }
        }
        Ok(Value::text(text))
    }),
    free("url.parse", 1, 1, |_, a| {
        url_value(text_of("url.parse", &a[0])?).ok_or_else(|| EvalError::new("the text is not a URL"))
    }),
    free("ip.in", 2, 2, |_, a| {
        let address: IpAddr = text_of("ip.in", &a[0])?
            .trim()
            .parse()
            .map_err(|_| EvalError::new("the text is not an address"))?;
        let network = text_of("ip.in", &a[1])?;
        is_in_network(address, network)
            .map(Value::Bool)
            .ok_or_else(|| EvalError::new("the text is not a network such as 10.0.0.0/8"))
    }),
];

fn is_in_network(address: IpAddr, network: &str) -> Option<bool> {
    let (base, length) =
        network.split_once('/').map_or((network, None), |(base, length)| (base, Some(length)));
    let base: IpAddr = base.trim().parse().ok()?;
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((address, width), (base, base_width)) = (bits(address.to_canonical()), bits(base.to_canonical()));
    let length: u32 = length.map_or(Some(base_width), |length| length.trim().parse().ok())?;
    if length > base_width {
        return None;
    }
    let shift = base_width - length;
    let is_same = shift >= 128 || address >> shift == base >> shift;
    Some(width == base_width && is_same)
}

/// A URL as a map with its parts.
pub fn url_value(text: &str) -> Option<Value> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let tail = tail.split('#').next().unwrap_or_default();
    let (path, query) = tail.split_once('?').map_or((tail, ""), |(path, query)| (path, query));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<i64>().ok()?),
        _ => (authority, if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 }),
    };
    if host.is_empty() || scheme.is_empty() {
        return None;
    }
    let path = if path.is_empty() { "/" } else { path };
    Some(url_parts(&scheme.to_ascii_lowercase(), host, port, path, query))
}

/// The map of a URL.
pub fn url_parts(scheme: &str, host: &str, port: i64, path: &str, query: &str) -> Value {
    let query_text = if query.is_empty() { String::new() } else { format!("?{query}") };
    Value::map([
        ("Scheme", Value::text(scheme)),
        ("Host", Value::text(host)),
        ("Port", Value::Int(port)),
        ("Path", Value::text(path)),
        ("Query", query_map(query)),
        ("QueryString", Value::text(query_text)),
    ])
}

/// Name → values of a query.
pub fn query_map(query: &str) -> Value {
    let mut map = Map::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let text = |text: &str| {
            Value::text(String::from_utf8_lossy(&percent_decoded(text.as_bytes(), true)).as_ref())
        };
        let (name, value) = (text(name), text(value));
        let values = match map.lookup(&name) {
            Some(Value::List(values)) => values.iter().cloned().chain([value]).collect(),
            _ => vec![value],
        };
        map.set(name, Value::List(Arc::new(values)));
    }
    Value::Map(Arc::new(map))
}
