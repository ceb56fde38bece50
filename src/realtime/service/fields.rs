//! What a handshake contains: subprotocols, header fields for the event `connect`, groups.

use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    head::Head,
};
use crate::realtime::names::is_group_name;
use std::sync::Arc;

/// Most offered subprotocols that are considered.
const MAX_OFFERED_SUBPROTOCOLS: usize = 32;

/// The offered subprotocols, of all fields.
pub fn offered_subprotocols(request: &Head) -> Vec<String> {
    let values =
        request.get_all(b"Sec-WebSocket-Protocol").filter_map(|value| std::str::from_utf8(value).ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty());
    names.take(MAX_OFFERED_SUBPROTOCOLS).map(str::to_owned).collect()
}

/// The header fields of the event `connect`: none with secrets.
pub fn headers(request: &Head) -> impl Iterator<Item = (String, String)> {
    const SECRET: [&[u8]; 4] = [b"authorization", b"cookie", b"proxy-authorization", b"sec-websocket-key"];
    request
        .fields()
        .filter(|(_, name, _)| !SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)))
        .map(|(_, name, value)| {
            (String::from_utf8_lossy(name).to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())
        })
}

/// The values of each name, in the order of their first occurrence.
pub fn grouped(pairs: impl Iterator<Item = (String, String)>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

/// The groups without duplicates.
pub fn checked_groups(names: &[String]) -> Result<Vec<Arc<str>>, GatewayError> {
    let mut groups: Vec<Arc<str>> = Vec::with_capacity(names.len());
    for name in names {
        if !is_group_name(name) {
            let detail = "a group of the token or of the connect handler has an invalid name";
            return Err(GatewayError::new(ErrorCode::HubInvalidGroup, detail));
        }
        groups.push(name.as_str().into());
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}
