//! The naming interface of a registry: the answers that the interface of a cluster gives, for its tools and for another
//! margay.

use super::{
    error::{ResolveError, fabric_code},
    name::{NAME_SCHEME, without_scheme},
    partition::{PartitionInfo, PartitionKey, parse_int64},
    registry::{PartitionView, RegistrationError, Registry},
    resolver::{Resolver, ResolverSource},
    service::{Partition, PartitionMatch, PartitionSnapshot, ReplicaRole, Service, ServiceKind},
};
use crate::base::percent::{percent_decoded, percent_encoded};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{cmp::Ordering, sync::Arc};

/// Maximum number of items of a page.
const MAX_PAGE_ITEMS: usize = 10_000;

/// What the service of the naming interface needs; an extension of its requests.
#[derive(Clone, Debug)]
pub struct NamingContext {
    pub resolver: Arc<Resolver>,
    /// A request without `api-version` gets 404, as in the original.
    pub is_strict: bool,
}

/// An error of the naming interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamingError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl NamingError {
    /// An error with this status and code.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> NamingError {
        NamingError { status, code, message: message.into() }
    }

    /// The body of the response.
    pub fn body(&self) -> Value {
        json!({ "Error": { "Code": self.code, "Message": self.message } })
    }

    fn service_missing(name: &str) -> NamingError {
        NamingError::new(404, fabric_code::SERVICE_DOES_NOT_EXIST, format!("no service {NAME_SCHEME}{name}"))
    }

    fn partition_missing() -> NamingError {
        NamingError::new(404, fabric_code::PARTITION_NOT_FOUND, "no such partition")
    }
}

impl From<RegistrationError> for NamingError {
    fn from(error: RegistrationError) -> NamingError {
        let invalid = |message| NamingError::new(400, fabric_code::INVALID_ARGUMENT, message);
        match error {
            RegistrationError::PartitionMissing => NamingError::partition_missing(),
            RegistrationError::ReplicaMissing => {
                NamingError::new(404, "FABRIC_E_REPLICA_DOES_NOT_EXIST", "no such replica")
            }
            RegistrationError::BadRole => invalid(
                "invalid Role: must be Primary or ActiveSecondary for a stateful service, absent for a stateless one",
            ),
            RegistrationError::BadReplicaId => {
                invalid("invalid id of a replica: must be 1 to 64 letters, digits and ._-")
            }
            RegistrationError::TooManyReplicas => {
                invalid("too many replicas: must be at most 256 per partition")
            }
        }
    }
}

impl From<ResolveError> for NamingError {
    fn from(error: ResolveError) -> NamingError {
        let (code, fabric_code) = error.codes();
        NamingError::new(code.status(false), fabric_code, code.title())
    }
}

/// The name of a path segment: levels joined by `~` or `/`, percent-encoded or not.
pub fn name_of_id(id: &str) -> String {
    let decoded = percent_decoded(id.as_bytes(), false);
    let name = String::from_utf8_lossy(&decoded).replace('~', "/");
    without_scheme(&name).trim_matches('/').to_owned()
}

fn id_of_name(name: &str) -> String {
    name.replace('/', "~")
}

impl NamingContext {
    /// The registry; a cluster has its own interface.
    pub fn registry(&self) -> Result<&Arc<Registry>, NamingError> {
        match &self.resolver.source {
            ResolverSource::Registry(registry) => Ok(registry),
            ResolverSource::Cluster(_) => Err(NamingError::new(
                404,
                fabric_code::SERVICE_DOES_NOT_EXIST,
                "the resolver has no registry",
            )),
        }
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> Result<Arc<Service>, NamingError> {
        let found = self.registry()?.names().get(name).cloned();
        found.ok_or_else(|| NamingError::service_missing(name))
    }

    /// The applications.
    pub fn applications(&self, token: &str) -> Result<Value, NamingError> {
        let document = self.registry()?.document();
        let mut all: Vec<_> = document.applications.iter().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(page(all.iter().map(|application| &*application.name), token, |at| {
            let application = all[at];
            json!({
                "Id": id_of_name(&application.name),
                "Name": format!("{NAME_SCHEME}{}", application.name),
                "TypeName": &*application.type_name,
                "TypeVersion": &*application.type_version,
                "Status": "Ready",
                "HealthState": "Ok",
            })
        }))
    }

    /// The services of an application.
    pub fn services(&self, application: &str, token: &str) -> Result<Value, NamingError> {
        let document = self.registry()?.document();
        let found = document.applications.iter().find(|known| *known.name == *application);
        let missing = || NamingError::new(404, "FABRIC_E_APPLICATION_NOT_FOUND", "no such application");
        let mut all: Vec<_> = found.ok_or_else(missing)?.services.iter().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(page(all.iter().map(|service| &*service.name), token, |at| {
            let service = all[at];
            json!({
                "Id": id_of_name(&service.name),
                "ServiceKind": service.kind.name(),
                "Name": format!("{NAME_SCHEME}{}", service.name),
                "TypeName": &*service.type_name,
                "HealthState": "Ok",
                "ServiceStatus": "Active",
            })
        }))
    }

    /// The partitions of a service.
    pub fn partitions(&self, name: &str) -> Result<Value, NamingError> {
        let service = self.service(name)?;
        let kind = service.kind().unwrap_or(ServiceKind::Stateless);
        let item = |partition: &Arc<Partition>| {
            json!({
                "ServiceKind": kind.name(),
                "PartitionInformation": information(partition),
                "PartitionStatus": "Ready",
                "HealthState": "Ok",
            })
        };
        let items: Vec<Value> = service.partitions.load().entries().iter().map(item).collect();
        Ok(json!({ "ContinuationToken": "", "Items": items }))
    }

    /// The replicas of a partition.
    pub fn replicas(&self, partition: &str) -> Result<Value, NamingError> {
        let view = self.registry()?.partition(partition).ok_or_else(NamingError::partition_missing)?;
        Ok(json!({ "ContinuationToken": "", "Items": replica_items(&view) }))
    }

    /// Where the partition of a key is. With a previous version, as soon as there is a newer one, or as late as the
    /// registry holds such a request.
    pub async fn resolve(
        &self,
        name: &str,
        key: &PartitionKey,
        previous: Option<&str>,
    ) -> Result<Value, NamingError> {
        let service = self.service(name)?;
        let found = service.partitions.load().find(key);
        let PartitionMatch::Known(partition) = found else { return Err(ResolveError::BadKey.into()) };
        let epoch = self.registry()?.epoch();
        let used = previous.and_then(|previous| version_of(previous, &partition.id, epoch));
        if let Some(used) = used {
            self.resolver.wait_newer(&service, &partition, used).await?;
        }
        let snapshot = partition.snapshot();
        Ok(json!({
            "Name": format!("{NAME_SCHEME}{}", service.name),
            "PartitionInformation": information(&partition),
            "Endpoints": endpoints(&snapshot),
            "Version": version_token(&partition.id, epoch, snapshot.version),
        }))
    }
}

/// The key of `PartitionKeyType` and `PartitionKeyValue`.
pub fn key_of(kind: Option<&str>, value: Option<&str>) -> Result<PartitionKey, NamingError> {
    let invalid = |message| NamingError::new(400, fabric_code::INVALID_PARTITION_KEY, message);
    match (kind.unwrap_or("1"), value) {
        ("1" | "None", _) => Ok(PartitionKey::None),
        ("2" | "Int64Range", Some(value)) => match parse_int64(value.as_bytes()) {
            Some(key) => Ok(PartitionKey::Int64(key)),
            None => Err(invalid("PartitionKeyValue is no integer of 64 bits")),
        },
        ("3" | "Named", Some(value)) => Ok(PartitionKey::Named(value.into())),
        ("2" | "3" | "Int64Range" | "Named", None) => Err(invalid("PartitionKeyValue is missing")),
        _ => Err(NamingError::new(
            400,
            fabric_code::INVALID_ARGUMENT,
            "invalid PartitionKeyType: must be 1 (none), 2 (Int64Range) or 3 (Named)",
        )),
    }
}

/// Whether a version of the interface can be used: 1.0 to 9.9, with or without `-preview`.
pub fn is_api_version(version: &str) -> bool {
    let bare = version.strip_suffix("-preview").unwrap_or(version);
    matches!(bare.as_bytes(), [b'1'..=b'9', b'.', b'0'..=b'9'])
}

/// One page of items in the order of their names: those behind `token`.
fn page<'n>(names: impl Iterator<Item = &'n str>, token: &str, item: impl Fn(usize) -> Value) -> Value {
    let names: Vec<&str> = names.collect();
    let start = names.partition_point(|name| !token.is_empty() && name.cmp(&token) != Ordering::Greater);
    let end = names.len().min(start + MAX_PAGE_ITEMS);
    let next = if end < names.len() { names[end - 1] } else { "" };
    let items: Vec<Value> = (start..end).map(item).collect();
    json!({ "ContinuationToken": next, "Items": items })
}

fn information(partition: &Partition) -> Value {
    let mut information = json!({
        "ServicePartitionKind": partition.info.kind().name(),
        "Id": &*partition.id,
    });
    match &partition.info {
        PartitionInfo::Singleton => {}
        PartitionInfo::Int64Range(range) => {
            information["LowKey"] = range.low.to_string().into();
            information["HighKey"] = range.high.to_string().into();
        }
        PartitionInfo::Named(name) => information["Name"] = (&**name).into(),
    }
    information
}

fn endpoints(snapshot: &PartitionSnapshot) -> Vec<Value> {
    let endpoint = |replica: &super::service::Replica| {
        let address = replica.address.as_ref().map_or("", |address| &address.text);
        json!({ "Kind": replica.role.endpoint_kind(), "Address": address })
    };
    snapshot.replicas.iter().map(endpoint).collect()
}

fn replica_items(view: &PartitionView) -> Vec<Value> {
    let kind = view.service.kind().unwrap_or(ServiceKind::Stateless);
    let snapshot = view.partition.snapshot();
    let item = |(replica, node): (&super::service::Replica, &str)| {
        let address = replica.address.as_ref().map_or("", |address| &address.text);
        let mut item = json!({
            "ServiceKind": kind.name(),
            "ReplicaStatus": "Ready",
            "Address": address,
            "NodeName": node,
        });
        match replica.role {
            ReplicaRole::Instance => item["InstanceId"] = (&*replica.id).into(),
            role => {
                item["ReplicaId"] = (&*replica.id).into();
                let is_primary = role == ReplicaRole::Primary;
                item["ReplicaRole"] = if is_primary { "Primary" } else { "ActiveSecondary" }.into();
            }
        }
        item
    };
    snapshot.replicas.iter().zip(view.nodes.iter().map(|node| &**node)).map(item).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawVersion {
    partition_id: String,
    epoch: String,
    version: String,
}

/// A version over the wire: percent-encoded JSON.
fn version_token(partition: &str, epoch: &str, version: u64) -> String {
    let version = json!({ "PartitionId": partition, "Epoch": epoch, "Version": version.to_string() });
    percent_encoded(&version.to_string())
}

/// The number of a version of this partition; 0 for one of another process, which is older than all. `None`: it is one of
/// another partition, or none at all.
fn version_of(token: &str, partition: &str, epoch: &str) -> Option<u64> {
    let decoded = percent_decoded(token.as_bytes(), false);
    let raw: RawVersion = serde_json::from_slice(&decoded).ok()?;
    if raw.partition_id != partition {
        return None;
    }
    if raw.epoch == epoch { raw.version.parse().ok() } else { Some(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_names_whose_levels_are_joined_in_any_way() {
        for id in ["A~S~api", "A/S/api", "A%2FS%2Fapi", "A%7ES/api", "fabric:/A/S/api"] {
            assert_eq!(name_of_id(id), "A/S/api", "{id}");
        }
    }

    #[test]
    fn a_version_of_another_process_is_older_than_all_and_one_of_another_partition_is_none() {
        let token = version_token("p", "e", 7);
        assert!(token.starts_with("%7B%22PartitionId%22%3A%22p%22"), "{token}");
        assert_eq!(version_of(&token, "p", "e"), Some(7));
        assert_eq!(version_of(&token, "p", "other"), Some(0));
        assert_eq!((version_of(&token, "q", "e"), version_of("x", "p", "e")), (None, None));
    }

    #[test]
    fn versions_of_the_interface_have_two_digits() {
        for (version, is_valid) in [
            ("6.0", true),
            ("3.0-preview", true),
            ("1.0", true),
            ("0.9", false),
            ("10.0", false),
            ("x", false),
        ] {
            assert_eq!(is_api_version(version), is_valid, "{version}");
        }
    }

    #[test]
    fn a_page_continues_behind_its_token() {
        let names: Vec<String> = (0..MAX_PAGE_ITEMS + 2).map(|at| format!("{at:06}")).collect();
        let get = |token: &str| page(names.iter().map(String::as_str), token, |at| json!(at));
        let first = get("");
        assert_eq!(first["Items"].as_array().map(Vec::len), Some(MAX_PAGE_ITEMS));
        let second = get(first["ContinuationToken"].as_str().unwrap());
        assert_eq!(second, json!({ "ContinuationToken": "", "Items": [MAX_PAGE_ITEMS, MAX_PAGE_ITEMS + 1] }));
    }

    proptest! {
        #[test]
        fn any_version_is_read_or_ignored(token in ".{0,40}") {
            let _ = (version_of(&token, "p", "e"), name_of_id(&token), key_of(Some(&token), Some(&token)));
        }
    }
}
