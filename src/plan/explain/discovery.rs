//! The discovery lookup of `explain`.

use crate::backend::Cluster;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Timeout of the lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The result of a discovery lookup.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DiscoveryLookup {
    pub service: String,
    /// Empty: that of the provider.
    pub namespace: String,
    pub provider: String,
    /// `None`: the provider has not responded.
    pub instances: Option<usize>,
}

impl DiscoveryLookup {
    /// Queries the discovery provider of the cluster, unless the dry run is offline.
    pub async fn query_unless(is_offline: bool, cluster: &Cluster) -> Option<DiscoveryLookup> {
        if is_offline { None } else { DiscoveryLookup::query(cluster).await }
    }

    /// Queries the discovery provider of the cluster, if it has one.
    pub async fn query(cluster: &Cluster) -> Option<DiscoveryLookup> {
        let source = cluster.source.get()?;
        source.wait_ready(Instant::now() + LOOKUP_TIMEOUT).await;
        Some(DiscoveryLookup {
            service: source.service.name.clone(),
            namespace: source.service.namespace.clone(),
            provider: source.provider_label().to_owned(),
            instances: source.instances().map(|instances| instances.len()),
        })
    }

    /// A row of the text output.
    pub fn row(&self) -> Vec<String> {
        let dot = if self.namespace.is_empty() { "" } else { "." };
        let instances = match self.instances {
            Some(1) => "1 instance".to_owned(),
            Some(n) => format!("{n} instances"),
            None => "no response".to_owned(),
        };
        vec![format!("{}{dot}{}", self.namespace, self.service), self.provider.clone(), instances]
    }
}
