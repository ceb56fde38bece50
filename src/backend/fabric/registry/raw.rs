//! The JSON of a registry file, before its checks. Members that the cluster has and the registry does not use are accepted.

use crate::backend::fabric::partition::parse_int64;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// An integer as a text or as a number: 64 bits do not survive JavaScript.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum IntegerText {
    Text(String),
    Number(i64),
}

impl IntegerText {
    /// The text as it is written.
    pub fn text(&self) -> String {
        match self {
            IntegerText::Text(text) => text.clone(),
            IntegerText::Number(number) => number.to_string(),
        }
    }

    /// The integer; `None` if it is none.
    pub fn value(&self) -> Option<i64> {
        match self {
            IntegerText::Text(text) => parse_int64(text.as_bytes()),
            IntegerText::Number(number) => Some(*number),
        }
    }
}

/// A member that is not used.
type Unused = Option<IgnoredAny>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RawRegistry {
    pub applications: Vec<RawApplication>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RawApplication {
    pub name: String,
    pub type_name: String,
    pub type_version: String,
    pub services: Vec<RawService>,
    #[serde(rename = "Id")]
    _id: Unused,
    #[serde(rename = "Status")]
    _status: Unused,
    #[serde(rename = "HealthState")]
    _health: Unused,
    #[serde(rename = "Parameters")]
    _parameters: Unused,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RawService {
    pub name: String,
    pub service_kind: String,
    pub type_name: String,
    pub partitioning: RawPartitioning,
    pub partitions: Vec<RawPartition>,
    #[serde(rename = "Id")]
    _id: Unused,
    #[serde(rename = "HealthState")]
    _health: Unused,
    #[serde(rename = "ServiceStatus")]
    _status: Unused,
    #[serde(rename = "ManifestVersion")]
    _manifest: Unused,
    #[serde(rename = "HasPersistedState")]
    _persisted: Unused,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RawPartitioning {
    pub kind: Option<String>,
    pub low_key: Option<IntegerText>,
    pub high_key: Option<IntegerText>,
    pub count: Option<IntegerText>,
    pub names: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RawPartition {
    pub partition_id: Option<String>,
    pub name: Option<String>,
    pub low_key: Option<IntegerText>,
    pub high_key: Option<IntegerText>,
    pub replicas: Vec<RawReplica>,
    pub instances: Vec<RawReplica>,
    #[serde(rename = "PartitionStatus")]
    _status: Unused,
    #[serde(rename = "HealthState")]
    _health: Unused,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RawReplica {
    pub replica_id: Option<IntegerText>,
    pub instance_id: Option<IntegerText>,
    pub role: Option<String>,
    pub replica_role: Option<String>,
    pub node_name: String,
    pub endpoints: Option<BTreeMap<Box<str>, Box<str>>>,
    pub address: Option<String>,
    #[serde(rename = "HealthState")]
    _health: Unused,
    #[serde(rename = "ReplicaStatus")]
    _status: Unused,
}
