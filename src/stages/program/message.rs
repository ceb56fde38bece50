//! Header fields and query parameters of messages.

use super::{context::Context, failure::Failure, target::decoded};
use crate::{
    base::{
        bytes::{is_field_value, is_token},
        percent::percent_encoded,
    },
    pipeline::head::Head,
};
use std::sync::Arc;

/// Fields that frame messages or belong to one connection.
pub const GATEWAY_FIELDS: [&str; 7] =
    ["Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "TE", "Trailer", "Upgrade"];
/// Fields whose values cannot be joined with commas.
const SEPARATE_FIELDS: [&str; 11] = [
    "Set-Cookie",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "User-Agent",
    "Cookie",
    "Warning",
    "Date",
    "Expires",
    "Last-Modified",
    "If-Modified-Since",
    "If-Unmodified-Since",
];

/// What happens to a name that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExistsAction {
    #[default]
    Override,
    Skip,
    Append,
    Delete,
}

impl ExistsAction {
    /// The names in documents.
    pub const NAMES: [&'static str; 4] = ["override", "skip", "append", "delete"];

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<ExistsAction> {
        Some(match name {
            "override" => ExistsAction::Override,
            "skip" => ExistsAction::Skip,
            "append" => ExistsAction::Append,
            "delete" => ExistsAction::Delete,
            _ => return None,
        })
    }
}

/// Whether the gateway alone writes a field.
pub fn is_gateway_field(name: &str) -> bool {
    GATEWAY_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Sets a field of a message.
pub fn set_field(
    head: &mut Head,
    name: &str,
    action: ExistsAction,
    values: &[Arc<str>],
) -> Result<(), Failure> {
    if !is_token(name.as_bytes()) || is_gateway_field(name) {
        return Err(Failure::statement(format!("the header {name} cannot be set")));
    }
    if values.iter().any(|value| !is_field_value(value.as_bytes())) {
        return Err(Failure::statement(format!("the value of the header {name} contains a line break")));
    }
    let exists = head.get(name.as_bytes()).is_some();
    let mut all: Vec<Vec<u8>> = match action {
        ExistsAction::Delete => {
            head.remove(name.as_bytes());
            return Ok(());
        }
        ExistsAction::Skip if exists => return Ok(()),
        ExistsAction::Append => head.get_all(name.as_bytes()).map(<[u8]>::to_vec).collect(),
        _ => Vec::new(),
    };
    all.extend(values.iter().map(|value| value.as_bytes().to_vec()));
    if all.is_empty() && action == ExistsAction::Append {
        return Ok(());
    }
    head.remove(name.as_bytes());
    if SEPARATE_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        all.iter().for_each(|value| head.append(name.as_bytes(), value));
    } else if !all.is_empty() {
        head.append(name.as_bytes(), &all.join(&b','));
    }
    Ok(())
}

/// Sets a parameter of a query.
pub fn set_query_parameter(query: &str, name: &str, action: ExistsAction, values: &[Arc<str>]) -> String {
    let is_named = |part: &str| decoded(part.split('=').next().unwrap_or_default(), true) == name;
    let mut parts: Vec<String> =
        query.split('&').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let first = parts.iter().position(|part| is_named(part));
    let new: Vec<String> =
        values.iter().map(|value| format!("{}={}", percent_encoded(name), percent_encoded(value))).collect();
    match action {
        ExistsAction::Skip if first.is_some() => {}
        ExistsAction::Delete => parts.retain(|part| !is_named(part)),
        ExistsAction::Override => {
            let before = first.unwrap_or(parts.len());
            parts.retain(|part| !is_named(part));
            let at = before.min(parts.len());
            parts.splice(at..at, new);
        }
        ExistsAction::Append | ExistsAction::Skip => parts.extend(new),
    }
    parts.join("&")
}

impl Context<'_> {
    /// The head of the message of the section.
    pub fn message_head(&mut self) -> Option<&mut Head> {
        match self.section.is_response() {
            true => self.response.as_mut().map(|response| &mut response.head),
            false => Some(&mut self.exchange.request),
        }
    }
}
