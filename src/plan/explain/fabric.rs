//! The explanation of a request for a service with partitions: service, partition, replicas, the choice, the URL.

use crate::{
    backend::fabric::{
        choice::{ChoiceError, ReplicaChoice, Selector, choose},
        error::{ResolveError, fabric_code},
        partition::PartitionInfo,
        resolver::ServiceMatch,
        route::{FabricRequest, FabricRoute},
        service::{Partition, PartitionMatch, PartitionSnapshot, Replica, process_ms},
    },
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
    },
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// How long a cluster is waited for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a request for a service with partitions leads to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServiceExplanation {
    /// The name, `App/Service`.
    pub service: String,
    pub resolver: String,
    /// The id of the partition.
    pub partition: String,
    /// The key range or the name of the partition; empty if the service is not divided.
    pub keys: String,
    pub replicas: Vec<ReplicaExplanation>,
    /// The listener of the endpoint.
    pub listener: String,
    /// The URL that is sent.
    pub url: String,
}

/// A replica of the partition.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReplicaExplanation {
    pub id: String,
    pub role: String,
    pub address: String,
    /// It would get the request; the first one where chance decides.
    pub is_chosen: bool,
    /// It refused a connection and is left out while there is another.
    pub is_left_out: bool,
}

impl ServiceExplanation {
    /// The rows of the text.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let keys = if self.keys.is_empty() { "not divided".to_owned() } else { self.keys.clone() };
        let mut rows = vec![
            vec![self.service.clone(), format!("resolver {}", self.resolver)],
            vec![format!("partition {}", self.partition), keys],
        ];
        rows.extend(self.replicas.iter().map(ReplicaExplanation::row));
        rows
    }
}

impl ReplicaExplanation {
    fn row(&self) -> Vec<String> {
        let mark = match (self.is_chosen, self.is_left_out) {
            (true, _) => "chosen",
            (false, true) => "left out",
            (false, false) => "",
        };
        vec![
            format!("{} {}", self.role, self.id).trim_end().to_owned(),
            self.address.clone(),
            mark.to_owned(),
        ]
    }
}

/// Resolves the request, and rewrites its target to the one that would be sent; also returns the authority.
pub(super) async fn explain(
    route: &FabricRoute,
    exchange: &mut Exchange,
) -> Result<(ServiceExplanation, String), GatewayError> {
    let request = route.read(exchange)?;
    let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, resolve(route, &request, exchange)).await;
    let (found, partition) =
        lookup.unwrap_or_else(|_| Err(route.resolve_error(None, &request, ResolveError::Unreachable)))?;
    let snapshot = partition.snapshot();
    let rule = route.endpoint_rule(&request, exchange);
    let (selector, now_ms) = (request.selector.unwrap_or(Selector::Primary), process_ms(exchange.now));
    let choice = choose(&snapshot, selector, &rule, &[], now_ms, |_| 0).map_err(|error| match error {
        ChoiceError::Offline => route.resolve_error(Some(&found), &request, ResolveError::Offline),
        ChoiceError::NoEndpoint => route.error(
            (ErrorCode::FabricEndpoint, fabric_code::ENDPOINT_NOT_FOUND),
            format!("{} has no endpoint that may be used", found.service.name),
        ),
    })?;
    let address = snapshot.replicas[choice.replica].address.as_ref();
    let Some(endpoint) = address.and_then(|address| address.endpoints.get(choice.endpoint)) else {
        return Err(route.resolve_error(Some(&found), &request, ResolveError::Offline));
    };
    let suffix = route.suffix(&request, exchange.request.target(), found.segments);
    let target = [endpoint.base_path.as_bytes(), &suffix].concat();
    exchange.request.rewrite_target(&target);
    let authority = endpoint.authority(choice.scheme);
    let url = format!("{}://{authority}{}", choice.scheme.name(), String::from_utf8_lossy(&target));
    let listener = endpoint.name.to_string();
    Ok((describe(route, &found, &partition, &snapshot, choice, (listener, url)), authority))
}

async fn resolve(
    route: &FabricRoute,
    request: &FabricRequest,
    exchange: &Exchange,
) -> Result<(ServiceMatch, Arc<Partition>), GatewayError> {
    let found = match route.find(request, exchange) {
        Some(found) => found,
        None => {
            let target = exchange.request.target();
            let query = route.query(request, target);
            let asked = route.resolver.ask_service(query, route.filter(), &request.key).await;
            let mut found = asked.map_err(|error| route.resolve_error(None, request, error))?;
            found.segments = route.taken_segments(request, target, &found);
            found
        }
    };
    let fail = |error| route.resolve_error(Some(&found), request, error);
    route.check_key(request).map_err(fail)?;
    let partition = match route.resolver.partition(&found.service, &request.key, exchange.now) {
        PartitionMatch::Known(partition) => partition,
        PartitionMatch::BadKey => return Err(fail(ResolveError::BadKey)),
        PartitionMatch::Unknown => {
            route.resolver.ask_partition(&found.service, &request.key).await.map_err(fail)?
        }
    };
    match (found.service.kind(), request.selector) {
        (Some(kind), Some(selector)) if !selector.fits(kind) => {
            Err(route.selector_error(&found.service.name))
        }
        _ => Ok((found, partition)),
    }
}

fn describe(
    route: &FabricRoute,
    found: &ServiceMatch,
    partition: &Partition,
    snapshot: &PartitionSnapshot,
    choice: ReplicaChoice,
    (listener, url): (String, String),
) -> ServiceExplanation {
    let now_ms = process_ms(std::time::Instant::now());
    let replica = |(at, replica): (usize, &Replica)| ReplicaExplanation {
        id: replica.id.to_string(),
        role: replica.role.label().to_owned(),
        address: replica.address.as_ref().map_or_else(String::new, |address| address.text.to_string()),
        is_chosen: at == choice.replica,
        is_left_out: replica.state.is_left_out(now_ms),
    };
    let keys = match &partition.info {
        PartitionInfo::Singleton => String::new(),
        PartitionInfo::Int64Range(range) => format!("{} to {}", range.low, range.high),
        PartitionInfo::Named(name) => name.to_string(),
    };
    ServiceExplanation {
        service: found.service.name.to_string(),
        resolver: route.resolver.config.name.to_string(),
        partition: partition.id.to_string(),
        keys,
        replicas: snapshot.replicas.iter().enumerate().map(replica).collect(),
        listener,
        url,
    }
}
