//! Reads and checks a registry file. It is whole or not used at all: every mistake is reported with its place.

use super::{
    document::{
        ApplicationSpec, MAX_PARTITIONS, MAX_SERVICES, PartitionSpec, RegistryDocument, RegistryFault,
        ServiceSpec,
    },
    faults::Faults,
    raw::{RawApplication, RawPartition, RawRegistry, RawService},
    read_partitions::{partition_infos, place_partitions},
    read_replicas::read_replicas,
};
use crate::backend::fabric::{
    name::{NAME_SCHEME, is_name},
    partition::PartitionInfo,
    service::ServiceKind,
};
use sha1::{Digest, Sha1};
use std::collections::HashSet;

/// The namespace of partition ids: that of URLs (RFC 4122, appendix C).
const URL_NAMESPACE: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];

/// Reads a file. The document is absent if there is an error; warnings do not prevent it.
pub fn read_registry(text: &[u8]) -> (Option<RegistryDocument>, Vec<RegistryFault>) {
    // An array would be read as the members of the object in their order.
    if text.trim_ascii_start().first() == Some(&b'[') {
        let (place, message) = ("line 1, column 1".to_owned(), "expected an object".to_owned());
        return (None, vec![RegistryFault { is_error: true, place, message }]);
    }
    let raw: RawRegistry = match serde_json::from_slice(text) {
        Ok(raw) => raw,
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            let text = error.to_string();
            let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message).to_owned();
            return (None, vec![RegistryFault { is_error: true, place, message }]);
        }
    };
    let mut reader = RegistryReader::default();
    let applications = raw.applications.into_iter().enumerate();
    let applications = applications.map(|(at, raw)| reader.application(at, raw)).collect();
    reader.check_size();
    let (has_errors, faults) = reader.faults.finish();
    ((!has_errors).then_some(RegistryDocument { applications }), faults)
}

#[derive(Default)]
struct RegistryReader {
    faults: Faults,
    applications: HashSet<String>,
    services: HashSet<String>,
    partitions: HashSet<Box<str>>,
}

impl RegistryReader {
    fn application(&mut self, at: usize, raw: RawApplication) -> ApplicationSpec {
        let place = format!("/Applications/{at}");
        let name = self.name(&format!("{place}/Name"), &raw.name, "application");
        if !self.applications.insert(name.clone()) {
            self.faults.error(&format!("{place}/Name"), format!("the application {} occurs twice", raw.name));
        }
        let services = raw.services.into_iter().enumerate();
        let services =
            services.map(|(at, raw)| self.service(&format!("{place}/Services/{at}"), raw)).collect();
        ApplicationSpec {
            name: name.into(),
            type_name: raw.type_name.into(),
            type_version: raw.type_version.into(),
            services,
        }
    }

    fn service(&mut self, place: &str, raw: RawService) -> ServiceSpec {
        let name = self.name(&format!("{place}/Name"), &raw.name, "service");
        if !self.services.insert(name.clone()) {
            self.faults.error(&format!("{place}/Name"), format!("the service {} occurs twice", raw.name));
        }
        let kind = ServiceKind::by_name(&raw.service_kind).unwrap_or_else(|| {
            let message =
                format!("invalid ServiceKind \"{}\": must be Stateless or Stateful", raw.service_kind);
            self.faults.error(&format!("{place}/ServiceKind"), message);
            ServiceKind::Stateless
        });
        let infos = partition_infos(place, &raw.partitioning, &raw.partitions, &mut self.faults);
        let placed = place_partitions(place, &infos, raw.partitions, &mut self.faults);
        let partitions = infos.into_iter().zip(placed);
        let partitions =
            partitions.map(|(info, listed)| self.partition(place, &raw.name, kind, info, listed));
        ServiceSpec {
            name: name.into(),
            type_name: raw.type_name.into(),
            kind,
            partitions: partitions.collect(),
        }
    }

    fn partition(
        &mut self,
        service_place: &str,
        service: &str,
        kind: ServiceKind,
        info: PartitionInfo,
        listed: Option<(usize, RawPartition)>,
    ) -> PartitionSpec {
        let Some((at, raw)) = listed else {
            let id = partition_id(service, &info);
            self.partitions.insert(id.clone());
            return PartitionSpec { id, info, replicas: Vec::new() };
        };
        let place = format!("{service_place}/Partitions/{at}");
        let id = raw.partition_id.as_ref().map_or_else(|| partition_id(service, &info), |id| id_of(id));
        if !is_uuid(&id) {
            let message = format!("invalid PartitionId \"{id}\": must be a UUID");
            self.faults.error(&format!("{place}/PartitionId"), message);
        } else if !self.partitions.insert(id.clone()) {
            self.faults.error(&format!("{place}/PartitionId"), format!("the partition {id} occurs twice"));
        }
        let replicas = read_replicas(&place, kind, raw, &mut self.faults);
        PartitionSpec { id, info, replicas }
    }

    fn name(&mut self, place: &str, name: &str, what: &str) -> String {
        let bare = name.strip_prefix(NAME_SCHEME).filter(|bare| is_name(bare));
        if bare.is_none() {
            let message = format!(
                "invalid name \"{name}\" of an {what}: must be fabric:/ and at most 32 segments without $ + | ~"
            );
            self.faults.error(place, message.replace("an service", "a service"));
        }
        bare.unwrap_or_default().to_owned()
    }

    fn check_size(&mut self) {
        let (services, partitions) = (self.services.len(), self.partitions.len());
        if services > MAX_SERVICES || partitions > MAX_PARTITIONS {
            let message = format!(
                "too large: {services} services and {partitions} partitions; must be at most {MAX_SERVICES} and \
                 {MAX_PARTITIONS}"
            );
            self.faults.error("/Applications", message);
        }
    }
}

fn id_of(text: &str) -> Box<str> {
    text.trim_matches(['{', '}']).to_ascii_lowercase().into()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// UUID version 5 (RFC 4122, section 4.3) of `{Name}|{Kind}|{LowKey or Name or empty}`.
fn partition_id(service: &str, info: &PartitionInfo) -> Box<str> {
    let mut hasher = Sha1::new();
    hasher.update(URL_NAMESPACE);
    hasher.update(format!("{service}|{}|{}", info.kind().name(), info.label()));
    let hash = hasher.finalize();
    let mut id = [0_u8; 16];
    id.copy_from_slice(&hash[..16]);
    id[6] = id[6] & 0x0f | 0x50;
    id[8] = id[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
        text.extend(digits);
    }
    text.into()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
