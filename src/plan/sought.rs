//! What a registry says when `explain` asks it.

use crate::backend::Cluster;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long a registry is waited for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// A service that was looked up.
#[derive(Debug, Serialize)]
pub struct DiscoveryLookup {
    pub service: String,
    /// Empty: that of the registry.
    pub namespace: String,
    pub registry: String,
    /// None: the registry has not answered.
    pub instances: Option<usize>,
}

impl DiscoveryLookup {
    /// Asks the registry of the cluster, if it has one.
    pub async fn query(cluster: &Cluster) -> Option<DiscoveryLookup> {
        let source = cluster.source.get()?;
        source.wait_ready(Instant::now() + LOOKUP_TIMEOUT).await;
        Some(DiscoveryLookup {
            service: source.service.name.clone(),
            namespace: source.service.namespace.clone(),
            registry: source.provider_label().to_owned(),
            instances: source.instances().map(|instances| instances.len()),
        })
    }

    /// For people.
    pub fn row(&self) -> Vec<String> {
        let dot = if self.namespace.is_empty() { "" } else { "." };
        let found = match self.instances {
            Some(1) => "1 instance".to_owned(),
            Some(n) => format!("{n} instances"),
            None => "no answer".to_owned(),
        };
        vec![format!("{}{dot}{}", self.namespace, self.service), self.registry.clone(), found]
    }
}
