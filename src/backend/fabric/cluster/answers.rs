//! The responses of the cluster's naming interface.

use crate::backend::fabric::{
    error::ResolveError,
    name::{NAME_SCHEME, is_name},
    partition::{KeyRange, PartitionInfo, parse_int64},
    registry::document::MAX_REPLICAS,
    service::{ReplicaRole, ServiceKind},
};
use serde::Deserialize;
use serde_json::Value;

/// Maximum length of a version in bytes.
const MAX_VERSION_BYTES: usize = 4096;

/// A partition as `ResolvePartition` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedPartition {
    pub id: Box<str>,
    pub info: PartitionInfo,
    /// Role and address, the primary first.
    pub replicas: Vec<(ReplicaRole, Box<str>)>,
    /// The version as it came.
    pub version: Box<str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawResolved {
    partition_information: RawInformation,
    #[serde(default)]
    endpoints: Vec<RawEndpoint>,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawInformation {
    service_partition_kind: String,
    id: String,
    #[serde(default)]
    low_key: Value,
    #[serde(default)]
    high_key: Value,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawEndpoint {
    kind: String,
    #[serde(default)]
    address: Option<String>,
}

/// An integer as a text or as a number.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| parse_int64(value.as_str()?.as_bytes()))
}

/// Reads the response of `ResolvePartition`.
pub fn parse_resolved(body: &[u8]) -> Result<ResolvedPartition, String> {
    let raw: RawResolved = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let information = raw.partition_information;
    let info = match &*information.service_partition_kind {
        "Singleton" => PartitionInfo::Singleton,
        "Int64Range" => {
            let keys = (integer(&information.low_key), integer(&information.high_key));
            let (Some(low), Some(high)) = keys else {
                return Err("LowKey and HighKey are no integers".to_owned());
            };
            PartitionInfo::Int64Range(KeyRange { low, high })
        }
        "Named" => PartitionInfo::Named(information.name.ok_or("a named partition without Name")?.into()),
        other => return Err(format!("unknown ServicePartitionKind \"{other}\"")),
    };
    if raw.version.len() > MAX_VERSION_BYTES || raw.endpoints.len() > MAX_REPLICAS {
        return Err("Version or Endpoints is too long".to_owned());
    }
    let endpoint = |raw: RawEndpoint| {
        let role = match &*raw.kind {
            "Stateless" => ReplicaRole::Instance,
            "StatefulPrimary" => ReplicaRole::Primary,
            "StatefulSecondary" => ReplicaRole::Secondary,
            _ => return None,
        };
        Some((role, raw.address.unwrap_or_default().into()))
    };
    let mut replicas: Vec<(ReplicaRole, Box<str>)> = raw.endpoints.into_iter().filter_map(endpoint).collect();
    replicas.sort_by_key(|(role, _)| *role != ReplicaRole::Primary);
    let id = information.id.to_ascii_lowercase().into();
    Ok(ResolvedPartition { id, info, replicas, version: raw.version.into() })
}

/// An application or a service in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedItem {
    /// The id in paths.
    pub id: String,
    /// Without `fabric:/`.
    pub name: String,
    pub kind: Option<ServiceKind>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPage {
    #[serde(default)]
    continuation_token: Option<String>,
    #[serde(default)]
    items: Vec<RawItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawItem {
    #[serde(default)]
    id: String,
    name: String,
    #[serde(default)]
    service_kind: Option<String>,
}

/// Reads a page of a list, and the token of the next page; empty: there is none. Items whose names are invalid are
/// skipped.
pub fn parse_page(body: &[u8]) -> Result<(Vec<ListedItem>, String), String> {
    let raw: RawPage = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let item = |raw: RawItem| {
        let name = raw.name.strip_prefix(NAME_SCHEME).filter(|name| is_name(name))?.to_owned();
        let id = if raw.id.is_empty() { name.replace('/', "~") } else { raw.id };
        Some(ListedItem { id, name, kind: raw.service_kind.as_deref().and_then(ServiceKind::by_name) })
    };
    Ok((raw.items.into_iter().filter_map(item).collect(), raw.continuation_token.unwrap_or_default()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawError {
    error: RawErrorCode,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawErrorCode {
    code: String,
}

/// The code in the body of an error.
pub fn error_code(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<RawError>(body).ok().map(|raw| raw.error.code)
}

/// The error that a status and a code stand for; `None`: the next endpoint may respond.
pub fn resolve_error(status: u16, code: Option<&str>) -> Option<ResolveError> {
    match (status, code) {
        (404, Some("FABRIC_E_PARTITION_NOT_FOUND")) => Some(ResolveError::PartitionMissing),
        (404, _) => Some(ResolveError::ServiceMissing),
        (400, Some("FABRIC_E_INVALID_PARTITION_KEY")) => Some(ResolveError::BadKey),
        (503, Some("FABRIC_E_SERVICE_OFFLINE")) => Some(ResolveError::Offline),
        (401 | 403, _) => Some(ResolveError::Unreachable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_partition_is_read_with_its_keys_as_texts_or_numbers() {
        for (low, high) in [(json!("-5"), json!("8")), (json!(-5), json!(8))] {
            let body = json!({
                "Name": "fabric:/A/S",
                "PartitionInformation": { "ServicePartitionKind": "Int64Range", "Id": "1C8B", "LowKey": low, "HighKey": high },
                "Endpoints": [{ "Kind": "StatefulSecondary", "Address": "b" }, { "Kind": "StatefulPrimary", "Address": "a" }, { "Kind": "Invalid" }],
                "Version": "%7B%7D",
            });
            let resolved = parse_resolved(body.to_string().as_bytes()).unwrap();
            assert_eq!(resolved.info, PartitionInfo::Int64Range(KeyRange { low: -5, high: 8 }));
            let replicas = vec![(ReplicaRole::Primary, "a".into()), (ReplicaRole::Secondary, "b".into())];
            assert_eq!((&*resolved.id, &*resolved.version, resolved.replicas), ("1c8b", "%7B%7D", replicas));
        }
    }

    #[test]
    fn a_page_has_items_and_the_token_of_the_next() {
        let body = json!({ "ContinuationToken": "t", "Items": [
            { "Id": "A~S", "Name": "fabric:/A/S", "ServiceKind": "Stateful", "TypeName": "T" },
            { "Name": "fabric:/B" }, { "Id": "x", "Name": "no scheme" }] });
        let (items, token) = parse_page(body.to_string().as_bytes()).unwrap();
        let read: Vec<_> = items.iter().map(|item| (&*item.id, &*item.name, item.kind)).collect();
        assert_eq!(read, [("A~S", "A/S", Some(ServiceKind::Stateful)), ("B", "B", None)]);
        assert_eq!(token, "t");
        assert_eq!(parse_page(b"{}").unwrap(), (Vec::new(), String::new()));
    }

    #[test]
    fn errors_are_read_by_status_and_code() {
        let body = json!({ "Error": { "Code": "FABRIC_E_SERVICE_OFFLINE", "Message": "no" } }).to_string();
        let code = error_code(body.as_bytes());
        assert_eq!(resolve_error(503, code.as_deref()), Some(ResolveError::Offline));
        assert_eq!(resolve_error(503, None), None, "a 5xx of the gateway itself");
        assert_eq!(resolve_error(504, Some("FABRIC_E_TIMEOUT")), None);
        assert_eq!(
            resolve_error(404, Some("FABRIC_E_PARTITION_NOT_FOUND")),
            Some(ResolveError::PartitionMissing)
        );
        assert_eq!(resolve_error(404, None), Some(ResolveError::ServiceMissing));
        assert_eq!(resolve_error(403, None), Some(ResolveError::Unreachable));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(text in ".{0,60}", kind in "(Singleton|Named|Int64Range|x)", key in ".{0,6}") {
            let body = json!({ "PartitionInformation": { "ServicePartitionKind": kind, "Id": text, "LowKey": key, "HighKey": 1 } });
            let _ = (parse_resolved(body.to_string().as_bytes()), parse_resolved(text.as_bytes()));
            let _ = (parse_page(text.as_bytes()), error_code(text.as_bytes()));
        }
    }
}
