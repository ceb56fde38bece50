//! The services of resolvers, as the gateway knows them: partitions with version and age, and replicas that are left out.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::backend::fabric::{
    Resolver,
    resolver::ResolverSource,
    service::{Partition, Replica, Service, process_ms},
};
use axum::extract::State;
use serde::Serialize;
use std::{sync::Arc, time::Instant};

/// Maximum number of services of a resolver in the response.
const MAX_SERVICES: usize = 1000;
/// Maximum number of partitions of a service in the response.
const MAX_PARTITIONS: usize = 100;

/// The resolvers of the plan.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FabricStatus {
    pub resolvers: Vec<ResolverStatus>,
}

/// A resolver.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ResolverStatus {
    pub name: String,
    /// `Registry` or `Cluster`.
    pub kind: String,
    /// Whether it responded to the last request.
    pub is_up: bool,
    /// The number of known services; at most 1000 are listed.
    pub service_count: usize,
    pub services: Vec<ServiceStatus>,
}

/// A service.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ServiceStatus {
    pub name: String,
    /// `Stateless` or `Stateful`; absent if it is not known yet.
    pub kind: Option<String>,
    /// The number of known partitions; at most 100 are listed.
    pub partition_count: usize,
    pub partitions: Vec<PartitionStatus>,
}

/// A partition.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PartitionStatus {
    pub id: String,
    /// The low key or the name; empty if the service is not divided.
    pub key: String,
    /// Grows with every change.
    pub version: u64,
    /// Seconds since the resolver confirmed it.
    pub age_seconds: f64,
    pub replicas: Vec<ReplicaStatus>,
}

/// A replica.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ReplicaStatus {
    pub id: String,
    pub role: String,
    pub address: String,
    /// Why it is left out while there is another; absent if it is not.
    pub left_out: Option<String>,
}

/// The services, partitions and replicas that resolvers know.
#[utoipa::path(get, path = "/fabric", tag = "clusters", responses((status = 200, body = FabricStatus)))]
pub async fn fabric(State(context): State<AdminContext>) -> Result<JsonPage<FabricStatus>, AdminError> {
    let plan = context.gateway()?.plan.load();
    Ok(JsonPage(FabricStatus { resolvers: plan.resolvers.iter().map(|resolver| status(resolver)).collect() }))
}

fn status(resolver: &Resolver) -> ResolverStatus {
    let (kind, is_up) = match &resolver.source {
        ResolverSource::Registry(_) => ("Registry", true),
        ResolverSource::Cluster(cluster) => ("Cluster", cluster.is_up()),
    };
    let services = resolver.services();
    let now = Instant::now();
    ResolverStatus {
        name: resolver.config.name.to_string(),
        kind: kind.to_owned(),
        is_up,
        service_count: services.len(),
        services: services.iter().take(MAX_SERVICES).map(|service| service_status(service, now)).collect(),
    }
}

fn service_status(service: &Service, now: Instant) -> ServiceStatus {
    let table = service.partitions.load();
    let partitions = table.entries().iter().take(MAX_PARTITIONS);
    ServiceStatus {
        name: service.name.to_string(),
        kind: service.kind().map(|kind| kind.name().to_owned()),
        partition_count: table.entries().len(),
        partitions: partitions.map(|partition| partition_status(partition, now)).collect(),
    }
}

fn partition_status(partition: &Arc<Partition>, now: Instant) -> PartitionStatus {
    let snapshot = partition.snapshot();
    let replica = |replica: &Replica| ReplicaStatus {
        id: replica.id.to_string(),
        role: replica.role.label().to_owned(),
        address: replica.address.as_ref().map_or_else(String::new, |address| address.text.to_string()),
        left_out: replica.state.is_left_out(process_ms(now)).then(|| "it refused a connection".to_owned()),
    };
    PartitionStatus {
        id: partition.id.to_string(),
        key: partition.info.label(),
        version: snapshot.version,
        age_seconds: now.saturating_duration_since(snapshot.confirmed_at).as_secs_f64(),
        replicas: snapshot.replicas.iter().map(replica).collect(),
    }
}
