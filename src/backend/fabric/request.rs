//! The URL contract: the parameters of a request by address, and the query that is left for the service.

use super::{
    choice::Selector,
    name::{NAME_SCHEME, without_scheme},
    partition::{PartitionKey, PartitionKind, parse_int64},
};
use crate::base::percent::percent_decoded;
use std::{borrow::Cow, time::Duration};

/// What is wrong with an address; the values of parameters are found wrong before the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// A parameter has a value that it cannot have: its name, and what it must be.
    BadValue(&'static str, &'static str),
    /// The path or `ServiceName` contains no name.
    NoName,
}

/// How the query is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContractRules {
    /// The service gets `Timeout`.
    pub forwards_timeout: bool,
    /// Empty parts of the query are dropped.
    pub drops_empty_parts: bool,
    /// Names of partitions are compared as they are written.
    pub keeps_key_encoded: bool,
}

/// The parameters of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractQuery<'q> {
    pub key: PartitionKey,
    /// `Named` without a key: wrong, but only once the service is known.
    pub is_key_missing: bool,
    pub listener: Option<Cow<'q, str>>,
    /// `None`: the default of the kind of service.
    pub selector: Option<Selector>,
    /// `None`: the default of the route.
    pub timeout: Option<Duration>,
    /// The name of the service without `fabric:/`; it counts instead of the path.
    pub service: Option<String>,
}

/// The raw values; of a parameter that stands twice the last one.
#[derive(Default)]
struct RawValues<'q> {
    kind: Option<&'q [u8]>,
    key: Option<&'q [u8]>,
    listener: Option<&'q [u8]>,
    selector: Option<&'q [u8]>,
    timeout: Option<&'q [u8]>,
    service: Option<&'q [u8]>,
}

impl<'q> RawValues<'q> {
    /// Takes a parameter of the contract; false for any other.
    fn take(&mut self, part: &'q [u8]) -> bool {
        let end = memchr::memchr(b'=', part).unwrap_or(part.len());
        let value = part.get(end + 1..).unwrap_or_default();
        let slot = match &part[..end] {
            b"PartitionKind" => &mut self.kind,
            b"PartitionKey" => &mut self.key,
            b"ListenerName" => &mut self.listener,
            b"TargetReplicaSelector" => &mut self.selector,
            b"Timeout" => &mut self.timeout,
            b"ServiceName" => &mut self.service,
            _ => return false,
        };
        *slot = Some(value);
        true
    }
}

/// Reads a query, with its `?`, and appends what is left of it to `rest`.
pub fn parse_query<'q>(
    query: &'q [u8],
    rules: ContractRules,
    rest: &mut Vec<u8>,
) -> Result<ContractQuery<'q>, AddressError> {
    let (start, mut values) = (rest.len(), RawValues::default());
    let raw = query.strip_prefix(b"?").unwrap_or(query);
    let parts = if raw.is_empty() { None } else { Some(raw.split(|byte| *byte == b'&')) };
    for part in parts.into_iter().flatten() {
        let is_kept = match values.take(part) {
            true => rules.forwards_timeout && part.starts_with(b"Timeout"),
            false => !(part.is_empty() && rules.drops_empty_parts),
        };
        if is_kept {
            rest.push(if rest.len() == start { b'?' } else { b'&' });
            rest.extend_from_slice(part);
        }
    }
    if rest.len() == start + 1 {
        // Nothing is left.
        rest.truncate(start);
    }
    interpret(&values, rules)
}

fn interpret<'q>(values: &RawValues<'q>, rules: ContractRules) -> Result<ContractQuery<'q>, AddressError> {
    let (key, is_key_missing) = partition_key(values, rules)?;
    let selector = values.selector.map(|text| {
        let help = "must be PrimaryReplica, RandomReplica, RandomSecondaryReplica or RandomInstance";
        Selector::by_name(text).ok_or(AddressError::BadValue("TargetReplicaSelector", help))
    });
    let listener = match values.listener.filter(|name| !name.is_empty()).map(decoded_text) {
        Some(None) => return Err(AddressError::BadValue("ListenerName", "must be UTF-8")),
        name => name.flatten(),
    };
    Ok(ContractQuery {
        key,
        is_key_missing,
        listener,
        selector: selector.transpose()?,
        timeout: values.timeout.map(timeout).transpose()?.flatten(),
        service: values.service.map(service_name).transpose()?,
    })
}

fn partition_key(values: &RawValues, rules: ContractRules) -> Result<(PartitionKey, bool), AddressError> {
    let Some(kind) = values.kind else { return Ok((PartitionKey::None, false)) };
    let kind = std::str::from_utf8(kind).ok().and_then(PartitionKind::by_name);
    let kind =
        kind.ok_or(AddressError::BadValue("PartitionKind", "must be Int64Range, Named or Singleton"))?;
    match (kind, values.key) {
        (PartitionKind::Singleton, _) => Ok((PartitionKey::None, false)),
        (PartitionKind::Int64Range, key) => {
            let help = "must be an integer between -9223372036854775808 and 9223372036854775807";
            let key = parse_int64(key.unwrap_or_default());
            Ok((PartitionKey::Int64(key.ok_or(AddressError::BadValue("PartitionKey", help))?), false))
        }
        (PartitionKind::Named, None) => Ok((PartitionKey::Named("".into()), true)),
        (PartitionKind::Named, Some(key)) => {
            let key = match rules.keeps_key_encoded {
                true => Some(String::from_utf8_lossy(key)),
                false => decoded_text(key),
            };
            let key = key.ok_or(AddressError::BadValue("PartitionKey", "must be UTF-8"))?;
            Ok((PartitionKey::Named(key.into()), false))
        }
    }
}

fn decoded_text(value: &[u8]) -> Option<Cow<'_, str>> {
    Some(match percent_decoded(value, false) {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    })
}

/// Whole seconds; `None` for zero and less, which stand for the default.
fn timeout(value: &[u8]) -> Result<Option<Duration>, AddressError> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(AddressError::BadValue("Timeout", "must be a whole number of seconds"));
    }
    if digits.len() < value.len() {
        return Ok(None);
    }
    let seconds = parse_int64(value).unwrap_or(i64::MAX);
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn service_name(value: &[u8]) -> Result<String, AddressError> {
    let name = decoded_text(value).ok_or(AddressError::NoName)?;
    let bare = without_scheme(&name);
    if bare.is_empty() || !name.starts_with(NAME_SCHEME) {
        return Err(AddressError::NoName);
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
