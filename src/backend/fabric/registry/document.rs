//! A registry as its file describes it, checked: applications, services, partitions and replicas.

use crate::backend::fabric::{
    address::ReplicaAddress,
    partition::PartitionInfo,
    service::{ReplicaRole, ServiceKind},
};
use std::collections::BTreeMap;

/// Maximum number of services of a registry.
pub const MAX_SERVICES: usize = 100_000;
/// Maximum number of partitions of a registry.
pub const MAX_PARTITIONS: usize = 1_000_000;
/// Maximum number of replicas of a partition.
pub const MAX_REPLICAS: usize = 256;

/// A registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryDocument {
    pub applications: Vec<ApplicationSpec>,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSpec {
    /// Without `fabric:/`.
    pub name: Box<str>,
    pub type_name: Box<str>,
    pub type_version: Box<str>,
    pub services: Vec<ServiceSpec>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Without `fabric:/`.
    pub name: Box<str>,
    pub type_name: Box<str>,
    pub kind: ServiceKind,
    /// All partitions, also those that the file does not list; by low key or by name.
    pub partitions: Vec<PartitionSpec>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    /// In lower case.
    pub id: Box<str>,
    pub info: PartitionInfo,
    pub replicas: Vec<ReplicaSpec>,
}

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSpec {
    pub id: Box<str>,
    pub role: ReplicaRole,
    pub node: Box<str>,
    pub address: AddressSpec,
}

/// The address of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressSpec {
    Absent,
    /// As the replica reported it.
    Text(Box<str>),
    /// Listener → URL.
    Listeners(BTreeMap<Box<str>, Box<str>>),
}

impl AddressSpec {
    /// The parsed address.
    pub fn parse(&self) -> Option<ReplicaAddress> {
        match self {
            AddressSpec::Absent => None,
            AddressSpec::Text(text) => Some(ReplicaAddress::parse(text)),
            AddressSpec::Listeners(listeners) => {
                Some(ReplicaAddress::from_listeners(listeners.iter().map(|(name, url)| (&**name, &**url))))
            }
        }
    }
}

impl RegistryDocument {
    /// All services.
    pub fn services(&self) -> impl Iterator<Item = &ServiceSpec> {
        self.applications.iter().flat_map(|application| &application.services)
    }
}

/// A mistake in the file, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryFault {
    pub is_error: bool,
    /// A JSON pointer, or a line and a column.
    pub place: String,
    pub message: String,
}
