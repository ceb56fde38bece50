//! The replicas of a partition: ids, roles and addresses.

use super::{
    document::{AddressSpec, MAX_REPLICAS, ReplicaSpec},
    faults::Faults,
    raw::{RawPartition, RawReplica},
};
use crate::backend::fabric::{
    address::{ListenerEndpoint, MAX_ADDRESS_BYTES, MAX_LISTENERS},
    service::{ReplicaRole, ServiceKind},
};
use std::collections::{BTreeMap, HashSet};

/// Reads the replicas or instances of a partition.
pub(super) fn read_replicas(
    place: &str,
    kind: ServiceKind,
    raw: RawPartition,
    faults: &mut Faults,
) -> Vec<ReplicaSpec> {
    let (own, other, name, other_name) = match kind {
        ServiceKind::Stateful => (raw.replicas, raw.instances, "Replicas", "Instances"),
        ServiceKind::Stateless => (raw.instances, raw.replicas, "Instances", "Replicas"),
    };
    if !other.is_empty() {
        let message = format!("a {} service has {name}, not {other_name}", kind.name());
        faults.error(&format!("{place}/{other_name}"), message);
    }
    if own.len() > MAX_REPLICAS {
        faults.error(&format!("{place}/{name}"), format!("must be at most {MAX_REPLICAS} replicas"));
    }
    let mut ids = HashSet::new();
    let all = own.into_iter().enumerate().filter_map(|(at, raw)| {
        let place = format!("{place}/{name}/{at}");
        let replica = read_replica(&place, kind, raw, faults)?;
        if !ids.insert(replica.id.clone()) {
            faults.error(&place, format!("the id {} occurs twice in the partition", replica.id));
        }
        Some(replica)
    });
    let all: Vec<ReplicaSpec> = all.collect();
    let primaries = all.iter().filter(|replica| replica.role == ReplicaRole::Primary).count();
    if primaries > 1 {
        faults.error(&format!("{place}/{name}"), "the partition has two primaries: must be one".to_owned());
    } else if primaries == 0 && kind == ServiceKind::Stateful && !all.is_empty() {
        faults.warning(&format!("{place}/{name}"), "the partition has no primary".to_owned());
    }
    all
}

/// `None`: a replica that serves no requests.
fn read_replica(place: &str, kind: ServiceKind, raw: RawReplica, faults: &mut Faults) -> Option<ReplicaSpec> {
    let (id, id_name) = match kind {
        ServiceKind::Stateful => (&raw.replica_id, "ReplicaId"),
        ServiceKind::Stateless => (&raw.instance_id, "InstanceId"),
    };
    let Some(id) = id.as_ref().map(super::raw::IntegerText::text).filter(|id| is_replica_id(id)) else {
        let message = format!("{id_name} is missing or invalid: must be 1 to 64 letters, digits and ._-");
        faults.error(&format!("{place}/{id_name}"), message);
        return None;
    };
    let role = match (kind, raw.role.as_deref().or(raw.replica_role.as_deref())) {
        (ServiceKind::Stateless, None) => ReplicaRole::Instance,
        (ServiceKind::Stateful, Some("Primary")) => ReplicaRole::Primary,
        (ServiceKind::Stateful, Some("ActiveSecondary")) => ReplicaRole::Secondary,
        (ServiceKind::Stateful, Some("IdleSecondary" | "None" | "Unknown")) => return None,
        (ServiceKind::Stateful, _) => {
            faults.error(&format!("{place}/Role"), "must be Primary or ActiveSecondary".to_owned());
            return None;
        }
        (ServiceKind::Stateless, Some(_)) => {
            faults.error(&format!("{place}/Role"), "an instance has no role".to_owned());
            return None;
        }
    };
    let address = read_address(place, raw.endpoints, raw.address, faults);
    Some(ReplicaSpec { id: id.into(), role, node: raw.node_name.into(), address })
}

/// Whether a text is the id of a replica.
pub fn is_replica_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn read_address(
    place: &str,
    listeners: Option<BTreeMap<Box<str>, Box<str>>>,
    text: Option<String>,
    faults: &mut Faults,
) -> AddressSpec {
    match (listeners, text) {
        (None, None) => AddressSpec::Absent,
        (None, Some(text)) => {
            if text.len() > MAX_ADDRESS_BYTES {
                let message = format!("must be at most {MAX_ADDRESS_BYTES} bytes");
                faults.error(&format!("{place}/Address"), message);
            }
            AddressSpec::Text(text.into())
        }
        (Some(listeners), None) => {
            if let Err(message) = check_listeners(&listeners) {
                faults.error(&format!("{place}/Endpoints"), message);
            }
            AddressSpec::Listeners(listeners)
        }
        (Some(_), Some(_)) => {
            faults.error(place, "Endpoints and Address exclude each other".to_owned());
            AddressSpec::Absent
        }
    }
}

/// Checks listeners and their URLs.
pub fn check_listeners(listeners: &BTreeMap<Box<str>, Box<str>>) -> Result<(), String> {
    if listeners.len() > MAX_LISTENERS {
        return Err(format!("must be at most {MAX_LISTENERS} listeners"));
    }
    if listeners.iter().map(|(name, url)| name.len() + url.len() + 8).sum::<usize>() > MAX_ADDRESS_BYTES {
        return Err(format!("must be at most {MAX_ADDRESS_BYTES} bytes"));
    }
    match listeners.iter().find(|(name, url)| !is_url(name, url)) {
        Some((name, url)) => Err(format!(
            "the URL \"{url}\" of the listener \"{name}\" is invalid: must be SCHEME://HOST, with port and path, or HOST:PORT"
        )),
        None => Ok(()),
    }
}

/// Whether a text is a URL; those of other schemes belong to other protocols, and are not used.
fn is_url(name: &str, url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, rest)| (scheme, !rest.is_empty()));
    match scheme {
        Some((scheme, has_rest)) if !matches!(&*scheme.to_ascii_lowercase(), "http" | "https") => {
            let is_scheme_byte =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            has_rest && !scheme.is_empty() && scheme.bytes().all(is_scheme_byte) && !url.contains(' ')
        }
        _ => ListenerEndpoint::parse(name, url).is_some(),
    }
}
